"""Audits a task of labelled sequences: `python -m genomenet.audit --help`.

Copies between splits, and what tells the classes apart that it is not about.
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
    "FASTA files of all genomes that the sequences come from, to see whether they are"
    " there.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .json or .tsv file to write, beside what is printed."
)
_STRICT = flags.DEFINE_bool("strict", False, "Exit with status 1 on FAIL.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of divisions, folds and intervals.")

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Prints a verdict a check, and the worst of them first."""
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
        found = audit_lib.audit_task(
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
            text = json.dumps(found.to_json(), indent=2) + "\n"
            atomic.write_text(output, text if is_json else found.to_tsv())
    print(found)
    if _STRICT.value and found.verdict == "FAIL":
        sys.exit(1)


if __name__ == "__main__":
    startup.run(main)
