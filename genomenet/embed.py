"""Embeds sequence files with a trained model: `python -m genomenet.embed --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()


from absl import flags

from genomenet import command_flags

_MODEL = flags.DEFINE_string(
    "model", None, "Name of a trained model, or its release folder.", required=True
)
_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Sequence files, patterns, or - for standard input, joined by commas.",
    required=True,
)
_GENOME, _WIDTH = command_flags.define_genome()
_OUTPUT = flags.DEFINE_string(
    "output", None, "A .parquet or .h5 file to write.", required=True
)
_WINDOW = flags.DEFINE_integer(
    "window", None, "Bases of a window (default: the model's length).", lower_bound=1
)
_STRIDE = flags.DEFINE_integer(
    "stride", None, "Bases between windows (default: the window).", lower_bound=1
)
_POOL = flags.DEFINE_enum(
    "pool",
    None,
    [
        "mean",
        "last",
        "cls",
        "max",
        "bins",
        "middle_mean",
        "middle_bins",
        "embeddings_mean",
        "embeddings_bins",
        "none",
    ],
    "How a window becomes one vector (default: the model's). bins: means of 8 parts,"
    " concatenated; none: one vector per patch or token.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Windows per batch.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", False, "Average with the vector of the reverse complement."
)
_MAX_N = flags.DEFINE_float(
    "max_n",
    1.0,
    "Share of N at or above which the vector of a window is NaN.",
)

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Writes one row per window."""
    from genomenet.data import existing
    from genomenet.inference import writers

    with startup.refusing("embed", state="run it again to go on"):
        existing.check(
            models=[_MODEL.value],
            files=_INPUT.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
        )
        writers.check_name(_OUTPUT.value)
        startup.load_tensorflow()
        from genomenet.inference import embed

        counts = embed.embed_files(
            _MODEL.value,
            _INPUT.value,
            _OUTPUT.value,
            window=_WINDOW.value,
            stride=_STRIDE.value,
            pool=_POOL.value,
            batch_size=_BATCH_SIZE.value,
            both_strands=_BOTH_STRANDS.value,
            max_n=_MAX_N.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
            warn=startup.warner("embed"),
        )
    print(f"{counts['rows']:,} rows in {_OUTPUT.value}")
    if counts["blank"]:
        what = "N only" if _MAX_N.value == 1 else f"at least {_MAX_N.value:.0%} N"
        print(f"without information: {counts['blank']:,} windows of {what}: NaN")
    if counts["records"]:
        print(
            f"skipped as too short: {counts['records']:,} records,"
            f" {counts['bases']:,} bases"
        )


if __name__ == "__main__":
    startup.run(main)
