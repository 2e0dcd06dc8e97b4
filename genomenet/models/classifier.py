"""A pretrained encoder with a head for labels; of any family, keras only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet import models
from genomenet.dna import alphabet
from genomenet.layers import dropout as dropout_lib
from genomenet.layers import random, readout, strand, windows
from genomenet.models import family as family_lib

BINARY: Final = "binary"
MULTICLASS: Final = "multiclass"
MULTI_LABEL: Final = "multi_label"
REGRESSION: Final = "regression"
TASKS: Final = (BINARY, MULTICLASS, MULTI_LABEL, REGRESSION)
OVER_WINDOWS: Final = ("mean", "attention")
BOTH: Final = "both"
FORWARD: Final = "forward"
STRANDS: Final = (BOTH, FORWARD)
ONE_HOT: Final = "onehot"
KMERS: Final = {f"kmers{k}": k for k in range(3, 7)}
"""Readout of k-mer counts → k."""

Apply = Callable[[Callable[[Any], Any], Any], Any]
"""Calls a function on rows in parts."""

ReadOut = Callable[[Sequence[str]], Sequence[Any]]
"""Names of readouts of the encoder → the vectors of windows."""

STRAND_STREAM: Final = 16
"""The stream of `layers.random` that draws the strand of a row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """What is predicted, and how windows become one prediction.

    Attributes:
        task: One of `TASKS`.
        classes: Names of the classes in the order of the outputs; of regression
            none.
        positive: Of two classes the one that metrics, attributions and motifs are
            about; the last if empty, as in models made before there was a choice.
        readout: What is read of a window, side by side: the family's pools and its
            `READOUTS`, counts of k-mers ("kmers3" to "kmers6"), and "onehot", the
            base at each position, of sequences of one length. Empty: `pool` alone,
            not standardised.
        strands: Which strands are read: "both", of which the logits are averaged and
            k-mers counted together with their reverse complements, or "forward";
            empty as `both_strands` says.
        pool: How a window becomes a vector; one of the family's `POOLS`.
        window: Bases that the encoder reads at once.
        length: Bases of the longest sequence it was made for.
        over_windows: How the windows of a longer sequence become one vector:
            "mean", or "attention", whose weights are learnt.
        dropout: Share of channels dropped before the output, in [0, 1).
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean over both strands, of the
            probabilities where `strands` is empty.
        mean: Of regression: what is added to the scaled output.
        scale: Of regression: by what the output is multiplied.

    Raises:
        ValueError: If a number or word makes no sense.
    """

    task: str
    classes: tuple[str, ...] = ()
    pool: str = "mean"
    window: int = 512
    length: int = 512
    over_windows: str = "mean"
    dropout: float = 0.1
    augment: bool = False
    both_strands: bool = False
    mean: float = 0.0
    scale: float = 1.0
    positive: str = ""
    readout: tuple[str, ...] = ()
    strands: str = ""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(
                f"task must be one of {', '.join(TASKS)}, got {self.task!r}"
            )
        least = {BINARY: 2, MULTICLASS: 2, MULTI_LABEL: 1, REGRESSION: 0}[self.task]
        if len(self.classes) < least or (
            self.task in (BINARY, REGRESSION) and len(self.classes) != least
        ):
            raise ValueError(f"{self.task} with {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        if not all(name.strip() for name in self.classes):
            raise ValueError("a class has no name")
        if self.positive and (self.task != BINARY or self.positive not in self.classes):
            raise ValueError(
                f"positive={self.positive!r} is none of two classes:"
                f" {', '.join(self.classes)}"
            )
        if self.over_windows not in OVER_WINDOWS:
            raise ValueError(
                f"over_windows must be one of {', '.join(OVER_WINDOWS)}, got"
                f" {self.over_windows!r}"
            )
        if len(set(self.readout)) != len(self.readout):
            raise ValueError(f"readout names one twice: {', '.join(self.readout)}")
        if self.strands not in ("", *STRANDS):
            raise ValueError(
                f"strands must be one of {', '.join(STRANDS)}, got {self.strands!r}"
            )
        if self.strands and self.both_strands != (self.strands == BOTH):
            raise ValueError(
                f"strands={self.strands!r} with both_strands={self.both_strands}"
            )
        if self.strands == FORWARD and self.augment:
            raise ValueError("augment reads both strands, strands='forward' does not")
        if ONE_HOT in self.readout and self.length != self.window:
            raise ValueError(
                f"readout {ONE_HOT} needs sequences of one length, read at once, got"
                f" window={self.window} and length={self.length}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        for name in ("window", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1 base, got {getattr(self, name)}")
        if not self.scale > 0:
            raise ValueError(f"scale must be > 0, got {self.scale}")

    @property
    def positive_class(self) -> str:
        """Of two classes the one that numbers are about, else empty."""
        return (self.positive or self.classes[1]) if self.task == BINARY else ""

    @property
    def num_outputs(self) -> int:
        """Width of the logits: 1 for two classes and for regression."""
        return 1 if self.task in (BINARY, REGRESSION) else len(self.classes)


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
        config: ClassifierConfig,
        *,
        name: str = "classifier",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.family = family
        check(family, encoder, config)
        members = models.get_family(family)
        fields = members.from_dict(encoder)
        self._shortest = members.shortest(fields)
        self.config = config
        self.encoder = members.build(fields, head=False)
        self.vector_width = width = vector_width(family, encoder, config)
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
            config.num_outputs, dtype="float32", name="output"
        )
        self.output_layer.build((None, width))
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        vectors, is_valid = self.read(inputs["bases"], training=bool(training))
        return {
            "logits": self.predict_logits(vectors, is_valid, training=bool(training))
        }

    def read(
        self, bases: Any, *, training: bool = False, apply: Apply | None = None
    ) -> tuple[Any, Any]:
        """Returns the vector of each window, (B, W, C), and which count, (B, W).

        Windows of N only do not count, unless a row has no others.
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

        `read_out` reads the encoder in place of the family's function.
        """
        members, config = models.get_family(self.family), self.config
        batch = {"bases": rows}
        if not config.readout and read_out is None:
            return members.embed(self.encoder, batch, config.pool, training=training)
        if not config.readout and read_out is not None:
            return read_out((config.pool,))[0]
        names = encoder_readouts(config.readout)
        found: dict[str, Any] = {}
        if names and read_out is not None:
            found = dict(zip(names, read_out(names), strict=True))
        elif names:
            states = members.read_out(self.encoder, batch, names, training=training)
            found = dict(zip(names, states, strict=True))
        for name in config.readout:
            if name in KMERS:
                canonical = config.strands == BOTH
                found[name] = readout.kmers(rows, KMERS[name], canonical=canonical)
            elif name == ONE_HOT:
                found[name] = readout.one_hot(rows, config.window)
        parts = [ops.cast(found[name], "float32") for name in config.readout]
        return ops.concatenate(parts, axis=-1)

    def predict_logits(self, vectors: Any, is_valid: Any, *, training: bool) -> Any:
        """Returns the logits of vectors of windows: float32, (B, outputs)."""
        vectors = ops.cast(vectors, "float32")
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

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        shape = (inputs["bases"].shape[0], self.config.num_outputs)
        return {"logits": keras.KerasTensor(shape, dtype="float32")}


def check(family: str, encoder: Mapping[str, Any], config: ClassifierConfig) -> None:
    """Refuses what an encoder cannot do.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Raises:
        ValueError: If the family has no such pool, or cannot read such a window.
    """
    members = models.get_family(family)
    fields = members.from_dict(encoder)
    pools = tuple(p for p in members.POOLS if p != "none")
    if config.pool not in pools:
        raise ValueError(
            f"{family} has no pool {config.pool!r}; it has {', '.join(pools)}"
        )
    known = (*pools, *members.READOUTS, *KMERS, ONE_HOT)
    for name in config.readout:
        if name not in known:
            raise ValueError(
                f"{family} has no readout {name!r}; it has {', '.join(known)}"
            )
    shortest = members.shortest(fields)
    if not shortest <= config.window <= fields.max_length:
        raise ValueError(
            f"a window of {config.window} bases is out of range: the model reads"
            f" {shortest} to {fields.max_length} bases at once"
        )


def num_parameters(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the numbers in all weights of a classifier.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Returns:
        Their count.
    """
    members = models.get_family(family)
    fields = members.from_dict(encoder)
    width = vector_width(family, encoder, config)
    outputs = config.num_outputs + (config.over_windows == "attention")
    constants = 2 * width if config.readout else 0
    head = (width + 1) * outputs + constants
    return members.num_parameters(fields, head=False) + head


def graph_of(model: Any) -> Any:
    """Returns the classifier of codes in one that takes sequences; else the model."""
    graph = getattr(model, "graph", None)
    return graph if isinstance(graph, Classifier) else model


def encoder_readouts(names: Sequence[str]) -> list[str]:
    """Returns those readouts that are made by the encoder."""
    return [name for name in names if name not in KMERS and name != ONE_HOT]


def readout_widths(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> list[int]:
    """Returns the channels of each readout of a classifier.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Returns:
        In the order of `config.readout`; of its pool where there is none.
    """
    members = models.get_family(family)
    width = members.width(members.from_dict(encoder))

    def of(name: str) -> int:
        if name in KMERS:
            return readout.kmer_width(KMERS[name], canonical=config.strands == BOTH)
        if name == ONE_HOT:
            return alphabet.NUM_BASES * config.window
        return width * (readout.NUM_BINS if name.endswith("bins") else 1)

    return [of(name) for name in config.readout or (config.pool,)]


def vector_width(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the channels of all that a classifier reads of a window."""
    return sum(readout_widths(family, encoder, config))


def to_dict(config: ClassifierConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    values = dataclasses.asdict(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def from_dict(values: Mapping[str, Any]) -> ClassifierConfig:
    """Returns the config of JSON values, or raises ValueError."""
    return family_lib.config_from_dict(ClassifierConfig, values)


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


def probabilities(config: ClassifierConfig, logits: Any) -> Any:
    """Returns what logits mean.

    Args:
        config: What is predicted.
        logits: Float, (B, outputs).

    Returns:
        Float32: for classes (B, classes), rows summing to 1; for several labels
        (B, classes), each on its own; for regression (B, 1), unscaled.
    """
    if config.task == BINARY:
        positive = ops.sigmoid(logits)
        return ops.concatenate([1.0 - positive, positive], axis=-1)
    if config.task == MULTICLASS:
        return ops.exp(logits - ops.logsumexp(logits, axis=-1, keepdims=True))
    if config.task == MULTI_LABEL:
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


def over_strands(config: ClassifierConfig, each: list[Any]) -> tuple[Any, Any]:
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


def _score(config: ClassifierConfig, logits: Any, label: Any) -> tuple[Any, Any]:
    """Returns the loss of each row and, for classes, whether it is right."""
    if config.task == REGRESSION:
        return ops.square(logits[:, 0] - ops.cast(label, "float32")), None
    if config.task == MULTICLASS:
        found = ops.sparse_categorical_crossentropy(label, logits, from_logits=True)
        hit = ops.cast(ops.argmax(logits, axis=-1), "int32") == ops.cast(label, "int32")
        return found, ops.cast(hit, "float32")
    truth = ops.cast(label, "float32")
    truth = truth[:, None] if config.task == BINARY else truth
    each = ops.softplus(logits) - truth * logits  # (B, outputs)
    hit = ops.cast((logits > 0.0) == (truth > 0.5), "float32")
    return ops.mean(each, axis=-1), ops.mean(hit, axis=-1)
