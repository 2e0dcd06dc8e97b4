"""Ranks k-mers by normalised PMI: `python -m genomenet.rank_kmers --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import sys
from typing import TYPE_CHECKING

from absl import app, flags

from genomenet import command_flags

if TYPE_CHECKING:
    from genomenet.data import kmer_ranking

_FASTA = flags.DEFINE_list(
    "fasta",
    None,
    "Sequence files to count k-mers in: paths, patterns, or - for standard input.",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Name or folder of a prepared dataset, to count k-mers in its training split.",
)
_DATA_DIR, _VERIFY = command_flags.define_prepared()
_COUNTS = flags.DEFINE_string(
    "counts", None, "Tab-separated table of k-mers and counts, instead of sequences."
)
_K = flags.DEFINE_integer("k", 6, "Bases of a k-mer.", lower_bound=3, upper_bound=8)
_SEGMENTS = flags.DEFINE_enum(
    "segments",
    "1,2",
    ["1,2", "all"],
    "Segments that a k-mer is divided into: of one and two bases, as published for"
    " GeneMask, or of every length, as in PMI-masking.",
)
_MIN_COUNT = flags.DEFINE_integer(
    "min_count", 101, "Minimum count of a k-mer in the ranking.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The .csv file to write; a plot is written to the same folder.",
    required=True,
)
_NOTE = flags.DEFINE_string("note", "", "A comment on the sequences, for the header.")

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Counts and ranks k-mers, and writes the ranking."""
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
        raise app.UsageError(
            f"--output={output} is the same file as --counts: choose another name"
        )
    with startup.refusing("rank_kmers"):
        counter, source = _count()
        for note in counter.notes:
            print(f"rank_kmers: {note}", file=sys.stderr)
        ranks = kmer_ranking.rank(
            counter.counts,
            _K.value,
            segments=_SEGMENTS.value,
            min_count=_MIN_COUNT.value,
        )
        header = [*_header(source, int(counter.counts.sum())), *counter.notes]
        # Both files are written, or none.
        with atomic.replacing(output) as table, atomic.replacing(plot) as drawing:
            kmer_ranking.write(ranks, table, header=header)
            kmer_ranking.draw(ranks, drawing)
    print(f"{len(ranks.words):,} of {4**_K.value:,} {_K.value}-mers in {output}")
    for index in range(min(3, len(ranks.words))):
        print(f"{index + 1:>5}  {ranks.words[index]}  NPMI {ranks.npmi[index]:.4f}")


def _count() -> tuple[kmer_ranking.Counter, str]:
    """Returns the counter and a description of the counted sequences."""
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
