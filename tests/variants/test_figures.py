"""Logos and heat maps of effects: pages of ten, complete in themselves."""

import io

import matplotlib.image
import numpy as np
import pytest

from genomenet.variants import figures, mutagenesis

pytest.importorskip("logomaker")


def effects(lengths, *, is_full=False):
    """Returns random effects; those of the first base of each sequence are unknown."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 4, n).astype(np.uint8) for n in lengths]
    values = rng.normal(size=(len(codes), max(lengths), 4)).astype(np.float32)
    for row, one in zip(values, codes, strict=True):
        row[np.arange(len(one)), one] = 0
        one[0], row[0], row[len(one) :] = 4, np.nan, np.nan
    return mutagenesis.Mutagenesis(
        score="logit_<yes>",
        names=[f"peak&{n}" for n in range(len(codes))],
        codes=codes,
        effects=values,
        deletions=values[..., 0] if is_full else None,
        insertions=values if is_full else None,
    )


def test_a_page_has_ten_sequences(tmp_path):
    pages = figures.write_figures(effects([6] * 11), tmp_path)
    assert [page.name for page in pages] == ["page_1.html", "page_2.html"]
    first, second = (page.read_text() for page in pages)
    assert first.count("<img") == 10
    assert second.count("<img") == 1
    assert "<h2>peak&amp;10</h2>" in second
    assert "logit_&lt;yes&gt;" in first
    assert '<a href="page_2.html">' in first
    assert "http" not in first
    assert sum(1 for _ in tmp_path.glob("*.png")) == 11


def test_rows_and_lines_make_a_figure_higher():
    def size(*given, **options):
        png = figures.draw(effects(*given, **options), 0)
        return matplotlib.image.imread(io.BytesIO(png), format="png").shape[:2]

    low, wide = size([30])
    assert size([30], is_full=True)[0] > low
    assert size([30, 60])[1] == wide
    assert size([101])[0] == pytest.approx(2 * low, abs=2)
    assert size([101])[1] > 2 * wide


def test_nothing_but_n_is_drawn():
    found = effects([1])
    assert np.isnan(found.effects).all()
    assert figures.draw(found, 0).startswith(b"\x89PNG")
