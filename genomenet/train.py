"""Pretrains a model on a prepared genome: `python -m genomenet.train --help`."""

from __future__ import annotations

if __name__ == "__main__":
    from genomenet import startup

    startup.begin()

import dataclasses
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from absl import app, flags, logging

_DEFAULT_DATASET: Final = "ecoli_k12"

_MODEL = flags.DEFINE_string(
    "model", None, "Name of a folder in models/, or the path of one.", required=True
)
_DATASET = flags.DEFINE_string(
    "dataset",
    _DEFAULT_DATASET,
    "Name of a prepared dataset, or its folder; one of datasets/ is prepared first.",
)
_FASTA = flags.DEFINE_list(
    "fasta",
    None,
    "Sequence files instead of --dataset: packed into the folder of the run. With"
    " KERAS_BACKEND=jax nothing of TensorFlow is needed.",
)
_SPLITS = flags.DEFINE_string(
    "splits", "90/5/5", "Of --fasta: percentages of train, validation and test."
)
_CHUNK_LENGTH = flags.DEFINE_integer(
    "chunk_length", 16_384, "Of --fasta: bases in a chunk, at most.", lower_bound=100
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of all datasets (default: as in TFDS)."
)
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Read all of --dataset first and compare checksums, not only sizes and ends.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run (default: runs/<model>-<dataset>)."
)
_INIT = flags.DEFINE_enum(
    "init",
    "random",
    ["random", "pretrained"],
    "Weights to begin with; pretrained: those of --model, to train them further.",
)
_OVERRIDES: Final = (
    flags.DEFINE_integer("steps", None, "Optimizer steps.", lower_bound=1),
    flags.DEFINE_integer(
        "batch_size", None, "Windows in a batch over all devices.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "accumulate",
        None,
        "Batches whose gradients make one step. Does not enlarge the set of negatives"
        " of a contrastive objective: they come from one batch.",
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
_NEGATIVES = flags.DEFINE_enum(
    "negatives",
    None,
    ["global", "local"],
    "Contrastive objectives: compare with the rows of all devices, or a device's own.",
)
_OBJECTIVE = flags.DEFINE_string(
    "objective", None, "Self-GenomeNet: an ablation instead of the published objective."
)
_LENGTH = flags.DEFINE_integer(
    "length", None, "Bases of a training row (default: the model's).", lower_bound=1
)
_MASKING = flags.DEFINE_string(
    "masking",
    None,
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
    "npmi",
    None,
    "BERT: ranking of k-mers for genemask: human_chr20, a .csv of genomenet.rank_kmers,"
    " or dataset, which ranks the training split first.",
)
_OF_MODEL: Final = (_LENGTH, _NEGATIVES, _OBJECTIVE, _MASKING, _MLM_PROBABILITY, _NPMI)
_DISTRIBUTE = flags.DEFINE_enum(
    "distribute",
    "auto",
    ["auto", "none", "mirrored", "multi_worker"],
    "Devices: auto is multi_worker where TF_CONFIG is set, mirrored where there are"
    " several GPUs, else none.",
)


def main(argv: Sequence[str]) -> None:
    """Prepares the data, trains, and exports what was trained."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    from genomenet import startup
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
    from genomenet import catalog, models
    from genomenet.dna import ranking
    from genomenet.release import folder
    from genomenet.release import start as start_lib
    from genomenet.training import command, engines, pretrain, settings

    devices = engines.devices(_DISTRIBUTE.value)
    start = None
    if _INIT.value == start_lib.PRETRAINED:
        start = start_lib.read_start(_MODEL.value, _INIT.value)
    preset = folder.read_config(catalog.model_folder(_MODEL.value))
    given = {f.name: f.value for f in _OVERRIDES if f.value is not None}
    chosen = settings.from_dict({**preset["training"], **given})
    model: dict[str, Any] = dict(preset["model"])
    for flag in _OF_MODEL:
        if flag.value is not None:
            model[flag.name] = flag.value
    config = models.get_family(preset["family"]).from_dict(model)
    is_ranked = _NPMI.value == "dataset"
    if getattr(config, "masking", "").startswith("genemask") and not is_ranked:
        ranking.read(config.npmi, config.kmer)  # fails now, or never
    dataset = _dataset(workdir)
    if is_ranked:
        model["npmi"] = _rank(dataset, workdir, preset, model)
    result = pretrain.run(
        family=preset["family"],
        model=model,
        settings=chosen,
        dataset=dataset,
        workdir=workdir,
        pretrained=start.model if start else None,
        origin=start.origin if start else None,
        devices=devices,
        flags_text=_flags_text(),
    )
    if not result.is_chief:
        return
    release = command.release_folder(workdir)
    if not (result.resumed and release.exists()):
        _export(result, workdir, release)
    print(_summary(result, workdir, release))


def _is_tensorflow() -> bool:
    """Whether Keras will compute with TensorFlow."""
    return os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"


def _dataset(workdir: pathlib.Path) -> Any:
    """Returns the prepared genome, which is made first where it is not there."""
    from genomenet.data import building, integrity, prepared, progress
    from genomenet.dna import reader

    if not _FASTA.value:
        name, data_dir = str(_DATASET.value), _DATA_DIR.value
        found = building.find(name, data_dir)
        if found is None and pathlib.Path(name).suffix == ".npz":
            return prepared.read(name)
        if found is None:
            from genomenet.data import catalogue  # TensorFlow

            found = catalogue.prepare(name, data_dir)
        if _VERIFY.value:
            integrity.check(found, whole=True)
        return prepared.read(found)
    path = workdir / "genome.npz"
    if path.exists():
        return prepared.read(path)
    paths = reader.expand(_FASTA.value)
    with progress.bar("packing", progress.guessed_bases(paths), show=True) as update:
        return prepared.pack(
            paths,
            path,
            name=_data_name(),
            splits=_SPLITS.value,
            chunk_length=_CHUNK_LENGTH.value,
            progress=update,
            tell=lambda line: print(line, file=sys.stderr),
        )


def _export(result: Any, workdir: pathlib.Path, release: pathlib.Path) -> None:
    """Writes the release folder: with TensorFlow, if need be in its own process."""
    if _is_tensorflow():
        from genomenet.release import export

        export.write_release(
            result.model,
            result.config.to_json(),
            directory=release,
            name=release.name,
            metrics=result.metrics,
            flags_text=_flags_text(),
        )
        return
    command = ["-m", "genomenet.export", f"--workdir={workdir}"]
    command += [f"--name={release.name}", "--overwrite"]
    if importlib.util.find_spec("tensorflow") is None:
        shown = " ".join(["python", *command])
        print(f"trained; where TensorFlow is, release it: {shown}", file=sys.stderr)
        return
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE
    )
    if done.returncode:
        raise ValueError("the release was not written")


def _rank(
    dataset: Any,
    workdir: pathlib.Path,
    preset: dict[str, Any],
    model: dict[str, Any],
) -> str:
    """Ranks the k-mers of the training split, once; returns the file."""
    from genomenet import models
    from genomenet.data import kmer_ranking

    path = workdir / "npmi.csv"
    if not path.exists():
        config = models.get_family(preset["family"]).from_dict(model)
        counts = kmer_ranking.count_genome(dataset, config.kmer).counts
        header = [f"training split of {dataset.name} {dataset.version}".rstrip()]
        kmer_ranking.write(kmer_ranking.rank(counts, config.kmer), path, header=header)
    return str(path)


def _summary(result: Any, workdir: pathlib.Path, release: pathlib.Path) -> str:
    from genomenet.training import progress

    curves = workdir / "learning_curves.png"
    scores = ", ".join(progress.describe(result.metrics, "val_")) or "not validated"
    return "\n".join(
        [
            f"{'finished before' if result.resumed else 'finished'}:"
            f" {dataclasses.asdict(result.config.settings)['steps']} steps, validation"
            f" {scores}",
            *([f"curves:    {curves}"] if curves.exists() else []),
            f"model:     {release}",
            f'in Python: import genomenet; model = genomenet.load_model("{release}")',
            f'           (or tf.saved_model.load("{release / "saved_model"}"),'
            " which takes strings)",
            f"embed:     python -m genomenet.embed --model={release}"
            " --input=your.fa.gz --output=embeddings.parquet",
        ]
    )


def _default_workdir() -> str:
    return f"runs/{pathlib.Path(_MODEL.value).name}-{_data_name()}"


def _data_name() -> str:
    """Returns the name of the dataset, or of the first file without its endings."""
    if _FASTA.value:
        return pathlib.PurePath(_FASTA.value[0]).name.partition(".")[0]
    return pathlib.Path(_DATASET.value).name


def _flags_text() -> str:
    """Returns the flags that were given, as a --flagfile takes them."""
    from genomenet.training import command

    return command.flags_text(
        flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    app.run(main)
