import bz2
import contextlib
import glob
import gzip
import io
import lzma
import os
import struct
import tracemalloc
import types
import warnings
import zipfile

import numpy as np
import pytest
from Bio import Seq, SeqIO, SeqRecord, bgzf

from genomenet.dna import encode, reader

FASTA = b">one first\nACGT\nNNac\n>two\nGGu\n"
RECORDS = [("one", b"ACGTNNAC"), ("two", b"GGT")]


def records_of(*paths, **options):
    return [(r.name, encode.decode(r.codes)) for r in reader.read(paths, **options)]


def flat_file(kind, *, molecule="DNA", names=("one", "two"), letters="ACGTACGTNN" * 13):
    records = [
        SeqRecord.SeqRecord(
            Seq.Seq(letters),
            id=f"{name}.1",
            name=name,
            annotations={"molecule_type": molecule},
        )
        for name in names
    ]
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SeqIO.write(records, text, kind)
    return text.getvalue().encode()


def two_bit(sequences, *, order="<", version=0):
    """Writes 2bit after the UCSC description; lower case and N as runs."""
    entries, bodies = b"", b""
    start = 16 + sum(5 + len(name) for name, _ in sequences)
    for name, letters in sequences:
        entries += struct.pack("B", len(name)) + name.encode()
        entries += struct.pack(order + "I", start + len(bodies))
        body = struct.pack(order + "I", len(letters))
        for wanted in ("N".__eq__, str.islower):
            runs = [i for i, letter in enumerate(letters) if wanted(letter)]
            body += struct.pack(f"{order}{1 + 2 * len(runs)}I", len(runs), *runs,
                                *[1] * len(runs))  # fmt: skip
        body += struct.pack(order + "I", 0)
        bits = ["TCAG".find(letter.upper()) % 4 for letter in letters]
        bits += [0] * (-len(bits) % 4)
        bodies += body + bytes(
            a << 6 | b << 4 | c << 2 | d
            for a, b, c, d in zip(*(bits[i::4] for i in range(4)), strict=True)
        )
    words = struct.pack(order + "4I", 0x1A412743, version, len(sequences), 0)
    return words + entries + bodies


def bgzipped(data, *, block=12):
    file = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=file)
    for start in range(0, len(data), block):
        writer.write(data[start : start + block])
        writer.flush()
    file.close = lambda: None
    writer.close()
    return file.getvalue()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _write(data, name="x.dat"):
        (tmp_path / name).write_bytes(data)
        return name

    return _write


@pytest.fixture
def failure(write):
    """Writes a file, reads it, and returns the one line it fails with."""

    def _failure(data, name="x.dat"):
        with pytest.raises(reader.SequenceFileError) as caught:
            records_of(write(data, name))
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert "\n" not in message
        return message

    return _failure


# === What can be read ===


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bgzipped], ids=["plain", "gzip", "bgzip"]
)
def test_fasta_plain_and_packed_under_a_name_that_says_nothing(write, pack):
    assert records_of(write(pack(FASTA), "genome.txt")) == RECORDS


def test_a_record_is_shown_on_one_line(write):
    long, short = reader.read(write(b">a b\n" + b"ACGTN" * 300 + b"\n>c\nACG\n"))
    assert repr(long) == "Record('a', 1,500 bases: ACGTNACGTNACGTNACGTN…)"
    assert repr(short) == "Record('c', 3 bases: ACG)"


def test_gzip_of_several_members_and_padding(write):
    parts = [gzip.compress(FASTA[i : i + 5]) for i in range(0, len(FASTA), 5)]
    assert records_of(write(b"".join(parts) + bytes(100))) == RECORDS


@pytest.mark.parametrize(
    "data",
    [
        FASTA.replace(b"\n", b"\r\n"),
        FASTA.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + FASTA,
        b"\xef\xbb\xbf\r\n\n" + FASTA,
        b"\n \t\n" + FASTA,
        b"  " + FASTA,
        FASTA.rstrip(),
        FASTA + b"\n\n  \n",
        FASTA.replace(b"ACGT\nNNac", b" AC GT \n\n\nN\tN a\x0b\t\x0cc  "),
        FASTA.replace(b">one first", b"> one\tfirst \xe9"),
        FASTA.replace(b"NN", b"R-").replace(b"u", b"t"),
    ],
)
def test_fasta_as_people_write_it(write, data):
    assert records_of(write(data)) == RECORDS


def test_line_ends_at_every_place_of_a_block(write):
    for padding in range(8185, 8195):
        head = b">one " + b"x" * padding + b"\r\nAC\r\nGT\r\n"
        assert records_of(write(head)) == [("one", b"ACGT")]


def test_long_and_unwrapped_sequences(write):
    letters = b"ACGTN" * 100_000
    data = b">a\n" + letters + b"\n>b\n" + letters[:70_000] + b"\n" + letters
    expected = [("a", letters), ("b", letters[:70_000] + letters)]
    assert records_of(write(data)) == expected


def test_names_are_utf8_and_bodies_may_repeat(write):
    data = ">gène à\nAC\n>基\nAC\n".encode()
    assert records_of(write(data)) == [("gène", b"AC"), ("基", b"AC")]


@pytest.mark.parametrize("kind", ["genbank", "embl"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_flat_files(write, kind, pack):
    data = pack(flat_file(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = records_of(write(data))
    assert found == [(f"{name}.1", b"ACGTACGTNN" * 13) for name in ("one", "two")]


def test_a_genbank_release_file_opens_with_a_banner(write):
    banner = b"GBPHG1.SEQ          Genetic Sequence Data Bank\n\n   2 loci\n\n"
    assert len(records_of(write(banner + flat_file("genbank")))) == 2


def test_a_sparse_genbank_record_of_a_plasmid_editor(write):
    data = (
        b"LOCUS       pTest    12 bp ds-DNA     circular     \nACCESSION   .\n"
        b"VERSION     .\nFEATURES             Location/Qualifiers\n"
        b"ORIGIN\n        1 acgtacgtac gt\n//\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert records_of(write(data)) == [("pTest", b"ACGTACGTACGT")]


@pytest.mark.parametrize("order", ["<", ">"])
def test_two_bit(write, order):
    sequences = [("one", "ACGTacgtNNAC"), ("two", "G"), ("three", "nACGT".upper())]
    data = two_bit(sequences, order=order)
    assert records_of(write(data)) == [(n, s.upper().encode()) for n, s in sequences]


# === Which files ===


def test_files_come_in_order_and_patterns_sorted(write):
    for name in ("b.fa", "a.fa", "c.fa", "z.fa"):
        write(b">" + name.encode() + b"\nA\n", name)
    found = list(reader.read(["z.fa", "[abc].fa"]))
    assert [r.name for r in found] == ["z.fa", "a.fa", "b.fa", "c.fa"]
    assert [r.source for r in found] == ["z.fa", "a.fa", "b.fa", "c.fa"]


def test_one_path_a_path_object_and_a_name_like_a_pattern(write, tmp_path):
    write(FASTA, "x[1].fa")
    assert [r.name for r in reader.read("x[1].fa")] == ["one", "two"]
    assert [r.name for r in reader.read(tmp_path / "x[1].fa")] == ["one", "two"]
    assert reader.expand("*.fa") == ["x[1].fa"]


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time and cannot be rewound."""

    def __init__(self, data):
        self.data = data

    def readable(self):
        return True

    def readinto(self, buffer):
        part, self.data = self.data[:7], self.data[7:]
        buffer[: len(part)] = part
        return len(part)


def stdin_of(monkeypatch, data):
    pipe = io.BufferedReader(Pipe(data), 16)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=pipe))
    return pipe


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bgzipped])
def test_standard_input_may_be_a_pipe(monkeypatch, pack):
    pipe = stdin_of(monkeypatch, pack(FASTA))
    found = list(reader.read("-"))
    assert [(r.name, r.source) for r in found] == [
        ("one", "<stdin>"),
        ("two", "<stdin>"),
    ]
    assert not pipe.closed


def test_a_named_pipe(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, gzip.compress(FASTA))
    os.close(writing)
    assert records_of(f"/dev/fd/{reading}") == RECORDS
    os.close(reading)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("no.fa", "no.fa: no such file"),
        ("no*.fa", "no*.fa: no file matches this pattern"),
        ("", "'': no such file"),
        ("folder", "folder: is a directory; name its files: folder/*"),
        ([], "no sequence files were given"),
        (["ok.fa", "no.fa"], "no.fa: no such file"),
    ],
)
def test_missing_files_are_named_before_anything_is_read(write, paths, message):
    write(FASTA, "ok.fa")
    os.mkdir("folder")
    with pytest.raises(reader.SequenceFileError) as caught:
        next(reader.read(paths))
    assert str(caught.value) == message


def test_no_permission(write, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    name = write(FASTA)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(reader.SequenceFileError, match="no permission to read it"):
        records_of(name)


def test_an_error_of_the_disk_has_the_file(write, monkeypatch):
    name = write(FASTA)

    def fail(self, size):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Pipe, "readinto", fail)
    stdin_of(monkeypatch, FASTA)
    with pytest.raises(reader.SequenceFileError, match=r"^<stdin>: Input/output error"):
        records_of("-")
    assert records_of(name) == RECORDS


# === What cannot be read ===


READS = (
    b"@r1 first\nACGN\n+\nII@I\n"
    b"@r2 2:N:0:TAG\nacgu\n+r2 2:N:0:TAG\n@@++\n"
    b"@r3/1 1:Y:0\nA\n+\n@\n"
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bgzipped])
def test_fastq_is_read_without_its_qualities(write, pack):
    found = [(r.name, r.codes.tolist()) for r in reader.read(write(pack(READS)))]
    assert found == [
        ("r1", [0, 1, 2, 4]),
        ("r2/2", [0, 1, 2, 3]),  # the second of a pair
        ("r3/1", [0]),
    ]


def test_names_of_reads_are_not_remembered(write):
    path = write(READS * 2, "reads.fq")
    assert len(list(reader.read([path, path]))) == 12


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"@r1\nACGT\n+\nIII\n", "the first read is not readable as FASTQ"),
        (b"@r1\nACGT\n+\nIIII\n@r2\nAC\n", "the read after 'r1' is not readable"),
        (b"@r1\nACGT\n+\nIIII\n@r2\nAC\n+\nI", "the read after 'r1' is not readable"),
        (b"@r1\nACGT\n+\nIIII\n>r2\nACGT\n", "the first read is not readable"),
        (b"@r1\nACGT\n+r2\nIIII\n", "the first read is not readable"),
        (b"@r1\nAC?T\n+\nIIII\n", "record 'r1'"),
        (b"@r1\n\n+\n\n", "record 'r1': a read without bases"),
        (b"@\nACGT\n+\nIIII\n", "header 1 has no name after its '@'"),
    ],
)
def test_damaged_fastq(failure, data, cause):
    assert cause in failure(data)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty file"),
        (b" \n\r\n\t", "empty file: nothing but blank lines"),
        (b"\n" * 200_000, "empty file: nothing but blank lines"),
        (b"\xef\xbb\xbf", "empty file"),
        (gzip.compress(b"", mtime=0), "empty file inside gzip"),
        (gzip.compress(b"\n\n", mtime=0), "empty file: nothing but blank lines"),
        (b"name,sequence\na,ACGT\n", "it starts with 'name,sequence'"),
        (b"LOCATION of it\n", "it starts with 'LOCATION of it'"),
        (b"IDENTIFIER\n", "it starts with 'IDENTIFIER'"),
        (b"; old\n>a\nACGT\n", "text before the first '>' header: '; old'"),
        (b"junk\r>a\rACGT\r", "text before the first '>' header: 'junk'"),
        (b"ACGTACGT\nACGT\n", "a sequence without a '>' header"),
        (bytes(range(256)), "binary data"),
        (b"\x7fELF\x02\x01\0\0", "binary data"),
        (b"@SQ\tSN:1\tLN:4\n", "a SAM file"),
        (b"@HD\tVN:1.6\n", "a SAM file"),
        (bgzipped(b"BAM\x01" + bytes(40)), "a BAM file"),
        (bz2.compress(FASTA), "a bzip2 file"),
        (lzma.compress(FASTA), "an xz file"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "a zstd file"),
        (gzip.compress(gzip.compress(FASTA, mtime=0), mtime=0), "gzip inside gzip"),
        (b"<!DOCTYPE html>\n<html>", "a web page"),
        (FASTA.decode().encode("utf-16"), "UTF-16 text"),
        (b"a" * 257 + b"ustar\0", "a tar archive"),
    ],
)
def test_not_a_sequence_file(failure, data, cause):
    assert cause in failure(data)


def test_a_zip_archive(failure):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.fa", FASTA)
    assert "a zip archive" in failure(packed.getvalue(), "x.fa.gz")


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b">a\n>b\nACGT\n", "record 'a': header without sequence"),
        (b">a\nACGT\n>b\n \n\n>c\nA\n", "record 'b': header without sequence"),
        (b">a\nACGT\n>b x", "record 'b': header without sequence"),
        (b">a", "record 'a': header without sequence"),
        (b">\nACGT\n", "header 1 has no name after its '>'"),
        (b">a\nA\n>  \nACGT\n", "header 2 has no name after its '>'"),
        (b">", "header 1 has no name after its '>'"),
        (b">a\0b\nACGT\n", r"header 1 has an unreadable name 'a\x00b'"),
        (b">p\nMKVLAAGIVG*\n", "record 'p': looks like protein"),
        (b">d\nAC\n>p\nmtehlqwpfiy\nklmnp\n", "record 'p': looks like protein"),
        (b">a\nACXGT\n", "record 'a': 'X' at position 3 "),
        (b">a\nACGTACGTXXXXXXXXXXXXXXX\n", "record 'a': 'X' at position 9 "),
        (b">a\nACGTACGTACGTL\n", "record 'a': 'L' at position 13 "),
        (b">a\nA C\n\n1GT\n", "record 'a': '1' at position 3 "),
        (b">a\nAC\0GT\n", "record 'a': 0x00 at position 3 "),
        ((">a\nACé\n").encode(), "record 'a': 'é' at position 3 "),
        (b">a\nAC\xe9\n", "record 'a': 0xe9 at position 3 "),
        (b">a\nAC\n >b\nA", "record 'a': '>' at position 3 "),
        (b">a\nACGT*\n", "record 'a': '*' at position 5 "),
        (b">a\nAC\n>a x\nGT\n", "record 'a': this name was used before, in x.dat"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_bad_fasta(failure, data, cause, pack):
    assert failure(pack(data)).startswith(f"x.dat: {cause}")


def test_no_wrong_byte_is_dropped_wherever_it_stands(write):
    allowed = b"ACGTUNRYSWKMBDHV" + b"ACGTUNRYSWKMBDHV".lower() + b"-. \t\n\v\f\r>"
    for byte in set(range(256)) - set(allowed):
        wrong = bytes([byte])
        for body in (
            wrong + b"CGT\nA",
            b"AC" + wrong + b"T\nA",
            b"ACG" + wrong + b"\nA",
        ):
            position = body.index(wrong) + 1
            shown = repr(chr(byte)) if 32 < byte < 127 else f"0x{byte:02x}"
            with pytest.raises(reader.SequenceFileError) as caught:
                records_of(write(b">a\n" + body))
            expected = f"x.dat: record 'a': {shown} at position {position} is not"
            assert str(caught.value).startswith(expected)


def test_good_records_come_before_the_bad_one(write):
    found = reader.read(write(b">a\nAC\n>b\nA1\n"))
    assert next(found).name == "a"
    with pytest.raises(reader.SequenceFileError, match="record 'b'"):
        next(found)


def test_a_name_twice_names_both_files(write):
    write(FASTA, "a.fa")
    write(gzip.compress(b">three\nA\n>two\nC\n"), "b.fa.gz")
    with pytest.raises(reader.SequenceFileError) as caught:
        records_of("a.fa", "b.fa.gz")
    expected = "b.fa.gz: record 'two': this name was used before, in a.fa"
    assert str(caught.value) == expected
    assert len(records_of("a.fa", "b.fa.gz", unique=False)) == 4


BASES = np.random.default_rng(0).choice(list(b"ACGT"), 180_000).astype("u1")
LONG = b">a\n" + b"\n".join(row.tobytes() for row in BASES.reshape(-1, 60))


@pytest.mark.parametrize("size", [2, 5, 9, 12, 100, -1000, -9, -8, -4, -1])
def test_truncated_gzip(failure, size):
    packed = gzip.compress(LONG)
    packed = packed[:3] + b"\x08" + packed[4:10] + b"genome.fa\0" + packed[10:]
    assert "truncated gzip file" in failure(packed[:size])


def test_bgzip_cut_between_two_blocks(failure):
    packed = bgzipped(FASTA, block=9)
    ends = [i for i in range(1, len(packed)) if packed.startswith(b"\x1f\x8b\x08\4", i)]
    assert len(ends) > 3
    for end in ends:
        assert "truncated gzip file" in failure(packed[:end])


@pytest.mark.parametrize("position", [-8, -5, -3, 60, 5000, 20_000])
def test_damaged_gzip(failure, position):
    packed = bytearray(gzip.compress(LONG))
    for i in range(position, position + 3):
        packed[i] ^= 0x55
    assert "gzip" in failure(bytes(packed))


def test_gzip_followed_by_something_else(failure):
    assert "damaged gzip file" in failure(gzip.compress(FASTA) + b"junk")


@pytest.mark.parametrize("kind", ["genbank", "embl"])
def test_truncated_flat_files(failure, kind):
    data = flat_file(kind).rstrip()
    second = data.rindex(b"LOCUS" if kind == "genbank" else b"ID   ")
    for end in (*range(second + 17, len(data) - 1, 20), len(data) - 2, len(data) - 1):
        message = failure(data[:end])
        assert "truncated" in message, data[:end][-99:]
        assert "two" in message


@pytest.mark.parametrize("kind", ["genbank", "embl"])
def test_flat_files_of_proteins(failure, kind):
    data = flat_file(kind, molecule="protein", letters="MKVLAAGIVG")
    assert "record 'one': looks like protein" in failure(data)
    data = flat_file(kind, letters="MKVLAAGIVG")
    assert "record 'one.1': looks like protein" in failure(data)


@pytest.mark.parametrize("kind", ["genbank", "embl"])
def test_a_wrong_letter_in_a_flat_file(failure, kind):
    data = flat_file(kind, letters="ACGTACGTACGTACXACGT")
    assert "record 'one.1': 'X' at position 15 " in failure(data)


def test_swissprot_is_protein(failure):
    data = b"ID   CYC_BOVIN               Reviewed;         105 AA.\nAC   P62894;\n"
    assert "record 'CYC_BOVIN': looks like protein" in failure(data)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"//\nLOCUS       two", b"LOCUS       two", "record 'one': truncated"),
        (b"//\nLOCUS       two", b"//\nLOCUS  two", "text before 'LOCUS       '"),
        (b"//\nLOCUS       two", b"//\njunk\nLOCUS       two", "text before"),
        (b"LOCUS       one", b"LOCUS one", "text before 'LOCUS       '"),
        (b" 130 bp", b" 131 bp", "record 'one.1': its first line says 131 bases"),
        (b"ORIGIN", b"ORIGINAL", "record 'one': not readable as GenBank"),
    ],
)
def test_bad_genbank(failure, old, new, cause):
    data = flat_file("genbank")
    assert old in data
    assert cause in failure(data.replace(old, new, 1))


@pytest.mark.parametrize("kind", ["genbank", "embl"])
@pytest.mark.parametrize("rest", ["", "contig", "begun"])
def test_flat_files_without_sequence(failure, write, kind, rest):
    head, mark, _ = flat_file(kind).partition(b"ORIGIN" if kind == "genbank" else b"SQ")
    if rest == "contig":
        word = b"CONTIG      " if kind == "genbank" else b"CO   "
        head += word + b"join(AB000001.1:1..130)\n"
    elif rest == "begun":
        head += mark + b"\n"
    empty = head + b"//\n"
    assert "no sequence in this record" in failure(empty)
    wrong = []
    path = write(empty + flat_file(kind, names=("two",)))
    records = list(reader.read(path, on_error=wrong.append))
    assert [r.name for r in records] == ["two.1"]
    assert "record 'one" in str(wrong[0])


@pytest.mark.parametrize("kind", ["genbank", "embl"])
def test_control_characters_are_shown_escaped(failure, kind):
    data = flat_file(kind)
    for at in range(data.index(b"one"), len(data) - 200, 37):
        try:
            message = failure(data[:at] + b"\x1b[31m\x07" + data[at + 6 :])
        except pytest.fail.Exception:
            continue  # in a part that is not looked at
        assert message.isprintable()
    assert "unreadable name" in failure(two_bit([("a\x1b[31m", "ACGT")]))


@pytest.mark.parametrize("order", ["<", ">"])
def test_damaged_two_bit(failure, order):
    good = two_bit([("one", "ACGTacgtNN"), ("two", "ACGT" * 9)], order=order)
    for size in range(4, len(good)):
        assert "2bit" in failure(good[:size])


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (two_bit([]), "no sequence"),
        (two_bit([("a", "ACGT")], version=1), "version 1"),
        (two_bit([("a", "ACGT"), ("a", "ACGT")]), "'a' occurs twice"),
        (two_bit([("a", "ACGT"), ("b", "")]), "record 'b': header without sequence"),
        (two_bit([("\x80", "ACGT")]), "not readable as 2bit"),
        (two_bit([("a", "ACGN")]).replace(b"\3\0\0\0\1", b"\3\0\0\0\2"), "damaged"),
        (gzip.compress(two_bit([("a", "ACGT")]), mtime=0), "2bit must be a plain file"),
    ],
)
def test_bad_two_bit(failure, data, cause):
    assert cause in failure(data)


def test_two_bit_on_standard_input(monkeypatch):
    stdin_of(monkeypatch, two_bit([("a", "ACGT")]))
    with pytest.raises(
        reader.SequenceFileError, match=r"^<stdin>: 2bit must be a plain"
    ):
        records_of("-")


@pytest.mark.parametrize("kind", ["fasta", "genbank", "embl", "2bit", "gzip"])
def test_damage_anywhere_ends_in_records_or_in_one_line(write, kind):
    good = {
        "fasta": FASTA,
        "genbank": flat_file("genbank"),
        "embl": flat_file("embl"),
        "2bit": two_bit([("one", "ACGTacgtNN"), ("two", "ACGT" * 9)]),
        "gzip": gzip.compress(FASTA),
    }[kind]
    rng = np.random.default_rng(1)
    for _ in range(300):
        data = bytearray(good)
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            data[position] = rng.integers(256)
        if rng.random() < 0.3:
            del data[rng.integers(len(data)) :]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                records_of(write(bytes(data)))
            except reader.SequenceFileError as e:
                assert "\n" not in str(e)  # noqa: PT017


# === Memory and resources ===


@pytest.mark.parametrize("kind", ["fasta", "genbank", "2bit"])
def test_one_record_in_memory_at_a_time(write, kind):
    size = 600_000
    names = [f"r{i}" for i in range(5)]
    letters = "ACGTACGTAC" * (size // 10)
    if kind == "fasta":
        lines = "\n".join(letters[i : i + 60] for i in range(0, size, 60))
        data = "".join(f">{name}\n{lines}\n" for name in names).encode()
    elif kind == "genbank":
        data = flat_file("genbank", names=names, letters=letters)
    else:
        data = two_bit([(name, letters) for name in names])
    path = write(data)

    def peak(number):
        tracemalloc.start()
        records = reader.read(path)
        for _ in range(number):
            record = next(records)
            assert record.codes.size == size
            del record
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)  # imports
    assert peak(5) < peak(1) + 0.2 * size


def test_nothing_stays_open(write):
    name = write(gzip.compress(FASTA))
    found = reader.read(name)
    next(found)
    before = len(glob.glob("/proc/self/fd/*"))
    found.close()
    assert len(glob.glob("/proc/self/fd/*")) in (before - 1, 0)


def test_two_bit_records_may_not_share_bytes(failure):
    data = bytearray(two_bit([("a", "ACGT" * 9), ("b", "ACGT" * 9)]))
    data[24:28] = data[18:22]
    assert "'a' and 'b' share bytes" in failure(bytes(data))
    data[18:22] = struct.pack("<I", 4)
    assert "lies inside the index" in failure(bytes(data))
    data = bytearray(two_bit([("a", "NNNNNNNN")]))
    at = data.index(struct.pack("<9I", 8, *range(8)))
    data[at + 4 : at + 68] = struct.pack("<16I", *[0] * 8, *[8] * 8)
    assert "runs in 'a' overlap" in failure(bytes(data))


@pytest.mark.parametrize("letter", ["X", "E"])
def test_an_error_takes_no_more_memory_than_reading(write, letter):
    size = 8_000_000
    letters = "ACGTACGTAC" * (size // 10)
    peaks = []
    for text in (letters, letters[:-5] + letter + letters[-4:], letter * size):
        path = write(f">a\n{text}\n".encode())
        tracemalloc.start()
        with contextlib.suppress(reader.SequenceFileError):
            for _ in reader.read(path):
                pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < peaks[0] + 12_000_000  # blocks of a million letters


def test_too_little_memory_is_one_line(failure, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(encode, "encode", fail)
    assert "too large for the memory" in failure(FASTA)
