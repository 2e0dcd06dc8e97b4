import gzip

import pytest

from genomenet.dna import files


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b">a\nACGT\n", files.FASTA),
        (b"LOCUS       a\n", files.GENBANK),
        (b"GBVRL1.SEQ   Genetic Sequence Data Bank\n", files.GENBANK),
        (b"ID   a; SV 1;\n", files.EMBL),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_format_is_known_by_content_and_its_text_is_whole(tmp_path, data, kind, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(b"\xef\xbb\xbf\n" + data))
    with files.opened(str(path)) as (found, text):
        assert found == kind
        assert text.read() == data.decode()


def test_text_has_one_kind_of_line_end_and_keeps_every_byte(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b">a\r\nA\rC\xe9\x1c\n")
    with files.opened(str(path)) as (_, text):
        lines = list(text)
    assert lines == [">a\n", "A\n", "C\udce9\x1c\0\n"]


def test_expand_sorts_a_pattern_and_keeps_the_order_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.fa", "a.fa", "deep/c.fa"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files.expand(["-", "**/*.fa", "a.fa"]) == [
        "-",
        "a.fa",
        "b.fa",
        "deep/c.fa",
        "a.fa",
    ]


def test_an_error_is_one_line_of_file_record_and_cause():
    error = files.error("a\nb", "x\r\ny", record="r 1")
    assert str(error) == "a b: record 'r 1': x y"
    assert isinstance(error, ValueError)
    assert files.shown("-") == "<stdin>"
