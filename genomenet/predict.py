"""Predicts labels of sequence files and tables: `python -m genomenet.predict --help`.

The classifier is a result of `genomenet.finetune`.
"""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

from typing import TYPE_CHECKING

from absl import flags

from genomenet import command_flags

if TYPE_CHECKING:
    from genomenet.inference import inputs

_MODEL = flags.DEFINE_string(
    "model", None, "Release folder of a classifier, or its name.", required=True
)
_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Sequence files, patterns, or - for standard input, joined by commas; or tables"
    " (TSV, CSV) with a column sequence and optionally id: one prediction per row.",
    required=True,
)
_GENOME, _WIDTH = command_flags.define_genome()
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .tsv, .tsv.gz or .parquet file to write.", required=True
)
_WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Records longer than this are read in windows of this many bases, shorter ones as"
    " a whole (default: the maximum sequence length of the classifier); 0: every record"
    " is read as a whole.",
    lower_bound=0,
)
_STRIDE = flags.DEFINE_integer(
    "stride", None, "Bases between windows (default: the window).", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Windows per batch.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", None, "Predict the mean of both strands (default: as evaluated)."
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "What to do at a malformed record or row; skip: report it and continue.",
)
_MAX_N = flags.DEFINE_float(
    "max_n",
    1.0,
    "Share of N at or above which the label and values of a window are empty, and the"
    " window is omitted from tracks.",
)
_BEDGRAPH = flags.DEFINE_string(
    "bedgraph",
    None,
    "Folder for one .bedgraph file per class with its probability per base, averaged"
    " over overlapping windows.",
)
_BIGWIG = flags.DEFINE_string(
    "bigwig", None, "Folder for the same tracks as .bw files; needs the extra tracks."
)

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Writes one row per window."""
    from genomenet.data import existing
    from genomenet.inference import prediction_table

    with startup.refusing("predict", state="run it again to go on"):
        existing.check(
            models=[_MODEL.value],
            files=_INPUT.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
        )
        prediction_table.check_name(_OUTPUT.value)
        startup.load_tensorflow()
        from genomenet.inference import predict_files

        options = predict_files.Options(
            window=_WINDOW.value,
            stride=_STRIDE.value,
            batch_size=_BATCH_SIZE.value,
            both_strands=_BOTH_STRANDS.value,
            on_error=_ON_ERROR.value,
            max_n=_MAX_N.value,
            bedgraph=_BEDGRAPH.value,
            bigwig=_BIGWIG.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
        )
        counts = predict_files.predict_files(
            _MODEL.value,
            _INPUT.value,
            _OUTPUT.value,
            options,
            warn=startup.warner("predict"),
        )
    for line in _summary(counts):
        print(line)


def _summary(counts: inputs.Counts) -> list[str]:
    read = counts.records + counts.short + counts.bad
    lines = [
        f"records:   {read:,} read, {counts.records:,} predicted",
        f"windows:   {counts.rows:,} in {_OUTPUT.value}",
        f"skipped:   {counts.short:,} too short, {counts.bad:,} malformed",
    ]
    if counts.blank:
        what = "N only" if _MAX_N.value == 1 else f"at least {_MAX_N.value:.0%} N"
        lines.append(
            f"empty:     {counts.blank:,} windows of {what}: no label, no value"
        )
    labelled = counts.rows - counts.blank
    for label, count in counts.labels.most_common():
        lines.append(f"label:     {label}: {count:,} ({count / labelled:.1%})")
    return lines


if __name__ == "__main__":
    startup.run(main)
