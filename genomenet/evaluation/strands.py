"""Whether the strand tells classes apart: what a reader of scores must know."""

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
_POSITIONS: Final = 200  # of sequences of one length, at most
_GAIN: Final = 0.05  # of the AUROC, from which on one strand is much better


def notes(
    data: examples.Data,
    *,
    selection: Mapping[str, Any] | None = None,
    reads_both: bool = True,
) -> list[str]:
    """Says where the strand tells classes apart, a sentence each.

    Args:
        data: All splits.
        selection: What few labels chose, as `few_labels.Result.to_json`.
        reads_both: Whether a model without such a choice reads both strands.

    Returns:
        Sentences; none where both strands say the same.
    """
    found = list(of_mirrored(data))
    if selection is None:
        return found + (list(of_words(data)) if reads_both else [])
    scores = selection["score_of_strands"]
    is_one = selection["strands"] == "forward"
    if is_one and selection["strand_is_clearly_better"]:
        found.append(
            "one strand tells more than both:"
            f" {scores['forward']:.3f} against {scores['both']:.3f} over held-out"
            " folds; only one strand is read"
        )
    return found


def of_mirrored(data: examples.Data) -> Iterator[str]:
    """Yields a sentence for each two classes that are each other's other strand.

    Args:
        data: All splits.
    """
    for one, two, share in mirrored.pairs(data):
        yield (
            f"{share:.0%} of the sequences of {one!r} and {two!r} are each"
            " other's reverse complement: only a model that reads one strand can tell"
            " them apart"
        )


def of_words(data: examples.Data, *, seed: int = 0) -> Iterator[str]:
    """Compares k-mers and bases at positions of one strand with those of both.

    Args:
        data: All splits; at most `baselines.SELECT_ROWS` training rows are read.
        seed: Of the rows.

    Yields:
        A sentence where one strand is much better.
    """
    if data.task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return
    train = data[examples.TRAIN]
    rows = np.random.default_rng(seed).permutation(len(train))[: baselines.SELECT_ROWS]
    train = train.take(rows)
    if len(np.unique(train.labels)) < 2 or len(set(train.groups())) < 2:
        return
    codes = [train[row] for row in range(len(train))]
    of: dict[str, dict[str, Any]] = {"both": {}, "forward": {}}
    for strands, values in of.items():
        both = strands == "both"
        values["kmers"] = baselines.count_kmers(codes, _K, both_strands=both).toarray()
        if set(train.lengths) == {min(_POSITIONS, train.lengths[0])}:
            one, other = (_positions(each) for each in (codes, _turned(codes)))
            values["onehot"] = (one + other) / 2 if both else one
    names = [(name,) for name in of["both"]]
    choice = readouts.choose(of, names, train.labels, data.task, train.groups())
    scores = choice.of_strands
    is_better = scores["forward"] - scores["both"] >= _GAIN
    if choice.strands == "forward" and choice.is_clear and is_better:
        yield (
            "one strand tells the classes apart better than both: k-mers and bases at"
            f" positions of it have a held-out AUROC of {scores['forward']:.3f}, of"
            f" both strands {scores['both']:.3f}; a model that reads one needs"
            " strands=forward"
        )


def _positions(codes: list[Any]) -> Any:
    return encode.one_hot(np.stack(codes), np.float64).reshape(len(codes), -1)


def _turned(codes: list[Any]) -> list[Any]:
    return [encode.reverse_complement(row) for row in codes]
