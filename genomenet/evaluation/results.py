"""The results of a protocol as people read them: table, tests, plot."""

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
        task: What is learnt.
        notes: What a reader must know of the data, as `strands.notes` returns it.

    Returns:
        The tables of means.
    """
    workdir = pathlib.Path(workdir)
    rows = protocols.in_order(tables.read_csv(workdir / TABLE))
    column = protocol.column
    k = json.loads((workdir / IDENTITY).read_text(encoding="utf-8"))["k"]
    wanted = ("pearson", "spearman", "rmse")
    if task.kind != task_kinds.REGRESSION:
        wanted = ("auroc", "accuracy", "mcc")
    shown = [name for name in wanted if any(name in row for row in rows)]
    means = "\n".join(tables.markdown(rows, name, setting=column) for name in shown)
    seeds = len({row[tables.SEED] for row in rows})
    settings = tuple(sorted({row[column] for row in rows}))
    done = dataclasses.replace(protocol, settings=settings)
    first = rows[0]
    about = f" F1 and AUPRC are about class `{task.positive}`." if task.positive else ""
    lines = [
        f"# {protocol.kind} on {first['dataset']}\n",
        f"{task.kind}, {first['test_sequences']:,} test sequences; mean ± standard"
        f" deviation of {seeds} {'seed' if seeds == 1 else 'seeds'}.{about}\n",
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
    """Returns what examples and baselines were, a sentence each."""
    sets: dict[str, list[str]] = collections.defaultdict(list)
    shared: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row[column]):
        at = str(row[column])
        if at not in sets[row["training_set"]]:
            sets[row["training_set"]].append(at)
        if row["test_in_training"]:
            shared[at] = max(shared.get(at, 0), row["test_in_training"])
    words = {"drawn": "drawn with the seed"}
    facts = [
        "Training examples: "
        + "; ".join(
            f"{words.get(name, f'seed 0 has the published split `{name}`')} for"
            f" {', '.join(at)}"
            for name, at in sets.items()
        )
        + ". Seeds vary weights, order and the examples that are drawn."
    ]
    if shared:
        counts = "; ".join(f"{count:,} for {at}" for at, count in shared.items())
        facts.append(f"Test sequences also in training, on either strand: {counts}.")
    pools = {row["name"]: row["pool"] for row in rows if row.get("pool")}
    if pools:
        each = "; ".join(f"`{pool}` of `{name}`" for name, pool in pools.items())
        facts.append(f"A window becomes one vector by the pool {each}.")
    recipe = protocols.CNN_RECIPE
    return [
        *facts,
        f"`{protocols.KMER}`: logistic (of numbers ridge) regression on the {k}-mers"
        " of both strands; nothing of it but the draw depends on the seed.",
        f"`{protocols.CHOSEN_KMER}` and `{protocols.ONE_HOT}`: the same with k (3 to"
        " 6), strands and penalty chosen by 5-fold cross-validation, and on the base at"
        f" each position. `{protocols.MARKOV}`: the class whose chain of order 3 makes"
        " a sequence most probable.",
        f"`{protocols.GAPPED}`, of two classes and where `gkmsvm-lite` is installed:"
        " of 11 bases 7 count, both strands, C = 1, at most"
        f" {gapped_kmers.MOST:,} training sequences; its margins are no probabilities.",
        f"`{protocols.CNN}`: the network of Genomic Benchmarks on the strand as given,"
        f" Adam, batches of {recipe.batch_size}, learning rate"
        f" {protocols.CNN_RATE:g}, at least {recipe.least_steps} steps.",
    ]


def _tests(rows: Sequence[tables.Row], metric: str, column: str) -> list[str]:
    """Returns the table of paired tests."""
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
