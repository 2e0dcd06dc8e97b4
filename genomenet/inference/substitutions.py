"""What a model says of a sequence with single substitutions, with nothing read twice.

Of a sequence in several windows only those that hold a substitution are read, and of a
family that resumes none of the states before it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from genomenet import models
from genomenet.dna import encode
from genomenet.inference import outputs
from genomenet.models import classifier

_AT_ONCE: Final = 1024  # mutants that are in memory together

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Substitutions:
    """Outputs of mutants, equal to those of `outputs.Outputs`.

    Args:
        model: A classifier or an encoder.
        batch_size: Mutants read at once.
        both_strands: Whether to average over both strands.
        pool: How a window becomes a vector, of encoders.
    """

    def __init__(
        self,
        model: Any,
        *,
        batch_size: int = 64,
        both_strands: bool = True,
        pool: str | None = None,
    ):
        self._model, self._batch_size = model, batch_size
        self._both_strands = both_strands
        family = outputs.family_of(model)
        self._is_classifier = isinstance(model, classifier.Classifier)
        encoder = model.encoder if self._is_classifier else model
        pools = (pool or family.POOLS[0],)
        self._resume = family.resume
        names = pools
        if self._is_classifier:
            config = model.config
            names = classifier.encoder_readouts(config.readout or (config.pool,))
        if not names:  # the encoder is not read at all
            self._resume = None

        def read(rows: Any) -> Any:
            if self._is_classifier:
                return tf.cast(model.read_window(rows), tf.float32)
            return tf.cast(family.embed(model, {"bases": rows}, pools[0]), tf.float32)

        def keep(row: Any) -> Any:
            return None if self._resume is None else self._resume.keep(encoder, row)

        def after(kept: Any, rows: Any, first: Any, stop: Any) -> Any:
            if self._resume is None:
                return read(rows)
            function = self._resume.read_out

            def read_out(names: Any) -> Any:
                return function(encoder, kept, rows, names, first, stop)

            if self._is_classifier:
                return tf.cast(model.read_window(rows, read_out=read_out), tf.float32)
            return tf.cast(read_out(pools)[0], tf.float32)

        def head(vectors: Any, is_valid: Any) -> Any:
            return model.predict_logits(vectors, is_valid, training=False)

        options: dict[str, Any] = {"autograph": False}
        self._read: Any = tf.function(read, **options)
        self._keep: Any = tf.function(keep, **options)
        self._after: Any = tf.function(after, **options)
        self._head: Any = tf.function(head, reduce_retracing=True, **options)

    def rows(
        self, codes: Codes, places: npt.NDArray[np.intp], bases: Codes
    ) -> tuple[Floats, Floats]:
        """Reads a sequence and its mutants.

        Args:
            codes: The sequence, uint8, (L,).
            places: Positions of the substitutions, ascending, (M,), of A, C, G or T.
            bases: What takes their place, uint8, (M,).

        Returns:
            float32, (1, outputs) and (M, outputs), as `outputs.Outputs.rows` returns
            them for the sequence and for each mutant.
        """
        strands = [(codes, places, bases)]
        if self._both_strands:
            other = encode.reverse_complement(codes)
            turned = len(codes) - 1 - places, encode.reverse_complement(bases[:, None])
            strands.append((other, turned[0][::-1], turned[1][::-1, 0]))
        found = [self._one_strand(*strand) for strand in strands]
        if self._both_strands:
            before, after = found[1]
            found[1] = before, after[::-1]
        befores, afters = zip(*found, strict=True)
        return self._combined(list(befores)), self._combined(list(afters))

    def _combined(self, each: list[Floats]) -> Floats:
        """Returns the rows of one strand or two."""
        if not self._is_classifier:
            return np.stack(each).mean(axis=0, dtype=np.float32)
        logits = classifier.over_strands(
            self._model.config, [tf.constant(x) for x in each]
        )
        return np.asarray(outputs.of_classifier(self._model, *logits))

    def _one_strand(
        self, codes: Codes, places: npt.NDArray[np.intp], bases: Codes
    ) -> tuple[Floats, Floats]:
        """Returns logits, or vectors, of the sequence and of its mutants."""
        pieces, is_valid = codes[None], np.ones((1, 1), bool)
        stride = len(codes)
        if self._is_classifier:
            split, valid = self._model.split(tf.constant(codes[None]))
            pieces, is_valid = np.asarray(split)[0], np.asarray(valid)
            shortest = models.get_family(self._model.family).shortest(
                self._model.encoder.config
            )
            stride = self._model.config.window - shortest + 1
        kept = [self._keep(tf.constant(piece[None])) for piece in pieces]
        own = zip(kept, pieces, strict=True)
        vectors = np.concatenate([self._own(*one) for one in own])  # (W, C)
        found = []
        for start in range(0, len(places), _AT_ONCE):
            at, base = places[start : start + _AT_ONCE], bases[start : start + _AT_ONCE]
            changed = np.repeat(vectors[None], len(at), axis=0)
            for number, piece in enumerate(pieces):
                here = at - number * stride
                (inside,) = np.nonzero((here >= 0) & (here < len(piece)))
                if not is_valid[0, number]:
                    continue
                for first in range(0, len(inside), self._batch_size):
                    part = inside[first : first + self._batch_size]
                    values = self._part(kept[number], piece, here[part], base[part])
                    changed[part, number] = values
            found.append(self._finish(changed, is_valid))
        width = len(self._finish(vectors[None], is_valid)[0])
        after = np.concatenate([np.zeros((0, width), np.float32), *found])
        return self._finish(vectors[None], is_valid), after

    def _own(self, kept: Any, piece: Codes) -> Floats:
        """Returns the vector of a window without a substitution, (1, C)."""
        if self._resume is None:
            return np.asarray(self._read(tf.constant(piece[None])))
        past = tf.constant(len(piece))
        return np.asarray(self._after(kept, tf.constant(piece[None]), past, past))

    def _part(
        self, kept: Any, piece: Codes, at: npt.NDArray[np.intp], base: Codes
    ) -> Floats:
        """Returns the vectors of some mutants of a window, (M, C)."""
        rows = encode.substituted(piece, at, base)
        rest = np.repeat(piece[None], self._batch_size - len(rows), axis=0)
        limits = tf.constant([at.min(), at.max() + 1], tf.int32)
        full = tf.constant(np.concatenate([rows, rest]))
        return np.asarray(self._after(kept, full, limits[0], limits[1]))[: len(rows)]

    def _finish(self, vectors: Floats, is_valid: npt.NDArray[np.bool_]) -> Floats:
        """Returns logits of windows, (M, W, C), or of an encoder their vectors."""
        if not self._is_classifier:
            return vectors[:, 0]
        valid = np.repeat(is_valid, len(vectors), axis=0)
        return np.asarray(self._head(tf.constant(vectors), tf.constant(valid)))
