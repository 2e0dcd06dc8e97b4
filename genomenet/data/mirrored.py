"""Classes that are each other's reverse complement."""

from __future__ import annotations

import collections
import itertools

import numpy as np

from genomenet import task_kinds
from genomenet.data import examples
from genomenet.dna import encode

SHARE = 0.5
"""Minimum share of a class that is the reverse complement of another class."""


def pairs(data: examples.Data) -> list[tuple[str, str, float]]:
    """Finds pairs of classes that are mostly each other's reverse complement.

    Args:
        data: All splits; they are pooled.

    Returns:
        For each pair, the two classes, and the share of the distinct sequences of the
        smaller class whose exact reverse complement is labelled as the larger. Only
        pairs with a share of at least `SHARE`; none if an example has no single class.
    """
    if data.task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return []
    sequences_of: dict[int, set[bytes]] = collections.defaultdict(set)
    for split in data.splits.values():
        for row, label in enumerate(split.labels.tolist()):
            sequences_of[label].add(split[row].tobytes())
    complements_of = {
        label: {_reverse_complement(codes) for codes in distinct}
        for label, distinct in sequences_of.items()
    }
    names = data.task.classes
    result = []
    for first, second in itertools.combinations(sorted(sequences_of), 2):
        size = min(len(sequences_of[first]), len(sequences_of[second]))
        # Sequences of both classes say nothing about the strand.
        shared = (complements_of[first] & sequences_of[second]) - sequences_of[first]
        if len(shared) >= SHARE * size:
            result.append((names[first], names[second], len(shared) / size))
    return result


def _reverse_complement(codes: bytes) -> bytes:
    """Returns the codes of the other strand."""
    return encode.reverse_complement(np.frombuffer(codes, np.uint8)).tobytes()
