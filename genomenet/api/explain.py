"""Explains the predictions of a classifier in a notebook."""

from __future__ import annotations

import dataclasses
import html
import os
from typing import Any, Final

from genomenet import models
from genomenet.api import inputs
from genomenet.interpret import attribution
from genomenet.models import classifier
from genomenet.motifs import report
from genomenet.release import folder

_SHOWN: Final = 3  # sequences shown in a notebook


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(attribution.Attribution):
    """Attribution scores of all bases. A notebook shows the first sequences."""

    def plot(self, index: int = 0) -> report.Picture:
        """Draws the scores of a sequence as a logo.

        Args:
            index: Index of the sequence.

        Returns:
            A PNG file, which a notebook shows.

        Raises:
            ImportError: If logomaker is not installed.
        """
        return report.logo(self.heights(index))

    def __repr__(self) -> str:
        suffix = f" for {self.target!r}" if self.target else ""
        return f"Explanation({len(self.names):,} sequences, {self.method}{suffix})"

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(repr(self))}</p>"]
        for index, name in enumerate(self.names[:_SHOWN]):
            parts.append(f"<p>{html.escape(name)}</p>")
            parts.append(report.image(self.plot(index), "logo"))
        return "".join(parts)


def explain(
    model: Any, sequences: Any, *, target: str | None = None, **options: Any
) -> Explanation:
    """Scores every base by its contribution to a prediction.

    Args:
        model: A classifier, or the name or release folder of one.
        sequences: As for `Classifier.predict`; names of records and examples are kept.
        target: Name of the class; by default the positive class of two.
        **options: Options of `interpret.attribution.explain`, such as `method`.

    Returns:
        The scores; `plot(0)` draws the first sequence.

    Raises:
        ValueError: If the model has no such class, or a sequence is too short.
    """
    if isinstance(model, str | os.PathLike):
        model = folder.load_classifier(model)
    graph = classifier.graph_of(model)
    shortest = models.get_family(graph.family).min_length(graph.encoder.config)
    named = inputs.name_sequences(sequences, shortest=shortest)
    result = attribution.explain(graph, named, target=target, **options)
    return Explanation(**vars(result))
