"""Scores the variants of a VCF: `python -m genomenet.score_variants --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import sys

from absl import flags

_MODEL = flags.DEFINE_list(
    "model",
    None,
    "Names or release folders, joined by commas: classifiers, regressions, encoders or"
    " masked language models; several also give mean and standard deviation.",
    required=True,
)
_VCF = flags.DEFINE_string(
    "vcf",
    None,
    "A VCF, plain, gzip or bgzip; or a table (TSV, CSV) with the columns chrom, pos,"
    " ref and alt. Positions are 1-based.",
    required=True,
)
_GENOME = flags.DEFINE_list(
    "genome",
    None,
    "Sequence files of the genome, joined by commas: FASTA, gzip, 2bit, …",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .vcf, .vcf.gz, .tsv or .parquet file to write.", required=True
)
_WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Bases around each variant (default: the training length of the model).",
    lower_bound=1,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Windows per batch.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands",
    None,
    "Average over both strands (default: as evaluated for classifiers, yes for"
    " encoders).",
)
_POOL = flags.DEFINE_enum(
    "pool",
    None,
    ["mean", "last", "cls", "max"],
    "How an encoder turns a window into one vector (default: the model's).",
)
_NULL = flags.DEFINE_integer(
    "null",
    0,
    "Number of random SNVs of the same trinucleotide in the same window, for an"
    " empirical p-value of each score; 0: none.",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the random SNVs.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "What to do at a malformed line; skip: report it and continue.",
)
_STRICT = flags.DEFINE_bool("strict", False, "Exit with 1 unless every status is ok.")


def main() -> None:
    """Writes the scores of each alternative allele."""
    from genomenet.data import existing

    with startup.refusing("score_variants"):
        existing.check(models=_MODEL.value, files=[_VCF.value, *_GENOME.value])
        startup.load_tensorflow()
        from genomenet.variants import effects, score_files

        counts = score_files.score_file(
            _MODEL.value,
            _VCF.value,
            _GENOME.value,
            _OUTPUT.value,
            score_files.Options(
                window=_WINDOW.value,
                batch_size=_BATCH_SIZE.value,
                both_strands=_BOTH_STRANDS.value,
                pool=_POOL.value,
                null=_NULL.value,
                seed=_SEED.value,
                on_error=_ON_ERROR.value,
            ),
            warn=startup.warner("score_variants"),
        )
    print(f"{counts.records:,} records in {_OUTPUT.value}")
    if counts.malformed:
        print(f"skipped as malformed: {counts.malformed:,} lines")
    for line in effects.summary(counts.statuses):
        print(line)
    if _STRICT.value and (counts.malformed or set(counts.statuses) - {effects.OK}):
        sys.exit(1)


if __name__ == "__main__":
    startup.run(main)
