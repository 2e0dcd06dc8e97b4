"""Model cards: a stub with the facts that a run records."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from genomenet import json_file
from genomenet.layers import readout


def stub(
    name: str, config: Mapping[str, Any], metrics: Mapping[str, Any], command: str
) -> str:
    """Returns a draft of a model card, to be completed before a release.

    Args:
        name: Name of the model.
        config: Content of its `config.json`.
        metrics: Name → value, from the last evaluation.
        command: The command that was run.

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
        use = f"Predicts {what} ({classifier['task']})."
        if classifier["task"] == "binary":
            about = escape(classifier.get("positive") or classifier["classes"][-1])
            use += f" Positive class (for F1 and AUPRC): {about}."
        use += " To be completed."
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
    planned = training.get("steps", metrics.get("steps"))
    steps = metrics.get("training", {}).get("steps", planned)
    chance = " `chance` is accuracy at chance level." if "val_chance" in metrics else ""
    trained = f"Trained for {steps} steps. " if steps else ""
    settings = [*_block(json.dumps(dict(training), indent=2), "json"), ""]
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
            f"One seed ({training.get('seed')}).{chance}",
            "",
            "## Limits",
            "",
            f"{trained}To be completed.",
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
            *_head(config, steps),
            *_block(command.strip() or "python -m genomenet.train (no flags kept)"),
            "",
            *(settings if steps != 0 else []),
        ]
    )


def escape(text: Any) -> str:
    """Escapes text for Markdown, on one line.

    Args:
        text: Text with any characters, for example a label.

    Returns:
        The text, with HTML characters as entities and a backslash before Markdown
        characters.
    """
    return re.sub(
        r"[\\`*_{}\[\]|~$]",
        _escaped,
        html.escape(json_file.printable(str(text)), quote=False),
    )


def code(text: Any) -> str:
    """Formats text as inline code in Markdown, also for use in a table.

    Args:
        text: Any text, such as the name of a dataset.

    Returns:
        The text on one line between backticks, more than its longest run of backticks.
    """
    line = json_file.printable(str(text))
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _head(config: Mapping[str, Any], steps: int | None) -> list[str]:
    """Returns a paragraph that names the readouts of a linear head, if any."""
    classifier = config.get("classifier", {})
    names = classifier.get("readout", ())
    if not names:
        return []
    lengths = sorted(str(k) for name, k in readout.KMERS.items() if name in names)
    parts = [escape(name) for name in names if name not in readout.OF_BASES]
    parts = [f"readouts of the encoder ({', '.join(parts)})"] if parts else []
    if lengths:
        others = "-, ".join(lengths[:-1]) + "- and " * (len(lengths) > 1)
        parts.insert(0, f"counts of {others}{lengths[-1]}-mers")
    if readout.ONE_HOT in names:
        parts.append("the base at each position")
    count = classifier.get("members", 1)
    heads = "Linear head" if count == 1 else f"Mean of {count} linear heads"
    strands = "one strand" if classifier.get("strands") == "forward" else "both strands"
    is_frozen = steps == 0 or config.get("plan", {}).get("train") == "head"
    frozen = "; the weights of the encoder were not changed" if is_frozen else ""
    return [f"{heads} over {' and '.join(parts)}, {strands}{frozen}.", ""]


def _escaped(match: re.Match[str]) -> str:
    letter = match.group()
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    if letter == "_" and before.isalnum() and after.isalnum():
        return letter  # has no meaning within a word
    return f"\\{letter}"


def _block(text: str, language: str = "") -> list[str]:
    """Returns the lines of a code block, with a fence that the text cannot close."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [f"{ticks}{language}", text, ticks]


def _intervals(metrics: Mapping[str, Any]) -> list[str]:
    """Returns a table of metrics with their 95 % intervals."""
    rows = ["| metric | value | 95 % interval |", "|--|--|--|"]
    for name, metric in metrics.items():
        value, low, high = (
            "undefined" if metric[key] is None else f"{metric[key]:.4f}"
            for key in ("value", "low", "high")
        )
        rows.append(f"| {escape(name)} | {value} | {low} to {high} |")
    return rows
