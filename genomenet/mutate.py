"""Predicts every single mutation: `python -m genomenet.mutate --help`."""

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
    "An .npz file (effects and centred, (N, L, 4), names, score) or a .tsv file (a"
    " row a base) to write.",
    required=True,
)
_SCORE = flags.DEFINE_string(
    "score",
    None,
    "What is compared, as score_variants names it: logit_CLASS, prob_CLASS, value, l2,"
    " cosine or likelihood (default: the first that the model has; of more than two"
    " classes it must be given).",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Sequences read at once.", lower_bound=1
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands",
    None,
    "Average over both strands (default: classifiers as evaluated, encoders yes).",
)
_DELETIONS = flags.DEFINE_bool(
    "deletions", False, "Delete each base as well; the sequence then ends in N."
)
_INSERTIONS = flags.DEFINE_bool(
    "insertions",
    False,
    "Insert each of the four bases before each position as well; the last base is cut"
    " off.",
)
_FIGURES = flags.DEFINE_string(
    "figures",
    None,
    "Folder for a logo and heat map of each sequence as PNG, and HTML pages of ten"
    " sequences; needs the extra motifs.",
)
_BIGWIG = flags.DEFINE_string(
    "bigwig",
    None,
    "Folder for tracks, A.bw, C.bw, G.bw, T.bw and base.bw, in which each record is a"
    " contig, and intervals lie in theirs; needs the extra tracks.",
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
        found = mutagenesis.saturation_mutagenesis(
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
        mutagenesis.write(found, _OUTPUT.value)
    with startup.refusing("mutate", state=f"{_OUTPUT.value} is complete"):
        if _BIGWIG.value is not None:
            cut = [one for one in records if isinstance(one, intervals.Record)]
            places = [(one.contig, one.start, one.is_reverse) for one in cut] or None
            effect_tracks.write_tracks(found, _BIGWIG.value, places=places)
        if _FIGURES.value is not None:
            pages = figures.write_figures(found, _FIGURES.value, show_progress=True)
            print(f"figures in {pages[0]}")
    print(f"{len(records):,} sequences, {found.score}, in {_OUTPUT.value}")


if __name__ == "__main__":
    startup.run(main)
