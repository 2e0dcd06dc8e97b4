"""Figures of mutation effects: logos above heat maps, as PNG and HTML."""

from __future__ import annotations

import io
import os
import pathlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tqdm

from genomenet import atomic, html_page
from genomenet.dna import alphabet, encode
from genomenet.motifs import report
from genomenet.variants import mutagenesis

PAGE: Final = 10
"""Number of sequences per HTML page."""

_LINE: Final = 100  # bases per line
_COLUMN: Final = 0.13  # width of a base, in inches
_ROW: Final = 0.13  # height of a row of the heat map, in inches
_LOGO: Final = 0.8  # height of a logo, in inches
_MARGIN: Final = (0.95, 1.0)  # left and right, in inches
_GAP: Final = 0.45  # between lines, with the tick labels, in inches
_MOST_PIXELS: Final = 60_000  # height of a picture; Matplotlib's limit is 65,536
_COLOURS: Final = "RdBu_r"
_ABOUT: Final = (
    "Letters: the score of the base in the sequence minus the mean of all four bases."
    " Colours: the mutant minus the original sequence; red is higher, blue is lower."
    " Points: the base in the sequence. Grey: N. Positions are counted from 1."
)


def write_figures(
    mutations: mutagenesis.Mutagenesis,
    directory: str | os.PathLike[str],
    *,
    show_progress: bool = False,
) -> list[pathlib.Path]:
    """Draws all sequences: 1.png and so on, and HTML pages of ten sequences each.

    Args:
        mutations: Effects to draw.
        directory: The folder, made if it does not exist. Files with the same names are
            replaced atomically.
        show_progress: Whether to show a progress bar.

    Returns:
        Paths of the self-contained pages, page_1.html and so on.

    Raises:
        ImportError: If logomaker is not installed.
    """
    folder, pages = pathlib.Path(directory), []
    count = -(-len(mutations.names) // PAGE)
    indices = tqdm.trange(
        len(mutations.names), desc="figures", unit="", disable=not show_progress
    )
    sections: list[dict[str, Any]] = []
    for index in indices:
        png = draw(mutations, index)
        with atomic.replacing(folder / f"{index + 1}.png") as partial:
            partial.write_bytes(png)
        name = mutations.names[index]
        sections.append(
            {
                "name": name,
                "length": len(mutations.codes[index]),
                "file": f"{index + 1}.png",
                "image": report.image(png, name, 'style="max-width:100%"'),
            }
        )
        if len(sections) == PAGE or index + 1 == len(mutations.names):
            pages.append(folder / f"page_{len(pages) + 1}.html")
            page = html_page.render(
                "mutations.html",
                title=f"Effects of every mutation on {mutations.score}",
                about=_ABOUT,
                page=len(pages),
                count=count,
                sections=sections,
            )
            atomic.write_text(pages[-1], page)
            sections = []
    return pages


def draw(mutations: mutagenesis.Mutagenesis, index: int) -> bytes:
    """Draws one sequence, 100 bases per line: a logo above a heat map.

    The height of a letter is the score of the base in the sequence minus the mean of
    all four bases. The heat map has a row for the substitution by each base, with a
    point at the base in the sequence, and further rows for insertions and deletions.

    Args:
        mutations: Effects to draw.
        index: Index of the sequence, 0-based.

    Returns:
        A PNG file.

    Raises:
        ImportError: If logomaker is not installed.
    """
    from matplotlib import figure

    rows, names = _rows(mutations, index)
    heights = _heights(mutations, index)
    codes = mutations.codes[index]
    lines, columns = -(-len(codes) // _LINE), min(len(codes), _LINE)
    map_height = _ROW * len(rows)
    line_height = _LOGO + map_height + _GAP
    width = sum(_MARGIN) + _COLUMN * columns
    height = line_height * lines
    dpi = min(160.0, _MOST_PIXELS / height)
    drawing = figure.Figure(figsize=(width, height), dpi=dpi)
    limit = float(np.nanmax(np.abs(rows), initial=0.0)) or 1.0
    low = min(float(heights.sum(1).min(initial=0.0)), 0.0)
    high = max(float(heights.sum(1).max(initial=0.0)), 0.0)
    room = 0.05 * (high - low) or 1.0
    image: Any = None
    for line in range(lines):
        first = line * _LINE
        part = slice(first, min(first + _LINE, len(codes)))
        share = (part.stop - first) * _COLUMN / width
        left, bottom = _MARGIN[0] / width, height - (line + 1) * line_height + 0.35
        logo = drawing.add_axes(
            (left, (bottom + map_height + 0.04) / height, share, _LOGO / height)
        )
        report.draw_letters(logo, heights[part], first=first)
        logo.axhline(0, color="#5a6675", linewidth=0.5)
        logo.set_xlim(first - 0.5, part.stop - 0.5)
        logo.set_ylim(low - room, high + room)
        logo.spines[["top", "right", "bottom"]].set_visible(False)
        logo.set_xticks([])
        logo.tick_params(labelsize=6, length=2, pad=1)
        axes = drawing.add_axes((left, bottom / height, share, map_height / height))
        axes.set_facecolor("#d9d9d9")
        image = axes.imshow(
            rows[:, part],
            aspect="auto",
            interpolation="nearest",
            cmap=_COLOURS,
            vmin=-limit,
            vmax=limit,
            extent=(first - 0.5, part.stop - 0.5, len(rows) - 0.5, -0.5),
        )
        known = np.flatnonzero(codes[part] < alphabet.NUM_BASES) + first
        axes.plot(known, codes[known], ".", color="#1c2430", markersize=2)
        axes.set_yticks(range(len(names)), names)
        ticks = [n for n in range(first, part.stop) if (n + 1) % 10 == 0]
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        axes.tick_params(labelsize=6, length=0, pad=2)
        for row in range(alphabet.NUM_BASES, len(rows), alphabet.NUM_BASES):
            axes.axhline(row - 0.5, color="white", linewidth=1)
    corner = 1 - 0.85 / width, (height - line_height + 0.35) / height
    scale = drawing.add_axes((*corner, 0.1 / width, map_height / height))
    bar = drawing.colorbar(image, cax=scale)
    bar.ax.tick_params(labelsize=6, length=2, pad=1)
    bar.outline.set_visible(False)
    content = io.BytesIO()
    drawing.savefig(content, format="png")
    return content.getvalue()


def _rows(
    mutations: mutagenesis.Mutagenesis, index: int
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Returns the rows of the heat map, (rows, L), and their names."""
    length = len(mutations.codes[index])
    rows, names = [mutations.effects[index, :length].T], list(mutagenesis.BASES)
    if mutations.insertions is not None:
        rows.append(mutations.insertions[index, :length].T)
        names += [f"insert {base}" for base in mutagenesis.BASES]
    if mutations.deletions is not None:
        rows.append(mutations.deletions[index, :length][None])
        names.append("delete")
    return np.concatenate(rows), names


def _heights(mutations: mutagenesis.Mutagenesis, index: int) -> npt.NDArray[np.float32]:
    """Returns the centred effects of the bases in the sequence, 0 elsewhere, (L, 4)."""
    codes = mutations.codes[index]
    return np.nan_to_num(mutations.centred[index, : len(codes)]) * encode.one_hot(codes)
