"""Classes that are each other's reverse complement."""

from __future__ import annotations

import collections
import itertools

import numpy as np

from genomenet import task_kinds
from genomenet.data import examples
from genomenet.dna import encode

SHARE = 0.5
"""Share of a class from which on it counts as the other strand of another."""


def pairs(data: examples.Data) -> list[tuple[str, str, float]]:
    """Finds classes whose sequences are the other strand of another class's.

    Args:
        data: All splits; they are compared as one.

    Returns:
        Two classes, and the share of the different sequences of the smaller whose exact
        reverse complement is labelled as the larger. Only pairs with a share of at
        least `SHARE`; none if an example has no single class.
    """
    if data.task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return []
    members: dict[int, set[bytes]] = collections.defaultdict(set)
    for split in data.splits.values():
        for row, label in enumerate(split.labels.tolist()):
            members[label].add(split[row].tobytes())
    turned = {
        label: {_turn(codes) for codes in found} for label, found in members.items()
    }
    names = data.task.classes
    result = []
    for one, two in itertools.combinations(sorted(members), 2):
        size = min(len(members[one]), len(members[two]))
        # Sequences of both classes say nothing about the strand.
        shared = (turned[one] & members[two]) - members[one]
        if len(shared) >= SHARE * size:
            result.append((names[one], names[two], len(shared) / size))
    return result


def _turn(codes: bytes) -> bytes:
    """Returns the codes of the other strand."""
    return encode.reverse_complement(np.frombuffer(codes, np.uint8)).tobytes()
