"""Lists the commands and runs them: `genomenet`, `python -m genomenet`."""

from __future__ import annotations

import difflib
import runpy
import sys
from typing import Final

from genomenet import startup

COMMANDS: Final = {
    "build_dataset": "Builds a TFRecord dataset from files or from a named recipe",
    "rank_kmers": "Ranks k-mers by normalised PMI",
    "train": "Pretrains a model on a prepared genome",
    "finetune": "Fine-tunes a model on labelled sequences",
    "audit": "Audits a task for copies between splits and for shortcuts",
    "evaluate": "Compares models and baselines",
    "predict": "Predicts labels of sequence files and tables",
    "embed": "Embeds sequence files with a trained model",
    "score_variants": "Scores variants of a VCF or a table",
    "mutate": "Predicts every single substitution of sequences",
    "find_motifs": "Finds motifs and compares them with known ones",
    "export": "Writes a trained run as a release folder",
    "convert": "Converts BERT models from and to the Hugging Face format",
}


def main() -> None:
    """Runs the command named by the first argument, or lists all commands."""
    startup.begin()
    name, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name in ("", "-h", "--help", "help"):
        print("genomenet COMMAND --help, or python -m genomenet.COMMAND --help:\n")
        for command, text in COMMANDS.items():
            print(f"  {command:<14} {text}")
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        advice = f"; did you mean {near[0]}?" if near else ": see genomenet --help"
        print(f"genomenet: no command {name!r}{advice}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = rest
    runpy.run_module(f"genomenet.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
