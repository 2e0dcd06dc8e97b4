"""Effects of substitutions as tracks of genome browsers: bigWig."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np

from genomenet.dna import alphabet
from genomenet.inference import record_windows, tracks
from genomenet.variants import mutagenesis

COLUMNS: Final = (*mutagenesis.BASES, "base")
"""Effects of each base, and how far the base that is there lies above their mean."""


def write_tracks(
    found: mutagenesis.Mutagenesis,
    directory: str | os.PathLike[str],
    *,
    places: Sequence[tuple[str, int, bool]] | None = None,
) -> None:
    """Writes A.bw, C.bw, G.bw, T.bw and base.bw.

    The first four hold the effect of that base in each position of the forward strand,
    0 where it is the one that is there; base.bw the centred effect of the base that is
    there. Where sequences overlap, the mean; positions of N are left out.

    Args:
        found: The effects.
        directory: The folder, made if it does not exist.
        places: Contig of each sequence, its first base on the forward strand, 0-based,
            and whether it is read from the reverse strand; if None a sequence is a
            contig of its own, by its name.

    Raises:
        ImportError: If pybigtools is missing.
    """
    if places is None:
        places = [(name, 0, False) for name in found.names]
    by_contig: dict[str, list[tuple[int, bool, int]]] = {}
    for number, (contig, start, is_reverse) in enumerate(places):
        by_contig.setdefault(contig, []).append((start, is_reverse, number))
    with tracks.Tracks(COLUMNS, bigwig=directory) as out:
        for contig, sequences in by_contig.items():
            positions, values = [], []
            for start, is_reverse, number in sequences:
                codes = found.codes[number]
                effects = found.effects[number, : len(codes)]
                own = np.minimum(codes, alphabet.NUM_BASES - 1)[:, None]
                centred = found.centred[number, : len(codes)]
                base = np.take_along_axis(centred, own.astype(np.intp), axis=1)
                if is_reverse:  # A, C, G, T is T, G, C, A on the other strand
                    effects, base = effects[::-1, ::-1], base[::-1]
                positions.append(start + np.arange(len(codes)))
                values.append(np.concatenate([effects, base], axis=1))
            at, rows = np.concatenate(positions), np.concatenate(values)
            order = np.argsort(at, kind="stable")
            windows = [
                record_windows.Window(contig, place, place + 1, found.codes[0][:0])
                for place in at[order].tolist()
            ]
            out.write(windows, rows[order])
        out.finish()
