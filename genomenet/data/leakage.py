"""Contigs that occur more than once in a genome, exactly or nearly."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from genomenet.dna import sketch, splits

_ALIKE: Final = 0.5  # minimum share of words for a unit to be reported
_FEWEST: Final = 2  # minimum number of shared words

Copies = Mapping[str, Sequence[splits.Contig]]


def merged(contigs: Sequence[splits.Contig]) -> tuple[list[splits.Contig], Copies]:
    """Merges contigs that are identical on either strand.

    Args:
        contigs: Contigs with at least one piece.

    Returns:
        Contigs, none of which is a copy of another; and name of a merged contig → the
        contigs that it stands for. A merged contig has a name and positions that
        depend on its bases only; other contigs are unchanged.
    """
    same: dict[Any, list[splits.Contig]] = collections.defaultdict(list)
    for contig in contigs:
        same[contig.digest or contig.name].append(contig)
    result, copies = [], {}
    for digest, group in same.items():
        if len(group) == 1:
            result.append(group[0])
            continue
        first, extent = group[0], _extent(group[0])
        representative = splits.Contig(
            name=f"copies of {digest.hex()}",
            length=extent,
            pieces=_oriented(
                first.pieces - first.pieces[0, 0], extent, first.is_reverse
            ),
            copies=len(group),
        )
        result.append(representative)
        copies[representative.name] = group
    return result, copies


def spread(units: Iterable[splits.Unit], copies: Copies) -> list[splits.Unit]:
    """Replaces units of merged contigs by units of each of their contigs.

    Args:
        units: Units of merged contigs.
        copies: Contigs that the merged ones stand for, from `merged`.

    Returns:
        Units of all contigs.
    """
    result = []
    for unit in units:
        for contig in copies.get(unit.contig, ()):
            extent, first = _extent(contig), int(contig.pieces[0, 0])
            bounds = np.array([[unit.start, unit.end]])
            ((start, end),) = _oriented(bounds, extent, contig.is_reverse) + first
            result.append(
                splits.Unit(
                    contig=contig.name,
                    start=int(start),
                    end=int(end),
                    pieces=_oriented(unit.pieces, extent, contig.is_reverse) + first,
                )
            )
        if unit.contig not in copies:
            result.append(unit)
    return result


def facts(
    contigs: Sequence[splits.Contig],
    units: Mapping[str, Sequence[splits.Unit]],
    words: sketch.Sketch,
) -> dict[str, Any]:
    """Counts the contigs and units that occur more than once in a genome.

    Args:
        contigs: Contigs in the order in which their words were sampled, each with the
            lengths of those before it as its offset.
        units: Units of each split; the first split is for training.
        words: Sampled words of the contigs.

    Returns:
        "identical_contigs": number of contigs that repeat another one on either
        strand; all are in its split. "alike": held-out units that share at least half
        of their words with training, as "units" and "bases", with the closest pair.
    """
    merged_contigs, _ = merged(contigs)
    return {
        "identical_contigs": len(contigs) - len(merged_contigs),
        "alike": _alike(contigs, units, words),
    }


def notes(facts: Mapping[str, Any]) -> list[str]:
    """Describes what occurs more than once in a genome.

    Args:
        facts: Result of `facts`, or the metadata of a dataset that contain it.

    Returns:
        Lines of text; none if nothing is repeated.
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
    """Counts the held-out units that nearly repeat training, and names a pair."""
    lengths = [contig.length for contig in contigs]
    offsets = dict(
        zip(
            (contig.name for contig in contigs),
            np.cumsum([0, *lengths]).tolist(),
            strict=False,
        )
    )
    all_units = [(unit, split) for split, part in units.items() for unit in part]
    all_units.sort(key=lambda entry: offsets[entry[0].contig] + entry[0].start)
    starts = np.array([offsets[unit.contig] + unit.start for unit, _ in all_units])
    ends = np.array([offsets[unit.contig] + unit.end for unit, _ in all_units])
    train = next(iter(units))
    is_train_unit = np.array([split == train for _, split in all_units])

    hashes, positions = words.words()
    owner = np.searchsorted(starts, positions, side="right") - 1
    is_used = (owner >= 0) & (positions < ends[owner])
    hashes, owner = hashes[is_used], owner[is_used]
    is_train_word = is_train_unit[owner]
    held_out, unit_of_word = hashes[~is_train_word], owner[~is_train_word]
    is_known = np.isin(held_out, hashes[is_train_word])
    count = np.bincount(unit_of_word, minlength=len(all_units))
    known = np.bincount(unit_of_word[is_known], minlength=len(all_units))
    alike = np.flatnonzero((known >= _FEWEST) & (known >= _ALIKE * count))
    if not alike.size:
        return {"units": 0, "bases": 0}
    best = alike[np.lexsort((known[alike], known[alike] / count[alike]))[-1]]
    pair = np.isin(hashes, held_out[unit_of_word == best]) & is_train_word
    shared_words = np.unique(
        np.stack([owner[pair], hashes[pair].view(np.int64)]), axis=1
    )
    partners = np.bincount(shared_words[0])
    partner = int(partners.argmax())
    num_words = np.unique(held_out[unit_of_word == best]).size
    return {
        "units": int(alike.size),
        "bases": sum(all_units[index][0].bases for index in alike.tolist()),
        "held_out": _shown(all_units[best][0], contigs),
        "train": _shown(all_units[partner][0], contigs),
        "share": round(float(partners[partner] / num_words), 3),
        "words": int(num_words),
    }


def _shown(unit: splits.Unit, contigs: Sequence[splits.Contig]) -> str:
    """Returns the name of a contig, or of a part of it."""
    length = next(c.length for c in contigs if c.name == unit.contig)
    if (unit.start, unit.end) == (0, length):
        return unit.contig
    return f"{unit.contig}:{unit.start}-{unit.end}"


def _extent(contig: splits.Contig) -> int:
    """Returns the number of bases from the first piece to the last."""
    return int(contig.pieces[-1, 1] - contig.pieces[0, 0])


def _oriented(
    intervals: splits.Intervals, length: int, is_reverse: bool
) -> splits.Intervals:
    """Returns intervals, in order, on the forward or the reverse strand."""
    return (length - intervals[::-1, ::-1]) if is_reverse else intervals
