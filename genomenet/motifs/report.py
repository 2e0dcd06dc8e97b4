"""Self-contained HTML reports on motifs, and sequence logos."""

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
"""Matches with a higher q-value are not shown."""

_NAMES: Final = 5  # matches shown per motif
_BINS: Final = 20  # of the histogram of site positions
_COLUMN: Final = 0.32  # width of a base of a logo, in inches
_LINE: Final = 50  # bases per line
_HEIGHT: Final = 1.35  # height of a line, in inches
_MOST_PIXELS: Final = 60_000  # height of a picture; Matplotlib's limit is 65,536


def write_report(
    path: str | os.PathLike[str],
    motifs: Sequence[pwm.Motif],
    *,
    about: Mapping[str, str],
    lengths: Mapping[str, int],
    matches: Sequence[compare.Match] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Writes a self-contained HTML file: no script, no font, no network.

    Args:
        path: The file, replaced if it exists.
        motifs: Motifs in the order of their ranks; may be empty.
        about: Settings of the search: names and values, as shown in the report.
        lengths: Length of each sequence in bases, by its name.
        matches: Matches from `compare.compare`; None if nothing was compared.
        warnings: Warnings, shown at the top of the page.
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
        shown: A motif or heights, as for `logo`.

    Raises:
        ImportError: If logomaker is not installed.
        ValueError: If the shape is wrong.
    """
    content = logo(shown)
    with atomic.replacing(path) as partial:
        partial.write_bytes(content)


def image(png: bytes, name: str, attributes: str = "") -> str:
    """Returns a PNG file as an HTML image with the data embedded.

    Args:
        png: The content of the file.
        name: Text shown when images are not displayed.
        attributes: Further attributes, as HTML.
    """
    data = base64.b64encode(png).decode()
    more = f" {attributes}" if attributes else ""
    return f'<img alt="{html.escape(name)}"{more} src="data:image/png;base64,{data}">'


class Picture(bytes):
    """The bytes of a PNG file, displayed as an image in a notebook."""

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        return f"Picture({len(self):,} bytes)"


def logo(shown: pwm.Motif | npt.NDArray[np.floating]) -> Picture:
    """Draws a sequence logo, 50 bases per line.

    The height of a letter is its information content in bits, or any given value.

    Args:
        shown: A motif; or heights of the letters A, C, G, T, (L, 4). Letters with
            negative heights are drawn below the axis.

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
        ticks = [i for i in range(first, first + len(part)) if (i + 1) % step == 0]
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        axes.tick_params(labelsize=8, length=0, pad=2)
    content = io.BytesIO()
    drawing.savefig(content, format="png")
    return Picture(content.getvalue())


def draw_letters(
    axes: Any, heights: npt.NDArray[np.floating], *, first: int = 0
) -> None:
    """Draws the letters of a logo on the axes of a figure.

    Args:
        axes: Matplotlib axes.
        heights: Heights of the letters A, C, G, T, (L, 4). Letters with negative
            heights are drawn below the axis.
        first: Position of the first base on the x axis.

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
    if heights.any():  # logomaker warns if there is nothing to draw
        positions = range(first, first + len(heights))
        table = pandas.DataFrame(heights, columns=list("ACGT"), index=positions)
        logomaker.Logo(table, ax=axes, color_scheme="classic")


def _scores(motifs: Sequence[pwm.Motif]) -> list[dict[str, Any]]:
    """Returns the score columns that at least one motif has."""
    held_out = "p-value of the enrichment, in held-out sequences if there are enough."
    columns = (
        ("p", held_out, "pvalue", _power),
        ("E", "p times the number of motifs tested.", "evalue", _power),
        ("in sequences", "Share of sequences with a site.", "positive_share", _percent),
        ("in controls", "Share of controls with a site.", "negative_share", _percent),
    )
    return [
        {"head": head, "meaning": meaning, "name": name, "form": form}
        for head, meaning, name, form in columns
        if any(name in motif.scores for motif in motifs)
    ]


def _names(
    motifs: Sequence[pwm.Motif], matches: Sequence[compare.Match]
) -> dict[str, list[compare.Match]]:
    """Returns the matches that are shown for each motif, by its name."""
    shown = [match for match in matches if match.qvalue <= HIGHEST_QVALUE]
    return {
        motif.name: [match for match in shown if match.motif == motif.name][:_NAMES]
        for motif in motifs
    }


def _positions(motif: pwm.Motif, lengths: Mapping[str, int]) -> list[float]:
    """Returns the bar heights of a histogram of the centres of sites."""
    shares = [
        (site.start + motif.width / 2) / lengths[site.sequence]
        for site in motif.sites
        if site.sequence in lengths
    ]
    counts, _ = np.histogram(shares, bins=_BINS, range=(0.0, 1.0))
    return (36.0 * counts / max(counts.max(), 1)).tolist()


def _power(value: float) -> str:
    """Formats a value: 0.034 as it is, 2.1e-12 as a power of ten in HTML."""
    if math.isnan(value):
        return ""
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
    digits, _, power = f"{value:.1e}".partition("e")
    return markupsafe.Markup(f"{digits}·10<sup>{int(power)}</sup>".replace("-", "−"))


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"
