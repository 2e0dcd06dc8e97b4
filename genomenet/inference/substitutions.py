"""Outputs of a model for single substitutions, without redundant computation.

Of a sequence in several windows, only the windows with the substitution are read again.
Families with a `mutant_reader` also reuse the states before the substitution.
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

_AT_ONCE: Final = 1024  # mutants in memory at a time
_LENGTHS: Final = 16  # number of sequence lengths whose graphs are cached
_JOINED: Final = 8  # factor on the batch size with a `mutant_reader`

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Substitutions:
    """Computes outputs of mutants, equal to those of `outputs.Outputs`.

    Args:
        model: A classifier or an encoder.
        batch_size: Mutants per batch, up to an eighth more. Families with a
            `mutant_reader` read eight times as many, as each mutant needs only a state.
        both_strands: Whether to average over both strands.
        pool: For encoders: how a window becomes a vector.
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
        self._mutant_reader = family.mutant_reader
        names = model.config.encoder_readouts if self._is_classifier else pools
        # The classifier does not read the encoder, or reads several.
        if not names or (self._is_classifier and model.others):
            self._mutant_reader = None

        def read(rows: Any) -> Any:
            if self._is_classifier:
                return tf.cast(model.read_window(rows), tf.float32)
            return tf.cast(family.embed(model, {"bases": rows}, pools[0]), tf.float32)

        def keep(row: Any) -> Any:
            reader = self._mutant_reader
            return None if reader is None else reader.prepare(encoder, row)

        def after(kept: Any, rows: Any, first: Any, stop: Any) -> Any:
            if self._mutant_reader is None:
                return read(rows)
            function = self._mutant_reader.read_out

            def read_out(names: Any) -> Any:
                return function(encoder, kept, rows, names, first, stop)

            if self._is_classifier:
                return tf.cast(model.read_window(rows, read_out=read_out), tf.float32)
            return tf.cast(read_out(pools)[0], tf.float32)

        def head(vectors: Any, is_valid: Any) -> Any:
            return model.predict_logits(vectors, is_valid, training=False)

        @functools.lru_cache(_LENGTHS)
        def of_length(length: int) -> tuple[Any, Any, Any]:
            del length  # only a cache key: graphs with static shapes are the fastest
            again = compiled.graph(after, reduce_retracing=True)
            return compiled.graph(read), compiled.graph(keep), again

        self._graphs = of_length
        self._head = compiled.graph(head, reduce_retracing=True)

    def rows(
        self, codes: Codes, positions: npt.NDArray[np.intp], bases: Codes
    ) -> tuple[Floats, Floats]:
        """Computes the outputs of a sequence and its mutants.

        Args:
            codes: The sequence, uint8, (L,).
            positions: Positions of the substitutions, ascending, (M,), all at A, C, G
                or T.
            bases: The new bases, uint8, (M,).

        Returns:
            float32, (1, outputs) for the sequence and (M, outputs) for its mutants, as
            from `outputs.Outputs.rows`.
        """
        strands = [(codes, positions, bases)]
        if self._both_strands:
            other = encode.reverse_complement(codes)
            reversed_positions = len(codes) - 1 - positions
            complements = encode.reverse_complement(bases[:, None])
            strands.append((other, reversed_positions[::-1], complements[::-1, 0]))
        # Strands run in parallel: a recurrent step is too small to keep all cores busy.
        with concurrent.futures.ThreadPoolExecutor(len(strands)) as pool:
            results = list(pool.map(lambda strand: self._one_strand(*strand), strands))
        if self._both_strands:
            before, after = results[1]
            results[1] = before, after[::-1]
        befores, afters = zip(*results, strict=True)
        return self._combined(list(befores)), self._combined(list(afters))

    def _combined(self, by_strand: list[Floats]) -> Floats:
        """Combines the rows of one or both strands."""
        if not self._is_classifier:
            return np.stack(by_strand).mean(axis=0, dtype=np.float32)
        logits = classifier.over_strands(
            self._model.config, [tf.constant(x) for x in by_strand]
        )
        return np.asarray(outputs.of_classifier(self._model, *logits))

    def _one_strand(
        self, codes: Codes, positions: npt.NDArray[np.intp], bases: Codes
    ) -> tuple[Floats, Floats]:
        """Returns logits or vectors of the sequence and of its mutants."""
        pieces, is_valid = codes[None], np.ones((1, 1), bool)
        stride = len(codes)
        if self._is_classifier:
            split, valid = self._model.split(tf.constant(codes[None]))
            pieces, is_valid = np.asarray(split)[0], np.asarray(valid)
            shortest = models.get_family(self._model.family).min_length(
                self._model.encoder.config
            )
            stride = self._model.config.window - shortest + 1
        keep = self._graphs(pieces.shape[1])[1]
        kept = [keep(tf.constant(piece[None])) for piece in pieces]
        pairs = zip(kept, pieces, strict=True)
        vectors = np.concatenate([self._unchanged(*pair) for pair in pairs])  # (W, C)
        mutants = []
        for start in range(0, len(positions), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            at, base = positions[part], bases[part]
            changed = np.repeat(vectors[None], len(at), axis=0)
            for index, piece in enumerate(pieces):
                offsets = at - index * stride
                (inside,) = np.nonzero((offsets >= 0) & (offsets < len(piece)))
                if not is_valid[0, index]:
                    continue
                most = self._batch_size * (_JOINED if self._mutant_reader else 1)
                size = _even(len(inside), most)
                for first in range(0, len(inside), size):
                    rows = inside[first : first + size]
                    values = self._part(
                        kept[index], piece, offsets[rows], base[rows], size
                    )
                    changed[rows, index] = values
            mutants.append(self._finish(changed, is_valid))
        width = len(self._finish(vectors[None], is_valid)[0])
        after = np.concatenate([np.zeros((0, width), np.float32), *mutants])
        return self._finish(vectors[None], is_valid), after

    def _unchanged(self, kept: Any, piece: Codes) -> Floats:
        """Returns the vector of a window without a substitution, (1, C)."""
        read, _, after = self._graphs(len(piece))
        row, past = tf.constant(piece[None]), tf.constant([len(piece)])
        vector = (
            read(row) if self._mutant_reader is None else after(kept, row, past, past)
        )
        return np.asarray(vector)

    def _part(
        self, kept: Any, piece: Codes, at: npt.NDArray[np.intp], base: Codes, size: int
    ) -> Floats:
        """Returns the vectors of up to `size` mutants of a window, (M, C)."""
        rest = np.repeat(piece[None], size - len(at), axis=0)
        full = np.concatenate([encode.substituted(piece, at, base), rest])
        first = np.pad(at, (0, len(rest)), constant_values=len(piece)).astype(np.int32)
        after = self._graphs(len(piece))[2]
        vectors = after(kept, *map(tf.constant, (full, first, first + 1)))
        return np.asarray(vectors)[: len(at)]

    def _finish(self, vectors: Floats, is_valid: npt.NDArray[np.bool_]) -> Floats:
        """Returns logits from the vectors of windows, (M, W, C), or encoder vectors."""
        if not self._is_classifier:
            return vectors[:, 0]
        valid = np.repeat(is_valid, len(vectors), axis=0)
        return np.asarray(self._head(tf.constant(vectors), tf.constant(valid)))


def _even(count: int, size: int) -> int:
    """Returns the rows of equal batches: about `size`, at most an eighth more."""
    batches = max(1, -(-8 * count // (9 * size)))
    return max(1, -(-count // batches))
