"""Scores of alternative windows against reference windows, by one model or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import catalog, models, task_kinds
from genomenet.dna import encode
from genomenet.inference import outputs, substitutions
from genomenet.models import classifier
from genomenet.release import folder as folder_lib

COSINE: Final = "cosine"
L2: Final = "l2"
LIKELIHOOD: Final = "likelihood"
VALUE: Final = "value"

NO_SPAN: Final = (-1, -1)
"""Span of an alternative whose length differs from that of the reference."""

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


class Scorer:
    """Scores of one model.

    Args:
        model: Keras model, name of a model, or release folder.
        window: Length of a window in bases, W; that of training if None.
        batch_size: Maximum number of windows per batch, see `outputs.rows_at_once`.
        both_strands: Whether to average over both strands. If None, classifiers use
            the setting of their evaluation, and encoders average.
        pool: Pooling of an encoder's window to a vector; the model's default if None.

    Raises:
        ValueError: If there is no such model, or it cannot read windows of this
            length.
    """

    def __init__(
        self,
        model: Any,
        *,
        window: int | None = None,
        batch_size: int = 64,
        both_strands: bool | None = None,
        pool: str | None = None,
    ):
        self.name = "model"
        if isinstance(model, str | os.PathLike):
            self.name = os.path.basename(os.fspath(model).rstrip("/"))
            content = folder_lib.read_config(catalog.model_folder(model))
            pool = pool or content.get("pool")
            model = folder_lib.load_model(model)
        model = classifier.graph_of(model)
        family = models.family_of(model)
        self.window: int = window or outputs.window_of(model)
        outputs.check_window(model, self.window)
        batch_size = outputs.rows_at_once(model, self.window, batch_size)
        self._is_encoder = not isinstance(model, classifier.Classifier)
        if both_strands is None:
            both_strands = self._is_encoder or model.config.both_strands
        options: dict[str, Any] = {
            "window": self.window,
            "batch_size": batch_size,
            "both_strands": both_strands,
        }
        self.outputs = outputs.Outputs(
            model, **options, pool=pool if self._is_encoder else None
        )
        self._substitutions = substitutions.Substitutions(
            model,
            batch_size=batch_size,
            both_strands=bool(both_strands),
            pool=pool if self._is_encoder else None,
        )
        self._masked = None
        if self._is_encoder and family.predict_masked is not None:
            self._masked = outputs.MaskedKmers(model, **options)
        self.keys = self._keys(model)

    def _keys(self, model: Any) -> dict[str, str]:
        """Returns the names of the scores and their descriptions."""
        if self._is_encoder:
            keys = {
                COSINE: "1 - cosine of the embeddings of ALT and REF, 0 to 2",
                L2: "Euclidean distance of the embeddings of ALT and REF",
            }
            if self._masked is not None:
                keys[LIKELIHOOD] = (
                    "sum over the k-mers that touch the variant, all masked, of"
                    " log P(ALT) - log P(REF), nats; SNVs and MNVs only"
                )
            return keys
        if model.config.task == task_kinds.REGRESSION:
            return {VALUE: "predicted value, ALT - REF, in the unit of the labels"}
        classes = model.config.classes
        logits = {f"logit_{c}": f"logit of {c}, ALT - REF, nats" for c in classes}
        return logits | {
            f"prob_{c}": f"probability of {c}, ALT - REF, -1 to 1" for c in classes
        }

    def score(
        self,
        references: Codes,
        alternatives: Codes,
        of: npt.NDArray[np.intp],
        spans: Sequence[tuple[int, int]],
    ) -> Floats:
        """Scores alternatives against their references.

        Args:
            references: Windows, uint8, (R, W).
            alternatives: Windows, uint8, (N, W).
            of: Index of the reference of each alternative, (N,).
            spans: Interval in which each alternative differs, 0-based and half-open,
                if it has only substitutions; else `NO_SPAN`.

        Returns:
            Scores, float64, (N, scores), in the order of `keys`; NaN where a score is
            not defined.
        """
        before = self.outputs.rows(references).astype(np.float64)[of]
        after = self.outputs.rows(alternatives).astype(np.float64)
        columns = self._differences(before, after)
        if self._masked is not None:
            likelihood = self._likelihood(references, alternatives, of, spans)
            columns = np.concatenate([columns, likelihood[:, None]], axis=1)
        return columns

    def substitutions(
        self,
        codes: Codes,
        places: npt.NDArray[np.intp],
        bases: Codes,
        key: str,
    ) -> Floats:
        """Returns one score of substitutions in one window.

        Activations that a substitution cannot change are computed only once.

        Args:
            codes: The window, uint8, (W,).
            places: Positions of the substitutions, ascending, (M,).
            bases: New bases, uint8, (M,).
            key: Name of the score, one of `keys`.

        Returns:
            Scores as from `score`, float64, (M,).
        """
        if key == LIKELIHOOD:
            rows = encode.substituted(codes, places, bases)
            spans = [(place, place + 1) for place in places.tolist()]
            of = np.zeros(len(places), np.intp)
            return self._likelihood(codes[None], rows, of, spans)
        before, after = self._substitutions.rows(codes, places, bases)
        differences = self._differences(before.astype(np.float64), after)
        return differences[:, list(self.keys).index(key)]

    def _differences(self, before: Any, after: Any) -> Floats:
        """Returns the scores computed from model outputs, (N, scores)."""
        if not self._is_encoder:
            return after - before
        distance = np.linalg.norm(after - before, axis=1)
        return np.stack([_cosine(before, after), distance], axis=1)

    def _likelihood(
        self,
        references: Codes,
        alternatives: Codes,
        of: npt.NDArray[np.intp],
        spans: Sequence[tuple[int, int]],
    ) -> Floats:
        """Returns log-likelihood ratios; alternatives of one span share a row."""
        ratios = np.full(len(alternatives), np.nan)
        rows: list[tuple[int, tuple[int, int], list[int]]] = []
        last_row: dict[tuple[int, tuple[int, int]], int] = {}
        for index, (reference, span) in enumerate(zip(of.tolist(), spans, strict=True)):
            if span == NO_SPAN:
                continue
            row = last_row.get((reference, span))
            if row is None or len(rows[row][2]) == outputs.ALTERNATIVES:
                row = last_row[reference, span] = len(rows)
                rows.append((reference, span, []))
            rows[row][2].append(index)
        if rows and self._masked is not None:
            row_ratios = self._masked.ratios(
                references[[reference for reference, *_ in rows]],
                [span for _, span, _ in rows],
                [
                    [alternatives[index, slice(*span)] for index in indices]
                    for _, span, indices in rows
                ],
            )
            for (*_, indices), values in zip(rows, row_ratios, strict=True):
                ratios[indices] = values
        return ratios


class Ensemble:
    """Scores of one model, or of several with their mean and standard deviation.

    Args:
        models: One model or several, as for `Scorer`.
        window: Length of a window in bases. It is required if the models were trained
            on different lengths.
        **options: Options of `Scorer`.

    Raises:
        ValueError: If there is no model, or the lengths of their windows differ.
    """

    def __init__(self, models: Any, *, window: int | None = None, **options: Any):
        if not isinstance(models, Sequence) or isinstance(models, str):
            models = [models]
        if not models:
            raise ValueError("no model was given")
        self._scorers = [Scorer(model, window=window, **options) for model in models]
        windows = sorted({scorer.window for scorer in self._scorers})
        if len(windows) > 1:
            raise ValueError(
                f"the models were trained on {', '.join(map(str, windows))} bases:"
                " give the length that all shall read as window"
            )
        self.window = windows[0]
        self.batch_size = self._scorers[0].outputs.batch_size
        first = self._scorers[0].keys
        self._shared = [
            key for key in first if all(key in s.keys for s in self._scorers)
        ]
        if len(self._scorers) == 1:
            self.keys = dict(first)
            return
        self.keys = {
            f"m{number}_{key}": f"{scorer.name}: {about}"
            for number, scorer in enumerate(self._scorers, start=1)
            for key, about in scorer.keys.items()
        }
        count = len(self._scorers)
        for key in self._shared:
            self.keys[f"mean_{key}"] = f"mean of {count} models: {first[key]}"
        for key in self._shared:
            self.keys[f"sd_{key}"] = (
                f"standard deviation over {count} models (n - 1): {first[key]}"
            )

    def score(
        self,
        references: Codes,
        alternatives: Codes,
        of: npt.NDArray[np.intp],
        spans: Sequence[tuple[int, int]],
    ) -> Floats:
        """Scores alternatives as `Scorer.score` does, in the order of `keys`."""
        values = [
            scorer.score(references, alternatives, of, spans)
            for scorer in self._scorers
        ]
        if len(values) == 1:
            return values[0]
        shared = np.stack(
            [
                model_values[:, [list(scorer.keys).index(key) for key in self._shared]]
                for scorer, model_values in zip(self._scorers, values, strict=True)
            ]
        )
        return np.concatenate([*values, shared.mean(0), shared.std(0, ddof=1)], axis=1)


def _cosine(before: Floats, after: Floats) -> Floats:
    """Returns 1 − cosine similarity of rows; 0 for equal rows."""
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    product = (before * after).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.maximum(0.0, 1.0 - product / norms)
