"""Motifs in files: MEME, TRANSFAC and JASPAR text, a table of sites, and JSON.

`motifs.json` holds everything; the other formats hold counts for other programs. A
name of several words is an identifier and a name where a format has both.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
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
_MEME_SITES: Final = 20  # what the format says where a file does not
_MEME_MATRIX: Final = "letter-probability matrix:"
_MEME_BACKGROUND: Final = "Background letter frequencies"


def write_all(
    directory: str | os.PathLike[str],
    motifs: Sequence[pwm.Motif],
    *,
    about: Mapping[str, Any],
) -> None:
    """Writes motifs.json, motifs.meme, motifs.transfac, motifs.jaspar and sites.tsv.

    Args:
        directory: The folder, made if it does not exist.
        motifs: Any number, none too.
        about: How they were found, for `motifs.json`: what JSON can hold.
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


def read_json(path: str | os.PathLike[str]) -> tuple[pwm.Motif, ...]:
    """Reads `motifs.json`.

    Args:
        path: The file.

    Returns:
        The motifs as they were written.

    Raises:
        ValueError: If the file is no `motifs.json` of this format.
    """
    return _parsed(path, _read_text(path), _read_json)


def read_motifs(path: str | os.PathLike[str]) -> tuple[pwm.Motif, ...]:
    """Reads MEME, JASPAR or TRANSFAC text, or `motifs.json`, told by the content.

    Args:
        path: The file.

    Returns:
        Its motifs. A MEME file holds probabilities and a number of sites, from which
        the counts follow; the background is that of a MEME file, else uniform.

    Raises:
        ValueError: If the file is in none of these formats, is malformed, or holds
            no motif.
    """
    text = _read_text(path)
    if text.lstrip().startswith("{"):
        read = _read_json
    elif _MEME_MATRIX in text:
        read = _read_meme
    elif re.search(r"^P[0O]\s+A\s+C\s+G\s+T", text, re.MULTILINE):
        read = _read_transfac
    elif re.match(r"(\s*#.*\n)*\s*>", text):
        read = _read_jaspar
    else:
        raise ValueError(f"{path}: neither MEME, JASPAR nor TRANSFAC motifs")
    found = _parsed(path, text, read)
    if not found:
        raise ValueError(f"{path}: no motif")
    return found


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file") from None


def _parsed(path: str | os.PathLike[str], text: str, read: Any) -> Any:
    """Calls a parser; what it raises becomes one line that names the file."""
    try:
        found = tuple(read(text))
    except Exception as e:  # Bio.motifs raises just that
        cause = f"{e} is missing" if isinstance(e, KeyError) else f"{e}"
        cause = "".join(c if c.isprintable() else "?" for c in " ".join(cause.split()))
        raise ValueError(f"{path}: {cause:.300}") from None
    for motif in found:
        is_text = isinstance(motif.name, str) and motif.name.strip()
        if not is_text or not motif.name.isprintable():
            raise ValueError(
                f"{path}: {str(motif.name)[:40]!r} is no name: it is empty, or holds a"
                " control or invisible character"
            )
        if not np.isfinite(motif.counts).all():
            raise ValueError(
                f"{path}: motif {motif.name} has counts that are not finite"
            )
    return found


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
    """JSON has neither NaN, here null, nor infinity, here a string."""
    if math.isnan(value):
        return None
    return str(float(value)) if math.isinf(value) else value


def _float(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _read_json(text: str) -> list[pwm.Motif]:
    content = json.loads(text)
    if not isinstance(content, dict) or "motifs" not in content:
        raise ValueError("not a motifs.json")
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']} of motifs.json is not known")
    return [
        pwm.Motif(
            name=row["name"],
            counts=np.array(row["counts"], np.float64),
            background=tuple(row["background"]),
            sites=tuple(
                pwm.Site(
                    **site
                    | {
                        "score": _float(site["score"]),
                        "pvalue": _float(site["pvalue"]),
                    }
                )
                for site in row["sites"]
            ),
            scores={k: _float(v) for k, v in row["scores"].items()},
        )
        for row in content["motifs"]
    ]


# === Sites ===


def _sites(motifs: Sequence[pwm.Motif]) -> str:
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(_SITE_COLUMNS)
    for motif in motifs:
        for site in motif.sites:
            end = site.start + len(site.word)
            place = (site.sequence, site.start, end, site.strand)
            scores = ("" if math.isnan(x) else x for x in (site.score, site.pvalue))
            table.writerow((*place, site.word, *scores, motif.name))
    return text.getvalue()


# === MEME ===


def _meme(motifs: Sequence[pwm.Motif]) -> str:
    # The format has one background for all motifs.
    background = motifs[0].background if motifs else pwm.UNIFORM
    letters = zip("ACGT", background, strict=True)
    blocks = [
        "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n",
        f"{_MEME_BACKGROUND}\n" + " ".join(f"{b} {p:.6f}" for b, p in letters) + "\n",
    ]
    for motif in motifs:
        sites = max(round(float(motif.counts.sum(1).mean())), 1)
        evalue = motif.scores.get("evalue", math.nan)
        stated = "" if math.isnan(evalue) else f" E= {evalue:.4g}"
        rows = [" ".join(f"{p:.6f}" for p in row) for row in motif.probabilities()]
        head = f"{_MEME_MATRIX} alength= 4 w= {motif.width} nsites= {sites}{stated}"
        blocks.append("\n".join([f"MOTIF {motif.name}", "", head, *rows, ""]))
    return "\n".join(blocks)


def _read_meme(text: str) -> list[pwm.Motif]:
    """Bio.motifs rounds counts and refuses files without a background."""
    lines = text.splitlines()
    background = pwm.UNIFORM
    name = ""
    found: list[pwm.Motif] = []
    for number, line in enumerate(lines):
        if line.startswith("ALPHABET") and line.partition("=")[2].strip() != "ACGT":
            raise ValueError(f"{line.strip()!r} is not the alphabet ACGT")
        if line.startswith(_MEME_BACKGROUND):
            background = _meme_background(lines[number + 1 :])
        elif line.startswith("MOTIF"):
            name = _meme_name(line)
        elif line.startswith(_MEME_MATRIX):
            name = name or str(len(found) + 1)
            found.append(_meme_motif(name, line, lines[number + 1 :], background))
    return found


def _meme_name(line: str) -> str:
    """Identifier and name; MEME's own output goes on with "width = 8 sites = 30"."""
    return _name(*re.split(r"\s+width\s*=", line[len("MOTIF") :])[0].split()[:2])


def _meme_background(lines: Sequence[str]) -> tuple[float, float, float, float]:
    words = " ".join(itertools.takewhile(str.strip, lines)).split()
    found = {b: float(p) for b, p in zip(words[::2], words[1::2], strict=True)}
    a, c, g, t = (found[base] for base in "ACGT")
    total = a + c + g + t  # files round them
    return a / total, c / total, g / total, t / total


def _meme_motif(
    name: str,
    head: str,
    lines: Sequence[str],
    background: tuple[float, float, float, float],
) -> pwm.Motif:
    stated = dict(re.findall(r"(\w+)=\s*(\S+)", head))
    rows: list[list[float]] = []
    for line in lines:
        words = line.split()
        if len(words) != 4 or not re.match(r"[\d.]", words[0]):
            break
        rows.append([float(word) for word in words])
    width = int(stated.get("w", len(rows)))
    if len(rows) < width or not rows:
        raise ValueError(f"motif {name}: {len(rows)} of {width} rows")
    p = np.array(rows[:width])
    if not np.allclose(p.sum(1), 1, atol=0.01):
        raise ValueError(f"motif {name}: a row of probabilities does not sum to one")
    sites = float(stated.get("nsites", 0)) or _MEME_SITES
    counts = p / p.sum(1, keepdims=True) * sites
    scores = {"evalue": float(stated["E"])} if "E" in stated else {}
    return pwm.Motif(name, counts, background, scores=scores)


# === JASPAR and TRANSFAC, through Bio.motifs ===


def _name(*words: str | None) -> str:
    """Identifier and name as one; the name alone where they agree."""
    return " ".join(dict.fromkeys(word for word in words if word))


def _columns(motif: pwm.Motif) -> dict[str, list[float]]:
    return dict(zip("ACGT", motif.counts.T.tolist(), strict=True))


def _for_jaspar(motifs: Sequence[pwm.Motif]) -> list[jaspar.Motif]:
    found = []
    for motif in motifs:
        identifier, _, name = motif.name.partition(" ")
        name = name or identifier
        found.append(jaspar.Motif(identifier, name, counts=_columns(motif)))
    return found


def _read_jaspar(text: str) -> list[pwm.Motif]:
    lines = [s for s in text.splitlines() if s.strip() and not s.startswith("#")]
    heads = [n for n, line in enumerate(lines) if line.lstrip().startswith(">")]
    # Bio.motifs would read rows of another format, such as HOMER's, as columns.
    for start, stop in zip(heads, [*heads[1:], len(lines)], strict=True):
        if stop - start != 5:
            raise ValueError(f"{lines[start]} has {stop - start - 1} rows, JASPAR's 4")
    record = bio_motifs.parse(io.StringIO("\n".join(lines)), "jaspar")
    return [_from_bio(_name(m.matrix_id, m.name), m) for m in record]


def _for_transfac(motifs: Sequence[pwm.Motif]) -> transfac.Record:
    record = transfac.Record()
    for motif in motifs:
        identifier, _, name = motif.name.partition(" ")
        block = transfac.Motif(alphabet="ACGT", counts=_columns(motif))
        block.update({"AC": identifier, "ID": name or identifier})
        record.append(block)
    return record


def _read_transfac(text: str) -> list[pwm.Motif]:
    if not text.rstrip().endswith("//"):  # else the last matrix would be lost
        text += "\n//\n"
    record = bio_motifs.parse(io.StringIO(text), "TRANSFAC", strict=False)
    return [
        _from_bio(_name(m.get("AC"), m.get("ID") or m.get("NA")) or str(n), m)
        for n, m in enumerate(record, 1)
    ]


def _from_bio(name: str, motif: Any) -> pwm.Motif:
    counts = np.array([motif.counts[base] for base in "ACGT"], np.float64).T
    return pwm.Motif(name, counts)
