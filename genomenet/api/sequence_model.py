"""Keras models that read sequences: how they are compiled, fitted and asked."""

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


class SequenceModel(keras.Model):
    """The base of `Classifier`: its methods of Keras, which take sequences.

    Attributes:
        graph: The model of codes.
    """

    graph: classifier.Classifier
    _shortest: int
    _predictor: tuple[int, predict_lib.Predictor] | None = None

    @property
    def config(self) -> config_lib.ClassifierConfig:
        """What is predicted, and how."""
        return self.graph.config

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
        self._given = dict(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
        self._compile(steps=None)

    def _compile(self, *, steps: int | None) -> None:
        """Compiles with what was given; the automatic rate decays over the steps."""
        given = dict(self._given)
        if _is_auto(given["optimizer"]):
            given["optimizer"] = _make_optimizer(self, steps or 0)
        if _is_auto(given["loss"]):
            given["loss"] = _make_loss(self.config)
        if _is_auto(given["metrics"]):
            is_number = self.config.task == task_kinds.REGRESSION
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
        if batches.is_dataset(x):
            options = {"verbose": verbose, "steps": steps, "callbacks": callbacks}
            return super().predict(self._batches(x, 0), **options)
        codes = inputs.read_sequences(x, shortest=self._shortest)
        size = batch_size or 64
        if self._predictor is None or self._predictor[0] != size:
            found = predict_lib.Predictor(self.graph, batch_size=size)
            self._predictor = size, found
        return self._predictor[1].predict(codes, show_progress=verbose in (1, True))

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Makes a step with one batch; as in Keras."""
        codes, *rest = self._read(x, y, sample_weight, class_weight)
        return super().train_on_batch(_pad(codes), *rest, return_dict=return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Scores one batch; as in Keras."""
        codes, *rest = self._read(x, y, sample_weight)
        return super().test_on_batch(_pad(codes), *rest, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch; as in Keras."""
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
        """Returns codes, labels and weights; `given` as for `inputs.read_labelled`."""
        return inputs.read_labelled(*given, task=self._task, shortest=self._shortest)

    def _batches(self, given: Any, batch_size: int) -> Any:
        """Returns batches of (sequences, labels), with weights or not, or a dataset."""
        if batches.is_dataset(given):
            return batches.read_dataset(given, shortest=self._shortest)
        if len(given) not in (2, 3):
            raise ValueError("validation_data must be (sequences, labels)")
        return batches.Batches(*self._read(*given), batch_size=batch_size)

    def _adapt(self, truth: npt.NDArray[Any]) -> None:
        """Takes mean and spread of the first labels of a regression."""
        config = self.config
        is_known = (config.mean, config.scale) != (0, 1)
        if config.task != task_kinds.REGRESSION or is_known:
            return
        self.graph.config = dataclasses.replace(
            config, mean=float(truth.mean()), scale=float(truth.std()) or 1.0
        )
        self._predictor = None
        self._compile(steps=None)  # functions hold the old numbers


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _pad(codes: list[inputs.Codes]) -> dict[str, inputs.Codes]:
    return {"bases": encode.pad(codes)}


def _make_optimizer(model: SequenceModel, steps: int) -> keras.optimizers.Optimizer:
    """Returns AdamW, whose rate decays over so many steps; of 0 it is constant."""
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
