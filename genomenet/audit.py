"""Audits a task of labelled sequences: `python -m genomenet.audit --help`.

The audit looks for copies between splits, and for shortcuts: properties that separate
the classes but are unrelated to the task.
"""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import json
import pathlib
import sys

from absl import app, flags

from genomenet import command_flags

_GIVEN = command_flags.define_labelled()
_GENOME = flags.DEFINE_list(
    "genome",
    None,
    "FASTA files of all genomes that the sequences come from, to check that they occur"
    " there.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .json or .tsv file to write, in addition to the printed report."
)
_STRICT = flags.DEFINE_bool("strict", False, "Exit with status 1 on FAIL.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the splits, folds and intervals.")

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Prints the overall verdict, then the verdict of each check."""
    _GIVEN.check()
    output = pathlib.Path(_OUTPUT.value) if _OUTPUT.value else None
    if output and (output.suffix not in (".json", ".tsv") or output.is_dir()):
        raise app.UsageError(f"--output={output} must be a .json or .tsv file")
    from genomenet import atomic
    from genomenet.data import existing

    with startup.refusing("audit"):
        existing.check(**_GIVEN.named(), genome=_GENOME.value)
        from genomenet.api import audit as audit_lib
        from genomenet.evaluation import audit as verdicts

        if _GIVEN.dataset.value and verdicts.is_installed():
            startup.load_tensorflow()
        result = audit_lib.audit_task(
            str(_GIVEN.dataset.value or _GIVEN.table.value),
            _GIVEN.valid_table.value,
            _GIVEN.test_table.value,
            task=_GIVEN.task.value,
            train_split=_GIVEN.train_split.value,
            data_dir=_GIVEN.data_dir.value,
            genome=_GENOME.value or (),
            seed=_SEED.value,
        )
        if output:
            is_json = output.suffix == ".json"
            text = json.dumps(result.to_json(), indent=2) + "\n"
            atomic.write_text(output, text if is_json else result.to_tsv())
    print(result)
    if _STRICT.value and result.verdict == "FAIL":
        sys.exit(1)


if __name__ == "__main__":
    startup.run(main)
