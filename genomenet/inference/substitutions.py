"""What a model says of a sequence with single substitutions, with nothing read twice.

Of a sequence in several windows only those that hold a substitution are read, and of a
family that resumes none of the states before it.
"""

from __future__ import annotations

import concurrent.futures
import functools
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from genomenet import compiled, models
from genomenet.dna import encode
from genomenet.inference import outputs
from genomenet.models import classifier

_AT_ONCE: Final = 1024  # mutants that are in memory together
_LENGTHS: Final = 16  # of sequences, whose graphs are kept
_JOINED: Final = 8  # times as many mutants at once, of states that they share

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Substitutions:
    """Outputs of mutants, equal to those of `outputs.Outputs`.

    Args:
        model: A classifier or an encoder.
        batch_size: Mutants read at once, an eighth more at most; eight times as many
            of a family that resumes, of which a state is all that each needs.
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
        family = models.family_of(model)
        self._is_classifier = isinstance(model, classifier.Classifier)
        encoder = model.encoder if self._is_classifier else model
        pools = (pool or family.POOLS[0],)
        self._resume = family.resume
        names = model.config.encoder_readouts if self._is_classifier else pools
        # The encoder is not read at all, or is one of several.
        if not names or (self._is_classifier and model.others):
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

        @functools.lru_cache(_LENGTHS)
        def of_length(length: int) -> tuple[Any, Any, Any]:
            del length  # graphs are quickest where shapes are known
            again = compiled.graph(after, reduce_retracing=True)
            return compiled.graph(read), compiled.graph(keep), again

        self._graphs = of_length
        self._head = compiled.graph(head, reduce_retracing=True)

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
        # Strands at once: a step of the recurrence is too small to keep all cores busy.
        with concurrent.futures.ThreadPoolExecutor(len(strands)) as pool:
            found = list(pool.map(lambda strand: self._one_strand(*strand), strands))
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
        keep = self._graphs(pieces.shape[1])[1]
        kept = [keep(tf.constant(piece[None])) for piece in pieces]
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
                most = self._batch_size * (_JOINED if self._resume else 1)
                size = _even(len(inside), most)
                for first in range(0, len(inside), size):
                    part = inside[first : first + size]
                    values = self._part(
                        kept[number], piece, here[part], base[part], size
                    )
                    changed[part, number] = values
            found.append(self._finish(changed, is_valid))
        width = len(self._finish(vectors[None], is_valid)[0])
        after = np.concatenate([np.zeros((0, width), np.float32), *found])
        return self._finish(vectors[None], is_valid), after

    def _own(self, kept: Any, piece: Codes) -> Floats:
        """Returns the vector of a window without a substitution, (1, C)."""
        read, _, after = self._graphs(len(piece))
        row, past = tf.constant(piece[None]), tf.constant([len(piece)])
        found = read(row) if self._resume is None else after(kept, row, past, past)
        return np.asarray(found)

    def _part(
        self, kept: Any, piece: Codes, at: npt.NDArray[np.intp], base: Codes, size: int
    ) -> Floats:
        """Returns the vectors of some mutants of a window, (M, C), M up to `size`."""
        rest = np.repeat(piece[None], size - len(at), axis=0)
        full = np.concatenate([encode.substituted(piece, at, base), rest])
        first = np.pad(at, (0, len(rest)), constant_values=len(piece)).astype(np.int32)
        after = self._graphs(len(piece))[2]
        found = after(kept, *map(tf.constant, (full, first, first + 1)))
        return np.asarray(found)[: len(at)]

    def _finish(self, vectors: Floats, is_valid: npt.NDArray[np.bool_]) -> Floats:
        """Returns logits of windows, (M, W, C), or of an encoder their vectors."""
        if not self._is_classifier:
            return vectors[:, 0]
        valid = np.repeat(is_valid, len(vectors), axis=0)
        return np.asarray(self._head(tf.constant(vectors), tf.constant(valid)))


def _even(count: int, size: int) -> int:
    """Returns the rows of batches that are alike: `size`, an eighth more at most."""
    batches = max(1, -(-8 * count // (9 * size)))
    return max(1, -(-count // batches))
