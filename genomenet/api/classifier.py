"""A classifier for notebooks: sequences and labels in, probabilities out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from genomenet import models
from genomenet.api import inputs
from genomenet.data import tasks
from genomenet.dna import encode
from genomenet.evaluation import metrics
from genomenet.inference import predict as predict_lib
from genomenet.layers import precision, random, strand
from genomenet.models import classifier
from genomenet.models import family as family_lib
from genomenet.release import start as start_lib
from genomenet.training import schedule
from genomenet.training import settings as settings_lib

AUTO: Final = "auto"
BATCH_SIZE: Final = 32

_WARMUP: Final = 0.1  # share of the steps in which the rate rises


@keras.saving.register_keras_serializable(package="genomenet")
class ScaledSquaredError(keras.losses.Loss):
    """The squared error in units of the labels' spread.

    Args:
        scale: The spread, in units of the labels.
    """

    def __init__(self, scale: float = 1.0, name: str = "squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row: (B,)."""
        truth = ops.reshape(ops.cast(y_true, "float32"), (-1,))
        return ops.square((truth - y_pred[:, 0]) / self.scale)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="genomenet")
class Classifier(keras.Model):
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
        **fields: More fields of `models.classifier.ClassifierConfig`.

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
        config = classifier.from_dict(
            {
                "task": task,
                "classes": list(classes),
                "augment": augment,
                "both_strands": both_strands,
                **fields,
            }
        )
        with precision.policy(self.dtype_policy):
            self.graph = classifier.Classifier(family, encoder, config)
        self._family, self._fields = family, dict(encoder)
        members = models.get_family(family)
        self._shortest = members.shortest(members.from_dict(encoder))
        self._draws = keras.random.SeedGenerator()
        self._predictor: tuple[int, predict_lib.Predictor] | None = None
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
            **fields: More of `models.classifier.ClassifierConfig`, as "over_windows".

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
            kind = tasks.BINARY if len(names) == 2 else tasks.MULTICLASS
        else:
            kind = task
        known = tasks.Task(kind=kind, classes=names, positive=positive or "")
        members = models.get_family(start.family)
        encoder = members.from_dict(start.encoder)
        width = window or min(2 * encoder.length, encoder.max_length)
        model = cls(
            start.family,
            start.encoder,
            task=kind,
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
    def config(self) -> classifier.ClassifierConfig:
        """What is predicted, and how."""
        return self.graph.config

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

    def compile(
        self,
        optimizer: Any = AUTO,
        loss: Any = AUTO,
        *,
        metrics: Any = AUTO,
        **kwargs: Any,
    ) -> None:
        """Configures training; what is "auto" is what `finetune` takes.

        Args:
            optimizer: Of Keras; "auto" is AdamW with the family's rate, which rises
                in the first tenth of a fit and then decays to 0.
            loss: Of Keras, of probabilities and indices of the classes (several
                labels: of 0 and 1 for each); "auto" is cross-entropy, for regression
                the squared error over the variance.
            metrics: Of Keras; "auto" is the accuracy.
            **kwargs: Of `keras.Model.compile`.
        """
        self._given = {
            "optimizer": optimizer,
            "loss": loss,
            "metrics": metrics,
            **kwargs,
        }
        self._compile(steps=None)

    def _compile(self, *, steps: int | None) -> None:
        """Compiles with what was given; the automatic rate decays over the steps."""
        given = dict(self._given)
        if _is_auto(given["optimizer"]):
            given["optimizer"] = self._make_optimizer(steps)
        if _is_auto(given["loss"]):
            given["loss"] = self._make_loss()
        if _is_auto(given["metrics"]):
            is_number = self.config.task == classifier.REGRESSION
            given["metrics"] = None if is_number else ["accuracy"]
        super().compile(**given)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what was given to `compile`, for saving."""
        return {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self._given.items()
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles as a saved model was."""
        given = keras.saving.deserialize_keras_object(dict(config))
        self.compile(**given)
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[Any, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains on sequences and labels; as `keras.Model.fit`.

        Sequences are padded to at most four lengths, so that little is compiled.

        Args:
            x: Sequences, or a dataset; see the class.
            y: Labels: names or indices, (N,); several labels as names joined by ";",
                lists of names or 0 and 1, (N, classes); for regression numbers.
            batch_size: Sequences a step, 32 by default.
            epochs: Passes over the training data.
            verbose: As in Keras.
            callbacks: As in Keras.
            validation_split: Share of the sequences, the last ones, that is held out.
            validation_data: (sequences, labels), or with weights, or a dataset.
            shuffle: Whether every epoch has an order of its own.
            class_weight: Name or index of a class → weight.
            sample_weight: Weight of each sequence, (N,).
            initial_epoch: As in Keras.
            steps_per_epoch: As in Keras.
            **kwargs: More of `keras.Model.fit`.

        Returns:
            Keras' history.

        Raises:
            ValueError: If sequences and labels do not fit each other or the model.
        """
        size = batch_size or BATCH_SIZE
        if _is_dataset(x):
            data = self._read_dataset(x)
            if class_weight is not None:
                kwargs["class_weight"] = self._index_classes(class_weight)
        else:
            codes, truth, weights = self._read(x, y, sample_weight, class_weight)
            if validation_split:
                if not 0 < validation_split < 1:
                    raise ValueError(
                        f"validation_split must be 0 to 1, got {validation_split}"
                    )
                first = int(len(codes) * (1 - validation_split))
                if not 0 < first < len(codes):
                    raise ValueError(
                        f"validation_split={validation_split} leaves nothing of"
                        f" {len(codes)} sequences on one side"
                    )
                held_out = None if weights is None else weights[first:]
                if validation_data is None:
                    validation_data = inputs.Batches(
                        codes[first:], truth[first:], held_out, batch_size=size
                    )
                codes, truth = codes[:first], truth[:first]
                weights = None if weights is None else weights[:first]
            self._adapt(truth)
            data = inputs.Batches(
                codes, truth, weights, batch_size=size, shuffle=shuffle
            )
        if validation_data is not None and not _is_dataset(validation_data):
            if len(validation_data) not in (2, 3):
                raise ValueError("validation_data must be (sequences, labels)")
            codes, truth, weights = self._read(*validation_data)
            validation_data = inputs.Batches(codes, truth, weights, batch_size=size)
        elif validation_data is not None:
            validation_data = self._read_dataset(validation_data)
        if _is_auto(self._given["optimizer"]):
            per_epoch = steps_per_epoch or _length(data)
            self._compile(steps=per_epoch and per_epoch * (epochs - initial_epoch))
        return super().fit(
            data,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            shuffle=False,  # our batches draw the order; tf.data has its own
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            **kwargs,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Returns the compiled loss and metrics; as `keras.Model.evaluate`.

        Args:
            x: Sequences, or a dataset; see the class. `fit` hands over its own.
            y: Labels, as for `fit`.
            batch_size: Sequences a step, 32 by default.
            verbose: As in Keras.
            sample_weight: Weight of each sequence, (N,).
            **kwargs: More of `keras.Model.evaluate`.

        Returns:
            The loss and the metrics, a list or with `return_dict=True` a dict.
        """
        if _is_dataset(x):
            x = self._read_dataset(x)
        else:
            codes, truth, weights = self._read(x, y, sample_weight)
            x = inputs.Batches(codes, truth, weights, batch_size=batch_size or 32)
        return super().evaluate(x, verbose=verbose, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
    ) -> npt.NDArray[np.float32]:
        """Predicts sequences; as `genomenet.predict` does where nothing is cut.

        Args:
            x: Sequences, or a dataset; see the class.
            batch_size: Sequences at once, 64 by default.
            verbose: Whether to show a bar; for a dataset as in Keras.
            steps: As in Keras, of a dataset.
            callbacks: As in Keras, of a dataset.

        Returns:
            Float32: probabilities, (N, classes); for regression numbers, (N, 1).
        """
        if _is_dataset(x):
            x = self._read_dataset(x)
            return super().predict(x, verbose=verbose, steps=steps, callbacks=callbacks)
        codes = inputs.read_sequences(x, shortest=self._shortest)
        size = batch_size or 64
        if self._predictor is None or self._predictor[0] != size:
            found = predict_lib.Predictor(self.graph, batch_size=size)
            self._predictor = size, found
        return self._predictor[1].predict(codes, show_progress=verbose in (1, True))

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
        is_number = self.config.task == classifier.REGRESSION
        return metrics.score(self._task, truth, found[:, 0] if is_number else found)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Makes a step with one batch; as in Keras."""
        codes, truth, weights = self._read(x, y, sample_weight, class_weight)
        return super().train_on_batch(
            self._pad(codes), truth, weights, return_dict=return_dict
        )

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Scores one batch; as in Keras."""
        codes, truth, weights = self._read(x, y, sample_weight)
        return super().test_on_batch(
            self._pad(codes), truth, weights, return_dict=return_dict
        )

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch; as in Keras."""
        codes = inputs.read_sequences(x, shortest=self._shortest)
        return super().predict_on_batch(self._pad(codes))

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
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"a SavedModel needs KERAS_BACKEND=tensorflow, not"
                f" {keras.backend.backend()}: save the model, and load it there"
            )
        from genomenet.release import signatures

        signatures.save_classifier(self.graph, filepath, shortest=self._shortest)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "family": self._family,
            "encoder": self._fields,
            **classifier.to_dict(self.config),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Classifier:
        """Makes a model of what `get_config` returned."""
        del custom_objects
        return cls(**config)

    @property
    def _task(self) -> tasks.Task:
        return tasks.Task(
            kind=self.config.task,
            classes=self.config.classes,
            positive=self.config.positive_class,
        )

    def _read(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> tuple[list[inputs.Codes], Any, Any]:
        """Returns codes, labels and weights, all of one length."""
        if x is None or y is None:
            raise ValueError("sequences and their labels must be given")
        codes = inputs.read_sequences(x, shortest=self._shortest)
        truth = inputs.read_labels(y, self._task)
        if len(codes) != len(truth):
            raise ValueError(f"{len(codes)} sequences have {len(truth)} labels")
        if not codes:
            raise ValueError("there is no sequence")
        return (
            codes,
            truth,
            inputs.weigh(truth, sample_weight, class_weight, self._task),
        )

    def _read_dataset(self, data: Any) -> Any:
        """Returns a dataset of codes; one of tf.data may hold strings."""
        spec = getattr(data, "element_spec", None)
        first = spec[0] if isinstance(spec, tuple) else spec
        if getattr(getattr(first, "dtype", None), "name", "") != "string":
            return data
        from genomenet.release import signatures

        def read(sequences: Any, *rest: Any) -> Any:
            codes = signatures.read_strings(sequences, shortest=self._shortest)
            return ({"bases": codes}, *rest) if rest else {"bases": codes}

        return data.map(read)

    def _pad(self, codes: Sequence[inputs.Codes]) -> dict[str, inputs.Codes]:
        return {"bases": encode.pad(codes)}

    def _index_classes(self, weights: Mapping[Any, float]) -> dict[int, float]:
        numbers = inputs.read_labels(list(weights), self._task)
        return dict(zip(map(int, numbers), weights.values(), strict=True))

    def _adapt(self, truth: npt.NDArray[Any]) -> None:
        """Takes mean and spread of the first labels of a regression."""
        config = self.config
        if config.task != classifier.REGRESSION or (config.mean, config.scale) != (
            0,
            1,
        ):
            return
        self.graph.config = dataclasses.replace(
            config, mean=float(truth.mean()), scale=float(truth.std()) or 1.0
        )
        self._predictor = None
        self._compile(steps=None)  # functions hold the old numbers

    def _make_optimizer(self, steps: int | None) -> keras.optimizers.Optimizer:
        steps = steps or 0
        settings = settings_lib.for_classifier(
            learning_rate=models.get_family(self._family).CLASSIFIER_RATE,
            steps=max(1, steps),
            warmup_steps=round(_WARMUP * steps),
            schedule="linear" if steps else "constant",
        )
        optimizer = schedule.make_optimizer(settings, self)
        optimizer.global_clipnorm = settings.clip_norm
        return optimizer

    def _make_loss(self) -> keras.losses.Loss:
        if self.config.task == classifier.REGRESSION:
            return ScaledSquaredError(self.config.scale)
        if self.config.task == classifier.MULTI_LABEL:
            return keras.losses.BinaryCrossentropy()
        return keras.losses.SparseCategoricalCrossentropy()


def wrap(graph: classifier.Classifier) -> Classifier:
    """Returns a classifier with the weights of a graph, such as a release holds.

    Args:
        graph: The graph; it is not changed.

    Returns:
        The classifier, compiled.
    """
    encoder = models.get_family(graph.family).to_dict(graph.encoder.config)
    model = Classifier(graph.family, encoder, **classifier.to_dict(graph.config))
    family_lib.transfer(graph, model.graph)
    return model


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _is_dataset(x: Any) -> bool:
    """Returns whether it gives batches: a PyDataset or tf.data."""
    return isinstance(x, keras.utils.PyDataset) or hasattr(x, "element_spec")


def _length(data: Any) -> int | None:
    """Returns the batches of a dataset, or None if it does not know."""
    try:
        return len(data)
    except TypeError:  # tf.data without end, or of unknown length
        return None
