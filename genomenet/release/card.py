"""The card of a trained model: a stub with what a run knows of itself."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from genomenet import json_file


def stub(
    name: str, config: Mapping[str, Any], metrics: Mapping[str, Any], command: str
) -> str:
    """Returns the text of a card, to be completed by whoever releases the model.

    Args:
        name: Name of the model.
        config: Content of its `config.json`.
        metrics: Name → value, of the last evaluation.
        command: What was run.

    Returns:
        Markdown with the headings that every card has.
    """
    dataset = config.get("dataset", {})
    use = "Embeddings of DNA sequences, and fine-tuning. To be completed."
    data = (
        f"{code(dataset.get('name'))} {escape(dataset.get('version'))}, splits"
        f" {escape(dataset.get('splits'))} (train/validation/test, in percent of"
        " bases); validation and test were held out."
    )
    if "classifier" in config:
        classifier = config["classifier"]
        what = ", ".join(map(escape, classifier["classes"])) or "a number"
        use = f"Predicts {what} ({classifier['task']}). To be completed."
        if classifier["task"] == "binary":
            about = escape(classifier.get("positive") or classifier["classes"][-1])
            use += f" Its positive class, of F1 and AUPRC, is {about}."
        data = (
            f"{code(dataset.get('name'))}: {dataset.get('train_rows')} sequences;"
            f" scored on {escape(metrics.get('split'))}."
        )
        table = _intervals(metrics.get("metrics", {}))
    else:
        held_out = {k: v for k, v in metrics.items() if k.startswith("val_")}
        rows = [
            f"| {escape(key[4:])} | {value:.6g} |"
            for key, value in sorted(held_out.items())
        ]
        table = ["| held-out metric | value |", "|--|--|", *rows] if rows else ["None."]
    training = config.get("training", {})
    return "\n".join(
        [
            f"# {escape(name)}",
            "",
            "## Intended use",
            "",
            use,
            "",
            "## Training data",
            "",
            data,
            "",
            "## Metrics",
            "",
            *table,
            "",
            f"One seed ({training.get('seed')}). `chance` is the accuracy of guessing.",
            "",
            "## Limits",
            "",
            f"Trained for {training.get('steps')} steps. To be completed.",
            "",
            "## Licence",
            "",
            "Apache-2.0.",
            "",
            "## Citation",
            "",
            "See `CITATION.cff` of genomenet, and the paper of the family"
            f" {code(config.get('family'))}.",
            "",
            "## How made",
            "",
            *_block(command.strip() or "python -m genomenet.train (no flags kept)"),
            "",
            *_block(json.dumps(dict(training), indent=2), "json"),
            "",
        ]
    )


def escape(text: Any) -> str:
    """Returns text as Markdown that shows it and nothing else, on one line.

    Args:
        text: For example a label, which may hold any character.

    Returns:
        The text, with what means something in HTML as entities, and a backslash
        before what means something in Markdown.
    """
    return re.sub(
        r"[\\`*_{}\[\]|~$]",
        _escaped,
        html.escape(json_file.printable(str(text)), quote=False),
    )


def code(text: Any) -> str:
    """Returns text as code in Markdown, on one line, also in a table.

    Args:
        text: Any, such as the name of a dataset.

    Returns:
        The text between backticks, more of them than it has in a row itself.
    """
    line = json_file.printable(str(text))
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _escaped(match: re.Match[str]) -> str:
    letter = match.group()
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if letter == "_" and before.isalnum() and after.isalnum():
        return letter  # means nothing within a word
    return f"\\{letter}"


def _block(text: str, language: str = "") -> list[str]:
    """Returns the lines of a block of code that its text cannot end."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [f"{ticks}{language}", text, ticks]


def _intervals(metrics: Mapping[str, Any]) -> list[str]:
    """Returns a table of metrics with their 95 % intervals."""
    rows = ["| metric | value | 95 % interval |", "|--|--|--|"]
    for name, found in metrics.items():
        value, low, high = (
            "undefined" if found[key] is None else f"{found[key]:.4f}"
            for key in ("value", "low", "high")
        )
        rows.append(f"| {escape(name)} | {value} | {low} to {high} |")
    return rows
