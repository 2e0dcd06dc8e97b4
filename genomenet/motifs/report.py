"""One HTML page about motifs, complete in itself, and their logos."""

from __future__ import annotations

import base64
import html
import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import markupsafe
import numpy as np
import numpy.typing as npt

from genomenet import atomic, html_page
from genomenet.motifs import compare, pwm

HIGHEST_QVALUE: Final = 0.1
"""A name whose match has a higher q-value is not shown."""

_NAMES: Final = 5  # of a motif
_BINS: Final = 20  # of the positions of sites
_COLUMN: Final = 0.32  # inches that a base of a logo is wide
_LINE: Final = 50  # bases of a line
_HEIGHT: Final = 1.35  # inches of a line
_MOST_PIXELS: Final = 60_000  # of a picture's height; Matplotlib's limit is 65,536


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
    logos: dict[str, str] = {}
    try:
        for motif in motifs:
            logos[motif.name] = image(logo(motif), motif.name, 'class="logo"')
    except ImportError as e:
        notes.append(str(e))
    page = html_page.render(
        "motifs.html",
        title=f"{len(motifs)} motif{'s' * (len(motifs) != 1)}",
        about=f"in {len(lengths):,} sequences of {sum(lengths.values()):,} bases",
        warnings=notes,
        motifs=motifs,
        logos=logos,
        scores=_scores(motifs),
        names=None if matches is None else _names(motifs, matches),
        power=_power,
        highest_qvalue=HIGHEST_QVALUE,
        has_sites=any(motif.sites for motif in motifs),
        positions=lambda motif: _positions(motif, lengths),
        num_bins=_BINS,
        settings=about,
    )
    atomic.write_text(path, page)


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


def image(png: bytes, name: str, attributes: str = "") -> str:
    """Returns a PNG file as an HTML image that needs no other file.

    Args:
        png: The content of the file.
        name: What is read where images are not shown.
        attributes: More attributes, as HTML.
    """
    data = base64.b64encode(png).decode()
    more = f" {attributes}" if attributes else ""
    return f'<img alt="{html.escape(name)}"{more} src="data:image/png;base64,{data}">'


class Picture(bytes):
    """The bytes of a PNG file, which a notebook shows."""

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        return f"Picture({len(self):,} bytes)"


def logo(shown: pwm.Motif | npt.NDArray[np.floating]) -> Picture:
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
    return Picture(content.getvalue())


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


def _scores(motifs: Sequence[pwm.Motif]) -> list[dict[str, Any]]:
    """Returns the columns of scores that any motif has."""
    held_out = "Of the enrichment, in held-out sequences where there are enough."
    columns = (
        ("p", held_out, "pvalue", _power),
        ("E", "p times the motifs tried.", "evalue", _power),
        ("in sequences", "Share with a site.", "positive_share", _percent),
        ("in controls", "Share with a site.", "negative_share", _percent),
    )
    return [
        {"head": head, "meaning": meaning, "name": name, "form": form}
        for head, meaning, name, form in columns
        if any(name in motif.scores for motif in motifs)
    ]


def _names(
    motifs: Sequence[pwm.Motif], matches: Sequence[compare.Match]
) -> dict[str, list[compare.Match]]:
    """Returns the matches of each motif that are shown."""
    near = [match for match in matches if match.qvalue <= HIGHEST_QVALUE]
    return {
        motif.name: [match for match in near if match.motif == motif.name][:_NAMES]
        for motif in motifs
    }


def _positions(motif: pwm.Motif, lengths: Mapping[str, int]) -> list[float]:
    """Returns how high the bars are that show where the middles of sites lie."""
    shares = [
        (site.start + motif.width / 2) / lengths[site.sequence]
        for site in motif.sites
        if site.sequence in lengths
    ]
    counts, _ = np.histogram(shares, bins=_BINS, range=(0.0, 1.0))
    return (36.0 * counts / max(counts.max(), 1)).tolist()


def _power(value: float) -> str:
    """0.034, or 2.1e-12 as people write it."""
    if math.isnan(value):
        return ""
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
    digits, _, power = f"{value:.1e}".partition("e")
    return markupsafe.Markup(f"{digits}·10<sup>{int(power)}</sup>".replace("-", "−"))


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"
