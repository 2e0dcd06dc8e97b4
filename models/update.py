"""Writes index.json and the tables of trained models: `python models/update.py`.

Everything comes from the files of the release folders and from models/results, which
holds tables as `genomenet.evaluate` writes them; nothing is typed.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator

MODELS = pathlib.Path(__file__).resolve().parent
ROOT = MODELS.parent
sys.path.insert(0, str(ROOT))

from genomenet.evaluation import protocols, tables  # noqa: E402
from genomenet.release import folder as folder_lib  # noqa: E402
from genomenet.release import weights  # noqa: E402


def updated() -> Iterator[tuple[pathlib.Path, str]]:
    """Yields each file that is generated, in whole or between marks, and its text.

    The first are the `config.json` of releases; what follows depends on them.
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
    """Returns path, size and SHA-256 of each file of each release."""
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
    """Returns the table of trained models, by their config.json and metrics.json.

    Args:
        base: Folder of the page, for links.
    """
    lines = [
        "| model | trained on | steps × rows | held-out loss (guessing) | held-out"
        " accuracy (guessing) | MB |",
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
    """Returns a table for each CSV of models/results.

    Args:
        base: Folder of the page, for links.
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


def summary(base: pathlib.Path) -> list[str]:
    """Returns one table of the means of all CSVs, each at its most labels.

    Args:
        base: Folder of the page, for links.
    """
    lines = [
        "| task | labels | best trained model | best of random weights | k-mer"
        " regression | small CNN |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for path in sorted((MODELS / "results").glob("*.csv")):
        rows = tables.read_csv(path)
        column = protocols.COLUMNS[rows[0]["protocol"]]
        most = max(float(row[column]) for row in rows)
        found: dict[str, list[float]] = {}
        for row in rows:
            if float(row[column]) == most:
                found.setdefault(str(row["model"]), []).append(float(row["auroc"]))
        means = {name: sum(each) / len(each) for name, each in found.items()}
        baselines = [means.pop(name) for name in ("k-mer regression", "small CNN")]
        random = {
            n.removeprefix("random "): means.pop(n)
            for n in list(means)
            if n.startswith("random ")
        }
        share = f"{most:.0%} of all" if most < 1 else f"{most:.0f} a class"
        cells = [
            f"[`{rows[0]['dataset']}`]({path.relative_to(base)})",
            share,
            *(_best(means), _best(random)),
            *(f"{mean:.3f}" for mean in baselines),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _best(means: dict[str, float]) -> str:
    """Returns the highest mean, and whose it is."""
    name = max(means, key=lambda name: means[name])
    return f"{means[name]:.3f} ({name})"


TABLES = {"trained": trained, "results": results, "summary": summary}

if __name__ == "__main__":
    for changed, content in updated():
        changed.write_text(content, encoding="utf-8")
