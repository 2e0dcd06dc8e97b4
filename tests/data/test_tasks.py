"""What labels mean, and fair splits of labelled sequences."""

import collections

import numpy as np
import pytest

from genomenet.data import positive, sources, tables, tasks
from genomenet.dna import encode

SHARES = {"train": 80, "validation": 10, "test": 10}


def row(label):
    return tables.Row(sequence=b"ACGT", label=label, id="r", place="x.tsv: line 2")


def resolve(*found, kind="auto"):
    task = tasks.resolve(kind, found, shown="x.tsv")
    return task.kind, task.classes


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["yes", "no"], ("binary", ("no", "yes"))),
        (["0", "1"], ("binary", ("0", "1"))),
        (["1.0", "0.0", "1"], ("binary", ("0", "1"))),
        (["10", "9", "-1"], ("multiclass", ("-1", "9", "10"))),
        (["b", "a", "2"], ("multiclass", ("2", "a", "b"))),
        (["0.5", "1", "2"], ("regression", ())),
        (["1e-3", "2"], ("regression", ())),
        (["0.5", "x"], ("binary", ("0.5", "x"))),
        (["a;b", "c"], ("multi_label", ("a", "b", "c"))),
        (["1;2", "10", "2; 3"], ("multi_label", ("1", "2", "3", "10"))),
        (["NA", "0.5", "1"], ("regression", ())),
        (["+1", "-1"], ("binary", ("-1", "1"))),
        (["007", "7", "7.0"], ("binary", ("007", "7"))),
        (["1e3", "-0.0", "0"], ("binary", ("0", "1e3"))),
    ],
)
def test_the_task_is_found(found, expected):
    assert resolve(*found) == expected


def test_the_task_may_be_stated():
    assert resolve("1", "2", "3", kind="regression") == ("regression", ())
    assert resolve("1", "2", "", kind="multi_label") == ("multi_label", ("1", "2"))


@pytest.mark.parametrize(
    ("found", "kind", "expected"),
    [
        (["a"], "auto", "x.tsv: one class only, a;"),
        (["1", "1.0"], "auto", "x.tsv: one class only, 1;"),
        (["a;a"], "auto", "one class only"),
        (["a", "b", "c"], "binary", "3 classes, but task=binary takes 2"),
        (["0.5"], "regression", "all labels are 0.5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(found, kind, expected):
    with pytest.raises(sources.DatasetError, match=expected):
        resolve(*found, kind=kind)


def test_labels_become_numbers():
    classes = tasks.Task(kind="binary", classes=("0", "1"))
    assert classes.encode(row("1.0")) == 1
    several = tasks.Task(kind="multi_label", classes=("a", "b", "c"))
    np.testing.assert_array_equal(several.encode(row("c; a")), [1, 0, 1])
    np.testing.assert_array_equal(several.encode(row("")), [0, 0, 0])
    assert several.encode(row("a")).dtype == np.uint8
    number = tasks.Task(kind="regression").encode(row("-1.5e2"))
    assert number == -150
    assert number.dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "label", "expected"),
    [
        ("regression", "high", "x.tsv: line 2: label 'high' is not a number"),
        ("regression", "nan", "x.tsv: line 2: label 'nan' is not a number"),
        ("regression", "1e300", "x.tsv: line 2: label '1e300' is too large"),
        ("binary", "c", "x.tsv: line 2: label 'c' is none of a, b$"),
        ("multi_label", "a;c", "x.tsv: line 2: label 'c' is none of a, b"),
    ],
)
def test_a_wrong_label_is_named_with_its_line(kind, label, expected):
    task = tasks.Task(kind=kind, classes=("a", "b"))
    with pytest.raises(sources.DatasetError, match=expected):
        task.encode(row(label))


def test_amounts_taken_for_classes_are_recognised():
    task = tasks.Task(kind="multiclass", classes=tuple(map(str, range(12))))
    with pytest.raises(sources.DatasetError, match="9, …; .* give task=regression"):
        task.encode(row("120"))


def survey_of(rows):
    survey = tasks.Survey()
    for sequence, label, split in rows:
        survey.add(tables.Row(sequence=sequence, label=label, id="r"), split)
    return survey


def random_rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.choice(list(b"ACGT"), 30).astype(np.uint8).tobytes(), "abc"[i % 3], "")
        for i in range(count)
    ]


def assign(rows, seed=0, kind="multiclass", shares=SHARES):
    task = tasks.Task(kind=kind, classes=("a", "b", "c"))
    return tasks.assign(survey_of(rows), task, shares, seed=seed, shown="x.tsv")


def test_a_sequence_and_its_reverse_complement_are_one_group():
    sequence = b"AACGTTTGNC"
    other = encode.decode(encode.reverse_complement(encode.encode(sequence)))
    assert tasks.group(sequence) == tasks.group(other)
    assert tasks.group(sequence) != tasks.group(b"AACGTTTGNA")
    assert tasks.group(sequence) == tasks.group(b"NN" + sequence + b"NNN")
    assert tasks.group(b"ACNGG") != tasks.group(b"ACGG")


@pytest.mark.parametrize("seed", range(5))
def test_splits_have_their_share_of_every_class(seed):
    rows = random_rows(300)
    counts = collections.Counter(
        (split, label)
        for split, (_, label, _) in zip(assign(rows, seed), rows)  # noqa: B905
    )
    for label in "abc":
        assert counts["train", label] == pytest.approx(80, abs=1)
        assert counts["validation", label] == pytest.approx(10, abs=1)
        assert counts["test", label] == pytest.approx(10, abs=1)


@pytest.mark.parametrize("kind", ["multiclass", "regression", "multi_label"])
def test_splits_depend_on_the_seed(kind):
    rows = random_rows(60)
    assert assign(rows, 1, kind) == assign(rows, 1, kind)
    assert assign(rows, 1, kind) != assign(rows, 2, kind)


@pytest.mark.parametrize("count", [3, 4, 7, 11, 30])
def test_no_split_is_empty(count):
    for seed in range(100):
        rows = random_rows(count, seed)
        assert set(assign(rows, seed)) == set(SHARES)


def test_equal_sequences_stay_together():
    rows = random_rows(40)
    flipped = [
        (encode.decode(encode.reverse_complement(encode.encode(s))), label, split)
        for s, label, split in rows
    ]
    for seed in range(20):
        splits = assign(rows + flipped + rows[:5], seed)
        assert splits[:40] == splits[40:80]
        assert splits[:5] == splits[80:]


def test_splits_of_the_source_are_kept():
    rows = [(s, label, "test") for s, label, _ in random_rows(5)]
    assert assign(rows) == ["test"] * 5
    mixed = [*rows, *random_rows(1, 9)]
    with pytest.raises(sources.DatasetError, match="some rows have a split"):
        assign(mixed)


def test_too_few_sequences_name_splits_that_work():
    rows = random_rows(2)
    with pytest.raises(sources.DatasetError, match="use splits=90/10") as error:
        assign(rows)
    shares = sources.parse_splits(str(error.value).split("splits=")[1])
    assert set(assign(rows, shares=shares)) == set(shares)


def test_repeats_are_counted():
    rows = [(b"AAC", "a", "train"), (b"GTT", "b", "test"), (b"CCC", "a", "test")]
    assert tasks.repeats(survey_of(rows), [split for _, _, split in rows]) == {
        "repeated_rows": 1,
        "with_several_labels": 1,
        "in_several_splits": 1,
    }


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("binding", "non-binding"), "binding"),
        (("not_binding", "yes binding"), "yes binding"),
        (("bound", "unbound"), "bound"),
        (("active", "inactive"), "active"),
        (("OCT4", "control"), "OCT4"),
        (("enhancer", "random genomic"), "enhancer"),
        (("background_regions", "a_peak"), "a_peak"),
        (("Neg", "Pos"), "Pos"),
        (("no", "yes"), "yes"),
        (("FALSE", "TRUE"), "TRUE"),
        (("on", "off"), "on"),
        (("0", "1"), "1"),
        (("-1", "1"), "1"),
        (("-", "+"), "+"),
        (("promoter", "other"), "promoter"),
        (("notch", "random_walk"), "notch"),
        (("noncoding", "protein coding"), "protein coding"),
        (("MAFK", "OCT4"), "OCT4"),
        (("random", "shuffled"), "shuffled"),
    ],
)
def test_the_positive_class_is_never_one_that_negates(classes, expected):
    for order in (classes, classes[::-1]):
        found = tasks.Task(kind="binary", classes=order)
        is_told = positive.is_told(order)
        assert found.positive == (expected if is_told else order[1])
        assert found.classes[found.positive_number] == found.positive
        for wanted in classes:
            chosen = tasks.Task(kind="binary", classes=order, positive=wanted)
            assert chosen.positive == wanted


def test_what_has_no_positive_class():
    with pytest.raises(ValueError, match=r"positive=c is none of the classes a, b"):
        tasks.Task(kind="binary", classes=("a", "b"), positive="c")
    with pytest.raises(ValueError, match=r"positive=a is for two classes"):
        tasks.Task(kind="multiclass", classes=("a", "b", "c"), positive="a")
    assert not tasks.Task(kind="multi_label", classes=("a", "b")).positive


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        (["TRUE", "True", "FALSE"], "'TRUE' and 'True' differ in spelling only"),
        (["Enhancer", "enhancer"] * 9, "'Enhancer' and 'enhancer' differ in spelling"),
        (["non-x", "non_x", "x"], "'non-x' and 'non_x' differ in spelling only"),
        (["non x", "non  x", "x"], "differ in spelling only"),
        (["0,52", "1,3", "0,1"], "write a decimal point"),
        (["12.5%", "3%", "100 %", "x"], "write a decimal point"),
        (["1,049", "2,300"], "write a decimal point"),
        (["1.049,5", "2'300", "5 000"], "write a decimal point"),
        (["0;1;0", "1;1;0", "0;0;0"], "'0;0;0' are vectors over 3 targets"),
        (["0 1 0", "1 1 0"], "are vectors over 3 targets"),
        (["[0, 1, 0]", "[1, 1, 0]"], "are vectors over 3 targets"),
        (["0.2;0.7", "0.1;0.3"], "are vectors over 2 targets"),
        (["True;False;True", "False;False;True"], "are vectors over 3 targets"),
        (["[True, False]", "[True, True]"], "are vectors over 2 targets"),
        (["0/1/0", "1/1/0"], "are vectors over 3 targets"),
        (["0_1_0", "1_1_0"], "are vectors over 3 targets"),
        (["tensor([0, 1, 0])", "tensor([1, 1, 0])"], "are vectors over 3 targets"),
        (["array([0., 1.])", "array([1., 1.])"], "are vectors over 2 targets"),
        (["['a', 'b']", "['a']", "['b']"], "write names with ; between them"),
        (["True", "False", "1", "0"], "differ in spelling only"),
        (["010", "110", "000"], "are vectors over 3 targets"),
        (["a;b", "b;a", "a; b"], "all rows have the same labels, a, b"),
        ([f"peak_{n}" for n in range(20)], "20 different labels in 20 rows"),
        ([str(n) for n in range(0, 400, 7)], "task=regression if they are amounts"),
    ],
)
def test_labels_that_mean_something_else_are_refused(rows, cause):
    with pytest.raises(sources.DatasetError, match=cause) as caught:
        tasks.resolve("auto", rows, shown="x.tsv")
    assert str(caught.value).startswith("x.tsv: ")


@pytest.mark.parametrize(
    ("rows", "classes"),
    [
        (["TRUE", "FALSE"], ("FALSE", "TRUE")),
        (["1.0", "0.0", "1"], ("0", "1")),
        (["0;1", "2", "1;5"], ("0", "1", "2", "5")),
        (["1,2", "a", "b"], ("1,2", "a", "b")),
        (["007", "008"], ("007", "008")),
        (["a", "A"], ("A", "a")),
        (["0", "1", "10", "11"] * 5, ("0", "1", "10", "11")),
    ],
)
def test_labels_that_are_classes(rows, classes):
    assert tasks.resolve("auto", rows, shown="x.tsv").classes == classes


def test_classes_of_one_row_each_may_be_meant():
    rows = [f"species {n}" for n in range(20)]
    assert len(tasks.resolve("multiclass", rows, shown="x.tsv").classes) == 20
