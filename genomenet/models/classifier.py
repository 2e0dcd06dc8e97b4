"""A pretrained encoder with a head for labels; of any family, keras only."""

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
"""Names of readouts of the encoder → the vectors of windows."""

STRAND_STREAM: Final = 16
"""The stream of `layers.random` that draws the strand of a row."""


class Classifier(keras.Model):
    """An encoder, read in windows where sequences are long, and a dense layer.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Call arguments:
        inputs: Dict with "bases": codes of `dna.alphabet`, (B, L), padded on the
            right with code 5, each row at least the family's `shortest` bases.

    Returns:
        Dict with "logits": float32, (B, number of outputs).

    Raises:
        ValueError: If the family has no such pool, or cannot read such a window.
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
        members = models.get_family(family)
        fields = members.from_dict(encoder)
        self._shortest = members.shortest(fields)
        self.config = config
        self.encoder = members.build(fields, head=False)
        self.others = [
            members.build(fields, head=False) for _ in range(config.encoders - 1)
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
        # In float32 under any policy: probabilities are read off the logits.
        self.output_layer = keras.layers.Dense(
            config.members * config.num_outputs, dtype="float32", name="output"
        )
        self.output_layer.build((None, width))
        self.built = True

    @property
    def encoders(self) -> list[keras.Model]:
        """The encoder that all members read, or that of each."""
        return [self.encoder, *self.others]

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        vectors, is_valid = self.read(inputs["bases"], training=bool(training))
        return {
            "logits": self.predict_logits(vectors, is_valid, training=bool(training))
        }

    def read(
        self, bases: Any, *, training: bool = False, apply: Apply | None = None
    ) -> tuple[Any, Any]:
        """Returns the vector of each window, (B, W, C), and which count, (B, W).

        Of several encoders C is that of all, one after the other. Windows of N only do
        not count, unless a row has no others.
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
        """Returns the windows of rows, (B, W, Lw), and which count, (B, W)."""
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

        `read_out` reads the encoder, the only one, in place of the family's function.
        """
        each = [self._read(one, rows, training, read_out) for one in self.encoders]
        return each[0] if len(each) == 1 else ops.concatenate(each, axis=-1)

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
        found: dict[str, Any] = {}
        if names:
            found = dict(zip(names, read(names), strict=True))
        for name in (name for name in config.readout if name not in names):
            found[name] = readout.of_bases(name, rows, config.window, canonical=both)
        parts = [ops.cast(found[name], "float32") for name in config.readout]
        return ops.concatenate(parts, axis=-1)

    def predict_logits(self, vectors: Any, is_valid: Any, *, training: bool) -> Any:
        """Returns the logits of vectors of windows: float32, (B, outputs)."""
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
        # Of one encoder the letter e is summed: one term.
        letters = "bec" if config.encoders == 1 else "bmc"
        each = ops.einsum(f"{letters},cmo->bmo", pooled, kernel)
        each = each + ops.reshape(self.output_layer.bias, heads)
        if config.task == task_kinds.REGRESSION:
            return ops.mean(each, axis=1)
        if config.task == task_kinds.MULTICLASS:
            each = each - ops.logsumexp(each, axis=-1, keepdims=True)
            return ops.logsumexp(each, axis=1) - math.log(config.members)
        yes, no = ops.log_sigmoid(each), ops.log_sigmoid(-each)
        return ops.logsumexp(yes, axis=1) - ops.logsumexp(no, axis=1)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = (inputs["bases"].shape[0], self.config.num_outputs)
        return {"logits": keras.KerasTensor(shape, dtype="float32")}


def graph_of(model: Any) -> Any:
    """Returns the classifier of codes in one that takes sequences; else the model."""
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
        batch: "bases", (B, L), or "vectors", (B, S, W, C), and "is_valid", (B, S, W),
            of S strands, as `Classifier.read` gives them where the encoder is not
            trained; "label": number of the class, (B,), 0 and 1 for each class,
            (B, classes), or the scaled number, (B,); "weight", (B,); "key", (B, 2).
        training: Whether weights are being trained: only then are channels dropped
            and strands drawn.
        gather: Not needed: no row depends on another.

    Returns:
        Cross-entropy in nats (mean over the classes where there are several labels),
        or for regression the squared error of the scaled number; and for classes the
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
    """Returns what logits mean.

    Args:
        config: What is predicted.
        logits: Float, (B, outputs).

    Returns:
        Float32: for classes (B, classes), rows summing to 1; for several labels
        (B, classes), each on its own; for regression (B, 1), unscaled.
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
    """Predicts sequences, on both strands where the config says so.

    Args:
        model: The classifier.
        bases: Codes, (B, L), padded on the right.
        apply: Calls a function of windows, (N, L), in parts, where they are many.

    Returns:
        As `probabilities`.
    """
    return outputs(model, bases, apply=apply)[1]


def outputs(
    model: Classifier,
    bases: Any,
    *,
    both_strands: bool | None = None,
    apply: Apply | None = None,
) -> tuple[Any, Any]:
    """Reads sequences, on one strand or both.

    Args:
        model: The classifier.
        bases: As for `predict`.
        both_strands: Whether to read both strands; as the config says if None.
        apply: As for `predict`.

    Returns:
        The logits, their mean where both strands are read; and as `probabilities`: of
        the mean logits where the config names `strands`, else their mean.
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
    config: config_lib.ClassifierConfig, each: list[Any]
) -> tuple[Any, Any]:
    """Returns what `outputs` does, from the logits of one strand or both."""
    logits = _mean(each)
    if config.strands:
        return logits, probabilities(config, logits)
    return logits, _mean([probabilities(config, one) for one in each])


def _mean(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else (values[0] + values[1]) / 2.0


def derived(means: Mapping[str, float]) -> dict[str, float]:
    """Returns no metrics beside those of the loss."""
    del means
    return {}


def _score(
    config: config_lib.ClassifierConfig, logits: Any, label: Any
) -> tuple[Any, Any]:
    """Returns the loss of each row and, for classes, whether it is right."""
    if config.task == task_kinds.REGRESSION:
        return ops.square(logits[:, 0] - ops.cast(label, "float32")), None
    if config.task == task_kinds.MULTICLASS:
        found = ops.sparse_categorical_crossentropy(label, logits, from_logits=True)
        hit = ops.cast(ops.argmax(logits, axis=-1), "int32") == ops.cast(label, "int32")
        return found, ops.cast(hit, "float32")
    truth = ops.cast(label, "float32")
    truth = truth[:, None] if config.task == task_kinds.BINARY else truth
    each = ops.softplus(logits) - truth * logits  # (B, outputs)
    hit = ops.cast((logits > 0.0) == (truth > 0.5), "float32")
    return ops.mean(each, axis=-1), ops.mean(hit, axis=-1)
