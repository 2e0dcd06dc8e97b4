"""Warnings for readers of scores: whether the strand distinguishes classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from genomenet import task_kinds
from genomenet.data import examples, mirrored
from genomenet.dna import encode
from genomenet.evaluation import baselines
from genomenet.training import readouts

_K: Final = 4
_POSITIONS: Final = 200  # longest sequences, in bases, compared by position
_GAIN: Final = 0.05  # in AUROC, from which one strand counts as much better


def notes(
    data: examples.Data,
    *,
    selection: Mapping[str, Any] | None = None,
    reads_both: bool = True,
) -> list[str]:
    """Returns warnings if the strand distinguishes classes.

    Args:
        data: All splits.
        selection: The selection for few labels, as `few_labels.Result.to_json`
            returns it.
        reads_both: Whether a model without a selection reads both strands.

    Returns:
        Sentences; none if both strands carry the same information.
    """
    sentences = list(of_mirrored(data))
    if selection is None:
        return sentences + (list(of_words(data)) if reads_both else [])
    scores = selection["score_of_strands"]
    is_one = selection["strands"] == "forward"
    if is_one and selection["strand_is_clearly_better"]:
        sentences.append(
            "one strand predicts better than both:"
            f" {scores['forward']:.3f} against {scores['both']:.3f} over held-out"
            " folds; only one strand is read"
        )
    return sentences


def of_mirrored(data: examples.Data) -> Iterator[str]:
    """Yields a sentence for each two classes that are each other's reverse complement.

    Args:
        data: All splits.
    """
    for first, second, share in mirrored.pairs(data):
        yield (
            f"{share:.0%} of the sequences of {first!r} and {second!r} are each"
            " other's reverse complement: only a model that reads one strand can"
            " distinguish them"
        )


def of_words(data: examples.Data, *, seed: int = 0) -> Iterator[str]:
    """Compares one strand with both, by k-mers and bases at positions.

    Args:
        data: All splits; at most `baselines.SELECT_ROWS` training rows are read.
        seed: Seed of the draw of rows.

    Yields:
        A sentence if one strand is much better.
    """
    if data.task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return
    train = data[examples.TRAIN]
    rows = np.random.default_rng(seed).permutation(len(train))[: baselines.SELECT_ROWS]
    train = train.take(rows)
    if len(np.unique(train.labels)) < 2 or len(set(train.groups())) < 2:
        return
    codes = [train[row] for row in range(len(train))]
    readouts_of: dict[str, dict[str, Any]] = {"both": {}, "forward": {}}
    for strands, values in readouts_of.items():
        both = strands == "both"
        values["kmers"] = baselines.count_kmers(codes, _K, both_strands=both).toarray()
        if set(train.lengths) == {min(_POSITIONS, train.lengths[0])}:
            forward, reverse = (
                _positions(c) for c in (codes, _reverse_complements(codes))
            )
            values["onehot"] = (forward + reverse) / 2 if both else forward
    names = [(name,) for name in readouts_of["both"]]
    choice = readouts.choose(
        readouts_of, names, train.labels, data.task, train.groups()
    )
    scores = choice.of_strands
    is_better = scores["forward"] - scores["both"] >= _GAIN
    if choice.strands == "forward" and choice.is_clear and is_better:
        yield (
            "one strand distinguishes the classes better than both: its k-mers and"
            f" bases at positions have a held-out AUROC of {scores['forward']:.3f},"
            f" those of both strands {scores['both']:.3f}; to read one strand, give"
            " strands=forward"
        )


def _positions(codes: list[Any]) -> Any:
    return encode.one_hot(np.stack(codes), np.float64).reshape(len(codes), -1)


def _reverse_complements(codes: list[Any]) -> list[Any]:
    return [encode.reverse_complement(row) for row in codes]
