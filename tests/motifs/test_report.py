"""The page is read back as a browser would: by an HTML parser, and its pictures."""

import base64
import builtins
import html.parser
import io
import re

import numpy as np
import pytest
from matplotlib import image

from genomenet.motifs import compare, pwm, report

LENGTHS = {"s1": 100, "s2": 200, "s3": 50, "s4": 50}


def motif(word="ATGC", name="1-ATGC", **changes):
    counts = [[9.0 if base == letter else 1.0 for base in "ACGT"] for letter in word]
    sites = (
        pwm.Site("s1", 0, "+", word, 5.0, 1e-4),
        pwm.Site("s2", 98, "-", word, 5.0, 1e-4),
        pwm.Site("s2", 196, "-", word, 5.0, 1e-4),
    )
    scores = {
        "pvalue": 3e-7,
        "evalue": 0.02,
        "positive_share": 0.75,
        "negative_share": 0.125,
    }
    return pwm.Motif(
        name, np.array(counts), **{"sites": sites, "scores": scores, **changes}
    )


def match(qvalue, number=0):
    return compare.Match(
        motif="1-ATGC",
        target_name=f"TF{number}",
        target_id=f"MA{number}",
        offset=0,
        strand="+",
        overlap=4,
        pvalue=qvalue,
        evalue=qvalue,
        qvalue=qvalue,
    )


class Page(html.parser.HTMLParser):
    """Rows of the first table, attributes of all elements, and the text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self.rows, self._open = [], "", [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data.replace("\n", "")


@pytest.fixture
def written(tmp_path):
    def write(motifs, **changes):
        path = tmp_path / "motifs.html"
        arguments = {"about": {"seed": "0"}, "lengths": LENGTHS, **changes}
        report.write_report(path, motifs, **arguments)
        return Page(path)

    return write


def hide(monkeypatch, hidden):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == hidden:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_the_table_says_what_was_found(written, monkeypatch):
    hide(monkeypatch, "logomaker")
    matches = [match(0.002), match(0.05, 1), match(0.2, 2)]
    page = written([motif()], matches=matches)
    head, row = page.rows[:2]
    assert dict(zip(head, row, strict=True)) == {
        "": "1",
        "motif": "ATGC",
        "width": "4",
        "sites": "3",
        "p": "3.0·10−7",
        "E": "0.02",
        "in sequences": "75.0%",
        "in controls": "12.5%",
        "JASPAR": "TF0 MA0 q 0.002TF1 MA1 q 0.05",
        "where": "",
    }
    assert "in 4 sequences of 400 bases" in page.text
    assert ["seed", "0"] in page.rows


def test_sites_are_drawn_where_they_lie(written, monkeypatch):
    hide(monkeypatch, "logomaker")
    bars = [a for tag, a in written([motif()]).elements if tag == "rect"]
    # Middles at 2/100, 100/200 and 198/200 of their sequences; then the axis.
    assert [bar["x"] for bar in bars] == ["0", "60", "114", "0"]
    assert {bar["height"] for bar in bars[:3]} == {"36.0"}


def test_text_of_others_cannot_become_markup(written, monkeypatch):
    hide(monkeypatch, "logomaker")
    evil = '<script src="http://x">&'
    found = compare.Match(evil, evil, evil, 0, "+", 4, 0.01, 0.01, 0.01)
    page = written(
        [motif(name=evil)], about={evil: evil}, matches=[found], warnings=[evil]
    )
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(evil) == 6


def test_the_page_needs_nothing_else(written, tmp_path):
    pytest.importorskip("logomaker", reason="needs the extra motifs")
    page = written([motif(), motif("CCAATTGG", "second")], matches=[])
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe"}
    sources = [a["src"] for _, a in page.elements if "src" in a]
    assert len(sources) == 2
    for source in sources:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64"
        assert image.imread(io.BytesIO(base64.b64decode(data))).ndim == 3
    text = (tmp_path / "motifs.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", text)
    assert "second" in page.text  # its name is not its consensus


def test_no_motif_and_no_scores_are_no_error(written, monkeypatch):
    hide(monkeypatch, "logomaker")
    page = written([], warnings=["too few sequences"])
    assert "0 motifs" in page.text
    assert "No motif was found." in page.text
    assert "too few sequences" in page.text
    assert [tag for tag, _ in page.elements].count("table") == 1
    page = written(
        [motif(scores={"pvalue": float("nan"), "significant": 0.0}, sites=())]
    )
    assert page.rows[0] == ["", "motif", "width", "sites", "p"]
    assert page.rows[1] == ["1", "ATGCnot significant", "4", "0", ""]


def test_without_logomaker_the_page_says_so(written, monkeypatch, tmp_path):
    hide(monkeypatch, "logomaker")
    page = written([motif()])
    assert "img" not in {tag for tag, _ in page.elements}
    assert "logos need logomaker: pip install 'genomenet[motifs]'" in page.text
    with pytest.raises(ImportError, match="pip install 'genomenet.motifs.'"):
        report.save_logo(tmp_path / "x.png", motif())
    assert not (tmp_path / "x.png").exists()


def ink(path, low, high):
    """Coloured pixels between two shares of the width of a picture."""
    pixels = image.imread(path)[:, :, :3]
    columns = [round(share * pixels.shape[1]) for share in (low, high)]
    part = pixels[:, columns[0] : columns[1]]
    return np.count_nonzero(np.ptp(part, axis=2) > 0.3)


def test_letters_are_as_high_as_their_bits(tmp_path):
    pytest.importorskip("logomaker", reason="needs the extra motifs")
    sure, flat = [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]
    found = pwm.Motif("m", np.array([sure] * 10 + [flat] * 10))
    report.save_logo(tmp_path / "m.png", found)
    assert ink(tmp_path / "m.png", 0.15, 0.5) > 10_000
    assert ink(tmp_path / "m.png", 0.6, 1.0) == 0


def test_scores_below_zero_hang_down(tmp_path):
    pytest.importorskip("logomaker", reason="needs the extra motifs")
    up = np.tile([0.0, 0.0, 0.0, 3.0], (40, 1))
    up[:20] *= -1
    report.save_logo(tmp_path / "s.png", up)
    pixels = image.imread(tmp_path / "s.png")[:, :, :3]
    is_ink = np.ptp(pixels, axis=2) > 0.3
    height, width = is_ink.shape
    left, right = is_ink[:, : width // 2], is_ink[:, width // 2 :]
    rows = np.arange(height)[:, None]
    assert (rows * left).sum() / left.sum() > (rows * right).sum() / right.sum() + 40


def test_long_logos_have_lines_of_fifty_bases(tmp_path):
    pytest.importorskip("logomaker", reason="needs the extra motifs")
    heights = np.zeros((120, 4))
    heights[100:] = [0.0, 2.0, 0.0, 0.0]
    report.save_logo(tmp_path / "long.png", heights)
    report.save_logo(tmp_path / "line.png", heights[:50])
    pixels = image.imread(tmp_path / "long.png")[:, :, :3]
    height, width = image.imread(tmp_path / "line.png").shape[:2]
    assert pixels.shape[:2] == (3 * height, width)
    is_ink = np.ptp(pixels, axis=2) > 0.3
    assert not is_ink[: 2 * height].any()
    assert is_ink[2 * height :, : width // 2].sum() > 10_000


def test_a_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"heights \(L, 4\), got \(4, 3\)"):
        report.save_logo(tmp_path / "x.png", np.zeros((4, 3)))
