"""Contigs that are in a genome more than once: whole, or nearly so."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from genomenet.dna import sketch, splits

_ALIKE: Final = 0.5  # share of words from which on a unit is told
_FEWEST: Final = 2  # words that tell something

Copies = Mapping[str, Sequence[splits.Contig]]


def merged(contigs: Sequence[splits.Contig]) -> tuple[list[splits.Contig], Copies]:
    """Makes one contig of all that are identical, read on either strand.

    Args:
        contigs: Contigs with at least one piece.

    Returns:
        Contigs, of which none is a copy of another. What stands for several has a
        name and places that depend on their bases only; the others are as they were.
        And the contigs that each such name stands for.
    """
    same: dict[Any, list[splits.Contig]] = collections.defaultdict(list)
    for contig in contigs:
        same[contig.digest or contig.name].append(contig)
    found, copies = [], {}
    for digest, group in same.items():
        if len(group) == 1:
            found.append(group[0])
            continue
        first, extent = group[0], _extent(group[0])
        one = splits.Contig(
            name=f"copies of {digest.hex()}",
            length=extent,
            pieces=_placed(first.pieces - first.pieces[0, 0], extent, first.is_reverse),
            copies=len(group),
        )
        found.append(one)
        copies[one.name] = group
    return found, copies


def spread(units: Iterable[splits.Unit], copies: Copies) -> list[splits.Unit]:
    """Gives the units of merged contigs back to each of the contigs.

    Args:
        units: Units of merged contigs.
        copies: Which contigs these stand for, of `merged`.

    Returns:
        Units of all contigs.
    """
    found = []
    for unit in units:
        for contig in copies.get(unit.contig, ()):
            extent, first = _extent(contig), int(contig.pieces[0, 0])
            bounds = np.array([[unit.start, unit.end]])
            ((start, end),) = _placed(bounds, extent, contig.is_reverse) + first
            found.append(
                splits.Unit(
                    contig=contig.name,
                    start=int(start),
                    end=int(end),
                    pieces=_placed(unit.pieces, extent, contig.is_reverse) + first,
                )
            )
        if unit.contig not in copies:
            found.append(unit)
    return found


def facts(
    contigs: Sequence[splits.Contig],
    units: Mapping[str, Sequence[splits.Unit]],
    words: sketch.Sketch,
) -> dict[str, Any]:
    """Counts what is in a genome more than once.

    Args:
        contigs: Contigs in the order in which their words were sampled, each with the
            lengths of those before it as its offset.
        units: Units of each split; the first one is trained on.
        words: Of the contigs.

    Returns:
        "identical_contigs": contigs that repeat another, read on either strand; all
        are in its split. "alike": held-out units of which at least half of the words
        are also in training, "units" and "bases", with the closest pair.
    """
    merged_contigs, _ = merged(contigs)
    return {
        "identical_contigs": len(contigs) - len(merged_contigs),
        "alike": _alike(contigs, units, words),
    }


def notes(facts: Mapping[str, Any]) -> list[str]:
    """Says what is in a genome more than once.

    Args:
        facts: Of `facts`, or the metadata of a dataset with them.

    Returns:
        Lines of text; none where there is nothing to say.
    """
    lines = []
    if count := facts.get("identical_contigs"):
        lines.append(
            f"note: {count:,} contig{'s repeat' if count > 1 else ' repeats'} another"
            " (on either strand); copies are in one split, 0 are in several splits"
        )
    alike = facts.get("alike") or {}
    if count := alike.get("units"):
        lines.append(
            f"warning: {count:,} held-out part{'s' * (count > 1)}"
            f" ({alike['bases']:,} bases) nearly repeat{'s' * (count == 1)} what is in"
            f" train: most alike are {alike['held_out']} and {alike['train']},"
            f" {alike['share']:.0%} of {alike['words']} {sketch.WORD}-base words; leave"
            " one of them out, or expect scores that are too good"
        )
    return lines


def _alike(
    contigs: Sequence[splits.Contig],
    units: Mapping[str, Sequence[splits.Unit]],
    words: sketch.Sketch,
) -> dict[str, Any]:
    """Counts the held-out units that are nearly in training, and names a pair."""
    lengths = [contig.length for contig in contigs]
    offsets = dict(
        zip(
            (contig.name for contig in contigs),
            np.cumsum([0, *lengths]).tolist(),
            strict=False,
        )
    )
    every = [(unit, split) for split, part in units.items() for unit in part]
    every.sort(key=lambda one: offsets[one[0].contig] + one[0].start)
    starts = np.array([offsets[unit.contig] + unit.start for unit, _ in every])
    ends = np.array([offsets[unit.contig] + unit.end for unit, _ in every])
    train = next(iter(units))
    is_train = np.array([split == train for _, split in every])

    hashes, places = words.words()
    owner = np.searchsorted(starts, places, side="right") - 1
    is_used = (owner >= 0) & (places < ends[owner])
    hashes, owner = hashes[is_used], owner[is_used]
    taught = is_train[owner]
    held_out, of_unit = hashes[~taught], owner[~taught]
    is_known = np.isin(held_out, hashes[taught])
    count = np.bincount(of_unit, minlength=len(every))
    known = np.bincount(of_unit[is_known], minlength=len(every))
    found = np.flatnonzero((known >= _FEWEST) & (known >= _ALIKE * count))
    if not found.size:
        return {"units": 0, "bases": 0}
    best = found[np.lexsort((known[found], known[found] / count[found]))[-1]]
    pair = np.isin(hashes, held_out[of_unit == best]) & taught
    each = np.unique(np.stack([owner[pair], hashes[pair].view(np.int64)]), axis=1)
    partners = np.bincount(each[0])
    partner = int(partners.argmax())
    different = np.unique(held_out[of_unit == best]).size
    return {
        "units": int(found.size),
        "bases": sum(every[number][0].bases for number in found.tolist()),
        "held_out": _shown(every[best][0], contigs),
        "train": _shown(every[partner][0], contigs),
        "share": round(float(partners[partner] / different), 3),
        "words": int(different),
    }


def _shown(unit: splits.Unit, contigs: Sequence[splits.Contig]) -> str:
    """Names a contig, or a part of one."""
    length = next(c.length for c in contigs if c.name == unit.contig)
    if (unit.start, unit.end) == (0, length):
        return unit.contig
    return f"{unit.contig}:{unit.start}-{unit.end}"


def _extent(contig: splits.Contig) -> int:
    """Returns the bases from the first piece to the last."""
    return int(contig.pieces[-1, 1] - contig.pieces[0, 0])


def _placed(
    intervals: splits.Intervals, length: int, is_reverse: bool
) -> splits.Intervals:
    """Returns intervals, in order, as they lie on the wanted strand."""
    return (length - intervals[::-1, ::-1]) if is_reverse else intervals
