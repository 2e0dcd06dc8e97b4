"""Effects of substitutions as bigWig tracks for genome browsers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np

from genomenet.dna import alphabet
from genomenet.inference import record_windows, tracks
from genomenet.variants import mutagenesis

COLUMNS: Final = (*mutagenesis.BASES, "base")
"""Effects of each base, and the centred effect of the base of the sequence."""


def write_tracks(
    mutations: mutagenesis.Mutagenesis,
    directory: str | os.PathLike[str],
    *,
    origins: Sequence[tuple[str, int, bool]] | None = None,
) -> None:
    """Writes A.bw, C.bw, G.bw, T.bw and base.bw.

    The first four hold the effect of a base at each position of the forward strand, 0
    if it is the base of the sequence. base.bw holds the centred effect of the base of
    the sequence. Where sequences overlap, values are averaged. Positions with N are
    omitted.

    Args:
        mutations: Effects to write.
        directory: The folder, made if it does not exist.
        origins: For each sequence its contig, the position of its first base on the
            forward strand (0-based), and whether it is on the reverse strand. If None,
            each sequence is a contig with the name of the sequence.

    Raises:
        ImportError: If pybigtools is missing.
    """
    if origins is None:
        origins = [(name, 0, False) for name in mutations.names]
    by_contig: dict[str, list[tuple[int, bool, int]]] = {}
    for index, (contig, start, is_reverse) in enumerate(origins):
        by_contig.setdefault(contig, []).append((start, is_reverse, index))
    with tracks.Tracks(COLUMNS, bigwig=directory) as out:
        for contig, sequences in by_contig.items():
            positions, values = [], []
            for start, is_reverse, index in sequences:
                codes = mutations.codes[index]
                effects = mutations.effects[index, : len(codes)]
                channels = np.minimum(codes, alphabet.NUM_BASES - 1)[:, None]
                centred = mutations.centred[index, : len(codes)]
                base = np.take_along_axis(centred, channels.astype(np.intp), axis=1)
                if is_reverse:  # A, C, G, T become T, G, C, A on the reverse strand
                    effects, base = effects[::-1, ::-1], base[::-1]
                positions.append(start + np.arange(len(codes)))
                values.append(np.concatenate([effects, base], axis=1))
            at, rows = np.concatenate(positions), np.concatenate(values)
            order = np.argsort(at, kind="stable")
            windows = [
                record_windows.Window(
                    contig, position, position + 1, mutations.codes[0][:0]
                )
                for position in at[order].tolist()
            ]
            out.write(windows, rows[order])
        out.finish()
