import dataclasses
import json
import os
import sys
import textwrap
import time

import numpy as np
import pytest

from genomenet.dna import encode
from genomenet.motifs import pwm, rgadem

WORD = "TGTTTAC"


def codes(letters):
    return encode.encode(letters)


def reverse_complement(letters):
    return letters.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def random_letters(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def frequencies(words):
    """GADEM's: of each column, rounded to four places."""
    return [
        [round(sum(w[i] == b for w in words) / len(words), 4) for b in "ACGT"]
        for i in range(len(words[0]))
    ]


@pytest.fixture
def with_r(tmp_path, monkeypatch):
    """Puts a program named R on the PATH, so that R counts as there."""
    program = tmp_path / "bin" / "R"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.fixture
def child(monkeypatch, with_r):
    """Returns a function that gives the child process another program."""

    def use(source):
        program = (
            "import json, os, pathlib, sys, time\nfolder = pathlib.Path(sys.argv[1])"
        )
        program += "\n" + textwrap.dedent(source)
        monkeypatch.setattr(
            rgadem, "_command", lambda folder: [sys.executable, "-c", program, folder]
        )

    return use


def answering(answer):
    text = json.dumps(json.dumps(answer))
    return f"(folder / 'answer.json').write_text({text})"


# === What the child answers ===


def forward_and_reverse():
    """Sequences, GADEM's answer for them, and the sites as they are."""
    middle, other = "TGTTTAC", "TGTTTGC"
    sequences = [
        ("a", "AC" + middle + "GGA"),
        ("b", "CCC" + reverse_complement(other) + "T"),
        ("c", "GG" + middle),  # no base follows: no strand
        ("d", reverse_complement(other) + "AA"),  # the same on the other strand
        ("e", "GTTTACGG"),  # hangs over the start
        ("f", "AATGTTTA"),  # hangs over the end
        ("g", "AC" + middle + "GGA"),  # its second base was masked
    ]
    stated = [
        (middle, "+", 1, 3, 1e-5),
        (other, "-", 2, 10, 2e-5),
        (middle, "", 3, 3, 1e-5),
        (other, "", 4, 7, 2e-5),
        ("", "+", 5, 0, 3e-5),
        ("TGTTTA", "", 6, 3, 4e-5),
        ("TNTTTAC", "+", 7, 3, 1e-5),
    ]
    sites = [
        ("a", 2, "+", middle, 1e-5),
        ("b", 3, "-", other, 2e-5),
        ("c", 2, "+", middle, 1e-5),
        ("d", 0, "-", other, 2e-5),
        ("g", 2, "+", middle, 1e-5),
    ]
    names = ("seq", "strand", "seqID", "pos", "pval")
    found = dict(zip(names, map(list, zip(*stated, strict=True)), strict=True))
    found["pwm"] = frequencies([middle, other, middle, other, middle, middle, middle])
    answer = {"motifs": [found]}
    return [(n, codes(s)) for n, s in sequences], answer, sites


def test_sites_are_where_they_lie(child):
    sequences, answer, expected = forward_and_reverse()
    child(answering(answer))
    (motif,) = rgadem.discover(sequences)
    assert [
        (s.sequence, s.start, s.strand, s.word, s.pvalue) for s in motif.sites
    ] == expected
    letters = {name: encode.decode(c).decode() for name, c in sequences}
    for site in motif.sites:
        piece = letters[site.sequence][site.start : site.start + motif.width]
        assert site.word == (piece if site.strand == "+" else reverse_complement(piece))


def test_counts_scores_and_background(child):
    sequences, answer, _ = forward_and_reverse()
    child(answering(answer))
    (motif,) = rgadem.discover(sequences)
    assert motif.name == "1-TGTTTAC"
    assert motif.counts.sum(1) == pytest.approx(np.full(7, 7))  # 4 places do not
    np.testing.assert_allclose(motif.counts[5], [5, 0, 2, 0], atol=1e-3)
    assert motif.scores == {"sites": 7, "positives": 7}
    a, c, g, t = motif.background
    assert (a, c) == (t, g)
    weights = motif.log_odds()
    expected = sum(w["ACGT".index(b)] for w, b in zip(weights, WORD, strict=True))
    assert motif.sites[0].score == pytest.approx(expected)


def test_a_site_that_is_elsewhere_is_refused(child):
    sequences, answer, _ = forward_and_reverse()
    answer["motifs"][0]["pos"][0] = 4
    child(answering(answer))
    with pytest.raises(ChildProcessError, match=r"TGTTTAC .*4\+"):
        rgadem.discover(sequences)


def test_no_motif_is_no_error(child):
    child(answering({"motifs": []}))
    assert rgadem.discover([("a", codes("ACGT"))]) == ()


def test_child_gets_sequences_and_parameters(child, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    child(
        """
        task = json.loads((folder / "task.json").read_text())
        error = {**task, "threads": os.environ["OMP_NUM_THREADS"]}
        answer = {"error": json.dumps(error)}
        (folder / "answer.json").write_text(json.dumps(answer))
        """
    )
    start = pwm.Motif("x", np.array([[1, 1, 2, 0], [0, 0, 0, 3.0]]))
    options = dataclasses.replace(rgadem.GENEMASK, Spwm=(start,))
    with pytest.raises(ChildProcessError) as e:
        rgadem.discover([("a", codes("ACNGT")), ("b", codes("tt"))], options)
    task = json.loads(str(e.value).removeprefix("rGADEM: "))
    assert task["sequences"] == ["ACNGT", "TT"]
    assert task["options"]["Spwm"] == [[[0.25, 0.25, 0.5, 0], [0, 0, 0, 1]]]
    changed = {"seed": 123, "nmotifs": 10, "stopCriterion": 5}
    changed |= {"numEM": 80, "maxSpaceWidth": 0, "maskR": 1}
    default = dataclasses.asdict(rgadem.RgademOptions())
    assert {**task["options"], "Spwm": None} == {**default, **changed}
    assert task["threads"] == "1"


# === What goes wrong ===


def test_time_limit(child):
    child("time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(TimeoutError, match="^rGADEM was stopped after 0.5 s$"):
        rgadem.discover([("a", codes("ACGT"))], timeout=0.5)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            """
            (folder / "started").touch()
            sys.stderr.write("one\\ntwo\\n\\nthree\\nlast\\n")
            sys.stderr.flush()
            os.kill(os.getpid(), 9)
            """,
            "^rGADEM: R was ended by signal 9: two / three / last$",
        ),
        (
            "(folder / 'started').touch()",
            "^rGADEM: R ended with code 0: no message$",
        ),
        (
            answering({"error": "Error in f():\n  no memory\n"}),
            r"^rGADEM: Error in f\(\): no memory$",
        ),
    ],
)
def test_crash_and_error_are_one_line(child, source, message):
    child(source)
    with pytest.raises(ChildProcessError, match=message):
        rgadem.discover([("a", codes("ACGT"))])


def assert_missing(*words):
    with pytest.raises(ImportError) as e:
        rgadem.discover([("a", codes("ACGT"))])
    assert all(word in str(e.value) for word in words), e.value
    assert "\n" not in str(e.value)


def test_without_r(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("R_HOME", raising=False)
    assert_missing("R is missing", "apt-get install", "r-bioc-biostrings")


def package(folder, monkeypatch, **modules):
    """Makes a package rpy2 that the child finds first."""
    (folder / "rpy2").mkdir()
    for name, source in {"__init__": "", **modules}.items():
        (folder / "rpy2" / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_without_rpy2(tmp_path, monkeypatch, with_r):
    blocked = "import sys\nsys.modules['rpy2'] = None\n"  # as if it were not installed
    (tmp_path / "sitecustomize.py").write_text(blocked)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert_missing("rpy2 is missing", "pip install 'rpy2==3.5.17'")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('undefined\\nsymbol: R_getVar')", "symbol: R_getVar"),
        ("raise OSError('libR.so')", "OSError: libR.so"),
        ("import os\nos.write(2, b'no libR')\nos.abort()", "no libR"),
        ("import os\nos.abort()", "was ended by signal 6"),
    ],
)
def test_rpy2_that_does_not_fit(tmp_path, monkeypatch, with_r, source, cause):
    package(tmp_path, monkeypatch, robjects=source)
    assert_missing("does not fit", cause, "rpy2==3.5.17")


def test_without_rgadem(tmp_path, monkeypatch, with_r):
    source = "def r(code):\n    return ['there is no package']\n"
    package(tmp_path, monkeypatch, robjects=source)
    cause = "there is no package"
    assert_missing(cause, 'BiocManager::install("rGADEM")')


def test_what_gadem_cannot_hold_is_refused():
    long = np.zeros(20_001, np.uint8)
    for sequences, message in (
        ([], "1 to 44,000 sequences, got 0"),
        ([("a", long)], "'a' has 20,001"),
        ([("a", long[:0])], "'a' has 0"),
    ):
        with pytest.raises(ValueError, match=message):
            rgadem.discover(sequences)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maxSpaceWidth": 20}, "maxSpaceWidth must be 0 to 19, got 20"),
        ({"minSpaceWidth": 11}, "minSpaceWidth 11 is above maxSpaceWidth 10"),
        ({"pValue": 0.0}, "pValue"),
        ({"fEM": 1.5}, "fEM"),
        ({"nmotifs": 0}, "nmotifs must be 1 or more, got 0"),
        ({"maskR": 2}, "maskR"),
        ({"minSites": -2}, "minSites"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        rgadem.RgademOptions(**changes)


# === With R ===


@pytest.fixture(scope="module")
def missing():
    """What rGADEM lacks here, as one line."""
    try:
        rgadem.discover([("a", codes("ACGT" * 5))], QUICK, timeout=300)
    except ImportError as e:
        return str(e)
    except ChildProcessError:  # GADEM finds one sequence too few
        pass
    return ""


@pytest.fixture
def needs_rgadem(missing, request):
    if missing:
        pytest.skip(f"{request.node.name}: {missing}")


@pytest.mark.r
def test_r_without_rgadem(missing):
    if not missing:
        pytest.skip("rGADEM is installed")
    assert "there is no package called" in missing
    assert "BiocManager" in missing


@pytest.mark.r
def test_sequences_become_a_dna_string_set():
    robjects = pytest.importorskip("rpy2.robjects")
    sequences = ["ACGTN", "A", random_letters(5000, 0)]
    found = rgadem._dna_string_set(robjects, sequences)
    assert "DNAStringSet" in found.rclass
    back = robjects.r("function(x) as.character(x)")(found)
    assert list(back) == sequences
    assert list(back.names) == ["1", "2", "3"]


def planted(count=40, length=100, seed=0):
    """Sequences with a site in most, on both strands, among random bases."""
    rng = np.random.default_rng(seed)
    sequences, places = [], {}
    for number in range(count):
        letters = random_letters(length, seed + 1 + number)
        if number % 8:
            word = "TGACGTCATC"
            start, strand = int(rng.integers(5, length - 15)), "+-"[number % 2]
            word = word if strand == "+" else reverse_complement(word)
            letters = letters[:start] + word + letters[start + 10 :]
            places[f"s{number}"] = start
        sequences.append((f"s{number}", codes(letters)))
    return sequences, places


QUICK = rgadem.RgademOptions(
    seed=7, nmotifs=1, numGeneration=2, populationSize=20, numEM=20, numBackgSets=2
)


@pytest.mark.r
def test_planted_motif(needs_rgadem):
    sequences, places = planted()
    found = rgadem.discover(sequences, QUICK, timeout=300)
    motif = found[0]
    assert "TGACGTCA" in motif.consensus or "TGACGTCA" in (
        motif.reverse_complement.consensus
    )
    hit = [s for s in motif.sites if abs(s.start - places.get(s.sequence, -99)) <= 4]
    assert len({s.sequence for s in hit}) >= 0.9 * len(places)
    counts = np.array([[s.word[i] for s in motif.sites] for i in range(motif.width)])
    recount = np.stack([(counts == b).mean(1) for b in "ACGT"], axis=1)
    np.testing.assert_allclose(motif.probabilities(), recount, atol=0.05)


@pytest.mark.r
def test_same_seed_same_motifs(needs_rgadem):
    sequences, _ = planted()
    first, second = (rgadem.discover(sequences, QUICK, timeout=300) for _ in range(2))
    assert [repr(m.sites) for m in first] == [repr(m.sites) for m in second]


@pytest.mark.r
def test_start_from_a_motif(needs_rgadem):
    sequences, _ = planted()
    words = ["TGACGTCA"] * 19 + ["TTACGGCA"]
    counts = np.array(
        [[sum(w[i] == b for w in words) for b in "ACGT"] for i in range(8)]
    )
    options = dataclasses.replace(QUICK, Spwm=(pwm.Motif("x", counts),))
    found = rgadem.discover(sequences, options, timeout=300)
    assert "TGACGTCA" in found[0].consensus


@pytest.mark.r
def test_random_sequences_hold_no_motif(needs_rgadem):
    sequences = [(f"s{n}", codes(random_letters(60, 900 + n))) for n in range(20)]
    options = dataclasses.replace(QUICK, eValue=-50.0)
    assert rgadem.discover(sequences, options, timeout=300) == ()


def test_parameters_have_the_names_of_gadem():
    changed = rgadem.with_parameters(
        rgadem.GENEMASK, ["numEM=10", "pValue=1e-3", "verbose=1", "bFileName=b.txt"]
    )
    assert (changed.numEM, changed.pValue, changed.verbose) == (10, 1e-3, True)
    assert (changed.bFileName, changed.maskR) == ("b.txt", 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("num_em=3", "'num_em'.* seed, verbose, numWordGroup"),
        ("Spwm=x", "no parameter 'Spwm'"),
        ("numEM", "numEM must be of type int, got ''"),
        ("numEM=1.5", "numEM must be of type int, got '1.5'"),
        ("verbose=yes", "verbose must be 0 or 1, got 'yes'"),
        ("maskR=2", "maskR .*got 2"),
    ],
)
def test_parameters_that_are_none_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        rgadem.with_parameters(rgadem.RgademOptions(), [setting])
