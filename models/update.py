"""Writes index.json and the tables of trained models: `python models/update.py`.

All values are read from the files of the release folders, from models/few_labels.csv
and from models/results, which holds tables that `genomenet.evaluate` has written.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
import re
import statistics
import sys
from collections.abc import Iterator

MODELS = pathlib.Path(__file__).resolve().parent
ROOT = MODELS.parent
sys.path.insert(0, str(ROOT))

from genomenet.evaluation import protocols, tables  # noqa: E402
from genomenet.release import folder as folder_lib  # noqa: E402
from genomenet.release import weights  # noqa: E402


def updated() -> Iterator[tuple[pathlib.Path, str]]:
    """Yields the path and the text of each file that is generated in whole or in part.

    The `config.json` files of releases come first, as the other files depend on them.
    """
    for release in releases():
        path = release / "config.json"
        config = json.loads(path.read_text("utf-8"))
        config["weights"] = {
            **weights.describe(release / "model.weights.h5"),
            "config_sha256": folder_lib.digest(config),
        }
        yield path, json.dumps(config, indent=2) + "\n"
    path = MODELS / "index.json"
    index = {**json.loads(path.read_text("utf-8")), "models": files()}
    yield path, json.dumps(index, indent=2) + "\n"
    for page in (ROOT / "README.md", MODELS / "README.md"):
        text = page.read_text("utf-8")
        base = page.parent
        for name, make in TABLES.items():
            lines = make(base)
            marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
            between = re.compile(f"{marks[0]}\n.*?{marks[1]}", re.DOTALL)
            new = "\n".join([marks[0], "", *lines, "", marks[1]])
            text = between.sub(lambda _, new=new: new, text)
        yield page, text


def releases() -> list[pathlib.Path]:
    """Returns the folders that hold weights."""
    return sorted(path.parent for path in MODELS.glob("*/model.weights.h5"))


def files() -> dict[str, dict[str, list[dict[str, object]]]]:
    """Returns path, size and SHA-256 of each file of each release folder."""
    return {
        folder.name: {
            "files": [
                {
                    "path": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                }
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ]
        }
        for folder in releases()
    }


def trained(base: pathlib.Path) -> list[str]:
    """Returns the table of trained models, from their config.json and metrics.json.

    Args:
        base: Folder of the page, for relative links.
    """
    lines = [
        "| model | trained on | steps × rows | held-out pretraining loss (chance) |"
        " held-out pretraining accuracy (chance) | MB |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for folder in releases():
        config = json.loads((folder / "config.json").read_text("utf-8"))
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        cells = [
            f"[`{folder.name}`]({(folder / 'README.md').relative_to(base)})",
            f"`{config['dataset']['name']}`",
            f"{metrics['steps']:,} × {config['training']['batch_size']}",
            f"{metrics['val_loss']:.3f} ({metrics['val_chance_loss']:.3f})",
            f"{metrics['val_accuracy']:.2%} ({metrics['val_chance']:.2%})",
            f"{size / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def results(base: pathlib.Path) -> list[str]:
    """Returns a table for each CSV file in models/results.

    Args:
        base: Folder of the page, for relative links.
    """
    lines = []
    for path in sorted((MODELS / "results").glob("*.csv")):
        rows = protocols.in_order(tables.read_csv(path))
        seeds = len({row[tables.SEED] for row in rows})
        kind = rows[0]["protocol"]
        lines += [
            f"`{rows[0]['dataset']}`, protocol {kind}: AUROC on"
            f" {rows[0]['test_sequences']:,} test sequences, mean ± standard deviation"
            f" of {seeds} seeds ([every run]({path.relative_to(base)})).",
            "",
            tables.markdown(rows, "auroc", setting=protocols.COLUMNS[kind]),
        ]
    return "\n".join(lines).rstrip().split("\n")


def few_labels(base: pathlib.Path) -> list[str]:
    """Returns the table of results with few labels: means over draws, by task.

    Single readouts are left out. The last row holds the best of them for each task and
    number of labels, chosen by its score on the test set.

    Args:
        base: Folder of the page, for relative links.
    """
    path = MODELS / "few_labels.csv"
    scores: dict[str, dict[tuple[str, int], list[float]]] = {}
    for row in tables.read_csv(path):
        key = str(row["task"]), int(row["shots"])
        by_task = scores.setdefault(str(row["method"]), {})
        by_task.setdefault(key, []).append(float(row["auroc"]))
    means = {
        method: {key: statistics.fmean(values) for key, values in by_task.items()}
        for method, by_task in scores.items()
    }
    keys = list(next(iter(means.values())))
    single = [name for name in means if name.endswith((", both", ", forward"))]
    rows = {name: by_task for name, by_task in means.items() if name not in single}
    rows["best single readout, chosen on the test set (optimistic)"] = {
        key: max(means[name].get(key, 0) for name in single) for key in keys
    }
    names = list(dict.fromkeys(task for task, _ in keys))
    shots = list(dict.fromkeys(count for _, count in keys))
    draws = max(len(values) for row in scores.values() for values in row.values())
    lines = [
        f"AUROC with {' / '.join(map(str, shots))} sequences of each class, mean of"
        f" {draws} draws ([every draw]({path.relative_to(base)})).",
        "",
        f"| | {' | '.join(f'`{name}`' for name in names)} | mean |",
        f"|---|{'--:|' * (len(names) + 1)}",
    ]
    for method, by_task in rows.items():
        columns = [[by_task.get((name, n), math.nan) for name in names] for n in shots]
        columns = [[*column, statistics.fmean(column)] for column in columns]
        cells = zip(*columns, strict=True)
        text = " | ".join(" / ".join(map(_score, cell)) for cell in cells)
        lines.append(f"| {method} | {text} |")
    return [
        *lines,
        "",
        "The Markov rule predicts the class whose Markov chain of order 3 makes the"
        " sequence most probable. The gapped k-mer SVM needs two classes, and"
        " `splice_40` has three (–).",
    ]


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


TABLES = {"trained": trained, "results": results, "few_labels": few_labels}

if __name__ == "__main__":
    for changed, content in updated():
        changed.write_text(content, encoding="utf-8")
