"""Planted faults are found, and clean tasks pass."""

import pathlib

import numpy as np
import pytest

from genomenet import task_kinds
from genomenet.data import examples, tasks
from genomenet.dna import alphabet, encode, reader, shuffle
from genomenet.evaluation import audit, audit_checks

pytest.importorskip("seqleak")

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOTIF = encode.encode("TGACTCAT")
LENGTH = 200


@pytest.fixture(scope="module")
def genome():
    """Windows of *E. coli* that do not overlap, (N, 200), without repeats."""
    path = ROOT / "datasets" / "ecoli_k12" / "genome.fa.gz"
    codes = next(iter(reader.read([str(path)]))).codes[:1_000_000].astype(np.int64)
    size = len(codes) - 20
    one, other = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for at in range(21):
        one = one * 4 + codes[at : at + size]
        other += (3 - codes[at : at + size]) << (2 * at)
    _, number, counts = np.unique(
        np.minimum(one, other), return_inverse=True, return_counts=True
    )
    count = size // LENGTH
    repeats = (counts[number] > 1)[: count * LENGTH].reshape(count, LENGTH).sum(axis=1)
    windows = codes[: count * LENGTH].reshape(count, LENGTH).astype(np.uint8)
    return windows[repeats == 0]


def clean(genome, seed, count=500):
    """Returns windows, half of them with a motif of which one base is exchanged."""
    rng = np.random.default_rng(seed)
    rows = list(genome[rng.permutation(len(genome))[:count]])
    labels = rng.permutation(np.arange(count) % 2)
    for row, label in zip(rows, labels, strict=True):
        if label:
            at = rng.integers(LENGTH - len(MOTIF))
            row[at : at + len(MOTIF)] = MOTIF
            row[at + rng.integers(len(MOTIF))] = rng.integers(4)
    return rows, labels, rng


def data(rows, labels):
    """Returns the splits of rows: 70 % train, 10 % validation, 20 % test."""
    number = np.arange(len(rows))
    all_rows = examples.Examples(
        codes=np.concatenate(rows),
        offsets=np.cumsum([0, *map(len, rows)]),
        labels=np.asarray(labels, np.int32),
        ids=list(map(str, number)),
    )
    parts = np.split(number, [len(rows) * 7 // 10, len(rows) * 8 // 10])
    names = (examples.TRAIN, examples.VALIDATION, examples.TEST)
    return examples.Data(
        name="task",
        task=tasks.Task(kind=task_kinds.BINARY, classes=("no", "yes")),
        splits={n: all_rows.take(p) for n, p in zip(names, parts, strict=True)},
    )


def of(found, verdict):
    return {check.name for check in found.checks if check.verdict == verdict}


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_task_passes(genome, seed):
    rows, labels, _ = clean(genome, seed)
    found = audit.audit(data(rows, labels), resamples=200)
    assert found.verdict == audit_checks.PASS, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 1000])
def test_twenty_clean_seeds_pass(genome, count):
    for seed in range(20):
        rows, labels, _ = clean(genome, seed, count)
        found = audit.audit(data(rows, labels), resamples=200)
        assert found.verdict == audit_checks.PASS, (seed, str(found))


def copied(rows, labels, rng):
    """A tenth of the test sequences are the other strand of training ones."""
    for row in range(len(rows) - len(rows) // 50, len(rows)):
        other = int(rng.integers(len(rows) // 2))
        rows[row] = encode.reverse_complement(rows[other])
        labels[row] = labels[other]


def nearly_copied(rows, labels, rng):
    """The same, with every 50th base exchanged."""
    copied(rows, labels, rng)
    for row in rows[-(len(rows) // 50) :]:
        row[::50] = (row[::50] + 1) % 4


def overlapping(rows, labels, rng):
    """Two fifths of a tenth of the test sequences are a training one's other strand."""
    for row in range(len(rows) - len(rows) // 50, len(rows)):
        other = encode.reverse_complement(rows[int(rng.integers(len(rows) // 2))])
        rows[row] = np.concatenate([other[120:], rows[row][:120]])


def shuffled(rows, labels, rng):
    """Negatives are shuffles of positives, of some several times."""
    for row in np.flatnonzero(labels == 0):
        rows[row] = rng.permutation(rows[rng.choice(np.flatnonzero(labels))])


def dinucleotides(rows, labels, rng):
    """Negatives are shuffles of positives that keep 2-mers, of each one."""
    positives = rng.permutation(np.flatnonzero(labels))
    made = shuffle.shuffle([rows[row] for row in positives], order=1, seed=0)
    for row, negative in zip(np.flatnonzero(labels == 0), made, strict=True):
        rows[row] = negative


def longer(rows, labels, rng):
    for row in np.flatnonzero(labels == 0):
        rows[row] = rows[row][: rng.integers(170, 199)]


def at_n(rows, labels, rng):
    for row in np.flatnonzero(labels == 0):
        rows[row][: rng.integers(1, 20)] = alphabet.N


def rich(rows, labels, rng):
    """Negatives of 35 % GC."""
    for row in np.flatnonzero(labels == 0):
        rows[row] = rng.choice(4, LENGTH, p=[0.325, 0.175, 0.175, 0.325]).astype("u1")


def one_base(rows, labels, rng):
    for row, label in enumerate(labels):
        rows[row][57] = alphabet.G if label else rng.choice([0, 1, 3])


FAULTS = [
    (copied, audit_checks.FAIL, "copies"),
    (nearly_copied, audit_checks.FAIL, "near copies"),
    (overlapping, audit_checks.WARN, "overlapping windows"),
    (shuffled, audit_checks.FAIL, "shuffles"),
    (dinucleotides, audit_checks.FAIL, "made negatives"),
    (longer, audit_checks.FAIL, "length"),
    (at_n, audit_checks.FAIL, "N"),
    (rich, audit_checks.WARN, "GC and CpG"),
    (one_base, audit_checks.FAIL, "positions"),
]


@pytest.mark.parametrize(
    ("fault", "verdict", "name"), FAULTS, ids=[f[2] for f in FAULTS]
)
def test_a_planted_fault_is_found(genome, fault, verdict, name):
    rows, labels, rng = clean(genome, 0)
    fault(rows, labels, rng)
    found = audit.audit(data(rows, labels), resamples=100)
    assert name in of(found, verdict), str(found)
    assert found.verdict == verdict


def test_commands_say_what_is_not_as_it_seems(genome):
    rows, labels, rng = clean(genome, 0, count=100)
    assert list(audit.warn(data(rows, labels))) == []
    longer(rows, labels, rng)
    (line,) = audit.warn(data(rows, labels))
    assert line == "WARNING: audit: FAIL: length (see genomenet.audit)"
    assert list(audit.warn(data(rows[:40], labels[:40]))) == []


def test_of_many_sequences_some_are_drawn(genome, monkeypatch):
    rows, labels, rng = clean(genome, 0, count=400)
    longer(rows, labels, rng)
    monkeypatch.setattr(audit, "_MOST", (200, 10**6))
    (line,) = audit.warn(data(rows, labels))
    assert line.startswith("WARNING: audit of 200 sampled sequences: FAIL:")


def test_what_cannot_be_compared_is_told(genome):
    rows, labels, _ = clean(genome, 0, count=100)
    for row in rows:
        row[::15] = alphabet.N
    found = audit.audit(data(rows, labels), resamples=100)
    assert of(found, audit_checks.WARN) == {"near copies"}
    assert "100% of the test sequences cannot be compared" in str(found)


def test_nothing_ends_a_command(genome, monkeypatch):
    monkeypatch.setattr(audit, "audit", lambda *a, **b: {}["gone"])
    rows, labels, _ = clean(genome, 0, count=60)
    assert list(audit.warn(data(rows, labels))) == ["the audit failed: 'gone'"]


@pytest.mark.parametrize(("share", "verdict"), [(0, "PASS"), (1, "FAIL")])
def test_a_rare_class_is_judged_by_the_area_under_the_curve(genome, share, verdict):
    rng = np.random.default_rng(5)
    rows = list(genome[rng.permutation(len(genome))[:400]])
    labels = (rng.random(400) < 0.1).astype(int)
    for row, label in enumerate(labels):
        rows[row] = rows[row][: rng.integers(150, 200) - share * label * 40]
    found = audit.audit(data(rows, labels), resamples=100)
    assert [c.verdict for c in found.checks if c.name == "length"] == [verdict]
    assert found.verdict == verdict
