"""VCF in and out: every trouble has its answer, and the rest stays to the byte."""

import gzip
import re
import shutil
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest
from Bio import bgzf
from hypothesis import given, settings
from hypothesis import strategies as st

from genomenet.models import classifier
from genomenet.models import classifier_config as config_lib
from genomenet.variants import score_files, vcf
from tests import harness

TEXT = "".join(np.random.default_rng(5).choice(list("ACGT"), 200))
TEXT = TEXT[:100] + "N" * 40 + TEXT[140:160] + "r" + TEXT[161:]
GENOME = {"chr1": TEXT.lower(), "MT": TEXT[:90], "un.1": TEXT[:60]}
HEAD = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, \u00e9 of all">\n'
    "##contig=<ID=chr1>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\n"
)


def base(position):
    return TEXT[position - 1].upper()


def other(position):
    return "ACGT"[("ACGT".index(base(position)) + 1) % 4]


def piece(position, length):
    return TEXT[position - 1 : position - 1 + length].upper()


# CHROM, POS, REF, ALT and the answer.
TROUBLES = [
    ("chr1", 50, base(50), other(50), "ok"),
    ("chr1", 51, base(51).lower(), other(51).lower(), "ok"),
    ("1", 52, base(52), other(52), "ok"),
    ("chr1", 53, base(53), f"{other(53)},<DEL>,*", "ok,symbolic,symbolic"),
    ("chr1", 54, base(54), f"{base(54)}ACG,{other(54)}", "ok,ok"),
    ("chr1", 55, piece(55, 5), base(55), "ok"),
    ("chr1", 56, piece(56, 3), "TTTTT", "ok"),
    ("chr1", 57, piece(57, 3), piece(57, 1) + "NR", "ok"),
    ("chr1", 58, other(58), base(58), "ref_mismatch"),
    ("chr1", 58, other(58) + base(59), "A,<INS>", "ref_mismatch,symbolic"),
    ("chr7", 58, "A", "C,<DEL>", "unknown_contig,unknown_contig"),
    ("chrM", 20, base(20), other(20), "ok"),
    ("M", 21, base(21), other(21), "ok"),
    ("un.1", 21, base(21), other(21), "ok"),
    ("chr1", 0, "N", "A", "outside"),
    ("chr1", 201, "A", "C", "outside"),
    ("chr1", 200, base(200) + "A", "C", "outside"),
    ("chr1", 1, base(1), other(1), "ok"),
    ("chr1", 2, base(2), other(2), "ok"),
    ("chr1", 180, base(180), other(180), "ok"),
    ("chr1", 60, base(60), "<NON_REF>", "symbolic"),
    ("chr1", 61, base(61), ".", "symbolic"),
    ("chr1", 62, base(62), f"{base(62)}[chr2:321[", "symbolic"),
    ("chr1", 63, base(63), f".{base(63)}", "symbolic"),
    ("chr1", 64, base(64), f"{base(64)},{other(64)}", "same,ok"),
    ("chr1", 65, piece(65, 20), base(65), "ok"),
    ("chr1", 65, piece(65, 21), base(65), "too_long"),
    ("chr1", 66, base(66), base(66) * 21, "too_long"),
    ("chr1", 120, "N", "A", "mostly_n"),
    ("chr1", 161, "N", "A", "ok"),
]
INFO = [".", "DP=3", "DP=3;", "DP=007;FLAG", "AF=1e-05,.5"]


def write(path, lines, end="\n", head=HEAD):
    data = (head + "".join(f"{x}\n" for x in lines)).replace("\n", end).encode()
    if path.suffix == ".gz":
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(data)
    else:
        path.write_bytes(data)
    return path


def troubles():
    return [
        f"{chrom}\t{pos}\trs{n % 3}\t{ref}\t{alt}\t1.50\tPASS\t{INFO[n % 5]}\tGT\t0|1"
        for n, (chrom, pos, ref, alt, _) in enumerate(TROUBLES)
    ]


@pytest.fixture(scope="module")
def model():
    config = config_lib.ClassifierConfig(
        task="binary", classes=("no", "yes it"), window=40, length=40
    )
    model = classifier.Classifier("selfgenomenet", harness.SELFGENOMENET, config)
    harness.set_weights(model.weights)
    return model


@pytest.fixture
def score(model, tmp_path):
    """Scores a file; returns the bytes of what was written, unpacked, and counts."""

    def score(path, name="out.vcf", warned=None, **options):
        warned = [] if warned is None else warned
        output = tmp_path / name
        counts = score_files.score_file(
            model,
            path,
            GENOME,
            output,
            score_files.Options(**options),
            warn=warned.append,
            show_progress=False,
        )
        data = output.read_bytes()
        return gzip.decompress(data) if name.endswith("z") else data, counts

    return score


def without_ours(data, prefix="GN"):
    """Removes what is added, by text."""
    mark = prefix.encode()
    data = re.sub(rb"##INFO=<ID=" + mark + rb"_[^\n]*\n", b"", data)
    data = re.sub(rb"\t" + mark + rb"_[^\t\r\n]*", b"\t.", data)
    return re.sub(rb";?" + mark + rb"_[^\t\r\n]*", b"", data)


def test_thirty_lines_have_thirty_answers(score, tmp_path):
    warned = []
    path = write(tmp_path / "in.vcf", troubles())
    data, counts = score(path, warned=warned)
    lines = data.decode().splitlines()
    sites = [line for line in lines if not line.startswith("#")]
    assert len(sites) == len(TROUBLES) == counts.records == 30
    for line, (*_, expected) in zip(sites, TROUBLES, strict=True):
        assert re.search(r"[\t;]GN_status=([^;\t]+)", line)[1] == expected, line
        scores = re.search(r"[\t;]GN_prob_yes_it=([^;\t]+)", line)
        statuses = expected.split(",")
        found = scores[1].split(",") if scores else ["."] * len(statuses)
        assert [x != "." for x in found] == [x == "ok" for x in statuses], line
    mismatch = next(x for x in sites if "ref_mismatch" in x)
    assert f";GN_genome_ref={base(58)}" in mismatch
    assert sum(counts.statuses.values()) == sum(
        len(alt.split(",")) for *_, alt, _ in TROUBLES
    )
    assert len(warned) == 1
    assert "is chr1 in the genome" in warned[0]
    assert "1 is chr1" in warned[0]
    declared = [line for line in lines if line.startswith("##INFO=<ID=GN_")]
    assert len(declared) == 6
    assert all("Number=A" in x for x in declared if "genome_ref" not in x)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["in.vcf", "in.vcf.gz"])
@pytest.mark.parametrize("has_end", [True, False])
def test_all_else_stays_to_the_byte(score, tmp_path, end, name, has_end):
    lines = troubles()[:8]
    lines[1] = lines[1].replace("\tDP=3\t", "\tDP=03;X=\u00e9\t")
    path = write(tmp_path / name, [*lines, "", "#late comment", lines[0]], end)
    raw = (
        gzip.decompress(path.read_bytes()) if name.endswith("z") else path.read_bytes()
    )
    if not has_end:
        raw = raw.removesuffix(end.encode())
        path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith("z") else raw)
    data, _ = score(path, f"out{name[2:]}")
    assert without_ours(data) == raw.replace(b"DP=3;\t", b"DP=3\t") or (
        without_ours(data) == raw
    )
    assert data.count(b"\r\n") == (data.count(b"\n") if end == "\r\n" else 0)


def test_bytes_that_are_no_text_and_many_samples_stay(score, tmp_path):
    line = troubles()[0].encode().replace(b"rs0", b"\xff\xfe") + b"\t\xe9" * 500
    head = HEAD.strip().encode() + b"\ts" * 500 + b"\n"
    path = tmp_path / "in.vcf"
    path.write_bytes(head + line + b"\n")
    data, _ = score(path, "out.vcf.gz")
    assert without_ours(data).replace(b"\t.\tGT", b"\t.\tGT") == head + line + b"\n"
    table, _ = score(path, "out.tsv")
    assert b"\xff\xfe" in table
    score(path, "out.parquet")


def test_scoring_twice_takes_other_names(score, tmp_path):
    path = write(tmp_path / "in.vcf", troubles()[:3])
    first, _ = score(path, "first.vcf")
    second, _ = score(tmp_path / "first.vcf", "second.vcf")
    assert without_ours(second, "GN2") == first
    undeclared = troubles()[0].replace("\t.\t", "\tGN_status=mine\t")
    third, _ = score(write(tmp_path / "in.vcf", [undeclared]), "third.vcf")
    assert b"GN_status=mine;GN2_status=ok" in third


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("chr1\t5", "2 columns"),
        ("chr1\tx\t.\tA\tC\t.\t.\t.\tGT\t0", "POS 'x'"),
        ("chr1\t-1\t.\tA\tC\t.\t.\t.\tGT\t0", "POS '-1'"),
        ("chr1\t1\t.\t\tC\t.\t.\t.\tGT\t0", "REF ''"),
        ("chr1\t1\t.\tA\tC,,T\t.\t.\t.\tGT\t0", "ALT ''"),
        ("chr1\t1\t.\tA\tC-\t.\t.\t.\tGT\t0", "ALT 'C-'"),
        ("chr1\t1\t.\tE\tC\t.\t.\t.\tGT\t0", "REF 'E'"),
        ("\t1\t.\tA\tC\t.\t.\t.\tGT\t0", "CHROM"),
        ("chr1 1 . A C . . . GT 0", "1 columns"),
    ],
)
def test_malformed_lines(score, tmp_path, line, word):
    good = troubles()[:2]
    path = write(tmp_path / "in.vcf", [good[0], line, good[1]])
    with pytest.raises(vcf.VariantError, match=re.escape(word)) as e:
        score(path)
    assert "in.vcf, line 6: " in str(e.value)
    assert len(str(e.value).splitlines()) == 1
    assert not (tmp_path / "out.vcf").exists()
    warned = []
    data, counts = score(path, warned=warned, on_error="skip")
    assert counts.records == 2
    assert counts.malformed == 1
    assert len(warned) == 1
    assert without_ours(data) == write(tmp_path / "good.vcf", good).read_bytes()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty file"),
        (b"##fileformat=VCFv4.2\n", "#CHROM"),
        (b"##fileformat=VCFv4.2\nchr1\t1\n", "line 2"),
        (b"##fileformat=VCFv4.2\n#CHROM\tPOS\n", "2 columns"),
        (b"BCF\2\2", "bcftools view"),
        (gzip.compress(b"##fileformat=VCFv4.2\n" * 99, mtime=0)[:-9], "truncated"),
    ],
)
def test_files_that_are_no_vcf(score, tmp_path, data, word):
    (tmp_path / "in.vcf").write_bytes(data)
    with pytest.raises(ValueError, match=word) as e:
        score(tmp_path / "in.vcf")
    assert len(str(e.value).splitlines()) == 1
    assert not (tmp_path / "out.vcf").exists()


def test_a_header_alone(score, tmp_path):
    path = write(tmp_path / "in.vcf", [])
    data, counts = score(path)
    assert without_ours(data) == path.read_bytes()
    assert counts.records == 0
    assert score(path, "out.tsv")[0].count(b"\n") == 1
    score(path, "out.parquet")


def test_tables_have_a_row_an_allele(score, tmp_path):
    path = write(tmp_path / "in.vcf.gz", troubles())
    text = score(path, "out.tsv")[0].decode().splitlines()
    rows = [
        dict(zip(text[0].split("\t"), x.split("\t"), strict=True)) for x in text[1:]
    ]
    expected = [x for *_, answers in TROUBLES for x in answers.split(",")]
    assert [row["status"] for row in rows] == expected
    assert rows[3]["id"] == "rs0"
    assert rows[4]["alt"] == "<DEL>"
    assert rows[4]["prob_no"] == ""
    score(path, "out.parquet")
    columns = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert columns["status"] == expected
    assert columns["prob_no"][4] is None
    found = [f"{x:.6g}" if x is not None else "" for x in columns["prob_no"]]
    assert found == [row["prob_no"] for row in rows]
    # The same from a table.
    given = ["Chromosome\tPOS\tref\talt\tID"]
    given += [
        f"{c}\t{p}\t{r}\t{a}\trs{n % 3}" for n, (c, p, r, a, _) in enumerate(TROUBLES)
    ]
    (tmp_path / "in.tsv").write_text("\n".join(given))
    assert score(tmp_path / "in.tsv", "again.tsv")[0].decode().splitlines() == text
    with pytest.raises(ValueError, match="again.vcf.*VCF input"):
        score(tmp_path / "in.tsv", "again.vcf")


def test_what_is_read_is_not_replaced(score, tmp_path):
    path = write(tmp_path / "in.vcf", troubles())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another output"):
        score(path, "in.vcf")
    with pytest.raises(ValueError, match=".txt must end"):
        score(path, "out.txt")
    assert path.read_bytes() == before


@pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools is not installed")
def test_bcftools_reads_it(score, tmp_path):
    score(write(tmp_path / "in.vcf", troubles()), "out.vcf.gz")
    done = subprocess.run(
        ["bcftools", "view", "-H", tmp_path / "out.vcf.gz"], capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 30


FIELD = st.text(
    st.characters(
        exclude_characters="\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029",
        exclude_categories=["Cs"],
    ),
    max_size=8,
)


@given(st.lists(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD), max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("vcf") / "in.vcf"
    lines = ["\t".join([*row, ".", ".", "DP=1", "GT", "0"]) for row in rows]
    write(path, lines)
    errors = []
    found = [x for x in vcf.read(str(path), errors.append) if isinstance(x, vcf.Site)]
    others = sum(line.startswith("#") for line in lines)
    assert len(found) + len(errors) + others == len(lines)
    for site in found:
        assert vcf.add_info(site.line, "X=1").replace(b";X=1", b"") == site.line
