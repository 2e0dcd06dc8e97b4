"""Compares models and baselines: `python -m genomenet.evaluate --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import signal
import sys
from typing import Any

from absl import app, flags

from genomenet import command_flags, task_kinds

_PROTOCOL = flags.DEFINE_enum(
    "protocol",
    None,
    ["few_shot", "label_fraction"],
    "few_shot varies the number of examples per class; label_fraction varies the share"
    " of labels. Both use fine-tuning and a linear probe.",
    required=True,
)
_MODELS = flags.DEFINE_list(
    "models",
    None,
    "Names of models, or their folders, joined by commas.",
    required=True,
)
_FROM_SCRATCH = flags.DEFINE_bool(
    "from_scratch",
    True,
    "Also train models with pretrained weights from random weights; of several models"
    " with the same architecture, only one needs this.",
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Name of a dataset of labelled sequences, or its folder."
)
_DATA_DIR, _VERIFY = command_flags.define_prepared()
_TABLE = flags.DEFINE_string(
    "table", None, "TSV or CSV with columns sequence, label, as for genomenet.finetune."
)
_TEST_TABLE = flags.DEFINE_string("test_table", None, "Test set of --table.")
_TASK = flags.DEFINE_enum(
    "task",
    "auto",
    ["auto", *task_kinds.KINDS],
    "Kind of task of --table; auto infers it from the labels.",
)
_POSITIVE = flags.DEFINE_string(
    "positive",
    None,
    "Positive class of two, for F1 and AUPRC (default: the class not named non-…,"
    " control, background, other, 0 or the like; else the last).",
)
_SHOTS = flags.DEFINE_list(
    "shots", None, "Examples per class (default: 10,50,100,500,1000)."
)
_FRACTIONS = flags.DEFINE_list(
    "fractions", None, "Shares of the labels (default: 0.001,0.01,0.1,1.0)."
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 5, "Runs of each model and setting, with seeds 0, 1, …", lower_bound=1
)
_K = flags.DEFINE_integer(
    "k",
    None,
    "Length of the k-mers of the baseline, in bases (default: 6; 5 for sequences below"
    " 100 bases).",
    lower_bound=1,
    upper_bound=8,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the results (default: runs/<protocol>-<data>)."
)

_AGAIN = "run the same command again to go on"

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Runs everything that is not finished yet, and writes and prints the results."""
    if bool(_DATASET.value) == bool(_TABLE.value):
        raise app.UsageError("give one of --dataset and --table")
    if _DATASET.value and _TEST_TABLE.value:
        raise app.UsageError("--test_table needs --table")
    settings = _settings()
    from genomenet.data import existing
    from genomenet.training import signals

    with startup.refusing("evaluate"):
        existing.check(
            models=_MODELS.value,
            dataset=_DATASET.value,
            data_dir=_DATA_DIR.value,
            files=[_TABLE.value, _TEST_TABLE.value],
        )
    for number in signals.handled():
        signal.signal(number, _stop)
    startup.load_tensorflow()
    from genomenet.training import loop

    try:
        _evaluate(settings)
    except loop.Stopped as stopped:
        _stop(stopped.signal_number or signal.SIGTERM, None)
    except (ValueError, OSError, ImportError, loop.TrainingError) as e:
        print(f"evaluate: {e}", file=sys.stderr)
        sys.exit(1)


def _evaluate(settings: tuple[int | float, ...]) -> None:
    from genomenet.evaluation import protocols, report, results, runner, strands
    from genomenet.evaluation import sampler as sampler_lib

    protocol = protocols.Protocol(kind=_PROTOCOL.value, settings=settings)
    data, directory = _data()
    data = data.with_positive(_POSITIVE.value)
    for line in report.describe(data):
        print(line, file=sys.stderr)
    strand_notes = list(strands.of_words(data))
    for line in strand_notes:
        print(f"WARNING: {line}", file=sys.stderr)
    name = f"{protocol.kind}-{data.name.split('.')[0]}"
    workdir = pathlib.Path(_WORKDIR.value or f"runs/{name}")
    runner.run(
        protocol,
        _MODELS.value,
        sampler_lib.Sampler(data, directory),
        seeds=_SEEDS.value,
        workdir=workdir,
        k=_K.value,
        from_scratch=_FROM_SCRATCH.value,
    )
    notes = [*strands.of_mirrored(data), *strand_notes]
    print(results.write(workdir, protocol, data.task, notes))
    print(f"results:   {workdir}/results.csv, results.md, results.png")


def _data() -> tuple[Any, pathlib.Path | None]:
    """Reads the examples. Returns them with the folder of a prepared dataset."""
    from genomenet.data import catalogue, examples

    if _DATASET.value:
        path = catalogue.prepare(_DATASET.value, _DATA_DIR.value, verify=_VERIFY.value)
        return examples.read_prepared(path), path
    tables = {examples.TRAIN: str(_TABLE.value)}
    if _TEST_TABLE.value:
        tables[examples.TEST] = _TEST_TABLE.value
    return examples.read_tables(tables, task=_TASK.value), None


def _settings() -> tuple[int | float, ...]:
    """Returns the given settings of the protocol, empty for its defaults."""
    is_few_shot = _PROTOCOL.value == "few_shot"
    given, other = (_SHOTS, _FRACTIONS) if is_few_shot else (_FRACTIONS, _SHOTS)
    if other.value is not None:
        raise app.UsageError(
            f"--{other.name} cannot be used with --protocol={_PROTOCOL.value}"
        )
    try:
        kind = int if is_few_shot else float
        return tuple(kind(value) for value in given.value or ())
    except ValueError:
        text = ",".join(given.value or ())
        raise app.UsageError(
            f"--{given.name}={text} must be numbers joined by commas"
        ) from None


def _stop(number: int, frame: Any) -> None:
    """Ends the command; finished runs are kept."""
    del frame
    startup.end(number, _AGAIN)


if __name__ == "__main__":
    startup.run(main)
