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
    """Predicts labels of DNA sequences; a Keras model that is ready to be fitted.

    `fit`, `evaluate`, `predict` and the `*_on_batch` methods take sequences as str,
    bytes, Bio.Seq or codes of `dna.alphabet`, of any mix of lengths, and labels as
    names or indices of the classes; or a tf.data.Dataset of (strings, indices), or a
    `keras.utils.PyDataset` of ({"bases": codes}, indices).

    Usually made by `Classifier.from_preset`.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        task: "binary", "multiclass", "multi_label" or "regression".
        classes: Names of the classes in the order of the outputs.
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean over both strands.
        dtype: Policy of the computations, such as "mixed_bfloat16".
        name: Of the model.
        **fields: More fields of `models.classifier_config.ClassifierConfig`.

    Call arguments:
        inputs: Codes, uint8, (B, L), padded on the right with code 5; or a dict with
            them as "bases".
        training: Whether to drop channels and to draw strands.

    Returns:
        Float32: probabilities, (B, classes); for regression numbers, (B, 1).

    Raises:
        ValueError: If a field makes no sense.

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
        members = models.get_family(family)
        self._shortest = members.shortest(members.from_dict(encoder))
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
        """Makes a classifier over a model of the zoo.

        Args:
            name: Name of a model, or path of its folder. The encoder begins with its
                weights; of a classifier that predicts the same, the head does too.
            classes: Names of the classes, or how many.
            task: What is predicted; by default "binary" of two classes and
                "multiclass" of more.
            pool: How a window becomes a vector; the family's default if None.
            window: Bases read at once; longer sequences are read in windows. By
                default twice the length of the model's training rows if it can.
            weights: "pretrained" or "random"; pretrained where there are weights.
            dropout: Share of channels dropped in training.
            augment: Whether training reads a random strand of each sequence.
            both_strands: Whether predictions are the mean over both strands.
            positive: Of two classes the one that F1 and AUPRC are about.
            dtype: Policy of the computations, such as "mixed_bfloat16".
            **fields: More fields, as for the class.

        Returns:
            The classifier, compiled.

        Raises:
            ValueError: If there is no such model, or an option makes no sense.
        """
        start = start_lib.read_start(name, weights, dropout=dropout)
        if classes is None and task is None and start.classifier is not None:
            return wrap(start.classifier)
        if isinstance(classes, str):
            raise ValueError(f"classes={classes!r} must be a list of names")
        if isinstance(classes, int):
            classes = [str(number) for number in range(classes)]
        names = tuple(classes or ())
        if task is None:
            if not names:
                raise ValueError("classes must be given, or task='regression'")
            task = task_kinds.BINARY if len(names) == 2 else task_kinds.MULTICLASS
        known = tasks.Task(kind=task, classes=names, positive=positive or "")
        members = models.get_family(start.family)
        encoder = members.from_dict(start.encoder)
        width = window or min(2 * encoder.length, encoder.max_length)
        model = cls(
            start.family,
            start.encoder,
            task=task,
            classes=names,
            positive=known.positive,
            pool=pool or members.CLASSIFIER_POOL,
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
        """The pretrained part; a linear probe sets its `trainable` to False."""
        return self.graph.encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the outputs."""
        return self.config.classes

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns probabilities of codes; see the class."""
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
            batch_size: Sequences at once, 64 by default.

        Returns:
            N names; of several labels those above 0.5, joined by ";".
        """
        found = self.predict(x, batch_size)
        return predict_lib.labels_of(self.config.task, self.classes, found)

    def score(self, x: Any, y: Any, batch_size: int | None = None) -> metrics.Scores:
        """Scores predictions as the command `finetune` does.

        Args:
            x: Sequences.
            y: Labels, as for `fit`.
            batch_size: Sequences at once, 64 by default.

        Returns:
            Metrics with 95 % intervals; `print` shows a table, and
            `scores["auroc"].value` is a number.
        """
        codes, truth, _ = self._read(x, y)
        found = self.predict(codes, batch_size)
        is_number = self.config.task == task_kinds.REGRESSION
        return metrics.score(self._task, truth, found[:, 0] if is_number else found)

    def export(
        self, filepath: str | os.PathLike[str], format: str = "tf_saved_model"
    ) -> None:
        """Writes a SavedModel that takes plain strings; needs TensorFlow.

        Args:
            filepath: The folder to make.
            format: "tf_saved_model".

        Raises:
            ValueError: If the format is another, or Keras runs on another backend.
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
        """Writes a release folder, which `from_preset` and every command take.

        It holds the config, the weights in float32, and where Keras runs on TensorFlow
        a SavedModel that takes plain strings.

        Args:
            preset_dir: The folder to make; one that exists is replaced. Its name is
                that of the model.
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
    """Returns a classifier with the weights of a graph, such as a release holds.

    Args:
        graph: The graph; it is not changed.

    Returns:
        The classifier, compiled.
    """
    encoder = models.get_family(graph.family).to_dict(graph.encoder.config)
    model = Classifier(graph.family, encoder, **config_lib.to_dict(graph.config))
    family_lib.transfer(graph, model.graph)
    return model
