"""SavedModels that read plain strings and do not need genomenet."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from genomenet import task_kinds
from genomenet.dna import alphabet
from genomenet.models import classifier
from genomenet.models import family as family_lib
from genomenet.release import parts

_ROWS: Final = 64  # rows of the model's length per part


class StringModel(tf.Module):
    """A model that reads plain strings.

    Args:
        model: The Keras model.
        family: Family of the model.
        shortest: Minimum length of a sequence, in bases.
    """

    def __init__(self, model: keras.Model, family: family_lib.Family, *, shortest: int):
        super().__init__()
        # A SavedModel stores the variables once, but not the Keras model object.
        self._read_model = lambda: model
        self._variables = [v.value for v in model.variables]
        self._family = family
        self._shortest = shortest
        self._longest = model.config.max_length
        self._pool = family.POOLS[0]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "sequences")])
    def embed(self, sequences: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds sequences of any mix of lengths with the model's default pool.

        Args:
            sequences: String, (B,). Case is ignored, U is read as T, IUPAC codes and
                gaps as N.

        Returns:
            "embedding": float32, (B, H), NaN for sequences of only N; and "share_n",
            float32, (B,): share of N of each sequence.

        Raises:
            InvalidArgumentError: If a letter is not a nucleotide, or a sequence is too
                short or too long. The message has the row.
        """
        model = self._read_model()
        vectors, share = _by_length(
            sequences,
            lambda bases: self._family.embed(model, {"bases": bases}, self._pool),
            shortest=self._shortest,
            longest=self._longest,
            most=_ROWS * model.config.length,
            width=self._family.width(model.config),
            k=getattr(model.config, "kmer", 1),
        )
        return {"embedding": vectors, "share_n": share}


def save(
    model: keras.Model,
    family: family_lib.Family,
    path: str | os.PathLike[str],
    *,
    shortest: int,
) -> None:
    """Writes a SavedModel with the endpoint `embed`.

    Args:
        model: The Keras model.
        family: Family of the model.
        path: The folder to write.
        shortest: Minimum length of a sequence, in bases.
    """
    module = StringModel(model, family, shortest=shortest)
    tf.saved_model.save(
        module,
        os.fspath(path),
        signatures={"embed": module.embed, "serving_default": module.embed},
    )


class StringClassifier(tf.Module):
    """A classifier that reads plain strings of any length.

    Args:
        model: The classifier.
        shortest: Minimum length of a sequence, in bases.
    """

    def __init__(self, model: classifier.Classifier, *, shortest: int):
        super().__init__()
        self._read_model = lambda: model
        self._variables = [v.value for v in model.variables]
        self._shortest = shortest

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "sequences")])
    def predict(self, sequences: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts sequences of any mix of lengths; long ones are read in windows.

        Args:
            sequences: String, (B,), as for `StringModel.embed`.

        Returns:
            For classes "probabilities", float32, (B, classes), "classes", string,
            (classes,), and "label", string, (B,): the most probable class, or for
            multi-label tasks all labels above 0.5, joined by ";". For regression
            "value", float32, (B,). For sequences of only N, numbers are NaN and the
            label is empty. "share_n", float32, (B,), is the share of N.

        Raises:
            InvalidArgumentError: If a letter is not a nucleotide, or a sequence is too
                short. The message has the row.
        """
        model = self._read_model()
        config: Any = model.encoder.config
        most = _ROWS * max(model.config.length, model.config.window)
        rows = max(1, most // model.config.window)
        apply = parts.over_rows(rows, model.vector_width)
        is_value = model.config.task == task_kinds.REGRESSION
        outputs, share = _by_length(
            sequences,
            lambda bases: classifier.predict(model, bases, apply=apply),
            shortest=self._shortest,
            longest=None,
            most=most,
            width=1 if is_value else len(model.config.classes),
            k=getattr(config, "kmer", 1),
        )
        if is_value:
            return {"value": outputs[:, 0], "share_n": share}
        names = tf.constant(list(model.config.classes))
        if model.config.task == task_kinds.MULTI_LABEL:
            rows = tf.ragged.boolean_mask(
                tf.broadcast_to(names[None], tf.shape(outputs)), outputs > 0.5
            )
            label = tf.strings.reduce_join(rows, axis=1, separator=";")
        else:
            label = tf.gather(names, tf.argmax(outputs, axis=1))
        label = tf.where(tf.math.is_nan(outputs[:, 0]), "", label)
        return {
            "probabilities": outputs,
            "classes": names,
            "label": label,
            "share_n": share,
        }


def save_classifier(
    model: classifier.Classifier, path: str | os.PathLike[str], *, shortest: int
) -> None:
    """Writes a SavedModel with the endpoint `predict`.

    Args:
        model: The classifier.
        path: The folder to write.
        shortest: Minimum length of a sequence, in bases.
    """
    module = StringClassifier(model, shortest=shortest)
    tf.saved_model.save(
        module,
        os.fspath(path),
        signatures={"predict": module.predict, "serving_default": module.predict},
    )


def _by_length(
    sequences: tf.Tensor,
    call: Callable[[Any], Any],
    *,
    shortest: int,
    longest: int | None,
    most: int,
    width: int,
    k: int,
) -> tuple[Any, Any]:
    """Calls a model on strings of any mix of lengths, grouped by length.

    Args:
        sequences: String, (B,).
        call: Codes, (rows, L), padded on the right → values, (rows, width).
        shortest: Minimum length of a sequence, in bases.
        longest: Maximum length of a sequence, in bases, or None.
        most: Maximum bases of a part; a longer sequence is a part of its own.
        width: Width of the values.
        k: Bases per token of the model, a k-mer.

    Returns:
        Values, float32, (B, width), NaN if no k-mer is free of N; and the share of N,
        float32, (B,).

    Raises:
        InvalidArgumentError: As the model's `embed`.
    """
    lengths = tf.strings.length(sequences)
    _check_lengths(lengths, shortest=shortest, longest=longest)
    with tf.control_dependencies([_check_letters(sequences)]):
        order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    sequences, lengths = tf.gather(sequences, order), tf.gather(lengths, order)
    padded = tf.maximum(tf.concat([lengths, [1]], 0), 1)

    def read(start: Any, stop: Any) -> Any:
        codes = read_strings(sequences[start:stop], shortest=shortest)
        values = tf.cast(call(codes), tf.float32)
        is_base = codes < alphabet.NUM_BASES
        real = tf.reduce_sum(tf.cast(is_base, tf.int32), 1)
        share = 1 - tf.cast(real / padded[:-1][start:stop], tf.float32)
        total = tf.pad(tf.cumsum(tf.cast(is_base, tf.int32), axis=1), [[0, 0], [1, 0]])
        is_read = tf.reduce_any(total[:, k:] - total[:, :-k] == k, axis=1)
        values = tf.where(is_read[:, None], values, math.nan)
        return tf.concat([values, share[:, None]], 1)

    results = parts.in_parts(
        read,
        lambda start: start + tf.maximum(1, most // padded[start]),
        count=tf.size(lengths),
        width=width + 1,
    )
    results = tf.gather(results, tf.math.invert_permutation(order))
    return results[:, :width], results[:, width]


def read_strings(sequences: tf.Tensor, *, shortest: int) -> tf.Tensor:
    """Encodes strings of letters as base codes, inside the graph.

    Args:
        sequences: String, (B,), of nucleotide letters.
        shortest: Minimum length of a row, in bases.

    Returns:
        uint8, (B, L): codes, padded on the right to the longest row.
    """
    lengths = tf.strings.length(sequences)
    width = tf.maximum(tf.reduce_max(tf.concat([lengths, [shortest]], 0)), 1)
    letters = tf.io.decode_raw(sequences, tf.uint8, fixed_length=width)
    letters = tf.reshape(letters, (-1, width))
    codes = tf.gather(tf.constant(alphabet.CODES), tf.cast(letters, tf.int32))
    is_real = tf.sequence_mask(lengths, width)
    return tf.where(is_real, codes, tf.constant(alphabet.PAD, tf.uint8))


def _check_letters(sequences: tf.Tensor) -> tf.Operation:
    """Asserts that all letters are nucleotides; the message has the first other."""
    known = bytes(np.flatnonzero(alphabet.CODES != alphabet.INVALID).tolist())
    is_good = tf.strings.regex_full_match(
        sequences, f"[{re.escape(known.decode('ascii'))}]*"
    )
    row = tf.concat([tf.where(~is_good)[:, 0], [tf.size(sequences, tf.int64)]], 0)[0]
    text = tf.concat([sequences, [""]], 0)[row]
    letters = tf.io.decode_raw(text, tf.uint8)
    codes = tf.gather(tf.constant(alphabet.CODES), tf.cast(letters, tf.int32))
    positions = tf.where(tf.equal(codes, alphabet.INVALID))[:, 0]
    position = tf.concat([positions, [0]], 0)[0]
    byte = tf.cast(tf.concat([letters, [0]], 0)[position], tf.int32)
    message = "row {}, position {}: not a nucleotide letter (byte {})"
    return tf.debugging.Assert(
        tf.reduce_all(is_good),
        [tf.strings.format(message, (row, position + 1, byte))],
    )


def _check_lengths(lengths: tf.Tensor, *, shortest: int, longest: int | None) -> None:
    for is_bad, message in (
        (
            lengths < shortest,
            f"row {{}}: {{}} bases are too few: the model needs at least {shortest}",
        ),
        (
            lengths > (lengths.dtype.max if longest is None else longest),
            f"row {{}}: {{}} bases are too many: the model reads at most {longest};"
            " python -m genomenet.embed reads longer sequences in windows",
        ),
    ):
        rows = tf.where(is_bad)
        row = tf.reduce_min(tf.concat([rows[:, 0], [tf.int64.max]], 0))
        safe = tf.minimum(row, tf.cast(tf.size(lengths), tf.int64) - 1)
        length = tf.gather(tf.concat([lengths, [0]], 0), tf.maximum(safe, 0))
        tf.debugging.Assert(
            tf.equal(tf.shape(rows)[0], 0),
            [tf.strings.format(message, (row, length))],
        )
