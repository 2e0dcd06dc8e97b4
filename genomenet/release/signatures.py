"""Strings in, vectors out: a model as a SavedModel that needs no genomenet."""

from __future__ import annotations

import os
from typing import Any

import keras
import tensorflow as tf

from genomenet.dna import alphabet
from genomenet.models import classify
from genomenet.models import family as family_lib


class StringModel(tf.Module):
    """A model that reads plain strings.

    Args:
        model: The Keras model.
        family: Of the model.
        shortest: Bases of the shortest sequence that it can read.
    """

    def __init__(self, model: keras.Model, family: family_lib.Family, *, shortest: int):
        super().__init__()
        # Of the Keras model a SavedModel keeps the variables, once: no object.
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
            sequences: String, (B,). Case is folded, U is T, IUPAC codes and gaps
                are N.

        Returns:
            "embedding": float32, (B, H).

        Raises:
            InvalidArgumentError: If a letter is none of a nucleotide, or a sequence
                is too short or too long; with its row.
        """
        bases = read_strings(sequences, shortest=self._shortest, longest=self._longest)
        vectors = self._family.embed(self._read_model(), {"bases": bases}, self._pool)
        return {"embedding": tf.cast(vectors, tf.float32)}


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
        family: Of the model.
        path: The folder to make.
        shortest: Bases of the shortest sequence that the model can read.
    """
    module = StringModel(model, family, shortest=shortest)
    tf.saved_model.save(
        module,
        os.fspath(path),
        signatures={"embed": module.embed, "serving_default": module.embed},
    )


class StringClassifier(tf.Module):
    """A classifier that reads plain strings, of any length.

    Args:
        model: The classifier.
        shortest: Bases of the shortest sequence that it can read.
    """

    def __init__(self, model: classify.Classifier, *, shortest: int):
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
            (classes,), and "label", string, (B,): the most probable class, or of
            several labels those above 0.5, joined by ";". For regression
            "value", float32, (B,).

        Raises:
            InvalidArgumentError: If a letter is none of a nucleotide, or a sequence
                is too short; with its row.
        """
        model = self._read_model()
        bases = read_strings(sequences, shortest=self._shortest, longest=None)
        found = tf.cast(classify.predict(model, bases), tf.float32)
        if model.config.task == classify.REGRESSION:
            return {"value": found[:, 0]}
        names = tf.constant(list(model.config.classes))
        if model.config.task == classify.MULTI_LABEL:
            rows = tf.ragged.boolean_mask(
                tf.broadcast_to(names[None], tf.shape(found)), found > 0.5
            )
            label = tf.strings.reduce_join(rows, axis=1, separator=";")
        else:
            label = tf.gather(names, tf.argmax(found, axis=1))
        return {"probabilities": found, "classes": names, "label": label}


def save_classifier(
    model: classify.Classifier, path: str | os.PathLike[str], *, shortest: int
) -> None:
    """Writes a SavedModel with the endpoint `predict`.

    Args:
        model: The classifier.
        path: The folder to make.
        shortest: Bases of the shortest sequence that it can read.
    """
    module = StringClassifier(model, shortest=shortest)
    tf.saved_model.save(
        module,
        os.fspath(path),
        signatures={"predict": module.predict, "serving_default": module.predict},
    )


def read_strings(
    sequences: tf.Tensor, *, shortest: int, longest: int | None
) -> tf.Tensor:
    """Reads letters as base codes, inside the graph.

    Args:
        sequences: String, (B,).
        shortest: Least number of bases.
        longest: Largest number of bases, or None.

    Returns:
        uint8, (B, L): codes, padded on the right to the longest row.

    Raises:
        InvalidArgumentError: As the model's `embed`.
    """
    lengths = tf.strings.length(sequences)
    _check_lengths(lengths, shortest=shortest, longest=longest)
    width = tf.maximum(tf.reduce_max(tf.concat([lengths, [shortest]], 0)), 1)
    letters = tf.io.decode_raw(sequences, tf.uint8, fixed_length=width)
    letters = tf.reshape(letters, (-1, width))
    codes = tf.gather(tf.constant(alphabet.CODES), tf.cast(letters, tf.int32))
    is_real = tf.sequence_mask(lengths, width)
    wrong = tf.where(is_real & tf.equal(codes, alphabet.INVALID))
    row, position = _first(wrong)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                tf.equal(tf.shape(wrong)[0], 0),
                [
                    tf.strings.format(
                        "row {}, position {}: not a nucleotide letter (byte {})",
                        (row, position + 1, _at(letters, row, position)),
                    )
                ],
            )
        ]
    ):
        return tf.where(is_real, codes, tf.constant(alphabet.PAD, tf.uint8))


def _check_lengths(lengths: tf.Tensor, *, shortest: int, longest: int | None) -> None:
    for is_bad, message in (
        (
            lengths < shortest,
            f"row {{}}: {{}} bases are too few: the model reads at least {shortest}",
        ),
        (
            lengths > (lengths.dtype.max if longest is None else longest),
            f"row {{}}: {{}} bases are too many: the model reads at most {longest} at"
            " once; python -m genomenet.embed cuts longer sequences into windows",
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


def _first(places: tf.Tensor) -> tuple[Any, Any]:
    """Returns row and column of the first place, 0 and 0 if there is none."""
    padded = tf.concat([places, tf.zeros((1, 2), tf.int64)], 0)
    return padded[0, 0], padded[0, 1]


def _at(letters: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Returns one letter's number; 0 where there are no rows."""
    flat = tf.concat([tf.reshape(letters, [-1]), tf.zeros([1], tf.uint8)], 0)
    place = row * tf.cast(tf.shape(letters)[1], tf.int64) + column
    return tf.cast(flat[tf.minimum(place, tf.size(flat, tf.int64) - 1)], tf.int32)
