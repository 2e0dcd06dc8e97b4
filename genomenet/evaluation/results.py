"""Writes the results of a protocol to read: tables, tests and a plot."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Final

from genomenet import atomic, task_kinds
from genomenet.data import tasks
from genomenet.evaluation import (
    gapped_kmers,
    plots,
    protocols,
    tables,
)

TABLE: Final = "results.csv"
IDENTITY: Final = "protocol.json"


def write(
    workdir: str | os.PathLike[str],
    protocol: protocols.Protocol,
    task: tasks.Task,
    notes: Sequence[str] = (),
) -> str:
    """Writes `results.md` and `results.png` from `results.csv`.

    Args:
        workdir: Folder of the evaluation.
        protocol: The protocol.
        task: The task.
        notes: Warnings about the data, as `strands.notes` returns them.

    Returns:
        The tables of means, in Markdown.
    """
    workdir = pathlib.Path(workdir)
    rows = protocols.in_order(tables.read_csv(workdir / TABLE))
    column = protocol.column
    k = json.loads((workdir / IDENTITY).read_text(encoding="utf-8"))["k"]
    preferred = ("pearson", "spearman", "rmse")
    if task.kind != task_kinds.REGRESSION:
        preferred = ("auroc", "accuracy", "mcc")
    shown = [name for name in preferred if any(name in row for row in rows)]
    means = "\n".join(tables.markdown(rows, name, setting=column) for name in shown)
    seeds = len({row[tables.SEED] for row in rows})
    settings = tuple(sorted({row[column] for row in rows}))
    done = dataclasses.replace(protocol, settings=settings)
    first = rows[0]
    positive = (
        f" F1 and AUPRC are about class `{task.positive}`." if task.positive else ""
    )
    lines = [
        f"# {protocol.kind} on {first['dataset']}\n",
        f"{task.kind}, {first['test_sequences']:,} test sequences; mean ± standard"
        f" deviation of {seeds} {'seed' if seeds == 1 else 'seeds'}.{positive}\n",
        *(f"**Note**: {note}.\n" for note in notes),
        *(f"- {line}" for line in (*done.describe(), *_facts(rows, column, k))),
        f"\n{means}\n## Paired t-tests of {shown[0]}\n",
        *_tests(rows, shown[0], column),
    ]
    atomic.write_text(workdir / "results.md", "\n".join(lines) + "\n")
    trained = {row["name"] for row in rows if row.get("init") == protocols.PRETRAINED}
    plots.save_protocol(
        workdir / "results.png",
        rows,
        metric=shown[0],
        setting=column,
        baselines={
            row[tables.MODEL]
            for row in rows
            if row.get("init") != protocols.PRETRAINED
            and (row["name"] in trained or "init" not in row)
        },
    )
    return means


def _facts(rows: Sequence[tables.Row], column: str, k: int) -> list[str]:
    """Returns one sentence on each property of the examples and baselines."""
    sets: dict[str, list[str]] = collections.defaultdict(list)
    shared: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row[column]):
        setting = str(row[column])
        if setting not in sets[row["training_set"]]:
            sets[row["training_set"]].append(setting)
        if row["test_in_training"]:
            shared[setting] = max(shared.get(setting, 0), row["test_in_training"])
    origins = {"drawn": "drawn with the seed"}
    facts = [
        "Training examples: "
        + "; ".join(
            f"{origins.get(name, f'seed 0 has the published split `{name}`')} for"
            f" {', '.join(settings)}"
            for name, settings in sets.items()
        )
        + ". Seeds vary initial weights, order and the examples that are drawn."
    ]
    if shared:
        counts = "; ".join(f"{count:,} for {at}" for at, count in shared.items())
        facts.append(f"Test sequences also in training, on either strand: {counts}.")
    pools = {row["name"]: row["pool"] for row in rows if row.get("pool")}
    if pools:
        poolings = "; ".join(f"`{pool}` for `{name}`" for name, pool in pools.items())
        facts.append(f"Pooling over a window: {poolings}.")
    recipe = protocols.CNN_RECIPE
    return [
        *facts,
        f"`{protocols.KMER}`: logistic (for numbers ridge) regression on the {k}-mers"
        " of both strands; only the drawn examples depend on the seed.",
        f"`{protocols.CHOSEN_KMER}`: the same with k (3 to 6), strands and penalty"
        f" chosen by 5-fold cross-validation. `{protocols.ONE_HOT}`: regression on the"
        " base at each position, with the penalty chosen likewise."
        f" `{protocols.MARKOV}`: the class whose Markov chain of order 3 makes a"
        " sequence most probable.",
        f"`{protocols.GAPPED}`, for two classes and if `gkmsvm-lite` is installed: 7"
        " informative of 11 bases, both strands, C = 1, at most"
        f" {gapped_kmers.MOST:,} training sequences; its margins are no probabilities.",
        f"`{protocols.CNN}`: the network of Genomic Benchmarks on the given strand,"
        f" Adam, batches of {recipe.batch_size}, learning rate"
        f" {protocols.CNN_RATE:g}, at least {recipe.least_steps} steps.",
    ]


def _tests(rows: Sequence[tables.Row], metric: str, column: str) -> list[str]:
    """Returns the lines of the table of paired tests."""
    tests = tables.paired_tests(rows, metric, setting=column)
    wanted = protocols.comparisons(rows)
    lines = [
        f"Holm's correction is over all {len(tests)} pairs, not only those shown.\n",
        f"| {column} | first | second | seeds | first − second | 95 % interval | p"
        " | p (Holm) |",
        "|---|---|---|---:|---:|---|---:|---:|",
    ]
    for test in tests:
        if frozenset((test.first, test.second)) not in wanted:
            continue
        interval = "–"
        if test.low is not None and test.high is not None:
            interval = f"{test.low:+.3f} to {test.high:+.3f}"
        p, p_holm = (
            f"{x:.2g}" if x is not None else "–" for x in (test.p, test.p_holm)
        )
        lines.append(
            f"| {test.setting} | {test.first} | {test.second} | {test.count} |"
            f" {test.difference:+.3f} | {interval} | {p} | {p_holm} |"
        )
    return lines
