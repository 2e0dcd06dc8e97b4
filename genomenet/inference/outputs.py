"""Outputs of any model for windows of one length, in batches of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from genomenet import compiled, models, task_kinds
from genomenet.data import batches
from genomenet.dna import alphabet, encode, kmer
from genomenet.layers import strand
from genomenet.models import classifier
from genomenet.release import parts

ALTERNATIVES: Final = 3
"""Maximum number of alternatives to a span that are scored in one row."""

_POSITIONS: Final = 16  # k-mers predicted per row in a full batch


def window_of(model: Any) -> int:
    """Returns the training length of a model, in bases."""
    config = model.config
    min_length = models.family_of(model).min_length(_encoder(model).config)
    return max(config.length, min_length)


def check_window(model: Any, window: int) -> None:
    """Raises if a model cannot read windows of a given length.

    Args:
        model: An encoder or classifier.
        window: Length of the window, in bases.

    Raises:
        ValueError: If the window is too short or too long.
    """
    shortest = models.family_of(model).min_length(_encoder(model).config)
    is_classifier = isinstance(model, classifier.Classifier)
    longest = 1 << 30 if is_classifier else model.config.max_length
    if not shortest <= window <= longest:
        raise ValueError(
            f"window={window} must be {shortest} to {longest} bases for this model"
        )


def rows_at_once(model: Any, window: int, batch_size: int) -> int:
    """Returns the number of rows per batch, limited on a CPU by its caches.

    Args:
        model: An encoder or classifier.
        window: Bases of every row.
        batch_size: Maximum number of rows.
    """
    if tf.config.list_physical_devices("GPU"):
        return batch_size
    most = models.family_of(model).BASES_AT_ONCE // window
    return max(1, min(batch_size, most))


class Outputs:
    """Logits and probabilities of a classifier, or vectors of an encoder.

    Args:
        model: A classifier or an encoder.
        window: Bases of every row, W.
        batch_size: Rows per batch.
        both_strands: Whether to average over both strands.
        pool: For encoders: how a window becomes a vector; the family's default if
            None.
    """

    def __init__(
        self,
        model: Any,
        *,
        window: int,
        batch_size: int = 64,
        both_strands: bool = True,
        pool: str | None = None,
    ):
        self.window, self.batch_size = window, batch_size
        family = models.family_of(model)
        if isinstance(model, classifier.Classifier):
            most = batch_size * max(model.config.length, model.config.window)
            size = max(1, most // model.config.window)
            apply = parts.over_rows(size, model.vector_width)

            def call(rows: Any) -> Any:
                return _classify(model, rows, both_strands, apply)
        else:
            pool = pool or family.POOLS[0]
            if pool not in family.POOLS or pool == "none":
                names = ", ".join(name for name in family.POOLS if name != "none")
                raise ValueError(f"pool={pool!r} must be one of {names}")

            def read(rows: Any) -> Any:
                return tf.cast(family.embed(model, {"bases": rows}, pool), tf.float32)

            def call(rows: Any) -> Any:
                if not both_strands:
                    return read(rows)
                return (read(rows) + read(strand.reverse_complement(rows))) / 2.0

        self._call: Any = compiled.graph(call)

    def rows(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Computes the outputs of windows.

        Args:
            codes: Codes of `dna.alphabet` without padding, uint8, (N, W).

        Returns:
            float32, (N, outputs): for a classifier the logits of all classes, then
            their probabilities; for regression the value; for an encoder the vector.
        """
        results = []
        for start in range(0, len(codes), self.batch_size):
            part = codes[start : start + self.batch_size]
            values = self._call(tf.constant(batches.filled(part, self.batch_size)))
            results.append(values.numpy()[: len(part)])
        return np.concatenate(results)


class MaskedKmers:
    """Likelihood ratios of a masked language model.

    Args:
        model: A model of a family that predicts masked k-mers.
        window: Bases of every row, W.
        batch_size: Maximum rows per batch; long masked spans have fewer.
        both_strands: Whether to average over both strands.
    """

    def __init__(
        self,
        model: Any,
        *,
        window: int,
        batch_size: int = 64,
        both_strands: bool = True,
    ):
        self.window, self.batch_size = window, batch_size
        self._both_strands = both_strands
        self._k: int = model.config.kmer
        predict_masked = models.family_of(model).predict_masked
        if predict_masked is None:
            raise ValueError(f"{model.name} does not predict masked k-mers")

        def call(rows: Any, is_masked: Any, at: Any, targets: Any) -> Any:
            logs = predict_masked(model, {"bases": rows}, is_masked, at)
            return tf.gather(logs, targets, batch_dims=2)  # (B, P, 1 + alternatives)

        self._call: Any = compiled.graph(call, reduce_retracing=False)

    def ratios(
        self,
        codes: npt.NDArray[np.uint8],
        spans: Sequence[tuple[int, int]],
        alternatives: Sequence[Sequence[npt.NDArray[np.uint8]]],
    ) -> list[list[float]]:
        """Computes log-likelihood ratios of alternatives to spans of windows.

        All k-mers that overlap the span are masked, except those with N beside it.

        Args:
            codes: Codes, uint8, (N, W).
            spans: The span of each row, 0-based and half-open.
            alternatives: At most `ALTERNATIVES` for each row: codes with the length of
                the span.

        Returns:
            For each row and alternative: the sum of log P(alternative) − log P(codes)
            over the masked k-mers, in nats, averaged over both strands if requested.
            NaN if no such k-mer is free of N.
        """
        rows = list(zip(codes, spans, alternatives, strict=True))
        totals = self._one_strand(rows)
        if self._both_strands:
            other = self._one_strand(
                [
                    (
                        encode.reverse_complement(row),
                        (self.window - span[1], self.window - span[0]),
                        [encode.reverse_complement(alt) for alt in alts],
                    )
                    for row, span, alts in rows
                ]
            )
            totals = (totals + other) / 2
        return [
            totals[row, : len(alts)].tolist() for row, (*_, alts) in enumerate(rows)
        ]

    def _one_strand(self, rows: list[Any]) -> npt.NDArray[np.float64]:
        """Returns the ratios on the given strand, (N, ALTERNATIVES)."""
        totals = np.full((len(rows), ALTERNATIVES), np.nan)
        by_size: dict[int, list[int]] = {}
        for index, (_, (start, end), _) in enumerate(rows):
            count = end - start + self._k - 1
            size = self._k if count <= self._k else 1 << (count - 1).bit_length()
            by_size.setdefault(size, []).append(index)
        for size, indices in by_size.items():
            num_rows = max(
                1, min(self.batch_size, self.batch_size * _POSITIONS // size)
            )
            for first in range(0, len(indices), num_rows):
                part = indices[first : first + num_rows]
                totals[part] = self._batch([rows[i] for i in part], num_rows, size)
        return totals

    def _batch(
        self, rows: list[Any], num_rows: int, size: int
    ) -> npt.NDArray[np.float64]:
        num_kmers = self.window - self._k + 1
        is_masked = np.zeros((num_rows, num_kmers), bool)
        at = np.zeros((num_rows, size), np.int32)
        targets = np.full((num_rows, size, 1 + ALTERNATIVES), kmer.UNK_ID, np.int32)
        for row, (codes, (start, end), alts) in enumerate(rows):
            first = max(0, start - self._k + 1)
            last = min(num_kmers, end)
            count = max(0, last - first)
            if not count:
                continue
            # k-mers with N outside the span are neither predicted nor masked.
            known = codes[first : last + self._k - 1].copy()
            inside = slice(start - first, end - first)
            known[inside] = alphabet.A
            is_known = kmer.tokenize(known, self._k) != kmer.UNK_ID
            is_masked[row, first:last] = is_known
            at[row, :count] = np.arange(first, last)
            for column, allele in enumerate([codes[start:end], *alts]):
                known[inside] = allele
                targets[row, :count, column] = kmer.tokenize(known, self._k)
        codes = batches.filled(np.stack([codes for codes, *_ in rows]), num_rows)
        logs = self._call(*map(tf.constant, (codes, is_masked, at, targets))).numpy()[
            : len(rows)
        ]
        ids = targets[: len(rows)]
        is_scored = (ids[..., 1:] != kmer.UNK_ID) & (ids[..., :1] != kmer.UNK_ID)
        difference = logs[..., 1:].astype(np.float64) - logs[..., :1]
        total = np.where(is_scored, difference, 0.0).sum(axis=1)
        return np.where(is_scored.any(axis=1), total, np.nan)


def _encoder(model: Any) -> Any:
    return model.encoder if isinstance(model, classifier.Classifier) else model


def _classify(
    model: classifier.Classifier, rows: Any, both_strands: bool, apply: classifier.Apply
) -> Any:
    """Returns logits and probabilities of all classes, or regression values."""
    return of_classifier(
        model,
        *classifier.outputs(model, rows, both_strands=both_strands, apply=apply),
    )


def of_classifier(model: classifier.Classifier, logits: Any, values: Any) -> Any:
    """Converts the results of `classifier.outputs` to the rows of `Outputs`."""
    if model.config.task == task_kinds.REGRESSION:
        return values
    if model.config.task == task_kinds.BINARY:
        logits = tf.concat([-logits, logits], axis=-1)
    return tf.concat([logits, values], axis=-1)
