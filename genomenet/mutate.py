"""Predicts all single mutations: `python -m genomenet.mutate --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()


from absl import flags

from genomenet import command_flags

_MODEL = flags.DEFINE_string(
    "model", None, "Name of a model, or its release folder.", required=True
)
_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Sequence files, patterns, or - for standard input, joined by commas; each record"
    " is read as a whole.",
    required=True,
)
_GENOME, _WIDTH = command_flags.define_genome()
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "File to write: .npz (effects and centred, (N, L, 4), names, score) or .tsv (one"
    " row per base; its column position is 0-based).",
    required=True,
)
_SCORE = flags.DEFINE_string(
    "score",
    None,
    "Score to compare, named as in score_variants: logit_CLASS, prob_CLASS, value, l2,"
    " cosine or likelihood (default: the first that the model has; required for more"
    " than two classes).",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Sequences per batch.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands",
    None,
    "Average over both strands (default: as evaluated for classifiers, yes for"
    " encoders).",
)
_DELETIONS = flags.DEFINE_bool(
    "deletions", False, "Also delete each base; N is appended to keep the length."
)
_INSERTIONS = flags.DEFINE_bool(
    "insertions",
    False,
    "Also insert each of the four bases before each position; the last base is"
    " removed to keep the length.",
)
_FIGURES = flags.DEFINE_string(
    "figures",
    None,
    "Folder for a logo and heat map of each sequence as PNG, and HTML pages with ten"
    " sequences each; needs the extra motifs.",
)
_BIGWIG = flags.DEFINE_string(
    "bigwig",
    None,
    "Folder for the tracks A.bw, C.bw, G.bw, T.bw and base.bw. Each record is a contig;"
    " intervals are at their genome positions. Needs the extra tracks.",
)

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Writes the effects of all mutations."""
    from genomenet.data import existing, intervals

    with startup.refusing("mutate"):
        existing.check(
            models=[_MODEL.value],
            files=_INPUT.value,
            genome=_GENOME.value,
            width=_WIDTH.value,
        )
        startup.load_tensorflow()
        from genomenet.variants import effect_tracks, figures, mutagenesis

        mutagenesis.check_name(_OUTPUT.value)
        records = list(
            intervals.read_records(
                _INPUT.value, genome=_GENOME.value, width=_WIDTH.value
            )
        )
        effects = mutagenesis.saturation_mutagenesis(
            _MODEL.value,
            [record.codes for record in records],
            names=[record.name for record in records],
            score=_SCORE.value,
            batch_size=_BATCH_SIZE.value,
            both_strands=_BOTH_STRANDS.value,
            deletions=_DELETIONS.value,
            insertions=_INSERTIONS.value,
            show_progress=True,
        )
        mutagenesis.write(effects, _OUTPUT.value)
    with startup.refusing("mutate", state=f"{_OUTPUT.value} is complete"):
        if _BIGWIG.value is not None:
            located = [r for r in records if isinstance(r, intervals.Record)]
            positions = [(r.contig, r.start, r.is_reverse) for r in located] or None
            effect_tracks.write_tracks(effects, _BIGWIG.value, origins=positions)
        if _FIGURES.value is not None:
            pages = figures.write_figures(effects, _FIGURES.value, show_progress=True)
            print(f"figures in {pages[0]}")
    print(f"{len(records):,} sequences, {effects.score}, in {_OUTPUT.value}")


if __name__ == "__main__":
    startup.run(main)
