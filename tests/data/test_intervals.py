"""Intervals cut from a genome, as records."""

import pytest

from genomenet.data import intervals
from genomenet.dna import encode

CHR1 = "ACGTTGCAGGCATTAGCCAT"


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>chr2\nTTTTT\n")
    return str(path)


def write(tmp_path, text, name="peaks.bed"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def letters(record):
    return encode.decode(record.codes).decode()


def test_as_they_are(genome, tmp_path):
    bed = write(tmp_path, "1\t2\t8\nchr1\t2\t8\tx\t0\t-\nchr2\t0\t5\n")
    found = list(intervals.read_records(bed, genome=genome))
    assert [one.name for one in found] == ["chr1:2-8", "chr1:2-8(-)", "chr2:0-5"]
    assert [letters(one) for one in found] == ["GTTGCA", "TGCAAC", "TTTTT"]
    assert found[1].start == 2
    assert found[1].is_reverse
    assert found[1].contig == "chr1"


def test_a_width_around_the_summit_or_the_middle(genome, tmp_path):
    peak = "chr1\t10\t18\t.\t0\t.\t1\t1\t1\t2\n"
    paths = [
        write(tmp_path, peak, "a.narrowPeak"),
        write(tmp_path, "chr1\t0\t4\n"),
    ]
    found = list(intervals.read_records(paths, genome=[genome], width=6))
    assert [one.name for one in found] == ["chr1:9-15", "chr1:-1-5"]
    assert letters(found[0]) == CHR1[9:15]
    assert letters(found[1]) == "N" + CHR1[:5]


def test_what_the_genome_lacks(genome, tmp_path):
    bed = write(tmp_path, "chr1\t0\t4\nchrX\t0\t4\nchr2\t0\t6\n")
    with pytest.raises(ValueError, match=r"peaks.bed.*2.*'chrX' is not in .*genome.fa"):
        list(intervals.read_records(bed, genome=genome))
    errors = []
    found = intervals.read_records(bed, genome=genome, on_error=errors.append)
    assert [one.name for one in found] == ["chr1:0-4"]
    assert len(errors) == 2
    assert "end 6 is beyond the 5 of chr2" in str(errors[1])


@pytest.mark.parametrize(
    ("paths", "options", "cause"),
    [
        (["x.bed.gz"], {}, "x.bed.gz: it holds intervals: give their genome"),
        (["x.fa"], {"width": 4}, "width=4 needs intervals"),
        (["-"], {"genome": "g.fa"}, "not from standard input"),
        (["x.bed"], {"genome": "g.fa", "width": 0}, "width=0"),
    ],
)
def test_refused(paths, options, cause):
    with pytest.raises(ValueError, match=cause):
        list(intervals.read_records(paths, **options))


def test_a_file_without_intervals_is_refused(tmp_path):
    path = tmp_path / "x.bed"
    path.write_text("track name=peaks\n# nothing\n")
    (tmp_path / "x.fa").write_text(">chr1\nACGT\n")
    with pytest.raises(ValueError, match=r"x\.bed: it holds no interval"):
        list(intervals.read_records(str(path), genome=str(tmp_path / "x.fa")))
