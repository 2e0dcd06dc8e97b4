"""Attribution: scores of the bases of sequences for a prediction of a classifier.

Shapes are B sequences of L bases; W windows of Lw bases of a sequence; P pieces, which
are the k-mers or patches that a model reads at once, of K bases each; C channels.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from genomenet import atomic, compiled, models, task_kinds
from genomenet.data import batches
from genomenet.dna import alphabet, encode
from genomenet.layers import readout, strand, windows
from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.motifs import report

INTEGRATED_GRADIENTS: Final = "integrated_gradients"
INPUT_X_GRADIENT: Final = "input_x_gradient"
ATTENTION: Final = "attention"
MUTATIONS: Final = "mutations"
METHODS: Final = (INTEGRATED_GRADIENTS, INPUT_X_GRADIENT, MUTATIONS, ATTENTION)
REFERENCES: Final = ("background", "zeros")

NamedCodes = tuple[str, npt.NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True, eq=False)
class Attribution:
    """Scores of the bases of sequences.

    Attributes:
        names: Names of the N sequences.
        sequences: Codes of the sequences, uint8, (N, L), padded on the right with 5.
        scores: Scores of the bases, float32, (N, L), 0 at padding.
        method: One of `METHODS`.
        target: Class whose logit is explained; empty for regression and for attention.
    """

    names: tuple[str, ...]
    sequences: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    method: str
    target: str = ""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of each sequence in bases, (N,)."""
        return (self.sequences != alphabet.PAD).sum(1)

    def heights(self, index: int) -> npt.NDArray[np.float32]:
        """Returns the letter heights of the logo of a sequence, (L, 4)."""
        length = int(self.lengths[index])
        letters = np.eye(6, alphabet.NUM_BASES, dtype=np.float32)
        return (
            letters[self.sequences[index, :length]] * self.scores[index, :length, None]
        )


def explain(
    model: Any,
    sequences: Sequence[NamedCodes],
    *,
    method: str | None = None,
    target: str | None = None,
    reference: str = "background",
    steps: int = 20,
    batch_size: int = 16,
) -> Attribution:
    """Scores every base by its contribution to a prediction.

    Gradients are taken with respect to the model's input: one-hot bases, or the
    embeddings of k-mer tokens, in which case the k bases of a token share its score
    equally. The score is the product of the gradient with the difference of the input
    and a reference, which is the average input: a quarter of each base, or the mean
    embedding of all k-mers. N, padding and special tokens are their own reference and
    have no score.

    Integrated gradients average the gradient along the straight line from the
    reference to the input, by Gauss-Legendre quadrature: the scores of a sequence sum
    to the difference of its output and that of the reference.

    Mutations need no gradient: the score of a base is the output minus the mean output
    of the three sequences with another base at its position. This is the method for
    classifiers that read k-mers or positions in addition to the encoder, or instead of
    it.

    Attention is that of [CLS] to each k-mer in the last block, summed over the heads;
    other inputs of the classifier are ignored. The score of a base is the mean over the
    k-mers that cover it; the scores of a sequence have a Euclidean length of 1.

    Long sequences are read in the windows of the classifier. If it predicts on both
    strands, the scores are the mean of both.

    Args:
        model: A classifier, as `genomenet.load_model` returns it, or its graph.
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each.
        method: One of `METHODS`. The default is mutations for a classifier that reads
            bases itself, else integrated gradients.
        target: Name of the class whose logit is explained; by default the positive
            one of two. For regression, the scaled number is explained.
        reference: "background" as above, or "zeros".
        steps: Number of points of the quadrature.
        batch_size: Sequences that are read at once.

    Returns:
        The scores, in the order of the sequences.

    Raises:
        ValueError: If an argument does not apply to this model, or a sequence is too
            short for it.

    Source:
        Sundararajan et al., Axiomatic attribution (2017); Majdandzic et al.,
        Correcting gradient-based interpretations (2023) for the reference; Ji et
        al., DNABERT (2021) for attention. Differences: attention of all windows of
        a long sequence counts equally.
    """
    model = classifier.graph_of(model)
    reads_bases = any(name in readout.OF_BASES for name in model.config.readout)
    if method is None:
        method = MUTATIONS if reads_bases else INTEGRATED_GRADIENTS
    if reads_bases and method in (INTEGRATED_GRADIENTS, INPUT_X_GRADIENT):
        raise ValueError(
            f"method={method} explains the encoder only, but the classifier also reads"
            f" bases ({', '.join(model.config.readout)}): give method={MUTATIONS}"
        )
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if reference not in REFERENCES:
        raise ValueError(
            f"reference must be one of {', '.join(REFERENCES)}, got {reference!r}"
        )
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")
    if method == ATTENTION and not model.config.encoder_readouts:
        raise ValueError(
            f"method={method} explains the encoder, but the model only reads"
            f" {', '.join(model.config.readout)}: give method={MUTATIONS}"
        )
    shortest = models.get_family(model.family).min_length(model.encoder.config)
    for name, codes in sequences:
        if len(codes) < shortest:
            raise ValueError(
                f"record {name!r}: {len(codes)} bases are too few: the model reads at"
                f" least {shortest}"
            )
    if method == ATTENTION:
        score, target = _attention(model), ""
    else:
        target = target_of(model.config, target)
        points = steps if method == INTEGRATED_GRADIENTS else 0
        output = _output(model.config, target)
        if method == MUTATIONS:
            score = _mutations(model, output, batch_size)
        else:
            score = _gradient(model, output, reference, points)
    all_codes = [codes for _, codes in sequences]
    padded = encode.pad(all_codes)
    longest = padded.shape[1]
    scores = np.zeros(padded.shape, np.float32)
    for indices, rows in batches.by_length(all_codes, batch_size=batch_size):
        values = score(rows)
        if model.config.both_strands:
            reverse = score(strand.reverse_padded(tf.constant(rows)).numpy())
            values = (values + _reversed(reverse, rows)) / 2
        width = min(longest, values.shape[1])
        scores[indices, :width] = values[: len(indices), :width]
    if method == ATTENTION:
        norms = np.linalg.norm(scores, axis=1, keepdims=True)
        scores /= np.where(norms > 0, norms, 1)
    names = tuple(name for name, _ in sequences)
    return Attribution(names, padded, scores, method, target)


def save(path: str | os.PathLike[str], attribution: Attribution) -> None:
    """Writes names, sequences, scores, method and target as arrays of an .npz file.

    Args:
        path: The file, replaced if it exists.
        attribution: The scores to write.
    """
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(attribution.names, np.str_),
            sequences=attribution.sequences,
            scores=attribution.scores,
            method=np.array(attribution.method),
            target=np.array(attribution.target),
        )


def draw(
    directory: str | os.PathLike[str], attribution: Attribution, *, count: int = 10
) -> None:
    """Draws the scores of the first sequences as logos: 1.png, 2.png and so on.

    Args:
        directory: The folder, made if it does not exist.
        attribution: The scores to draw.
        count: Largest number of sequences to draw.

    Raises:
        ImportError: If logomaker is not installed.
    """
    for index in range(min(count, len(attribution.names))):
        path = pathlib.Path(directory) / f"{index + 1}.png"
        report.save_logo(path, attribution.heights(index))


def target_of(config: config_lib.ClassifierConfig, target: str | None = None) -> str:
    """Returns the class whose prediction is explained.

    Args:
        config: Configuration of the classifier.
        target: Name of the class; None for the positive one of two.

    Returns:
        Name of the class; empty for regression.

    Raises:
        ValueError: If the classifier has no such class, or if `target` is None and
            there are not two classes.
    """
    if target is not None and target not in config.classes:
        known = ", ".join(config.classes) or "none"
        raise ValueError(f"the model has no class {target!r}; it has {known}")
    if config.task == task_kinds.REGRESSION:
        return ""
    if target is None and config.task != task_kinds.BINARY:
        raise ValueError(f"target must be given, one of {', '.join(config.classes)}")
    return target or config.positive_class


def _output(config: config_lib.ClassifierConfig, target: str) -> tuple[int, float]:
    """Returns the index of the output of a class, and its sign for the class."""
    if config.task == task_kinds.REGRESSION:
        return 0, 1.0
    if config.task == task_kinds.BINARY:
        return 0, -1.0 if target == config.classes[0] else 1.0
    return config.classes.index(target), 1.0


def _reversed(
    scores: npt.NDArray[np.float32], rows: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Reverses scores of the reverse strand; padding stays on the right."""
    lengths = (rows != alphabet.PAD).sum(1, keepdims=True)
    columns = np.arange(rows.shape[1])[None]
    source = np.where(columns < lengths, lengths - 1 - columns, columns)
    return np.take_along_axis(scores, source, axis=1)


Scorer = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def _gradient(
    model: classifier.Classifier, output: tuple[int, float], reference: str, steps: int
) -> Scorer:
    """Returns a scorer by gradients, which are taken at the input if `steps` is 0."""
    family = models.get_family(model.family)
    layers = [family.reader(encoder) for encoder in model.encoders]
    index, sign = output
    nodes, weights = np.polynomial.legendre.leggauss(max(steps, 1))
    shares, weights = (nodes + 1) / 2, weights / 2
    if not steps:
        shares = np.ones(1)

    @functools.partial(compiled.graph, reduce_retracing=True)
    def pieces_at(bases: Any, share: Any) -> Any:
        """Returns scores of the bases of pieces, (B, L) → (B·W, P, K or 1).

        The scores of several encoders are summed.
        """
        recorded = []
        with tf.GradientTape() as tape:

            def edit(encoder: keras.Model, x: Any, codes: Any) -> Any:
                base, is_base = family.attribution_baseline(encoder, x, codes)
                if reference == "zeros":
                    base = tf.zeros_like(x)
                base = tf.where(is_base[..., None], base, x)
                read = base + tf.cast(share, x.dtype) * (x - base)
                tape.watch(read)
                recorded.append((x - base, read))
                return read

            for layer, encoder in zip(layers, model.encoders, strict=True):
                layer.edit = functools.partial(edit, encoder)
            try:
                logits = model({"bases": bases}, training=False)["logits"]
            finally:
                for layer in layers:
                    layer.edit = None
            wanted = tf.reduce_sum(logits[:, index]) * sign
        differences, reads = zip(*recorded, strict=True)
        pairs = zip(tape.gradient(wanted, reads), differences, strict=True)
        return sum(
            tf.reduce_sum(tf.cast(gradient * difference, tf.float32), axis=-1)
            for gradient, difference in pairs
        )

    def score(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        bases = tf.constant(rows)
        total = sum(
            weight * pieces_at(bases, tf.constant(share, tf.float32)).numpy()
            for share, weight in zip(shares, weights, strict=True)
        )
        spread = family.on_spans(np.asarray(total, np.float32))
        return _spread(model, spread, rows)[0]

    return score


def _mutations(
    model: classifier.Classifier, output: tuple[int, float], batch_size: int
) -> Scorer:
    """Returns a scorer that substitutes every other base at each position."""
    index, sign = output

    @functools.partial(compiled.graph, reduce_retracing=True)
    def read(bases: Any) -> Any:
        return model({"bases": bases}, training=False)["logits"][:, index] * sign

    def score(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        size = 16 * batch_size
        whole = read(tf.constant(rows)).numpy()
        scores = np.zeros(rows.shape, np.float32)
        for values, row, original in zip(scores, rows, whole, strict=True):
            others = encode.substituted(row, *encode.substitutions(row))
            if not len(others):
                continue
            rest = np.repeat(row[None], -len(others) % size, axis=0)
            padded = np.concatenate([others, rest]).reshape(-1, size, len(row))
            outputs = np.concatenate([read(tf.constant(p)).numpy() for p in padded])
            means = outputs[: len(others)].reshape(-1, 3).mean(axis=1)
            values[row < alphabet.NUM_BASES] = original - means
        return scores

    return score


def _attention(model: classifier.Classifier) -> Scorer:
    """Returns a scorer by the attention of [CLS]."""
    family = models.get_family(model.family)
    look = family.attend
    if look is None:
        raise ValueError(
            f"{model.family} has no attention: give method={INTEGRATED_GRADIENTS},"
            f" {INPUT_X_GRADIENT} or {MUTATIONS}"
        )
    shortest = family.min_length(model.encoder.config)

    @functools.partial(compiled.graph, reduce_retracing=True)
    def attend(bases: Any) -> Any:
        pieces, is_valid = windows.split(
            bases, length=model.config.window, shortest=shortest
        )
        flat = tf.reshape(pieces, (-1, tf.shape(pieces)[2]))
        parts = [look(encoder, {"bases": flat}) for encoder in model.encoders]
        attention = sum(tf.cast(part, tf.float32) for part in parts) / len(parts)
        return attention * tf.cast(tf.reshape(is_valid, (-1, 1)), tf.float32)

    def score(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        attention = attend(tf.constant(rows)).numpy()
        total, covering = _spread(model, attention[..., None], rows, share=False)
        return (total / np.maximum(covering, 1)).astype(np.float32)

    return score


def _spread(
    model: classifier.Classifier,
    pieces: npt.NDArray[np.float32],
    rows: npt.NDArray[np.uint8],
    *,
    share: bool = True,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Adds up the scores of pieces at the bases that they cover.

    Args:
        model: The classifier.
        pieces: Scores of the bases of pieces of all windows, (B·W, P, K), or of whole
            pieces, (B·W, P, 1).
        rows: Codes, (B, L).
        share: Whether the bases of a whole piece share its score equally, else each
            base gets the score of the piece.

    Returns:
        Scores of bases, (B, L), and the number of pieces without padding that cover
        each base, (B, L).
    """
    family = models.get_family(model.family)
    config, total = model.encoder.config, rows.shape[1]
    shortest = family.min_length(config)
    width = min(total, model.config.window)
    spans = np.array(family.spans(config, width))
    bases = int(spans[0, 1] - spans[0, 0])  # K, the same for all
    count = len(pieces) // len(rows)
    stride = model.config.window - shortest + 1
    positions = spans[:, :1] + np.arange(bases)  # (P, K)
    shared = pieces / (bases if share and pieces.shape[2] == 1 else 1)
    shared = np.broadcast_to(shared, (*pieces.shape[:2], bases))
    shared = shared.reshape(len(rows), count, *positions.shape)
    scores = np.zeros((len(rows), total + width), np.float32)
    covering = np.zeros_like(scores)
    is_real = rows != alphabet.PAD
    lengths = is_real.sum(1)
    for window in range(count):
        covered = positions + window * stride
        is_whole = covered[:, -1] < lengths[:, None]  # (B, P)
        for offset in range(bases):
            # Pieces of a window start at different bases, so no base occurs twice.
            scores[:, covered[:, offset]] += shared[:, window, :, offset]
            covering[:, covered[:, offset]] += is_whole
    return scores[:, :total] * is_real, covering[:, :total]
