"""The card of a trained model: a stub with what a run knows of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


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
        f"`{dataset.get('name')}` {dataset.get('version')}, splits"
        f" {dataset.get('splits')} (train/validation/test, in percent of bases);"
        " validation and test were held out."
    )
    if "classifier" in config:
        classifier = config["classifier"]
        what = ", ".join(classifier["classes"]) or "a number"
        use = f"Predicts {what} ({classifier['task']}). To be completed."
        if classifier["task"] == "binary":
            about = classifier.get("positive") or classifier["classes"][-1]
            use += f" Its positive class, of F1 and AUPRC, is {about}."
        data = (
            f"`{dataset.get('name')}`: {dataset.get('train_rows')} sequences; scored on"
            f" {metrics.get('split')}."
        )
        table = _intervals(metrics.get("metrics", {}))
    else:
        held_out = {k: v for k, v in metrics.items() if k.startswith("val_")}
        rows = [
            f"| {key[4:]} | {value:.6g} |" for key, value in sorted(held_out.items())
        ]
        table = ["| held-out metric | value |", "|--|--|", *rows] if rows else ["None."]
    training = config.get("training", {})
    return "\n".join(
        [
            f"# {name}",
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
            f" `{config.get('family')}`.",
            "",
            "## How made",
            "",
            "```",
            command.strip() or "python -m genomenet.train (no flags kept)",
            "```",
            "",
            "```json",
            json.dumps(dict(training), indent=2),
            "```",
            "",
        ]
    )


def _intervals(metrics: Mapping[str, Any]) -> list[str]:
    """Returns a table of metrics with their 95 % intervals."""
    rows = ["| metric | value | 95 % interval |", "|--|--|--|"]
    for name, found in metrics.items():
        value, low, high = (
            "undefined" if found[key] is None else f"{found[key]:.4f}"
            for key in ("value", "low", "high")
        )
        rows.append(f"| {name} | {value} | {low} to {high} |")
    return rows
