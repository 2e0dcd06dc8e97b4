"""Pretrains without TensorFlow: `python -m genomenet.training.portable --help`.

For machines with a GPU or TPU that have JAX, Keras, NumPy and Biopython. It leaves
`model.npz`, of which `python -m genomenet.export --from_npz=…` makes a release.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from absl import app, flags, logging

_COMMAND: Final = "python -m genomenet.training.portable"

_MODEL = flags.DEFINE_string(
    "model", None, "Name of a folder in models/, or the path of one."
)
_GENOME = flags.DEFINE_list(
    "genome", None, "Sequence files, or an .npz of --pack.", required=True
)
_PACK = flags.DEFINE_string(
    "pack", None, "Only write the genome here, an .npz of 2 bits a base to carry along."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run (default: runs/<model>-<genome>)."
)
_SPLITS = flags.DEFINE_string(
    "splits",
    "90/5/5",
    "Percentages of train, validation and test; the same blocks of a genome as of"
    " genomenet.build_dataset.",
)
_CHUNK_LENGTH = flags.DEFINE_integer(
    "chunk_length", 16_384, "Bases in a chunk, at most.", lower_bound=100
)
_OVERRIDES: Final = (
    flags.DEFINE_integer("steps", None, "Optimizer steps.", lower_bound=1),
    flags.DEFINE_integer("batch_size", None, "Windows in a batch.", lower_bound=1),
    flags.DEFINE_integer(
        "accumulate", None, "Batches whose gradients make one step.", lower_bound=1
    ),
    flags.DEFINE_float("learning_rate", None, "Peak learning rate.", lower_bound=0),
    flags.DEFINE_enum(
        "schedule", None, ["constant", "linear", "cosine"], "Decay after the warm-up."
    ),
    flags.DEFINE_integer("warmup_steps", None, "Steps of warm-up.", lower_bound=0),
    flags.DEFINE_enum(
        "precision",
        None,
        ["float32", "mixed_bfloat16"],
        "Number format of the computations.",
    ),
    flags.DEFINE_integer("seed", None, "Seed of weights, order and cuts."),
    flags.DEFINE_integer(
        "checkpoint_every", None, "Steps between checkpoints.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "eval_every", None, "Steps between evaluations.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "eval_batches", None, "Batches of an evaluation.", lower_bound=1
    ),
    flags.DEFINE_integer("keep", None, "Checkpoints kept.", lower_bound=1),
)
_OBJECTIVE = flags.DEFINE_string(
    "objective", None, "Self-GenomeNet: an ablation instead of the published objective."
)
_MASKING = flags.DEFINE_enum(
    "masking",
    None,
    ["genemask", "kmer_span", "token", "genemask_released"],
    "BERT: how tokens are masked (default: as the model's config says).",
)
_MLM_PROBABILITY = flags.DEFINE_float(
    "mlm_probability",
    None,
    "BERT: share of tokens that are centres of what is masked (default: the model's).",
    lower_bound=0,
    upper_bound=1,
)
_NPMI = flags.DEFINE_string(
    "npmi", None, "BERT: ranking of k-mers for genemask: human_chr20, or a .csv."
)
_LENGTH = flags.DEFINE_integer(
    "length", None, "Bases of a training row (default: the model's).", lower_bound=1
)
_INIT = flags.DEFINE_enum(
    "init",
    "random",
    ["random", "pretrained"],
    "Weights to begin with; pretrained: those of --model, to train them further.",
)


def main(argv: Sequence[str]) -> None:
    """Packs the genome, or trains on it."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if _MODEL.value is None and _PACK.value is None:
        raise app.UsageError("give --model to train, or --pack to write the genome")
    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    from genomenet.training import command

    with command.resumable("portable", workdir):
        if _PACK.value is not None:
            _pack(_PACK.value)
        else:
            _train(workdir)


def _pack(path: str) -> None:
    from genomenet.training import portable_genome

    if pathlib.PurePath(path).suffix != ".npz":
        raise ValueError(f"--pack={path} does not end in .npz")
    genome = portable_genome.read(_GENOME.value)
    genome.save(path)
    bases, records = int(genome.lengths.sum()), len(genome.names)
    print(f"{bases:,} bases of {records} records in {path}")


def _train(workdir: pathlib.Path) -> None:
    from genomenet import catalog
    from genomenet.evaluation import experiment
    from genomenet.release import folder
    from genomenet.training import command, portable_genome, portable_run, settings

    start = None
    if _INIT.value == experiment.PRETRAINED:
        start = experiment.read_start(_MODEL.value or "", _INIT.value)
    preset = folder.read_config(catalog.model_folder(_MODEL.value or ""))
    given = {f.name: f.value for f in _OVERRIDES if f.value is not None}
    model: dict[str, Any] = dict(preset["model"])
    for flag in (_LENGTH, _OBJECTIVE, _MASKING, _MLM_PROBABILITY, _NPMI):
        if flag.value is not None:
            model[flag.name] = flag.value
    module = flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    result = portable_run.run(
        family=preset["family"],
        model=model,
        settings=settings.from_dict({**preset["training"], **given}),
        genome=portable_genome.read(_GENOME.value),
        name=_genome_name(),
        workdir=workdir,
        pretrained=start.model if start else None,
        origin=start.origin if start else None,
        splits=_SPLITS.value,
        chunk_length=_CHUNK_LENGTH.value,
        flags_text=f"# {_COMMAND}\n{command.flags_text(module)}",
    )
    print(_summary(result, workdir / portable_run.WEIGHTS))


def _summary(result: Any, weights: pathlib.Path) -> str:
    from genomenet.training import progress

    metrics = result.metrics
    scores = ", ".join(progress.describe(metrics, "val_")) or "not validated"
    speed = ""
    if "bases_per_second" in metrics:
        speed = f", {metrics['bases_per_second']:,.0f} bases/s"
    return "\n".join(
        [
            f"{'finished before' if result.resumed else 'finished'}:"
            f" {metrics['steps']} steps{speed}, validation {scores}",
            f"weights:  {weights}",
            f"release:  python -m genomenet.export --from_npz={weights} --name=NAME,"
            " where TensorFlow is",
        ]
    )


def _genome_name() -> str:
    """Returns the first file's name without its endings."""
    return pathlib.PurePath(_GENOME.value[0]).name.partition(".")[0]


def _default_workdir() -> str:
    return f"runs/{pathlib.Path(_MODEL.value or '').name}-{_genome_name()}"


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    logging.set_verbosity(logging.WARNING)
    app.run(main)
