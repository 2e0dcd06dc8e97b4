"""One HTML page about motifs, complete in itself, and their logos."""

from __future__ import annotations

import base64
import html
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.motifs import compare, pwm

HIGHEST_QVALUE: Final = 0.1
"""A name whose match has a higher q-value is not shown."""

_NAMES: Final = 5  # of a motif
_BINS: Final = 20  # of the positions of sites
_COLUMN: Final = 0.32  # inches that a base of a logo is wide
_LINE: Final = 50  # bases of a line
_HEIGHT: Final = 1.35  # inches of a line
_MOST_PIXELS: Final = 60_000  # of a picture's height; Matplotlib's limit is 65,536
STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1c2430;
  max-width: 1320px; margin: 2em auto; padding: 0 1.5em; background: #fff; }
h1 { font-size: 1.6em; margin: 0 0 .2em; }
h2 { font-size: 1.1em; margin: 2em 0 .5em; }
p.about { color: #5a6675; margin: 0 0 1.2em; }
ul.warnings { background: #fff6e0; border-left: 4px solid #e0a100; margin: 1em 0;
  padding: .6em 1em .6em 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.motifs { width: 100%; }
th { text-align: left; font-weight: 600; color: #5a6675; font-size: .85em;
  border-bottom: 2px solid #c9d1da; vertical-align: bottom; }
th, td { padding: .5em .45em; }
td { border-bottom: 1px solid #e4e9ee; vertical-align: middle; }
.number { text-align: right; white-space: nowrap; }
.consensus { font-family: ui-monospace, "DejaVu Sans Mono", monospace;
  font-size: .85em; overflow-wrap: anywhere; }
.faint { color: #6b7786; font-size: .85em; }
img.logo { display: block; max-height: 74px; max-width: 250px; }
.name { white-space: nowrap; }
table.settings td { padding: .2em 1.5em .2em 0; border: 0; vertical-align: top; }
table.settings td:first-child { color: #5a6675; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.5em;
  font-size: .9em; }
dt { color: #5a6675; } dd { margin: 0; }
"""


def write_report(
    path: str | os.PathLike[str],
    motifs: Sequence[pwm.Motif],
    *,
    about: Mapping[str, str],
    lengths: Mapping[str, int],
    matches: Sequence[compare.Match] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Writes one HTML file that needs no other: no script, no font, no network.

    Args:
        path: The file, replaced if it exists.
        motifs: In the order of their ranks; none too.
        about: How they were found: names and values, as they are to be read.
        lengths: Bases of each sequence, by its name.
        matches: Of `compare.compare`; None where nothing was compared.
        warnings: What the reader should know first.
    """
    notes = list(warnings)
    logos: dict[str, bytes] = {}
    try:
        for motif in motifs:
            logos[motif.name] = logo(motif)
    except ImportError as e:
        notes.append(str(e))
    columns = _columns(motifs, lengths, matches, logos)
    count = f"{len(motifs)} motif{'s' * (len(motifs) != 1)}"
    of = f"{len(lengths):,} sequences of {sum(lengths.values()):,} bases"
    settings = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>"
        for name, value in about.items()
    )
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>{count}</title><style>{STYLE}</style></head><body>",
        f'<h1>{count}</h1><p class="about">in {of}</p>',
        _warnings(notes),
        _table(motifs, columns) if motifs else "<p>No motif was found.</p>",
        _legend(columns) if motifs else "",
        f'<h2>Settings</h2><table class="settings">{settings}</table>',
        "</body></html>\n",
    ]
    atomic.write_text(path, "\n".join(part for part in parts if part))


def save_logo(
    path: str | os.PathLike[str], shown: pwm.Motif | npt.NDArray[np.floating]
) -> None:
    """Writes a logo as a PNG file.

    Args:
        path: The file, replaced if it exists.
        shown: As for `logo`.

    Raises:
        ImportError: If logomaker is not installed.
        ValueError: If the shape is wrong.
    """
    content = logo(shown)
    with atomic.replacing(path) as partial:
        partial.write_bytes(content)


def logo(shown: pwm.Motif | npt.NDArray[np.floating]) -> bytes:
    """Draws letters by the bits they hold, or by any numbers; 50 bases a line.

    Args:
        shown: A motif; or heights of the letters A, C, G, T, (L, 4), where those
            below zero hang down.

    Returns:
        A PNG file.

    Raises:
        ImportError: If logomaker is not installed.
        ValueError: If the shape is wrong.
    """
    is_motif = isinstance(shown, pwm.Motif)
    if is_motif:
        heights = shown.probabilities() * shown.information()[:, None]
        name, limits = "bits", (0.0, 2.0)
    else:
        heights = np.asarray(shown, np.float64)
        name = "score"
        if heights.ndim != 2 or heights.shape[1:] != (4,) or not len(heights):
            raise ValueError(f"a logo needs heights (L, 4), got {heights.shape}")
        # One scale for all lines.
        highest = np.maximum(heights, 0).sum(1).max()
        limits = np.minimum(heights, 0).sum(1).min(), highest or 1.0
    from matplotlib import figure

    lines = -(-len(heights) // _LINE)
    columns = min(len(heights), _LINE)
    width, height = 0.8 + _COLUMN * columns, _HEIGHT * lines
    dpi = min(160.0, _MOST_PIXELS / height)
    drawing = figure.Figure(figsize=(width, height), dpi=dpi)
    step = 1 if len(heights) <= 30 else 10
    for line in range(lines):
        first = line * _LINE
        bottom = (lines - 1 - line + 0.17) / lines
        axes = drawing.add_axes((0.55 / width, bottom, 1 - 0.6 / width, 0.78 / lines))
        part = heights[first : first + _LINE]
        draw_letters(axes, part, first=first)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.set_xlim(first - 0.5, first + columns - 0.5)
        axes.set_ylim(*limits)
        axes.set_ylabel(name, fontsize=10, labelpad=2)
        if is_motif:
            axes.set_yticks(limits)
        ticks = [n for n in range(first, first + len(part)) if (n + 1) % step == 0]
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        axes.tick_params(labelsize=8, length=0, pad=2)
    content = io.BytesIO()
    drawing.savefig(content, format="png")
    return content.getvalue()


def draw_letters(
    axes: Any, heights: npt.NDArray[np.floating], *, first: int = 0
) -> None:
    """Draws letters into the axes of a figure.

    Args:
        axes: Of Matplotlib.
        heights: Of the letters A, C, G, T, (L, 4); those below zero hang down.
        first: Where on the x axis the first of them stands.

    Raises:
        ImportError: If logomaker is not installed.
    """
    try:
        import logomaker
        import pandas
    except ImportError as e:
        raise ImportError(
            "logos need logomaker: pip install 'genomenet[motifs]'"
        ) from e
    if heights.any():  # logomaker warns where there is nothing to draw
        places = range(first, first + len(heights))
        table = pandas.DataFrame(heights, columns=list("ACGT"), index=places)
        logomaker.Logo(table, ax=axes, color_scheme="classic")


class _Column:
    """A column of the table: its head, what it means, and a cell of each motif."""

    def __init__(
        self,
        head: str,
        meaning: str,
        cell: Callable[[pwm.Motif], str],
        *,
        is_number: bool = False,
    ) -> None:
        self.head = head
        self.meaning = meaning
        self.cell = cell
        self.kind = ' class="number"' if is_number else ""


def _columns(
    motifs: Sequence[pwm.Motif],
    lengths: Mapping[str, int],
    matches: Sequence[compare.Match] | None,
    logos: Mapping[str, bytes],
) -> list[_Column]:
    """Returns the columns that there is something to show in."""

    def scored(head: str, meaning: str, name: str, form: Any) -> list[_Column]:
        if not any(name in motif.scores for motif in motifs):
            return []
        cell = lambda m: form(m.scores.get(name, math.nan))  # noqa: E731
        return [_Column(head, meaning, cell, is_number=True)]

    found = [
        _Column("", "", lambda m: str(1 + motifs.index(m)), is_number=True),
        _Column(
            "motif",
            "Letters as high as the bits they hold; under it the consensus in IUPAC"
            " letters: bases at least half as frequent as the first.",
            lambda m: _logo_cell(m, logos.get(m.name)),
        ),
        _Column("width", "", lambda m: str(m.width), is_number=True),
        _Column("sites", "", lambda m: f"{len(m.sites):,}", is_number=True),
        *scored(
            "p",
            "Of the enrichment, in held-out sequences where there are enough.",
            "pvalue",
            _power,
        ),
        *scored("E", "p times the motifs tried.", "evalue", _power),
        *scored("in sequences", "Share with a site.", "positive_share", _percent),
        *scored("in controls", "Share with a site.", "negative_share", _percent),
    ]
    if matches is not None:
        meaning = (
            "Most similar motifs there, with q: the false discovery rate at which they"
            f" are kept; none above {HIGHEST_QVALUE}."
        )
        found.append(_Column("JASPAR", meaning, lambda m: _names(m, matches)))
    if any(motif.sites for motif in motifs):
        meaning = (
            "Middles of the sites, from the first base of the sequences to the last,"
            f" in {_BINS} steps."
        )
        found.append(_Column("where", meaning, lambda m: _positions(m, lengths)))
    return found


def _table(motifs: Sequence[pwm.Motif], columns: Sequence[_Column]) -> str:
    head = "".join(f"<th{c.kind}>{_text(c.head)}</th>" for c in columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td{c.kind}>{c.cell(m)}</td>" for c in columns) + "</tr>"
        for m in motifs
    )
    return f'<table class="motifs"><tr>{head}</tr>\n{rows}</table>'


def _legend(columns: Sequence[_Column]) -> str:
    lines = "".join(
        f"<dt>{_text(c.head)}</dt><dd>{_text(c.meaning)}</dd>"
        for c in columns
        if c.meaning
    )
    return f"<h2>Columns</h2><dl>{lines}</dl>"


def _warnings(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _logo_cell(motif: pwm.Motif, png: bytes | None) -> str:
    name = _text(motif.name)
    image = ""
    if png is not None:
        data = base64.b64encode(png).decode()
        image = f'<img class="logo" alt="{name}" src="data:image/png;base64,{data}">'
    consensus = f'<div class="consensus">{motif.consensus}</div>'
    notes = [] if motif.consensus in motif.name else [name]
    if motif.scores.get("significant", 1.0) == 0:
        notes.append("not significant")
    faint = "".join(f'<div class="faint">{note}</div>' for note in notes)
    return image + consensus + faint


def _names(motif: pwm.Motif, matches: Sequence[compare.Match]) -> str:
    lines = [
        f'<div class="name">{_text(m.target_name)}'
        f' <span class="faint">{_text(m.target_id)} q {_power(m.qvalue)}</span></div>'
        for m in matches
        if m.motif == motif.name and m.qvalue <= HIGHEST_QVALUE
    ]
    return "".join(lines[:_NAMES]) or '<span class="faint">none</span>'


def _positions(motif: pwm.Motif, lengths: Mapping[str, int]) -> str:
    """Draws where the middles of sites lie, as inline SVG."""
    shares = [
        (site.start + motif.width / 2) / lengths[site.sequence]
        for site in motif.sites
        if site.sequence in lengths
    ]
    counts, _ = np.histogram(shares, bins=_BINS, range=(0.0, 1.0))
    tops = 36.0 * counts / max(counts.max(), 1)
    bars = "".join(
        f'<rect x="{6 * i}" y="{37 - top:.1f}" width="5" height="{top:.1f}"/>'
        for i, top in enumerate(tops)
        if top
    )
    return (
        '<svg width="100" height="38" viewBox="0 0 120 38" fill="#4a6fa5" role="img"'
        f' aria-label="positions of sites">{bars}'
        '<rect x="0" y="37" width="119" height="1" fill="#c9d1da"/></svg>'
    )


def _power(value: float) -> str:
    """0.034, or 2.1e-12 as people write it."""
    if math.isnan(value):
        return ""
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}·10<sup>{int(power)}</sup>".replace("-", "−")


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _text(value: object) -> str:
    return html.escape(str(value))
