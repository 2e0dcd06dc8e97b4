"""The Keras methods of models that read sequences: compile, fit, evaluate, predict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from genomenet import models, task_kinds
from genomenet.api import batches, inputs
from genomenet.data import tasks
from genomenet.dna import encode
from genomenet.inference import predict as predict_lib
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.training import schedule
from genomenet.training import settings as settings_lib

AUTO: Final = "auto"
BATCH_SIZE: Final = 32

_WARMUP: Final = 0.1  # share of the steps with an increasing learning rate


@keras.saving.register_keras_serializable(package="genomenet")
class ScaledSquaredError(keras.losses.Loss):
    """The squared error in units of the labels' standard deviation.

    Args:
        scale: The standard deviation, in units of the labels.
    """

    def __init__(self, scale: float = 1.0, name: str = "squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row, (B,)."""
        truth = ops.reshape(ops.cast(y_true, "float32"), (-1,))
        return ops.square((truth - y_pred[:, 0]) / self.scale)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "scale": self.scale}


class SequenceModel(keras.Model):
    """Base class of `Classifier`: the Keras methods, which take sequences.

    Attributes:
        graph: The model that reads codes.
    """

    graph: classifier.Classifier
    _shortest: int
    _predictor: tuple[int, predict_lib.Predictor] | None = None

    @property
    def config(self) -> config_lib.ClassifierConfig:
        """The config of the classifier."""
        return self.graph.config

    def compile(
        self,
        optimizer: Any = AUTO,
        loss: Any = AUTO,
        *,
        metrics: Any = AUTO,
        **kwargs: Any,
    ) -> None:
        """Configures training; "auto" uses the defaults of `finetune`.

        Args:
            optimizer: A Keras optimizer; "auto" is AdamW with the learning rate of the
                family, which rises in the first tenth of a fit, then decays to 0.
            loss: A Keras loss of probabilities and class indices (multi-label tasks: of
                0 and 1 for each class); "auto" is cross-entropy, for regression the
                squared error divided by the variance.
            metrics: Keras metrics; "auto" is the accuracy, none for regression.
            **kwargs: More arguments of `keras.Model.compile`.
        """
        self._given = dict(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        self._compile(steps=None)

    def _compile(self, *, steps: int | None) -> None:
        """Compiles with the given options; the "auto" rate decays over `steps`."""
        given = dict(self._given)
        if _is_auto(given["optimizer"]):
            given["optimizer"] = _make_optimizer(self, steps or 0)
        if _is_auto(given["loss"]):
            given["loss"] = _make_loss(self.config)
        if _is_auto(given["metrics"]):
            is_regression = self.config.task == task_kinds.REGRESSION
            given["metrics"] = None if is_regression else ["accuracy"]
        super().compile(**given)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, for saving."""
        return {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self._given.items()
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles with the config of a saved model."""
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
        """Trains on sequences and labels, like `keras.Model.fit`.

        Sequences are padded to at most four lengths, to limit compilation.

        Args:
            x: Sequences, or a dataset; see the class.
            y: Labels: names or indices, (N,); for multi-label tasks names joined by
                ";", lists of names, or 0 and 1, (N, classes); for regression numbers.
            batch_size: Sequences per step, 32 by default.
            epochs: Passes over the training data.
            verbose: As in Keras.
            callbacks: As in Keras.
            validation_split: Share of the sequences, the last ones, that is held out.
            validation_data: (sequences, labels), (sequences, labels, weights), or a
                dataset.
            shuffle: Whether to draw a new order for every epoch.
            class_weight: Name or index of a class → weight.
            sample_weight: Weight of each sequence, (N,).
            initial_epoch: As in Keras.
            steps_per_epoch: As in Keras.
            **kwargs: More arguments of `keras.Model.fit`.

        Returns:
            The Keras history.

        Raises:
            ValueError: If sequences and labels do not match each other or the model.
        """
        size = batch_size or BATCH_SIZE
        if batches.is_dataset(x):
            data = self._batches(x, size)
            if class_weight is not None:
                indices = inputs.read_labels(list(class_weight), self._task)
                weights = zip(map(int, indices), class_weight.values(), strict=True)
                kwargs["class_weight"] = dict(weights)
        else:
            rows = self._read(x, y, sample_weight, class_weight)
            if validation_split:
                rows, held_out = batches.hold_out(rows, validation_split)
                if validation_data is None:
                    validation_data = batches.Batches(*held_out, batch_size=size)
            self._adapt(rows[1])
            data = batches.Batches(*rows, batch_size=size, shuffle=shuffle)
        if validation_data is not None:
            validation_data = self._batches(validation_data, size)
        if _is_auto(self._given["optimizer"]):
            per_epoch = steps_per_epoch or batches.count(data)
            self._compile(steps=per_epoch and per_epoch * (epochs - initial_epoch))
        return super().fit(
            data,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            shuffle=False,  # `Batches` draws the order; a tf.data.Dataset has its own
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
        """Returns the compiled loss and metrics, like `keras.Model.evaluate`.

        Args:
            x: Sequences, or a dataset; see the class. `fit` passes a dataset.
            y: Labels, as for `fit`.
            batch_size: Sequences per step, 32 by default.
            verbose: As in Keras.
            sample_weight: Weight of each sequence, (N,).
            **kwargs: More arguments of `keras.Model.evaluate`.

        Returns:
            The loss and the metrics as a list, or as a dict with `return_dict=True`.
        """
        given = x if batches.is_dataset(x) else (x, y, sample_weight)
        data = self._batches(given, batch_size or BATCH_SIZE)
        return super().evaluate(data, verbose=verbose, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
    ) -> npt.NDArray[np.float32]:
        """Predicts sequences, each as a whole, like the command `predict --window=0`.

        Args:
            x: Sequences, or a dataset; see the class.
            batch_size: Sequences per batch, 64 by default.
            verbose: Whether to show a progress bar; for a dataset as in Keras.
            steps: As in Keras, for a dataset only.
            callbacks: As in Keras, for a dataset only.

        Returns:
            Float32: probabilities, (N, classes); for regression values, (N, 1).
        """
        if batches.is_dataset(x):
            options = {"verbose": verbose, "steps": steps, "callbacks": callbacks}
            return super().predict(self._batches(x, 0), **options)
        codes = inputs.read_sequences(x, shortest=self._shortest)
        size = batch_size or 64
        if self._predictor is None or self._predictor[0] != size:
            predictor = predict_lib.Predictor(self.graph, batch_size=size)
            self._predictor = size, predictor
        return self._predictor[1].predict(codes, show_progress=verbose in (1, True))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Runs one training step on one batch, as in Keras."""
        codes, *rest = self._read(x, y, sample_weight, class_weight)
        return super().train_on_batch(_pad(codes), *rest, return_dict=return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Evaluates one batch, as in Keras."""
        codes, *rest = self._read(x, y, sample_weight)
        return super().test_on_batch(_pad(codes), *rest, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch, as in Keras."""
        codes = inputs.read_sequences(x, shortest=self._shortest)
        return super().predict_on_batch(_pad(codes))

    @property
    def _task(self) -> tasks.Task:
        return tasks.Task(
            kind=self.config.task,
            classes=self.config.classes,
            positive=self.config.positive_class,
        )

    def _read(self, *given: Any) -> Any:
        """Returns codes, labels and weights; arguments of `inputs.read_labelled`."""
        return inputs.read_labelled(*given, task=self._task, shortest=self._shortest)

    def _batches(self, given: Any, batch_size: int) -> Any:
        """Returns batches of (sequences, labels[, weights]) or of a dataset."""
        if batches.is_dataset(given):
            return batches.read_dataset(given, shortest=self._shortest)
        if len(given) not in (2, 3):
            raise ValueError(
                "validation_data must be (sequences, labels) or (sequences, labels,"
                f" weights), got {len(given)} items"
            )
        return batches.Batches(*self._read(*given), batch_size=batch_size)

    def _adapt(self, truth: npt.NDArray[Any]) -> None:
        """Sets the label mean and scale of a regression at its first fit."""
        config = self.config
        is_known = (config.mean, config.scale) != (0, 1)
        if config.task != task_kinds.REGRESSION or is_known:
            return
        self.graph.config = dataclasses.replace(
            config, mean=float(truth.mean()), scale=float(truth.std()) or 1.0
        )
        self._predictor = None
        self._compile(steps=None)  # compiled functions contain the old mean and scale


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _pad(codes: list[inputs.Codes]) -> dict[str, inputs.Codes]:
    return {"bases": encode.pad(codes)}


def _make_optimizer(model: SequenceModel, steps: int) -> keras.optimizers.Optimizer:
    """Returns AdamW with a rate that decays over `steps`, or is constant for 0."""
    settings = settings_lib.for_classifier(
        learning_rate=models.get_family(model.graph.family).CLASSIFIER_RATE,
        steps=max(1, steps),
        warmup_steps=round(_WARMUP * steps),
        schedule="linear" if steps else "constant",
    )
    optimizer = schedule.make_optimizer(settings, model)
    optimizer.global_clipnorm = settings.clip_norm
    return optimizer


def _make_loss(config: config_lib.ClassifierConfig) -> keras.losses.Loss:
    if config.task == task_kinds.REGRESSION:
        return ScaledSquaredError(config.scale)
    if config.task == task_kinds.MULTI_LABEL:
        return keras.losses.BinaryCrossentropy()
    return keras.losses.SparseCategoricalCrossentropy()
