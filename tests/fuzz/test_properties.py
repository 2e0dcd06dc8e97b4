"""Sequences, tables and intervals are read as a plain reader reads them."""

import gzip
import string

import hypothesis
import numpy as np
from hypothesis import strategies as st

from genomenet.data import intervals as intervals_lib
from genomenet.data import packed_chunks, tables
from genomenet.dna import alphabet, encode, reader

few = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
bases = st.text("ACGTNacgtnUuRYSWKMBDHVryswkmbdhv-.", min_size=1, max_size=200)
words = st.text(string.ascii_letters + string.digits + "_.|:", min_size=1, max_size=12)
names = st.lists(words, min_size=1, max_size=5, unique=True)
NORMAL = str.maketrans("URYSWKMBDHV-.", "TNNNNNNNNNNNN")


def normal(text):
    return text.upper().translate(NORMAL)


@few
@hypothesis.given(
    names, st.data(), st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 80),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_fasta(tmp_path, given_names, data, newline, width, is_gzip, has_end):
    records = [(name, data.draw(bases)) for name in given_names]
    lines = []
    for name, text in records:
        lines.append(f">{name} {data.draw(words)}")
        lines += [text[i : i + width] for i in range(0, len(text), width)]
    raw = (newline.join(lines) + newline * has_end).encode()
    path = tmp_path / "x.fa"
    path.write_bytes(gzip.compress(raw) if is_gzip else raw)
    found = [(r.name, encode.decode(r.codes).decode()) for r in reader.read(str(path))]
    assert found == [(name, normal(text)) for name, text in records]


# Blanks at the ends are taken off; what is no value, or a number, has its own tests.
labels = words.map(lambda text: f"c{text}")


@few
@hypothesis.given(
    st.lists(st.tuples(bases, labels), min_size=1, max_size=6),
    st.sampled_from("\t,;"), st.booleans(), st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_tables(tmp_path, rows, delimiter, is_quoted, newline):
    quote = '"' if is_quoted else ""
    lines = [delimiter.join(["label", "sequence"])]
    rows = [(x, y) for x, y in rows if not tables.is_missing(x)]
    hypothesis.assume(rows)
    lines += [f"{y}{delimiter}{quote}{x}{quote}" for x, y in rows]
    path = tmp_path / "x.txt"
    path.write_bytes((newline.join(lines) + newline).encode())
    found = [(r.sequence.decode(), r.label) for r in tables.read_tables([str(path)])]
    assert found == [(normal(x), y) for x, y in rows]


@few
@hypothesis.given(
    st.text("ACGTN", min_size=30, max_size=200),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 9), st.sampled_from("+-.")),
        min_size=1, max_size=6,
    ),
)  # fmt: skip
def test_intervals(tmp_path, genome, rows):
    (tmp_path / "genome.fa").write_text(f">chr1\n{genome}\n")
    path = tmp_path / "x.bed"
    lines = [f"chr1\t{a}\t{a + n}\tname\t0\t{strand}\n" for a, n, strand in rows]
    path.write_text("".join(lines))
    found = intervals_lib.cut(
        intervals_lib.read(str(path), label="peak"), [str(tmp_path / "genome.fa")]
    )
    other = str.maketrans("ACGTN", "TGCAN")
    for row, (a, n, strand) in zip(found, rows, strict=True):
        text = genome[a : a + n]
        expected = text.translate(other)[::-1] if strand == "-" else text
        assert row.sequence.decode() == expected


@few
@hypothesis.given(
    st.lists(st.text("ACGTN", min_size=1, max_size=90), min_size=1, max_size=4)
)
def test_packed_genomes(tmp_path, texts):
    chunks = [
        ("train", f"r{n}", 0, alphabet.CODES[np.frombuffer(text.encode(), np.uint8)])
        for n, text in enumerate(texts)
    ]
    found = packed_chunks.of(chunks, tmp_path / "x.npz")
    for (start, end), text in zip(found.intervals("train"), texts, strict=True):
        codes = found.genome.take(np.array([start]), end - start)[0]
        assert encode.decode(codes).decode() == text
