"""Pretrains a model on a prepared genome: `python -m genomenet.train --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import os
import pathlib
import sys
from typing import Any, Final

from absl import flags

from genomenet import command_flags

_DEFAULT_DATASET: Final = "ecoli_k12"

_MODEL = flags.DEFINE_string(
    "model", None, "Name of a folder in models/, or the path of one.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset",
    _DEFAULT_DATASET,
    "Name or folder of a prepared dataset; a recipe in datasets/ is prepared first.",
)
_FASTA = flags.DEFINE_list(
    "fasta",
    None,
    "Sequence files instead of --dataset, packed into the folder of the run. With"
    " KERAS_BACKEND=jax this does not need TensorFlow.",
)
_SPLITS = flags.DEFINE_string(
    "splits", "90/5/5", "With --fasta: percentages of train, validation and test."
)
_CHUNK_LENGTH = flags.DEFINE_integer(
    "chunk_length",
    16_384,
    "With --fasta: maximum length of a chunk, in bases.",
    lower_bound=100,
)
_DATA_DIR, _VERIFY = command_flags.define_prepared()
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run (default: runs/<model>-<dataset>)."
)
_INIT = flags.DEFINE_enum(
    "init",
    "random",
    ["random", "pretrained"],
    "Initial weights; pretrained: those of --model, to train them further.",
)
_OVERRIDES: Final = (
    flags.DEFINE_integer("steps", None, "Optimizer steps.", lower_bound=1),
    flags.DEFINE_integer(
        "batch_size", None, "Windows per batch over all devices.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "accumulate",
        None,
        "Batches whose gradients are accumulated for one step. Negatives of a"
        " contrastive objective still come from one batch.",
        lower_bound=1,
    ),
    flags.DEFINE_float("learning_rate", None, "Peak learning rate.", lower_bound=0),
    flags.DEFINE_enum(
        "schedule", None, ["constant", "linear", "cosine"], "Decay after the warm-up."
    ),
    flags.DEFINE_integer("warmup_steps", None, "Steps of warm-up.", lower_bound=0),
    flags.DEFINE_enum(
        "precision",
        None,
        ["float32", "mixed_bfloat16", "mixed_float16"],
        "Number format of the computations.",
    ),
    flags.DEFINE_bool("jit_compile", None, "Compile with XLA; measure before using."),
    flags.DEFINE_integer("seed", None, "Seed of weights, order and crops."),
    flags.DEFINE_integer(
        "checkpoint_every", None, "Steps between checkpoints.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "eval_every", None, "Steps between evaluations.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "eval_batches", None, "Batches per evaluation.", lower_bound=1
    ),
    flags.DEFINE_integer("keep", None, "Checkpoints to keep.", lower_bound=1),
)
_NEGATIVES = flags.DEFINE_enum(
    "negatives",
    None,
    ["global", "local"],
    "Contrastive objectives: negatives from all devices, or from the same device only.",
)
_OBJECTIVE = flags.DEFINE_string(
    "objective", None, "Self-GenomeNet: an ablation instead of the published objective."
)
_GAPS = flags.DEFINE_list(
    "gaps",
    None,
    "Self-GenomeNet: patches skipped before the predicted ones, such as 3 or 3,5,8.",
)
_TEMPERATURE = flags.DEFINE_float(
    "temperature",
    None,
    "Self-GenomeNet: use the cosine similarity divided by this (0: the published"
    " product).",
    lower_bound=0,
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", None, "BERT: read training rows from a random strand."
)
_LENGTH = flags.DEFINE_integer(
    "length", None, "Bases of a training row (default: the model's).", lower_bound=1
)
_MASKING = flags.DEFINE_string(
    "masking",
    None,
    "BERT: masking strategy (default: the model's).",
)
_MLM_PROBABILITY = flags.DEFINE_float(
    "mlm_probability",
    None,
    "BERT: share of tokens chosen as centres of masked spans (default: the model's).",
    lower_bound=0,
    upper_bound=1,
)
_NPMI = flags.DEFINE_string(
    "npmi",
    None,
    "BERT: ranking of k-mers for genemask: human_chr20, a .csv of genomenet.rank_kmers,"
    " or dataset, which first ranks the k-mers of the training split.",
)
_OF_MODEL: Final = (
    _LENGTH,
    _NEGATIVES,
    _OBJECTIVE,
    _TEMPERATURE,
    _MASKING,
    _MLM_PROBABILITY,
    _NPMI,
    _BOTH_STRANDS,
)
_DISTRIBUTE = flags.DEFINE_enum(
    "distribute",
    "auto",
    ["auto", "none", "mirrored", "multi_worker"],
    "Devices. auto: multi_worker if TF_CONFIG is set, mirrored on several GPUs, else"
    " none.",
)

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Prepares the data, trains a model and exports it."""
    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    from genomenet.data import existing

    is_packed = pathlib.Path(_DATASET.value).suffix == ".npz"
    with startup.refusing("train"):
        existing.check(
            models=[_MODEL.value],
            dataset=None if _FASTA.value or is_packed else _DATASET.value,
            data_dir=_DATA_DIR.value,
            files=[] if (workdir / "genome.npz").exists() else _FASTA.value or [],
        )
    if _is_tensorflow():
        startup.load_tensorflow()
    from genomenet.training import command

    with command.resumable("train", workdir):
        _train(workdir)


def _train(workdir: pathlib.Path) -> None:
    from genomenet.api import pretrain

    flags_given = [f for f in (*_OVERRIDES, *_OF_MODEL) if f.value is not None]
    given: dict[str, Any] = {flag.name: flag.value for flag in flags_given}
    if _GAPS.value is not None:
        given["gaps"] = _whole_numbers(_GAPS)
    run = pretrain.pretrain(
        _MODEL.value,
        _DATASET.value,
        fasta=_FASTA.value,
        splits=_SPLITS.value,
        chunk_length=_CHUNK_LENGTH.value,
        data_dir=_DATA_DIR.value,
        verify=_VERIFY.value,
        init=_INIT.value,
        workdir=workdir,
        distribute=_DISTRIBUTE.value,
        flags_text=_flags_text(),
        **given,
    )
    if run is not None:
        print(run)


def _whole_numbers(flag: flags.FlagHolder[list[str] | None]) -> list[int]:
    """Returns the values of a list flag as integers."""
    try:
        return [int(value) for value in flag.value or []]
    except ValueError:
        text = ",".join(flag.value or [])
        raise ValueError(f"--{flag.name}={text} must be whole numbers") from None


def _is_tensorflow() -> bool:
    """Returns whether Keras uses the TensorFlow backend."""
    return os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"


def _default_workdir() -> str:
    return f"runs/{pathlib.Path(_MODEL.value).name}-{_data_name()}"


def _data_name() -> str:
    """Returns the name of the dataset, or of the first file without its suffixes."""
    if _FASTA.value:
        return pathlib.PurePath(_FASTA.value[0]).name.partition(".")[0]
    return pathlib.Path(_DATASET.value).name


def _flags_text() -> str:
    """Returns the given flags in the format of --flagfile."""
    from genomenet.training import command

    return command.flags_text(
        flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    )


if __name__ == "__main__":
    startup.run(main)
