"""Motif files: MEME, TRANSFAC and JASPAR text, a table of sites, and JSON.

`motifs.json` holds everything; the other formats hold counts for other programs. If a
format has both an identifier and a name, the first word of a motif's name is its
identifier, and the rest its name.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from Bio import motifs as bio_motifs
from Bio.motifs import jaspar, transfac

from genomenet import atomic
from genomenet.motifs import pwm

FORMAT: Final = 1
"""Version of `motifs.json`."""

_SITE_COLUMNS: Final = (
    *("sequence", "start", "end", "strand"),
    *("word", "score", "pvalue", "motif"),
)


def write_all(
    directory: str | os.PathLike[str],
    motifs: Sequence[pwm.Motif],
    *,
    about: Mapping[str, Any],
) -> None:
    """Writes motifs.json, motifs.meme, motifs.transfac, motifs.jaspar and sites.tsv.

    Args:
        directory: The folder, made if it does not exist.
        motifs: The motifs; may be empty.
        about: Settings of the search, for `motifs.json`: values that JSON can hold.
    """
    directory = pathlib.Path(directory)
    for name, text in {
        "motifs.meme": _meme(motifs),
        "motifs.transfac": bio_motifs.write(_for_transfac(motifs), "transfac"),
        "motifs.jaspar": bio_motifs.write(_for_jaspar(motifs), "jaspar"),
        "sites.tsv": _sites(motifs),
        "motifs.json": _json(motifs, about),
    }.items():
        atomic.write_text(directory / name, text)


# === JSON ===


def _json(motifs: Sequence[pwm.Motif], about: Mapping[str, Any]) -> str:
    rows = [
        {
            "name": motif.name,
            "consensus": motif.consensus,
            "scores": {k: _number(v) for k, v in motif.scores.items()},
            "background": list(motif.background),
            "counts": motif.counts.tolist(),
            "sites": [
                dataclasses.asdict(site)
                | {"score": _number(site.score), "pvalue": _number(site.pvalue)}
                for site in motif.sites
            ],
        }
        for motif in motifs
    ]
    content = {"format": FORMAT, "about": dict(about), "motifs": rows}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _number(value: float) -> float | str | None:
    """Converts a value to JSON: NaN becomes null, infinity becomes a string."""
    if math.isnan(value):
        return None
    return str(float(value)) if math.isinf(value) else value


# === Sites ===


def _sites(motifs: Sequence[pwm.Motif]) -> str:
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(_SITE_COLUMNS)
    for motif in motifs:
        for site in motif.sites:
            end = site.start + len(site.word)
            interval = (site.sequence, site.start, end, site.strand)
            scores = ("" if math.isnan(x) else x for x in (site.score, site.pvalue))
            table.writerow((*interval, site.word, *scores, motif.name))
    return text.getvalue()


# === MEME ===


def _meme(motifs: Sequence[pwm.Motif]) -> str:
    # The format has one background for all motifs.
    background = motifs[0].background if motifs else pwm.UNIFORM
    letters = " ".join(f"{b} {p:.6f}" for b, p in zip("ACGT", background, strict=True))
    blocks = [
        "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n",
        f"Background letter frequencies\n{letters}\n",
    ]
    for motif in motifs:
        sites = max(round(float(motif.counts.sum(1).mean())), 1)
        evalue = motif.scores.get("evalue", math.nan)
        stated = "" if math.isnan(evalue) else f" E= {evalue:.4g}"
        rows = [" ".join(f"{p:.6f}" for p in row) for row in motif.probabilities()]
        matrix = f"alength= 4 w= {motif.width} nsites= {sites}{stated}"
        head = f"letter-probability matrix: {matrix}"
        blocks.append("\n".join([f"MOTIF {motif.name}", "", head, *rows, ""]))
    return "\n".join(blocks)


# === JASPAR and TRANSFAC, through Bio.motifs ===


def _columns(motif: pwm.Motif) -> dict[str, list[float]]:
    return dict(zip("ACGT", motif.counts.T.tolist(), strict=True))


def _for_jaspar(motifs: Sequence[pwm.Motif]) -> list[jaspar.Motif]:
    records = []
    for motif in motifs:
        identifier, _, name = motif.name.partition(" ")
        name = name or identifier
        records.append(jaspar.Motif(identifier, name, counts=_columns(motif)))
    return records


def _for_transfac(motifs: Sequence[pwm.Motif]) -> transfac.Record:
    record = transfac.Record()
    for motif in motifs:
        identifier, _, name = motif.name.partition(" ")
        block = transfac.Motif(alphabet="ACGT", counts=_columns(motif))
        block.update({"AC": identifier, "ID": name or identifier})
        record.append(block)
    return record
