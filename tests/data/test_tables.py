"""Tables as people write them, and the errors they get."""

import csv
import gzip

import pytest

from genomenet.data import sources, tables


def read(path, **kwargs):
    return [
        (row.sequence.decode(), row.label, row.id, row.split)
        for row in tables.read_tables([str(path)], **kwargs)
    ]


def write(tmp_path, text, name="x.tsv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_delimiters_line_ends_and_marks(tmp_path, delimiter, end, start):
    lines = [["sequence", "label", "id"], ["acgu", "yes", "a"], ["RNNN", " no ", "b"]]
    text = start + end.join(delimiter.join(line) for line in lines) + end
    assert read(write(tmp_path, text)) == [
        ("ACGT", "yes", "a", ""),
        ("NNNN", "no", "b", ""),
    ]


def test_gzip_is_known_by_content(tmp_path):
    packed = gzip.compress(b"sequence\tlabel\nACGT\t1\n")
    assert read(write(tmp_path, packed)) == [("ACGT", "1", "x.tsv:2", "")]


def test_quotes_hold_delimiters_and_lines(tmp_path):
    text = '"sequence","label","note"\n"ACGT","a,""b""","two\nlines"\n"GG","c",""\n'
    assert read(write(tmp_path, text)) == [
        ("ACGT", 'a,"b"', "x.tsv:3", ""),
        ("GG", "c", "x.tsv:4", ""),
    ]


def test_columns_come_in_any_order_case_and_company(tmp_path):
    text = "Split\tnote\tLabel\tSequence\ndev\tx\t1\tACGT\nTRAIN\ty\t0\tCC\n\n"
    assert read(write(tmp_path, text)) == [
        ("ACGT", "1", "x.tsv:2", "validation"),
        ("CC", "0", "x.tsv:3", "train"),
    ]


def test_columns_of_another_name(tmp_path):
    text = "seq\tlabel\tinterval\nACGT\t1\tchr1:1-5\n"
    path = write(tmp_path, text)
    columns = {"seq": "sequence", "interval": "id"}
    assert read(path, columns=columns) == [("ACGT", "1", "chr1:1-5", "")]


def test_sequences_longer_than_pythons_limit(tmp_path):
    text = "sequence\tlabel\n" + "ACGT" * 50_000 + "\t1\n"
    assert len(read(write(tmp_path, text))[0][0]) == 200_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": empty file"),
        ("\n", ": its first line is empty"),
        ("ACGT\t1\n", ": no column 'sequence' in its header; found: ACGT, 1"),
        ("sequence\tclass\n", ": no column 'label' in its header; found: sequence, cl"),
        ("sequence\tlabel\tlabel\n", ": 2 columns 'label' in its header"),
        ("sequence\tlabel\nACGT\t1\nAC\n", ": line 3: 1 columns, its header has 2"),
        ("sequence\tlabel\nAC\t1\t2\n", ": line 2: 3 columns, its header has 2"),
        ("sequence\tlabel\n\t1\n", ": line 2: empty sequence"),
        ("sequence\tlabel\nAC\t \n", ": line 2: empty label"),
        ("sequence\tlabel\n\nAC!T\t1\n", ": line 3: '!' at position 3 is not a nucl"),
        ("sequence\tlabel\nACG CGT\t1\n", ": line 2: blanks inside the sequence"),
        ("sequence\tlabel\tsplit\nAC\t1\tx\n", ": line 2: split 'x' is none of train"),
        ('sequence\tlabel\nAC\t"1\n', ": line 2: not readable as a table"),
        (">a\nACGT\n", ": a FASTA file, not a table (genomenet.build_dataset: use "),
        (b"sequence\tlabel\nAC\t\xff\n", ": not a text file in UTF-8"),
        (
            gzip.compress(b"sequence\tlabel\nAC\t1\n", mtime=0)[:-9],
            ": truncated or damaged gz",
        ),
    ],
)
def test_errors_name_the_file_the_line_and_the_cause(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(sources.DatasetError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{expected}")
    assert "\n" not in str(error.value)


def test_labels_may_lack_where_several_are_possible(tmp_path):
    path = write(tmp_path, "sequence\tlabel\nAC\t\n")
    assert read(path, may_lack_label=True)[0][1] == ""


def test_one_sequence_file_a_class(tmp_path):
    (tmp_path / "a.fa").write_text(">x\nacgt\n>y\nGG\n")
    (tmp_path / "b.fa").write_text(">x\nTTT\n")
    paths = {"yes": [str(tmp_path / "a.fa")], "no": [str(tmp_path / "b.fa")]}
    rows = [(r.sequence, r.label, r.id) for r in tables.read_classes(paths)]
    assert rows == [(b"ACGT", "yes", "x"), (b"GG", "yes", "y"), (b"TTT", "no", "x")]


def test_kmers_are_joined_to_bases(tmp_path):
    text = '"sequence"\t"label"\n"ACG CGT GTT"\t1\n"AAA"\t0\n'
    assert read(write(tmp_path, text), kmer=3) == [
        ("ACGTT", "1", "x.tsv:2", ""),
        ("AAA", "0", "x.tsv:3", ""),
    ]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("ACG CGT TTT", "3-mers 2 and 3 do not overlap: CGT TTT"),
        ("ACG CG", "'CG' is not a 3-mer"),
        ("ACGTT", "'ACGTT' is not a 3-mer"),
        ("ACG CG! G!T", "'!' at position 4 is not a nucleotide letter"),
    ],
)
def test_kmers_that_do_not_fit(tmp_path, sequence, expected):
    path = write(tmp_path, f"sequence\tlabel\nACG\t1\n{sequence}\t1\n")
    with pytest.raises(sources.DatasetError) as error:
        read(path, kmer=3)
    assert str(error.value) == f"{path}: line 3: {expected}"


def test_sequences_need_no_label(tmp_path):
    text = "id\tsequence\tsplit\nx\tACGT\tmine\ny\tACG CGT GTT\tmine\n"
    path = write(tmp_path, text)
    rows = [(r.id, r.sequence, r.label) for r in tables.read_sequences([str(path)])]
    assert rows == [("x", b"ACGT", ""), ("y", b"ACGTT", "")]


def test_bad_rows_are_left_out_where_that_is_wanted(tmp_path):
    path = write(tmp_path, "sequence\tid\nAC!\ta\nAC\n\tb\nGT\tc\n")
    errors = []
    rows = tables.read_sequences([str(path)], on_error=errors.append)
    assert [row.id for row in rows] == ["c"]
    assert [str(e).removeprefix(f"{path}: ") for e in errors] == [
        "line 2: '!' at position 3 is not a nucleotide letter",
        "line 3: 1 columns, its header has 2",
        "line 4: empty sequence",
    ]
    with pytest.raises(sources.DatasetError, match="line 2: '!' at position 3"):
        list(tables.read_sequences([str(path)]))
    path.write_text("seq\tid\nAC\ta\n")
    with pytest.raises(sources.DatasetError, match="no column 'sequence'"):
        list(tables.read_sequences([str(path)], on_error=errors.append))


def test_a_fasta_file_of_any_name_is_no_table(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text(">a sequence\tx\nACGT\n")
    assert not tables.is_table(str(path))


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for path, cause in (
        (tmp_path / "none.tsv", "No such file"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(sources.DatasetError, match=cause) as caught:
            list(tables.read_sequences([str(path)]))
        assert str(caught.value).startswith(f"{path}: ")
        assert "Errno" not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "NA",
        "N/A",
        "#N/A",
        "#DIV/0!",
        "nan",
        "NaN",
        "<NA>",
        "None",
        "null",
        "NULL",
        " ",
        "",
    ],
)
@pytest.mark.parametrize("column", ["sequence", "label"])
def test_a_missing_value_is_an_error_of_its_line(tmp_path, word, column):
    path = tmp_path / "x.tsv"
    row = {"sequence": "ACGTACGT", "label": "yes", column: word}
    text = f"sequence\tlabel\nACGT\tno\n{row['sequence']}\t{row['label']}\n"
    path.write_text(text)
    with pytest.raises(sources.DatasetError) as caught:
        list(tables.read_tables([str(path)]))
    assert str(caught.value).startswith(f"{path}: line 3: empty {column}")
    assert word.strip() in str(caught.value)


def test_a_missing_id_is_that_of_the_line(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("id\tsequence\tlabel\nNA\tACGT\tno\n7\tACGT\tno\n")
    assert [row.id for row in tables.read_tables([str(path)])] == ["x.tsv:2", "7"]


@pytest.mark.parametrize("name", ["a\x1b[2Jb", '"a\tb"', "a\u202eb", "a\x85b"])
@pytest.mark.parametrize("column", ["label", "id"])
def test_names_that_cannot_be_seen_are_refused(tmp_path, name, column):
    path = tmp_path / "x.csv"
    row = {"id": "1", "label": "yes", column: name}
    path.write_text(f"sequence,label,id\nACGT,{row['label']},{row['id']}\n")
    with pytest.raises(sources.DatasetError, match="line 2.*control or inv") as caught:
        list(tables.read_tables([str(path)]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("sequence\tlabel\nACGT\tx\n".encode("utf-16"), "UTF-16 text"),
        ("sequence\tlabel\nACGT\tx\n".encode("utf-16-le"), "UTF-16 text"),
        (
            gzip.compress(gzip.compress(b"sequence\tlabel\n", mtime=0)),
            "gzip inside gzip",
        ),
        (b"PK\x03\x04....", "a spreadsheet or ZIP file"),
        (b"sequence\tlabel\nAC\0GT\tx\n", "not a text file"),
        (b"sequence\t\x1b[31mlabel\x1b[0m\nACGT\tx\n", "its header holds a control"),
        (b"A" * (1 << 21), "its first line is longer than 1 MB"),
        (gzip.compress(bytes(100) * (1 << 20)), "not a text file"),
        (
            gzip.compress(b"sequence\tlabel\n" + b"A" * (1 << 27)),
            "line 2: longer than 32 MB",
        ),
    ],
    ids=range(9),
)
def test_what_is_no_table_is_told_in_one_line(tmp_path, content, cause):
    path = tmp_path / "x.tsv"
    path.write_bytes(content)
    with pytest.raises(sources.DatasetError, match=cause) as caught:
        list(tables.read_tables([str(path)]))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_columns_of_classes_are_all_different():
    names = ["label", "class_label", "name", "start", "other"]
    found = tables.unique_columns(["name", "start", "end", "label"], names)
    assert found == [
        *("class_class_label", "class_label", "class_name", "class_start", "other"),
    ]


@pytest.mark.parametrize("label", ["a;NA", "nan;b", "a; None;b"])
def test_a_missing_part_of_several_labels_is_an_error(tmp_path, label):
    path = tmp_path / "x.tsv"
    path.write_text(f"sequence\tlabel\nACGT\t{label}\n")
    with pytest.raises(sources.DatasetError, match="line 2: empty label in"):
        list(tables.read_tables([str(path)]))


def test_the_limit_of_fields_is_that_of_the_process(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text("sequence\tlabel\nACGT\t0\nTTTT\t1\n")
    before = csv.field_size_limit()
    for _ in tables.read_tables([str(path)]):
        assert csv.field_size_limit() == before


def test_a_broken_line_is_named_after_empty_lines(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('sequence\tlabel\n\n\n\n"AC"GT\tx\n')
    with pytest.raises(sources.DatasetError, match="line 5"):
        list(tables.read_fields(str(path), required=("sequence",)))


def test_optional_columns_occur_once_and_headers_may_be_comments(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("#sequence\tlabel\tsplit\tsplit\nACGT\tx\ttrain\ttest\n")
    assert tables.is_table(str(path))
    with pytest.raises(sources.DatasetError, match="2 columns 'split'"):
        list(tables.read_fields(str(path), required=("sequence",)))
    assert tables.column("SEQ", {"Seq": "sequence"}) == "sequence"
