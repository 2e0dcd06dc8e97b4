"""A pretrained encoder of any family with a classification head; keras only."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet import models, task_kinds
from genomenet.dna import alphabet
from genomenet.layers import dropout as dropout_lib
from genomenet.layers import random, readout, strand, windows
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib

Apply = Callable[[Callable[[Any], Any], Any], Any]
"""Calls a function on rows in parts."""

ReadOut = Callable[[Sequence[str]], Sequence[Any]]
"""Names of readouts of the encoder → vectors of windows."""

STRAND_STREAM: Final = 16
"""The stream of `layers.random` that draws the strand of each row."""


class Classifier(keras.Model):
    """An encoder, applied in windows to long sequences, and a dense layer.

    Args:
        family: Family of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Call arguments:
        inputs: Dict with "bases": codes of `dna.alphabet`, (B, L), padded on the
            right with code 5, each row at least the family's `min_length` bases.

    Returns:
        Dict with "logits": float32, (B, number of outputs).

    Raises:
        ValueError: If the family lacks a pool or readout, or cannot read such a window.
    """

    def __init__(
        self,
        family: str,
        encoder: Mapping[str, Any],
        config: config_lib.ClassifierConfig,
        *,
        name: str = "classifier",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.family = family
        config_lib.check(family, encoder, config)
        family_module = models.get_family(family)
        fields = family_module.from_dict(encoder)
        self._shortest = family_module.min_length(fields)
        self.config = config
        self.encoder = family_module.build(fields, head=False)
        self.others = [
            family_module.build(fields, head=False) for _ in range(config.encoders - 1)
        ]
        width = config_lib.vector_width(family, encoder, config)
        self.vector_width = width * config.encoders
        self.standardize = None
        if config.readout:
            self.standardize = readout.Standardize(
                width, dtype="float32", name="standardize"
            )
        self.dropout = dropout_lib.Dropout(config.dropout, name="dropout")
        self.attention = None
        if config.over_windows == "attention":
            self.attention = keras.layers.Dense(1, name="attention")
            self.attention.build((None, None, width))
        # In float32 under any policy, as probabilities are computed from the logits.
        self.output_layer = keras.layers.Dense(
            config.members * config.num_outputs, dtype="float32", name="output"
        )
        self.output_layer.build((None, width))
        self.built = True

    @property
    def encoders(self) -> list[keras.Model]:
        """The encoder of all members, or one encoder per member."""
        return [self.encoder, *self.others]

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        vectors, is_valid = self.read(inputs["bases"], training=bool(training))
        return {
            "logits": self.predict_logits(vectors, is_valid, training=bool(training))
        }

    def read(
        self, bases: Any, *, training: bool = False, apply: Apply | None = None
    ) -> tuple[Any, Any]:
        """Returns the vector of each window, (B, W, C), and which are valid, (B, W).

        With several encoders their channels are concatenated. Windows that contain only
        N are not valid, unless a row has no others.
        """
        pieces, is_valid = self.split(bases)
        shape = ops.shape(pieces)  # (B, W, Lw)
        flat = ops.reshape(pieces, (-1, shape[2]))

        def embed(rows: Any) -> Any:
            return self.read_window(rows, training=training)

        vectors = embed(flat) if apply is None else apply(embed, flat)
        vectors = ops.reshape(vectors, (-1, shape[1], vectors.shape[-1]))
        return vectors, is_valid

    def split(self, bases: Any) -> tuple[Any, Any]:
        """Returns the windows of rows, (B, W, Lw), and which are valid, (B, W)."""
        pieces, is_valid = windows.split(
            bases, length=self.config.window, shortest=self._shortest
        )
        is_read = ops.any(pieces < alphabet.NUM_BASES, axis=2)
        is_read = ops.logical_and(is_read, is_valid)
        has_any = ops.any(is_read, axis=1, keepdims=True)
        return pieces, ops.where(has_any, is_read, is_valid)

    def read_window(
        self, rows: Any, *, training: bool = False, read_out: ReadOut | None = None
    ) -> Any:
        """Returns the vectors of windows: (N, L) → (N, C).

        `read_out` replaces the family's function, if there is a single encoder.
        """
        vectors = [
            self._read(encoder, rows, training, read_out) for encoder in self.encoders
        ]
        return vectors[0] if len(vectors) == 1 else ops.concatenate(vectors, axis=-1)

    def _read(
        self, encoder: keras.Model, rows: Any, training: bool, read_out: ReadOut | None
    ) -> Any:
        """Returns the vectors of windows by one encoder: (N, L) → (N, C)."""
        config = self.config
        read = read_out or functools.partial(
            models.get_family(self.family).read_out,
            encoder,
            {"bases": rows},
            training=training,
        )
        if not config.readout:
            return read((config.pool,))[0]
        names, both = config.encoder_readouts, config.strands == config_lib.BOTH
        values: dict[str, Any] = {}
        if names:
            values = dict(zip(names, read(names), strict=True))
        for name in (name for name in config.readout if name not in names):
            values[name] = readout.of_bases(name, rows, config.window, canonical=both)
        parts = [ops.cast(values[name], "float32") for name in config.readout]
        return ops.concatenate(parts, axis=-1)

    def predict_logits(self, vectors: Any, is_valid: Any, *, training: bool) -> Any:
        """Returns the logits from the vectors of windows: float32, (B, outputs)."""
        vectors = ops.cast(vectors, "float32")
        if self.config.members > 1:
            return self._average(vectors, is_valid, training)
        if self.standardize is not None:
            vectors = self.standardize(vectors)
        if self.attention is not None:
            scores = ops.cast(self.attention(ops.tanh(vectors)), "float32")[..., 0]
            scores = ops.where(is_valid, scores, -1e9)
            shares = ops.exp(scores - ops.logsumexp(scores, axis=1, keepdims=True))
        else:
            shares = ops.cast(is_valid, "float32")
            shares = shares / ops.sum(shares, axis=1, keepdims=True)
        pooled = ops.sum(vectors * shares[..., None], axis=1)  # (B, C)
        return self.output_layer(self.dropout(pooled, training=training))

    def _average(self, vectors: Any, is_valid: Any, training: bool) -> Any:
        """Returns the logits of the mean probabilities of all members, (B, outputs)."""
        config = self.config
        shares = ops.cast(is_valid, "float32")
        shares = shares / ops.sum(shares, axis=1, keepdims=True)
        pooled = ops.sum(vectors * shares[..., None], axis=1)  # (B, E·C)
        width = self.vector_width // config.encoders
        pooled = ops.reshape(pooled, (-1, config.encoders, width))
        if self.standardize is not None:
            pooled = self.standardize(pooled)
        pooled = self.dropout(pooled, training=training)
        heads = (config.members, config.num_outputs)
        kernel = ops.reshape(self.output_layer.kernel, (width, *heads))
        # With one encoder, e has size 1 and is summed away.
        letters = "bec" if config.encoders == 1 else "bmc"
        logits = ops.einsum(f"{letters},cmo->bmo", pooled, kernel)
        logits = logits + ops.reshape(self.output_layer.bias, heads)
        if config.task == task_kinds.REGRESSION:
            return ops.mean(logits, axis=1)
        if config.task == task_kinds.MULTICLASS:
            logits = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
            return ops.logsumexp(logits, axis=1) - math.log(config.members)
        yes, no = ops.log_sigmoid(logits), ops.log_sigmoid(-logits)
        return ops.logsumexp(yes, axis=1) - ops.logsumexp(no, axis=1)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = (inputs["bases"].shape[0], self.config.num_outputs)
        return {"logits": keras.KerasTensor(shape, dtype="float32")}


def graph_of(model: Any) -> Any:
    """Returns the classifier inside a sequence model, or the model itself."""
    graph = getattr(model, "graph", None)
    return graph if isinstance(graph, Classifier) else model


def loss(
    model: Classifier,
    batch: Mapping[str, Any],
    *,
    training: bool,
    gather: family_lib.Gather = family_lib.keep_local,
) -> family_lib.LossOutput:
    """Scores a batch of labelled sequences.

    Args:
        model: The classifier.
        batch: "bases", (B, L); or, if the encoder is frozen, "vectors", (B, S, W, C),
            and "is_valid", (B, S, W), of S strands, as `Classifier.read` returns them.
            "label": index of the class, (B,); 0 and 1 for each class, (B, classes); or
            the scaled label of regression, (B,). "weight", (B,); "key", (B, 2).
        training: Whether to drop channels and to draw strands.
        gather: Not used: no row depends on another.

    Returns:
        Cross-entropy in nats (averaged over classes for multi-label tasks), or the
        squared error of the scaled label for regression; except for regression also the
        metric "accuracy".
    """
    del gather
    config = model.config
    is_other = None
    if training and config.augment:
        zero = np.zeros((1, 1), "int32")
        is_other = random.uniform(batch["key"], zero, stream=STRAND_STREAM) < 0.5
    if "vectors" in batch:
        vectors, is_valid = batch["vectors"][:, 0], batch["is_valid"][:, 0]
        if is_other is not None:
            vectors = ops.where(is_other[..., None], batch["vectors"][:, 1], vectors)
            is_valid = ops.where(is_other, batch["is_valid"][:, 1], is_valid)
    else:
        bases = batch["bases"]
        if is_other is not None:
            bases = ops.where(is_other, strand.reverse_padded(bases), bases)
        vectors, is_valid = model.read(bases, training=training)
    logits = model.predict_logits(vectors, is_valid, training=training)
    per_row, hit = _score(config, logits, batch["label"])
    weight = ops.cast(batch["weight"], "float32")
    metrics = {}
    if hit is not None:
        total = ops.sum(hit * weight)
        metrics["accuracy"] = total / ops.maximum(ops.sum(weight), 1e-9)
    return family_lib.LossOutput(per_example=per_row, weight=weight, metrics=metrics)


def probabilities(config: config_lib.ClassifierConfig, logits: Any) -> Any:
    """Returns the predictions that logits stand for.

    Args:
        config: What is predicted.
        logits: Float, (B, outputs).

    Returns:
        Float32: probabilities, (B, classes), with rows that sum to 1; for multi-label
        tasks independent probabilities, (B, classes); for regression values in the
        original scale, (B, 1).
    """
    if config.task == task_kinds.BINARY:
        positive = ops.sigmoid(logits)
        return ops.concatenate([1.0 - positive, positive], axis=-1)
    if config.task == task_kinds.MULTICLASS:
        return ops.exp(logits - ops.logsumexp(logits, axis=-1, keepdims=True))
    if config.task == task_kinds.MULTI_LABEL:
        return ops.sigmoid(logits)
    return logits * config.scale + config.mean


def predict(model: Classifier, bases: Any, *, apply: Apply | None = None) -> Any:
    """Predicts sequences, on both strands if the config says so.

    Args:
        model: The classifier.
        bases: Codes, (B, L), padded on the right.
        apply: Calls a function on many windows, (N, L), in parts.

    Returns:
        Predictions, as `probabilities`.
    """
    return outputs(model, bases, apply=apply)[1]


def outputs(
    model: Classifier,
    bases: Any,
    *,
    both_strands: bool | None = None,
    apply: Apply | None = None,
) -> tuple[Any, Any]:
    """Returns logits and predictions of sequences, from one strand or both.

    Args:
        model: The classifier.
        bases: As for `predict`.
        both_strands: Whether to read both strands; taken from the config if None.
        apply: As for `predict`.

    Returns:
        The logits, averaged if both strands are read; and the predictions, as
        `probabilities`: those of the mean logits if the config sets `strands`, else the
        mean of the predictions of the strands.
    """
    config = model.config
    both = config.both_strands if both_strands is None else both_strands
    strands = [bases, strand.reverse_padded(bases)] if both else [bases]

    def read(rows: Any) -> Any:
        if apply is None:
            return model({"bases": rows}, training=False)["logits"]
        vectors, is_valid = model.read(rows, apply=apply)
        return model.predict_logits(vectors, is_valid, training=False)

    return over_strands(config, [read(rows) for rows in strands])


def over_strands(
    config: config_lib.ClassifierConfig, logits_of_strands: list[Any]
) -> tuple[Any, Any]:
    """Returns the result of `outputs` from the logits of one strand or both."""
    logits = _mean(logits_of_strands)
    if config.strands:
        return logits, probabilities(config, logits)
    return logits, _mean(
        [probabilities(config, strand_logits) for strand_logits in logits_of_strands]
    )


def _mean(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else (values[0] + values[1]) / 2.0


def derived_metrics(means: Mapping[str, float]) -> dict[str, float]:
    """Returns no metrics in addition to those of the loss."""
    del means
    return {}


def _score(
    config: config_lib.ClassifierConfig, logits: Any, label: Any
) -> tuple[Any, Any]:
    """Returns the loss of each row and, except for regression, its accuracy."""
    if config.task == task_kinds.REGRESSION:
        return ops.square(logits[:, 0] - ops.cast(label, "float32")), None
    if config.task == task_kinds.MULTICLASS:
        loss_per_row = ops.sparse_categorical_crossentropy(
            label, logits, from_logits=True
        )
        hit = ops.cast(ops.argmax(logits, axis=-1), "int32") == ops.cast(label, "int32")
        return loss_per_row, ops.cast(hit, "float32")
    truth = ops.cast(label, "float32")
    truth = truth[:, None] if config.task == task_kinds.BINARY else truth
    each = ops.softplus(logits) - truth * logits  # (B, outputs)
    hit = ops.cast((logits > 0.0) == (truth > 0.5), "float32")
    return ops.mean(each, axis=-1), ops.mean(hit, axis=-1)
