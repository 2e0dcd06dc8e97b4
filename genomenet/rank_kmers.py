"""Ranks k-mers by normalised PMI: `python -m genomenet.rank_kmers --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import sys
from typing import TYPE_CHECKING

from absl import app, flags

if TYPE_CHECKING:
    from genomenet.data import kmer_ranking

_FASTA = flags.DEFINE_list(
    "fasta", None, "Sequence files, patterns, or - for standard input, to count in."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Name or folder of a prepared dataset: counts its training split."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of all datasets (default: as in TFDS)."
)
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Read all of --dataset first and compare checksums, not only sizes and ends.",
)
_COUNTS = flags.DEFINE_string(
    "counts", None, "Tab-separated table of k-mers and counts, instead of counting."
)
_K = flags.DEFINE_integer("k", 6, "Bases of a k-mer.", lower_bound=3, upper_bound=8)
_SEGMENTS = flags.DEFINE_enum(
    "segments",
    "1,2",
    ["1,2", "all"],
    "Parts that a k-mer is compared with: of one and two bases, as published by"
    " GeneMask, or of every length, as in PMI-masking.",
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_count", 101, "Occurrences below which a k-mer is left out.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The .csv file to write; a plot goes beside it.", required=True
)
_NOTE = flags.DEFINE_string("note", "", "A line about the sequences, for the header.")


def main() -> None:
    """Counts, ranks and writes."""
    from genomenet import atomic
    from genomenet.data import kmer_ranking

    given = [f for f in (_FASTA, _DATASET, _COUNTS) if f.value]
    if len(given) != 1:
        raise app.UsageError("give one of --fasta, --dataset, --counts")
    output = pathlib.Path(_OUTPUT.value)
    plot = output.with_suffix(".png")
    if output.suffix != ".csv":
        raise app.UsageError(f"--output={output} must end with .csv")
    for path in (output, plot):
        if path.is_dir():
            raise app.UsageError(f"--output={output}: {path} is a folder")
    if _COUNTS.value and output.resolve() == pathlib.Path(_COUNTS.value).resolve():
        raise app.UsageError(f"--output={output} is the table --counts")
    with startup.refusing("rank_kmers"):
        counter, source = _count()
        for note in counter.notes:
            print(f"rank_kmers: {note}", file=sys.stderr)
        found = kmer_ranking.rank(
            counter.counts,
            _K.value,
            segments=_SEGMENTS.value,
            min_count=_MIN_COUNT.value,
        )
        header = [*_header(source, int(counter.counts.sum())), *counter.notes]
        # Both files, or none.
        with atomic.replacing(output) as table, atomic.replacing(plot) as drawing:
            kmer_ranking.write(found, table, header=header)
            kmer_ranking.draw(found, drawing)
    print(f"{len(found.words):,} of {4**_K.value:,} {_K.value}-mers in {output}")
    for number in range(min(3, len(found.words))):
        print(f"{number + 1:>5}  {found.words[number]}  NPMI {found.npmi[number]:.4f}")


def _count() -> tuple[kmer_ranking.Counter, str]:
    """Returns the counter and what was counted."""
    from genomenet.data import kmer_ranking

    if _COUNTS.value:
        source = pathlib.Path(_COUNTS.value).name
        return kmer_ranking.read_counts(_COUNTS.value, _K.value), source
    if _FASTA.value:
        counter = kmer_ranking.count_files(_FASTA.value, _K.value, show_progress=True)
        return counter, ", ".join(pathlib.Path(p).name for p in _FASTA.value)

    startup.load_tensorflow()
    from genomenet.data import catalogue

    directory = catalogue.prepare(
        str(_DATASET.value), _DATA_DIR.value, verify=_VERIFY.value
    )
    source = f"training split of {directory.parent.name} {directory.name}"
    return kmer_ranking.count_dataset(directory, _K.value), source


def _header(source: str, total: int) -> list[str]:
    command = [
        f"--k={_K.value}",
        f"--segments={_SEGMENTS.value}",
        f"--min_count={_MIN_COUNT.value}",
    ]
    return [
        *([_NOTE.value] if _NOTE.value else []),
        f"python -m genomenet.rank_kmers {' '.join(command)}, {source}",
        f"{total} {_K.value}-mers counted",
    ]


if __name__ == "__main__":
    startup.run(main)
