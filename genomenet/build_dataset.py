"""Builds a TFRecord dataset from sequence files, a table, or a named recipe.

python -m genomenet.build_dataset --dataset=ecoli_k12
python -m genomenet.build_dataset --fasta=a.fa.gz,more/*.fa --name=mine
python -m genomenet.build_dataset --table=peaks.tsv --name=peaks
python -m genomenet.build_dataset --class_fasta=yes=a.fa,no=b.fa --name=sites

The dataset is written to the folder NAME/VERSION in --data_dir, by default in
$TFDS_DATA_DIR or ~/tensorflow_datasets.
"""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags

from genomenet import catalog, task_kinds

_DATASET = flags.DEFINE_string(
    "dataset", None, "Name of a recipe in datasets/, or the path of its folder."
)
_FASTA = flags.DEFINE_list(
    "fasta",
    None,
    "Sequence files (FASTA, FASTQ, GenBank, EMBL, 2bit; plain or gzip), patterns, or -"
    " for standard input, joined by commas.",
)
_TABLE = flags.DEFINE_list(
    "table",
    None,
    "Tables (TSV or CSV, plain or gzip) with columns sequence and label, and optionally"
    " id and split, joined by commas.",
)
_CLASS_FASTA = flags.DEFINE_list(
    "class_fasta", None, "One sequence file for each class: yes=a.fa,no=b.fa."
)
_BED = flags.DEFINE_list(
    "bed",
    None,
    "Files of intervals (BED3 to BED12, narrowPeak, or tables with chrom, start, end),"
    " whose sequences are read from --genome; joined by commas.",
)
_GENOME = flags.DEFINE_list("genome", None, "Sequence files of the genome of --bed.")
_WIDTH = flags.DEFINE_integer(
    "width",
    None,
    "Bases to read around the summit of an interval, or around its midpoint if it has"
    " no summit (default: the whole interval).",
    lower_bound=1,
)
_LABEL_COLUMN = flags.DEFINE_integer(
    "label_column",
    None,
    "Column of --bed with the label, counted from 1 (default: the fourth if its names"
    " repeat, else all intervals are of one class, named after the file).",
    lower_bound=4,
)
_EXCLUDE = flags.DEFINE_list(
    "exclude", None, "Files of intervals that no sequence may overlap."
)
_SIGNAL = flags.DEFINE_string(
    "signal",
    None,
    "A bigWig track of the genome: labels are log(1 + mean signal of each sequence).",
)
_NEGATIVES = flags.DEFINE_enum(
    "negatives",
    None,
    ["gc", "shuffle"],
    "Add a class named negative. gc: random windows of the genome with similar shares"
    " of GC and N, in the same split; shuffle: the sequences, dinucleotide-shuffled.",
)
_PER_POSITIVE = flags.DEFINE_integer(
    "negatives_per_positive",
    None,
    "Negatives for each interval (default: 1).",
    lower_bound=1,
)
_NAME = flags.DEFINE_string("name", None, "Name of the new dataset.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of all datasets, in which this one is written to NAME/VERSION (default:"
    " $TFDS_DATA_DIR or ~/tensorflow_datasets).",
)
_MANUAL_DIR = flags.DEFINE_string(
    "manual_dir", None, "Folder with files you downloaded, instead of a download."
)
_CHUNK_LENGTH = flags.DEFINE_integer(
    "chunk_length", None, "Maximum length of a chunk, in bases (default: 16384)."
)
_MIN_LENGTH = flags.DEFINE_integer(
    "min_length",
    None,
    "Minimum length of a segment between long runs of N, in bases (default: 100);"
    " shorter ones are dropped.",
)
_SPLITS = flags.DEFINE_string(
    "splits",
    None,
    "Percentages of train/validation/test (default: 90/5/5). With --bed also the"
    " contigs of validation and test: chrom:chr8,chr9/chr1.",
)
_SPLIT_SEED = flags.DEFINE_integer(
    "split_seed", None, "Seed of the splits (default: 0)."
)
_TASK = flags.DEFINE_enum(
    "task",
    None,
    ["auto", *task_kinds.KINDS],
    "Kind of task (default: inferred from the labels).",
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace a dataset of this name, once the new one is complete."
)
_BEAM_OPTIONS = flags.DEFINE_string(
    "beam_options",
    None,
    "Build with Apache Beam and these pipeline options, such as --runner=DirectRunner.",
)

_GENOME_ONLY = (_CHUNK_LENGTH, _MIN_LENGTH, _BEAM_OPTIONS)
_BED_ONLY = (
    _GENOME,
    _WIDTH,
    _SIGNAL,
    _LABEL_COLUMN,
    _EXCLUDE,
    _NEGATIVES,
    _PER_POSITIVE,
)


def main() -> None:
    """Builds the dataset that the flags describe."""
    given = [f for f in (_DATASET, _FASTA, _TABLE, _CLASS_FASTA, _BED) if f.value]
    if len(given) != 1:
        raise app.UsageError(
            "give one of --dataset, --fasta, --table, --class_fasta, --bed"
        )
    if given[0] is not _BED:
        _refuse(_BED_ONLY, "--bed")
    elif not _GENOME.value:
        raise app.UsageError("--bed needs --genome, the genome of its intervals")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # differs under nohup
            signal.signal(number, _stop)
    from genomenet.data import building, summary

    with startup.refusing("build_dataset", state="nothing was kept"):
        name, make = _recipe(given[0].name)
        path, is_new = building.prepare(
            name,
            make,
            data_dir=_DATA_DIR.value,
            manual_dir=_MANUAL_DIR.value,
            overwrite=_OVERWRITE.value,
            beam_options=_BEAM_OPTIONS.value,
        )
    print(f"{'built' if is_new else 'already there'}: {path}")
    print(summary.table(path))
    if building.metadata(path).get("recipe") == "GenomeChunks":
        where = f" --data_dir={_DATA_DIR.value}" if _DATA_DIR.value else ""
        print(
            "next: python -m genomenet.train --model=selfgenomenet"
            f" --dataset={name}{where}"
        )


def _stop(number: int, frame: Any) -> None:
    """Ends the command, which then removes the incomplete dataset."""
    del frame
    print("build_dataset: stopped; nothing was kept", file=sys.stderr)
    sys.exit(128 + number)


def _recipe(source: str) -> tuple[str, Callable[[str], Any]]:
    """Returns the name of the dataset, and a function that makes its builder."""
    if source == "dataset":
        return _from_catalogue()
    if not _NAME.value:
        raise app.UsageError(f"--{source} needs a --name for the dataset")
    if _MANUAL_DIR.value:
        raise app.UsageError("--manual_dir goes with --dataset")
    from genomenet.data import building, sources
    from genomenet.dna import reader

    name = building.check_name(_NAME.value)
    if name in catalog.dataset_names():
        raise sources.DatasetError(
            f"--name={name} is a recipe of the catalogue: choose another name"
        )
    if source == "fasta":
        _refuse((_TASK,), "labels")
        files: Any = reader.expand(_FASTA.value or [])
    elif source == "bed":
        _refuse(_GENOME_ONLY, "genomes")
        files = reader.expand(_BED.value or [])
    else:
        _refuse(_GENOME_ONLY, "genomes")
        files = (
            _class_files()
            if source == "class_fasta"
            else reader.expand(_TABLE.value or [])
        )
    from genomenet.data import recipes  # imports TFDS

    bases = {"fasta": recipes.GenomeChunks, "bed": recipes.SelectedIntervals}
    base = bases.get(source, recipes.LabelledSequences)
    return name, lambda data_dir: base(
        name=name, sources=files, data_dir=data_dir, **_options()
    )


def _from_catalogue() -> tuple[str, Callable[[str], Any]]:
    """Returns the name and a builder function for a recipe of the catalogue."""
    from genomenet.data import building, catalogue

    recipe = catalogue.builder_class(_DATASET.value)
    if recipe.BASE == "GenomeChunks":
        _refuse((_TASK,), "labels")
    else:
        _refuse(_GENOME_ONLY, "genomes")
    name = building.check_name(_NAME.value or recipe.name)
    return name, lambda data_dir: recipe(name=name, data_dir=data_dir, **_options())


def _options() -> dict[str, Any]:
    """Returns the given options, keyed by argument name of the recipes."""
    values = {
        "chunk_length": _CHUNK_LENGTH.value,
        "min_length": _MIN_LENGTH.value,
        "splits": _SPLITS.value,
        "seed": _SPLIT_SEED.value,
        "task": _TASK.value,
        "genome": _GENOME.value,
        "width": _WIDTH.value,
        "label_column": _LABEL_COLUMN.value,
        "exclude": _EXCLUDE.value,
        "signal": _SIGNAL.value,
        "negatives": _NEGATIVES.value,
        "negatives_per_positive": _PER_POSITIVE.value,
    }
    return {key: value for key, value in values.items() if value is not None}


def _refuse(given: Sequence[flags.FlagHolder[Any]], what: str) -> None:
    """Raises UsageError if flags of another kind of dataset are given."""
    for flag in given:
        if flag.value is not None:
            raise app.UsageError(f"--{flag.name} is for {what} only")


def _class_files() -> dict[str, list[str]]:
    """Parses --class_fasta: class name → sequence files."""
    from genomenet.dna import reader

    files: dict[str, list[str]] = {}
    for part in _CLASS_FASTA.value or []:
        name, equals, path = part.partition("=")
        if not (name.strip() and equals and path.strip()):
            raise app.UsageError(f"--class_fasta: write class=file, not {part!r}")
        files.setdefault(name.strip(), []).append(path.strip())
    for name, paths in files.items():
        files[name] = reader.expand(paths)
    return files


if __name__ == "__main__":
    startup.run(main)
