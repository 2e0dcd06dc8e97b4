"""A classifier for notebooks: sequences and labels in, probabilities out."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from genomenet import models, task_kinds
from genomenet.api import sequence_model
from genomenet.data import tasks
from genomenet.evaluation import metrics
from genomenet.inference import predict as predict_lib
from genomenet.layers import precision, random, strand
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.release import start as start_lib


@keras.saving.register_keras_serializable(package="genomenet")
class Classifier(sequence_model.SequenceModel):
    """A Keras model, compiled, that predicts labels of DNA sequences.

    `fit`, `evaluate`, `predict` and the `*_on_batch` methods take sequences as str,
    bytes, Bio.Seq or codes of `dna.alphabet`, of any mix of lengths, and labels as
    names or indices of the classes. They also take a tf.data.Dataset of (strings,
    indices), or a `keras.utils.PyDataset` of ({"bases": codes}, indices).

    Usually created by `Classifier.from_preset`.

    Args:
        family: Family of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        task: "binary", "multiclass", "multi_label" or "regression".
        classes: Names of the classes in the order of the outputs.
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean over both strands.
        dtype: Dtype policy of the computations, such as "mixed_bfloat16".
        name: Name of the model.
        **fields: More fields of `models.classifier_config.ClassifierConfig`.

    Call arguments:
        inputs: Codes, uint8, (B, L), padded on the right with code 5; or a dict with
            the codes as "bases".
        training: Whether to apply dropout and draw random strands.

    Returns:
        Float32: probabilities, (B, classes); for regression values, (B, 1).

    Raises:
        ValueError: If a field is invalid.

    Example:
        >>> import genomenet
        >>> model = genomenet.Classifier.from_preset("logo3", classes=["no", "yes"])
        >>> model.predict(["ACGTACGT", "acgu"]).shape
        (2, 2)
    """

    def __init__(
        self,
        family: str,
        encoder: Mapping[str, Any],
        *,
        task: str,
        classes: Sequence[str] = (),
        augment: bool = True,
        both_strands: bool = True,
        dtype: Any = None,
        name: str = "classifier",
        **fields: Any,
    ):
        super().__init__(name=name, dtype=dtype)
        options = dict(augment=augment, both_strands=both_strands, **fields)
        config = config_lib.from_dict(dict(task=task, classes=list(classes), **options))
        with precision.policy(self.dtype_policy):
            self.graph = classifier.Classifier(family, encoder, config)
        self._family, self._fields = family, dict(encoder)
        module = models.get_family(family)
        self._shortest = module.min_length(module.from_dict(encoder))
        self._draws = keras.random.SeedGenerator()
        self.built = True
        self.compile()

    @classmethod
    def from_preset(
        cls,
        name: str | os.PathLike[str],
        classes: int | Sequence[str] | None = None,
        *,
        task: str | None = None,
        pool: str | None = None,
        window: int | None = None,
        weights: str | None = None,
        dropout: float = 0.1,
        augment: bool = True,
        both_strands: bool = True,
        positive: str | None = None,
        dtype: Any = None,
        **fields: Any,
    ) -> Classifier:
        """Creates a classifier over a model of the zoo.

        Args:
            name: Name of a model, or path of its folder. Its weights are the initial
                weights of the encoder, and of the head if `name` is a classifier for
                the same task.
            classes: Names of the classes, or their number.
            task: Kind of task; by default "binary" for two classes and "multiclass"
                for more.
            pool: How a window becomes a vector; the family's default if None.
            window: Bases per window; longer sequences are read in windows. By default
                twice the training length of the model, but at most the maximum length
                that it can read.
            weights: "pretrained" or "random"; by default pretrained if the model has
                weights.
            dropout: Share of channels dropped in training.
            augment: Whether training reads a random strand of each sequence.
            both_strands: Whether predictions are the mean over both strands.
            positive: Positive class of two, for F1 and AUPRC.
            dtype: Dtype policy of the computations, such as "mixed_bfloat16".
            **fields: More fields, as for the class.

        Returns:
            The classifier, compiled.

        Raises:
            ValueError: If there is no such model, or an option is invalid.
        """
        start = start_lib.read_start(name, weights, dropout=dropout)
        if classes is None and task is None and start.classifier is not None:
            return wrap(start.classifier)
        if isinstance(classes, str):
            raise ValueError(f"classes={classes!r} must be a list of names")
        if isinstance(classes, int):
            classes = [str(index) for index in range(classes)]
        names = tuple(classes or ())
        if task is None:
            if not names:
                raise ValueError("classes must be given, or task='regression'")
            task = task_kinds.BINARY if len(names) == 2 else task_kinds.MULTICLASS
        known = tasks.Task(kind=task, classes=names, positive=positive or "")
        family = models.get_family(start.family)
        encoder = family.from_dict(start.encoder)
        width = window or min(2 * encoder.length, encoder.max_length)
        model = cls(
            start.family,
            start.encoder,
            task=task,
            classes=names,
            positive=known.positive,
            pool=pool or family.CLASSIFIER_POOL,
            augment=augment,
            both_strands=both_strands,
            dtype=dtype,
            **{"window": width, "length": width, "dropout": dropout, **fields},
        )
        source = start.for_task(model.config)
        if source is not None:
            is_whole = isinstance(source, classifier.Classifier)
            family_lib.transfer(source, model.graph if is_whole else model.encoder)
        return model

    @property
    def encoder(self) -> keras.Model:
        """The encoder; set its `trainable` to False for a linear probe."""
        return self.graph.encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the outputs."""
        return self.config.classes

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the predicted probabilities of codes; see the class."""
        bases = inputs["bases"] if isinstance(inputs, Mapping) else inputs
        if not training:
            return classifier.predict(self.graph, bases)
        if self.config.augment:
            key = ops.cast(self._draws.next(), "uint32")[None]  # (1, 2)
            rows = ops.arange(ops.shape(bases)[0], dtype="int32")[None]
            drawn = random.uniform(key, rows, stream=classifier.STRAND_STREAM)
            is_other = ops.transpose(drawn) < 0.5  # (B, 1)
            bases = ops.where(is_other, strand.reverse_padded(bases), bases)
        logits = self.graph({"bases": bases}, training=True)["logits"]
        return classifier.probabilities(self.config, logits)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the shape of the output."""
        bases = inputs["bases"] if isinstance(inputs, Mapping) else inputs
        shape = (bases.shape[0], max(1, len(self.classes)))
        return keras.KerasTensor(shape, dtype="float32")

    def predict_labels(self, x: Any, batch_size: int | None = None) -> list[str]:
        """Returns the name of the most probable class of each sequence.

        Args:
            x: Sequences.
            batch_size: Sequences per batch, 64 by default.

        Returns:
            N names; for multi-label tasks all labels above 0.5, joined by ";".
        """
        probabilities = self.predict(x, batch_size)
        return predict_lib.labels_of(self.config.task, self.classes, probabilities)

    def score(self, x: Any, y: Any, batch_size: int | None = None) -> metrics.Scores:
        """Scores predictions as the command `finetune` does.

        Args:
            x: Sequences.
            y: Labels, as for `fit`.
            batch_size: Sequences per batch, 64 by default.

        Returns:
            Metrics with 95 % intervals; `print` shows a table, and
            `scores["auroc"].value` is a float.
        """
        codes, truth, _ = self._read(x, y)
        predictions = self.predict(codes, batch_size)
        is_regression = self.config.task == task_kinds.REGRESSION
        return metrics.score(
            self._task, truth, predictions[:, 0] if is_regression else predictions
        )

    def export(
        self, filepath: str | os.PathLike[str], format: str = "tf_saved_model"
    ) -> None:
        """Writes a SavedModel that takes plain strings; needs TensorFlow.

        Args:
            filepath: The folder to write.
            format: "tf_saved_model".

        Raises:
            ValueError: If the format is not supported, or Keras does not run on
                TensorFlow.
        """
        if format != "tf_saved_model":
            raise ValueError(f"format must be 'tf_saved_model', got {format!r}")
        if (backend := keras.backend.backend()) != "tensorflow":
            raise ValueError(
                f"a SavedModel needs KERAS_BACKEND=tensorflow, not {backend}"
            )
        from genomenet.release import signatures

        signatures.save_classifier(self.graph, filepath, shortest=self._shortest)

    def save_to_preset(self, preset_dir: str | os.PathLike[str]) -> None:
        """Writes a release folder that `from_preset` and all commands can load.

        It contains the config, the weights in float32, and on the TensorFlow backend a
        SavedModel that takes plain strings.

        Args:
            preset_dir: The folder to write; an existing one is replaced. Its name
                becomes the name of the model.
        """
        from genomenet.release import export

        content = {
            "format": 1,
            "family": self._family,
            "model": self._fields,
            "classifier": config_lib.to_dict(self.config),
        }
        path = pathlib.Path(preset_dir)
        export.write_release(
            self.graph, content, directory=path, name=path.name, metrics={}
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "family": self._family,
            "encoder": self._fields,
            **config_lib.to_dict(self.config),
        }


def wrap(graph: classifier.Classifier) -> Classifier:
    """Returns a classifier with the weights of a graph, such as a loaded release.

    Args:
        graph: The graph; it is not changed.

    Returns:
        The classifier, compiled.
    """
    encoder = models.get_family(graph.family).to_dict(graph.encoder.config)
    model = Classifier(graph.family, encoder, **config_lib.to_dict(graph.config))
    family_lib.transfer(graph, model.graph)
    return model
