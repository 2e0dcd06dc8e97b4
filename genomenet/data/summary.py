"""A summary of a prepared dataset, as a small table of text."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from genomenet.data import building, leakage


def table(directory: str | os.PathLike[str]) -> str:
    """Describes the splits of a prepared dataset, and what was left out.

    Args:
        directory: Folder of the dataset.

    Returns:
        Lines of text.
    """
    info = json.loads(pathlib.Path(directory, "dataset_info.json").read_text())
    facts = building.metadata(directory)
    is_genome = "bases" in facts and isinstance(facts["bases"], Mapping)
    rows = []
    for split in info["splits"]:
        name = split["name"]
        examples = sum(map(int, split["shardLengths"]))
        size = facts["bases"][name] if is_genome else examples
        rows.append([name, examples, size, len(split["shardLengths"])])
    total = sum(row[2] for row in rows) or 1
    head = ["split", "chunks" if is_genome else "sequences", "bases", "shards", "share"]
    lines = [[*row, f"{row[2] / total:.1%}"] for row in rows]
    keep = range(5) if is_genome else (0, 1, 3, 4)
    text = _aligned([[line[i] for i in keep] for line in [head, *lines]])
    notes = _left_out(facts) if is_genome else _labels(facts)
    return "\n".join([*text, *notes])


def _aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Aligns cells in columns, names to the left and numbers to the right."""
    cells = [[f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def _left_out(facts: Mapping[str, Any]) -> list[str]:
    """Describes which parts of a genome were left out, and which are repeated."""
    skipped = facts["skipped"]
    reasons = [
        (skipped["n_bases"], "N at ends and in long runs"),
        (skipped["all_n"], "records all N"),
        (
            skipped["short_pieces"],
            f"pieces under {facts['min_length']} bases "
            f"({skipped['short_bases']:,} bases)",
        ),
        (skipped["other_records"], "records that the recipe does not take"),
    ]
    parts = [f"{count:,} {what}" for count, what in reasons if count]
    lines = [f"left out: {'; '.join(parts)}"] if parts else []
    return lines + leakage.notes(facts)


def _labels(facts: Mapping[str, Any]) -> list[str]:
    """Describes the labels, and warns of repeated sequences."""
    lines = []
    if "task" in facts:
        lines.append(f"task: {facts['task']}")
    for name, counts in facts.get("labels", {}).items():
        if list(counts) != ["all"]:
            listed = [
                f"{label} {count:,}" for label, count in list(counts.items())[:10]
            ]
            lines.append(f"{name}: {', '.join(listed)}{', …' * (len(counts) > 10)}")
    if named := facts.get("labels_from_file_names"):
        lines.append(f"labels are the names of the files: {', '.join(named)}")
    if facts.get("splits_from_folders"):
        lines.append("splits are the names of the folders of the files")
    for copy, name in facts.get("copies", {}).items():
        lines.append(f"{copy} is {name}")
    if facts.get("absent"):
        lines.append(f"absent: {', '.join(facts['absent'])}")
    if interval_counts := facts.get("intervals"):
        lines += _intervals(interval_counts)
    if facts.get("repeated_rows"):
        lines.append(
            f"note: {facts['repeated_rows']:,} rows repeat a sequence (on either "
            f"strand); {facts['with_several_labels']:,} sequences have several labels, "
            f"{facts['in_several_splits']:,} are in several splits"
        )
    return lines


def _intervals(counts: Mapping[str, int]) -> list[str]:
    """Describes the intervals that were left out, and the negatives."""
    reasons = {
        "duplicates": "duplicates",
        "outside": "reach beyond their contig",
        "unknown_contig": "on contigs that the genome lacks",
        "excluded": "overlap excluded intervals",
    }
    left = [f"{counts[key]:,} {why}" for key, why in reasons.items() if counts.get(key)]
    lines = [f"intervals: {counts['read']:,} read"]
    if left:
        lines.append(f"left out: {', '.join(left)}")
    if counts.get("negatives"):
        lines.append(f"negatives: {counts['negatives']:,}")
    if counts.get("worse"):
        lines.append(
            f"note: {counts['worse']:,} negatives differ by 1 % or more in GC or N"
        )
    return lines
