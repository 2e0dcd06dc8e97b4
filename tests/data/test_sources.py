"""Names, fingerprints and shares of what a dataset is made from."""

import pytest

from genomenet.data import sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90/5/5", {"train": 90, "validation": 5, "test": 5}),
        ("90/10", {"train": 90, "validation": 10}),
        ("100", {"train": 100}),
        ("33.3/33.3/33.4", {"train": 33.3, "validation": 33.3, "test": 33.4}),
    ],
)
def test_splits_are_train_validation_test(text, expected):
    assert sources.parse_splits(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a/b", "90/10/0", "90/-5/15", "25/25/25/25", "nan", "90,10"]
)
def test_splits_that_make_no_sense_are_refused(text):
    with pytest.raises(sources.DatasetError, match="splits=.*as in 90/5/5"):
        sources.parse_splits(text)


def test_splits_must_add_up():
    with pytest.raises(sources.DatasetError, match="splits=80/10 adds up to 90"):
        sources.parse_splits("80/10")


def test_files_are_known_by_content_and_not_by_place(tmp_path):
    for folder, text in (("a", ">x\nACGT\n"), ("b", ">x\nACGT\n"), ("c", ">x\nACGA\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.fa").write_text(text)
    a, b, c = (
        sources.fingerprints([str(tmp_path / folder / "x.fa")]) for folder in "abc"
    )
    assert a == b != c
    assert set(a[0]) == {"file", "bytes", "sha256"}
    assert str(tmp_path) not in str(a)


def test_standard_input_has_only_a_name():
    assert sources.fingerprints(["-"]) == [{"file": "<stdin>"}]


def test_long_lists_of_files_are_shortened():
    assert sources.shown(["a.fa"]) == "a.fa"
    assert sources.shown(["a.fa", "b.fa"]) == "a.fa and 1 more file"
    assert sources.shown(["a.fa", "b.fa", "c.fa"]) == "a.fa and 2 more files"


def test_differences_are_told():
    one, two = {"sha256": "1"}, {"sha256": "2"}
    old = {"chunk_length": 100, "seed": 0, "sources": [one]}
    assert sources.differences(old, {"chunk_length": 100, "sources": [one]}) == []
    assert sources.differences(old, {"chunk_length": 200, "sources": [two]}) == [
        "chunk_length 100, now 200",
        "other source files",
    ]


def test_the_text_of_a_foreign_error_is_one_plain_line():
    assert sources.cause(ValueError("a\x1b[31mb\nc")) == "a?[31mb"
    assert sources.cause(KeyError()) == "KeyError"
    assert sources.cause(ValueError("\n")) == "ValueError"
