"""Motifs by rGADEM, an R package, through rpy2 in a process of its own.

R, rpy2 and rGADEM are needed in that process only: a crash, an error or an endless
run there ends as one exception here, and no R state of the caller is touched.
"""
# ruff: noqa: N815 - the parameters are named as GADEM names them

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode
from genomenet.motifs import pwm

APT_PACKAGES: Final = (
    *("r-base-dev", "libtirpc-dev", "r-bioc-biostrings", "r-bioc-iranges"),
    *("r-bioc-genomicranges", "r-bioc-bsgenome", "r-bioc-seqlogo"),
    "r-cran-biocmanager",
)
"""The R side in Debian: all but rGADEM, and what rpy2 and rGADEM are built with."""

_APT: Final = f"apt-get install --no-install-recommends {' '.join(APT_PACKAGES)}"
_PIP: Final = "pip install 'rpy2==3.5.17'"
_BIOC: Final = "Rscript -e 'BiocManager::install(\"rGADEM\")'"
_MESSAGES: Final = {
    "no R": f"R is missing (no R on the PATH, no R_HOME); on Debian: {_APT}",
    "no rpy2": f"the Python package rpy2 is missing: {_PIP}",
    "unfit rpy2": "rpy2 does not fit the R that is installed ({detail});"
    f" for R 4.2: {_PIP}",
    "no rGADEM": f"the R package rGADEM is missing ({{detail}}): {_BIOC}",
}
_LOAD: Final = """
tryCatch({ loadNamespace("rGADEM"); "" }, error = conditionMessage)
"""
_MOST_SEQUENCES: Final = 44_000  # sizes of arrays in GADEM
_MOST_BASES: Final = 20_000
_MOST_SPACE: Final = 19  # a longer motif overflows the text of its sites
_SHOWN: Final = 3  # last lines of R's errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgademOptions:
    """GADEM's parameters, by its own names and with its own defaults.

    `Sequences` is what `discover` is given, and `genome` has no meaning for them.

    Attributes:
        seed: Of R's random numbers; it fixes the result.
        verbose: Whether GADEM's report goes to standard output.
        numWordGroup: Groups of words: 3 takes words of three, four and five bases.
        numTop3mer: Words of three bases for spaced dyads.
        numTop4mer: The same, of four.
        numTop5mer: The same, of five.
        numGeneration: Generations of the genetic algorithm.
        populationSize: Individuals of it.
        pValue: Of a score, below which a place is a site.
        eValue: ln(E-value) up to which a motif is one.
        extTrim: 1 extends and trims motifs, 0 does not.
        minSpaceWidth: Bases between the words of a dyad, at least.
        maxSpaceWidth: The same, at most; up to 19.
        useChIPscore: 1 prefers sequences of a high score, which none has here.
        numEM: Steps of expectation maximisation.
        fEM: Share of the sequences it takes.
        widthWt: Bases in the centre that count more, by `weightType`.
        fullScan: 1 scans sequences in which found motifs are not masked.
        slideWinPWM: Columns of the window in which motifs are compared.
        stopCriterion: Generations without a new motif after which it stops.
        numBackgSets: Sets of background sequences.
        weightType: Weights of positions: 0 none, 1 Gaussian, 2 triangle.
        bFileName: File of a background model, or "NULL".
        Spwm: Motifs to start from, or None.
        minSites: Sites a motif has at least; -1 is a twentieth of the sequences.
        maskR: 1 masks simple repeats.
        nmotifs: Motifs sought; GADEM may give more.

    Raises:
        ValueError: If a value is out of range.

    Source:
        Li, GADEM (2009); Droit et al., rGADEM (2014).
    """

    seed: int = 1
    verbose: bool = False
    numWordGroup: int = 3
    numTop3mer: int = 20
    numTop4mer: int = 40
    numTop5mer: int = 60
    numGeneration: int = 5
    populationSize: int = 100
    pValue: float = 2e-4
    eValue: float = 0.0
    extTrim: int = 1
    minSpaceWidth: int = 0
    maxSpaceWidth: int = 10
    useChIPscore: int = 0
    numEM: int = 40
    fEM: float = 0.5
    widthWt: int = 80
    fullScan: int = 0
    slideWinPWM: int = 6
    stopCriterion: int = 1
    numBackgSets: int = 10
    weightType: int = 0
    bFileName: str = "NULL"
    Spwm: tuple[pwm.Motif, ...] | None = None
    minSites: int = -1
    maskR: int = 0
    nmotifs: int = 25

    def __post_init__(self) -> None:
        for names, smallest, largest in (
            ("numTop3mer numTop4mer numTop5mer", 1, 1024),
            ("numGeneration numEM numBackgSets slideWinPWM stopCriterion", 1, None),
            ("populationSize widthWt nmotifs", 1, None),
            ("numWordGroup", 1, 3),
            ("pValue fEM", np.nextafter(0, 1), 1),
            ("minSpaceWidth maxSpaceWidth", 0, _MOST_SPACE),
            ("extTrim useChIPscore fullScan maskR", 0, 1),
            ("weightType", 0, 2),
            ("minSites", -1, None),
        ):
            for name in names.split():
                value = getattr(self, name)
                if not smallest <= value <= (value if largest is None else largest):
                    stated = "more" if largest is None else f"up to {largest}"
                    raise ValueError(
                        f"{name} must be {smallest:g} or {stated}: {value}"
                    )
        if self.minSpaceWidth > self.maxSpaceWidth:
            raise ValueError(
                f"minSpaceWidth {self.minSpaceWidth} is above maxSpaceWidth"
                f" {self.maxSpaceWidth}"
            )


GENEMASK: Final = RgademOptions(
    seed=123, nmotifs=10, stopCriterion=5, numEM=80, maxSpaceWidth=0, maskR=1
)
"""The call of GeneMask (2023), on the first 1,000 training sequences of a task."""


def with_parameters(options: RgademOptions, settings: Sequence[str]) -> RgademOptions:
    """Returns options with some parameters changed.

    Args:
        options: To begin with.
        settings: Such as "numEM=80", by GADEM's own names.

    Returns:
        The options.

    Raises:
        ValueError: If a name is none of GADEM's parameters, or a value is none of its
            kind or out of range.
    """
    kinds = {f.name: type(f.default) for f in dataclasses.fields(options)}
    del kinds["Spwm"]  # motifs, for which there is no text
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise ValueError(f"GADEM has no parameter {name!r}: {', '.join(kinds)}")
        try:
            is_flag = kinds[name] is bool
            changes[name] = bool(int(text)) if is_flag else kinds[name](text)
        except ValueError:
            kind = "0 or 1" if is_flag else f"of type {kinds[name].__name__}"
            raise ValueError(f"{name} must be {kind}, got {text!r}") from None
    return dataclasses.replace(options, **changes)


def discover(
    sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    options: RgademOptions | None = None,
    *,
    timeout: float | None = None,
) -> tuple[pwm.Motif, ...]:
    """Finds motifs with rGADEM.

    Counts are GADEM's frequencies, which have four places, made to sum to one and
    multiplied by its number of sites. A site that hangs over the end of its sequence
    counts there but is not listed. Scores of sites are ours, by the motif's weights;
    p-values are GADEM's. It tells no E-value.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each, without
            padding.
        options: GADEM's parameters (default: its own).
        timeout: Seconds after which it is stopped; None waits. GADEM's own defaults
            take about a minute for 10,000 bases, hours for 1,000 sequences.

    Returns:
        The motifs in GADEM's order; none is no error.

    Raises:
        ValueError: If there is no sequence, one has no base, or they are more or
            longer than GADEM's arrays.
        ImportError: If R, rpy2 or rGADEM is missing, or they do not fit each other.
        TimeoutError: If it takes longer than `timeout`.
        ChildProcessError: If R reports an error, or crashes.
    """
    options = options or RgademOptions()
    _check_sequences(sequences)
    task = {
        "sequences": [encode.decode(codes).decode() for _, codes in sequences],
        "options": _to_json(options),
    }
    answer = _ask(task, timeout, options.verbose)
    if "missing" in answer:
        detail = " ".join(answer.get("detail", "").split())
        raise ImportError(_MESSAGES[answer["missing"]].format(detail=detail))
    if "error" in answer:
        raise ChildProcessError(f"rGADEM: {' '.join(answer['error'].split())}")
    background = _background([codes for _, codes in sequences])
    return tuple(
        _motif(number, found, sequences, background)
        for number, found in enumerate(answer["motifs"], 1)
    )


def _check_sequences(sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]]) -> None:
    if not 1 <= len(sequences) <= _MOST_SEQUENCES:
        raise ValueError(
            f"rGADEM takes 1 to {_MOST_SEQUENCES:,} sequences, got {len(sequences):,}"
        )
    for name, codes in sequences:
        if not 1 <= len(codes) <= _MOST_BASES:
            raise ValueError(
                f"rGADEM takes 1 to {_MOST_BASES:,} bases a sequence,"
                f" {name!r} has {len(codes):,}"
            )


def _to_json(options: RgademOptions) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    if options.Spwm is not None:
        values["Spwm"] = [motif.probabilities().tolist() for motif in options.Spwm]
    return values


# === The caller's side ===


def _ask(task: dict[str, Any], timeout: float | None, show: bool) -> dict[str, Any]:
    """Runs a task in a child process and returns its answer."""
    if not (shutil.which("R") or os.path.isdir(os.environ.get("R_HOME", ""))):
        return {"missing": "no R"}
    root = str(pathlib.Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # with several the seed does not fix the result
        "PYTHONPATH": os.pathsep.join(paths),
    }
    with tempfile.TemporaryDirectory(prefix="rgadem") as name:
        folder = pathlib.Path(name)
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        # Files, since a pipe that is full or kept open would block.
        with open(folder / "log", "wb") as log:
            try:
                code = subprocess.run(
                    _command(folder),
                    stdin=subprocess.DEVNULL,
                    stdout=None if show else log,
                    stderr=log,
                    env=environment,
                    timeout=timeout,
                ).returncode
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"rGADEM was stopped after {timeout:g} s") from None
        if (folder / "answer.json").exists():
            return json.loads((folder / "answer.json").read_text("utf-8"))
        said = (folder / "log").read_text("utf-8", "replace").split("\n")
        last = " / ".join([s.strip() for s in said if s.strip()][-_SHOWN:])
        if not (folder / "started").exists():
            return {"missing": "unfit rpy2", "detail": last or _ended(code)}
        raise ChildProcessError(f"rGADEM: R {_ended(code)}: {last or 'no message'}")


def _command(folder: pathlib.Path) -> list[str]:
    return [sys.executable, "-m", "genomenet.motifs.rgadem", str(folder)]


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _background(
    sequences: Sequence[npt.NDArray[np.uint8]],
) -> tuple[float, float, float, float]:
    """Frequencies of bases on both strands."""
    counts = np.bincount(np.concatenate(sequences), minlength=4)[:4] + 1.0
    a, c, g, t = ((counts + counts[::-1]) / (2 * counts.sum())).tolist()
    return a, c, g, t


def _motif(
    number: int,
    found: dict[str, Any],
    sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    background: tuple[float, float, float, float],
) -> pwm.Motif:
    p = np.asarray(found["pwm"], np.float64)  # (W, 4)
    total = len(found["pos"])
    motif = pwm.Motif(
        name="",
        counts=p / p.sum(1, keepdims=True) * total,
        background=background,
        scores={"sites": total, "positives": len(set(found["seqID"]))},
    )
    weights = np.pad(motif.log_odds(), ((0, 0), (0, 1)))  # N scores nothing
    sites = []
    for seq, strand, index, pos, pvalue in zip(
        *(found[key] for key in ("seq", "strand", "seqID", "pos", "pval")), strict=True
    ):
        name, codes = sequences[index - 1]
        place = _place(codes, motif.width, seq, strand, pos)
        if place is None:
            continue
        start, strand, word = place
        score = float(weights[np.arange(motif.width), word].sum())
        letters = encode.decode(word).decode()
        sites.append((index, pwm.Site(name, start, strand, letters, score, pvalue)))
    sites.sort(key=lambda site: (site[0], site[1].start))
    return dataclasses.replace(
        motif,
        name=f"{number}-{motif.consensus}",
        sites=tuple(site for _, site in sites),
    )


def _place(
    codes: npt.NDArray[np.uint8], width: int, seq: str, strand: str, pos: int
) -> tuple[int, str, npt.NDArray[np.uint8]] | None:
    """Finds a site as GADEM states it in its sequence.

    `pos`, from 1, is the first base on "+" and the last on "-". `strand` is "" where
    no base follows the site, `seq` is cut off, or "", where the site hangs over an
    end, and has N where bases were masked.

    Returns:
        Start, from 0, strand and codes, (W,); None if the site hangs over an end.

    Raises:
        ChildProcessError: If the bases are not those that GADEM states.
    """
    stated = encode.encode(seq)
    if len(stated) != width:
        return None
    for sign, start in (("+", pos - 1), ("-", pos - width)):
        if strand in ("", sign) and 0 <= start <= len(codes) - width:
            word = codes[start : start + width]
            word = word if sign == "+" else encode.reverse_complement(word)
            if np.all((stated == word) | (stated == alphabet.N)):
                return start, sign, word
    raise ChildProcessError(f"rGADEM: site {seq} at {pos}{strand} is not where it says")


# === The child's side ===


def _main(folder: pathlib.Path) -> None:
    """Answers `task.json` by `answer.json`."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    (folder / "answer.json").write_text(json.dumps(_answer(task, folder)), "utf-8")


def _answer(task: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    if importlib.util.find_spec("rpy2") is None:
        return {"missing": "no rpy2"}
    try:
        from rpy2 import robjects  # pyright: ignore[reportMissingImports]
    except Exception as e:  # of any kind where rpy2 and R do not fit
        return {"missing": "unfit rpy2", "detail": f"{type(e).__name__}: {e}"}
    (folder / "started").touch()
    problem = robjects.r(_LOAD)[0]
    if problem:
        return {"missing": "no rGADEM", "detail": problem}
    try:
        return {"motifs": _run(robjects, task["sequences"], task["options"])}
    except Exception as e:
        return {"error": str(e)}


def _dna_string_set(robjects: Any, sequences: Sequence[str]) -> Any:
    """Returns a DNAStringSet, named by number: GADEM fails without names."""
    numbers = [str(n) for n in range(1, len(sequences) + 1)]
    make = robjects.r("function(x, n) { names(x) <- n; Biostrings::DNAStringSet(x) }")
    return make(robjects.StrVector(sequences), robjects.StrVector(numbers))


def _run(
    robjects: Any, sequences: Sequence[str], options: dict[str, Any]
) -> list[dict[str, Any]]:
    values = dict(options)
    matrices = values.pop("Spwm")
    if matrices is not None:
        values["Spwm"] = robjects.ListVector(
            {
                str(n): robjects.r.matrix(robjects.FloatVector(np.ravel(m)), nrow=4)
                for n, m in enumerate(matrices, 1)
            }
        )
    found = robjects.r("rGADEM::GADEM")(_dna_string_set(robjects, sequences), **values)
    part = robjects.r("function(m, name, x) vapply(m@alignList, slot, x, name)")
    motifs = []
    for motif in robjects.r("function(g) g@motifList")(found):
        columns = np.asarray(motif.slots["pwm"]).T  # R's (4, W)
        motifs.append({"pwm": columns.tolist()})
        for name, kind, example in (
            ("seq", str, ""),
            ("strand", str, ""),
            ("seqID", int, 1.0),
            ("pos", int, 1.0),
            ("pval", float, 1.0),
        ):
            motifs[-1][name] = [kind(x) for x in part(motif, name, example)]
    return motifs


if __name__ == "__main__":
    _main(pathlib.Path(sys.argv[1]))
