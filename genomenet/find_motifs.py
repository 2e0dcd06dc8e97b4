"""Finds motifs: `python -m genomenet.find_motifs --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from genomenet import command_flags
from genomenet.motifs.discovery import options as options_lib

if TYPE_CHECKING:
    from genomenet.api import motifs

_NATIVE = options_lib.Options()

_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Sequence files, patterns, or - for standard input, joined by commas; or tables"
    " (TSV, CSV) with the columns sequence and label.",
    required=True,
)
_LABEL = flags.DEFINE_string(
    "label", None, "For tables: the label of interest; other rows are controls."
)
_CONTROL = flags.DEFINE_list(
    "control",
    None,
    "Sequence files without the motifs, or intervals (default: shuffled input).",
)
_GENOME, _WIDTH = command_flags.define_genome()
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write; an earlier result is replaced.", required=True
)
_BACKEND = flags.DEFINE_enum(
    "backend",
    "auto",
    ["auto", "native", "rgadem"],
    "Motif finder; auto is the native one.",
)
_MIN_WIDTH = flags.DEFINE_integer(
    "min_width", _NATIVE.min_width, "Minimum width of a motif, in bases; at least 6."
)
_MAX_WIDTH = flags.DEFINE_integer(
    "max_width", _NATIVE.max_width, "Maximum width of a motif, in bases; at most 20."
)
_NUM_MOTIFS = flags.DEFINE_integer(
    "num_motifs",
    _NATIVE.num_motifs,
    "Maximum number of motifs; 0: no limit.",
    lower_bound=0,
)
_THRESHOLD = flags.DEFINE_float(
    "threshold", _NATIVE.threshold, "p-value above which a motif is not significant."
)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    _NATIVE.patience,
    "Stop after this many consecutive motifs that are not significant.",
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", _NATIVE.both_strands, "Look for motifs on both strands."
)
_HOLDOUT = flags.DEFINE_float(
    "holdout", _NATIVE.holdout, "Share of the sequences held out for testing."
)
_ORDER = flags.DEFINE_integer(
    "order",
    _NATIVE.order,
    "Order of the Markov chain of the background, 0 to 5; shuffling preserves the"
    " counts of k-mers of order + 1 bases.",
)
_SEED = flags.DEFINE_integer("seed", _NATIVE.seed, "Seed of the search.")
_GADEM_PRESET = flags.DEFINE_enum(
    "gadem_preset", "default", ["default", "genemask"], "Parameters of rGADEM."
)
_GADEM = flags.DEFINE_list(
    "gadem",
    [],
    "Other parameters of rGADEM by its own names, such as numEM=80,maskR=1.",
)
_TIMEOUT = flags.DEFINE_float(
    "timeout", None, "Seconds after which rGADEM is stopped.", lower_bound=1
)
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Folder or name of a classifier: search only the regions that matter most to its"
    " predictions, those of high attribution.",
)
_ATTRIBUTION = flags.DEFINE_enum(
    "attribution",
    None,
    ["integrated_gradients", "input_x_gradient", "mutations", "attention"],
    "Attribution method of --model (default: integrated_gradients, or mutations for"
    " classifiers that read k-mers or positions themselves); attention: BERT only.",
)
_TARGET = flags.DEFINE_string(
    "target",
    None,
    "Class to explain (default: --label, else the positive class of two).",
)
_JASPAR = flags.DEFINE_bool(
    "jaspar", False, "Compare motifs with JASPAR; needs the extra motifs."
)
_TAX_GROUP = flags.DEFINE_list(
    "tax_group", [], "Groups of JASPAR, such as vertebrates,insects (default: all)."
)
_RANKING = flags.DEFINE_string(
    "ranking",
    None,
    "A ranking of k-mers from genomenet.rank_kmers: counts how many of the best k-mers"
    " are in the motifs.",
)
_K = flags.DEFINE_integer(
    "k", 6, "Length of the k-mers of --ranking, in bases.", lower_bound=3
)

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Writes a folder of motifs."""
    from genomenet.data import existing, intervals

    with startup.refusing("find_motifs"):
        options = _options()
        if _MODEL.value is not None:
            existing.check(
                models=[_MODEL.value],
                files=_INPUT.value,
                genome=_GENOME.value,
                width=_WIDTH.value,
            )
            startup.load_tensorflow()
        from genomenet.api import motifs

        sequences, controls = motifs.read(
            _INPUT.value,
            label=_LABEL.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
        )
        if _CONTROL.value:
            of_genome = all(map(intervals.is_bed, _CONTROL.value))
            controls, _ = motifs.read(
                _CONTROL.value,
                genome=_GENOME.value if of_genome else None,
                width=_WIDTH.value if of_genome else None,
            )
        result = motifs.find(
            sequences,
            _OUTPUT.value,
            options,
            controls=controls,
            label=_LABEL.value,
            command=_command(),
            progress=_say,
        )
    for warning in result.warnings:
        _say(f"WARNING: {warning}")
    first, *lines = result.summary()
    print(f"{first} in {_OUTPUT.value}", *lines, sep="\n")


def _options() -> motifs.Options:
    from genomenet.api import motifs
    from genomenet.motifs import rgadem

    gadem = (
        rgadem.GENEMASK
        if _GADEM_PRESET.value == "genemask"
        else rgadem.RgademOptions(seed=_SEED.value)
    )
    gadem = rgadem.with_parameters(gadem, _GADEM.value)
    return motifs.Options(
        backend=_BACKEND.value,
        native=options_lib.Options(
            min_width=_MIN_WIDTH.value,
            max_width=_MAX_WIDTH.value,
            num_motifs=_NUM_MOTIFS.value or None,
            threshold=_THRESHOLD.value,
            patience=_PATIENCE.value,
            both_strands=_BOTH_STRANDS.value,
            holdout=_HOLDOUT.value,
            order=_ORDER.value,
            seed=_SEED.value,
        ),
        gadem=gadem,
        timeout=_TIMEOUT.value,
        model=_MODEL.value,
        method=_ATTRIBUTION.value,
        target=_TARGET.value,
        jaspar=_JASPAR.value,
        tax_group=tuple(_TAX_GROUP.value),
        ranking=_RANKING.value,
        k=_K.value,
    )


def _command() -> dict[str, str]:
    """Returns the options shown in the report; file names without folders."""
    given = {"input": _names(_INPUT.value), "backend": _BACKEND.value}
    if _LABEL.value:
        given["label"] = _LABEL.value
    if _CONTROL.value:
        given["control"] = _names(_CONTROL.value)
    if _MODEL.value:
        given["model"] = pathlib.Path(_MODEL.value).name
        given["attribution"] = _ATTRIBUTION.value or "auto"
    return given


def _names(paths: Sequence[str]) -> str:
    return ", ".join(pathlib.Path(path).name for path in paths)


def _say(line: str) -> None:
    print(f"find_motifs: {line}", file=sys.stderr)


if __name__ == "__main__":
    startup.run(main)
