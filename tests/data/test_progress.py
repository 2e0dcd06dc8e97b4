"""Bars in bases, and a first guess of how many there are."""

import gzip

from genomenet.data import progress


def test_a_bar_shows_bases_and_their_rate(capsys):
    with progress.bar("reading", 2_000_000, show=True) as update:
        update(1_000_000)
        update(2_000_000)
    shown = capsys.readouterr().err.splitlines()[-1].split("\r")[-1]
    assert "reading: 100%" in shown
    assert "3.00M/3.00M" in shown
    assert "b/s" in shown


def test_a_bar_may_be_silent(capsys):
    with progress.bar("reading", None, show=False) as update:
        update(1)
    assert capsys.readouterr() == ("", "")


def test_bases_are_guessed_from_the_size(tmp_path):
    plain, packed = tmp_path / "a.fa", tmp_path / "b.fa.gz"
    plain.write_text(">a\n" + "ACGT" * 1_000)
    packed.write_bytes(gzip.compress(b">a\n" + b"ACGTTGCA" * 1_000))
    assert progress.guessed_bases([str(plain)]) == 4_003
    expected = 4_003 + int(packed.stat().st_size * 3.4)
    assert abs(progress.guessed_bases([str(plain), str(packed)]) - expected) <= 1
    assert progress.guessed_bases(["-"]) is None
