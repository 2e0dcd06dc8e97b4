"""Motif discovery with the R package rGADEM, through rpy2 in a child process.

Only the child process needs R, rpy2 and rGADEM. A crash, an error or a timeout of the
child raises one exception in the caller, and the R state of the caller is not changed.
"""
# ruff: noqa: N815 - parameters have the names that GADEM uses

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
"""Debian packages: R, and all that rpy2 and rGADEM need, but not rGADEM itself."""

_APT: Final = f"apt-get install --no-install-recommends {' '.join(APT_PACKAGES)}"
_PIP: Final = "pip install 'rpy2==3.5.17'"
_BIOC: Final = "Rscript -e 'BiocManager::install(\"rGADEM\")'"
_MESSAGES: Final = {
    "no R": f"R is missing (no R on the PATH, no R_HOME); on Debian: {_APT}",
    "no rpy2": f"the Python package rpy2 is missing: {_PIP}",
    "unfit rpy2": f"rpy2 does not fit the installed R ({{detail}}); for R 4.2: {_PIP}",
    "no rGADEM": f"the R package rGADEM is missing ({{detail}}): {_BIOC}",
}
_LOAD: Final = """
tryCatch({ loadNamespace("rGADEM"); "" }, error = conditionMessage)
"""
_MOST_SEQUENCES: Final = 44_000  # array sizes in GADEM
_MOST_BASES: Final = 20_000
_MOST_SPACE: Final = 19  # a longer motif overflows the buffer for its sites
_SHOWN: Final = 3  # last lines of R's output in error messages


@dataclasses.dataclass(frozen=True, kw_only=True)
class RgademOptions:
    """Parameters of GADEM, with the names and defaults of GADEM.

    `Sequences` and `genome` are missing: `discover` passes the sequences, and they
    have no genome.

    Attributes:
        seed: Seed of R's random numbers; it determines the result.
        verbose: Whether GADEM's report is written to standard output.
        numWordGroup: Number of word lengths: 3 uses words of 3, 4 and 5 bases.
        numTop3mer: Number of words of 3 bases for spaced dyads.
        numTop4mer: Number of words of 4 bases for spaced dyads.
        numTop5mer: Number of words of 5 bases for spaced dyads.
        numGeneration: Generations of the genetic algorithm.
        populationSize: Individuals of the genetic algorithm.
        pValue: Positions whose score has a lower p-value are sites.
        eValue: ln(E-value) up to which a motif is kept.
        extTrim: 1 extends and trims motifs, 0 does not.
        minSpaceWidth: Minimum number of bases between the words of a dyad.
        maxSpaceWidth: Maximum number of bases between the words of a dyad, up to 19.
        useChIPscore: 1 prefers sequences with a high score; here none has a score.
        numEM: Steps of expectation maximisation.
        fEM: Share of the sequences used for expectation maximisation.
        widthWt: Central bases that have a higher weight, according to `weightType`.
        fullScan: 1 scans the sequences without masking earlier motifs.
        slideWinPWM: Columns of the window in which motifs are compared.
        stopCriterion: Generations without a new motif after which the search stops.
        numBackgSets: Sets of background sequences.
        weightType: Weights of positions: 0 none, 1 Gaussian, 2 triangle.
        bFileName: File with a background model, or "NULL".
        Spwm: Motifs to start from, or None.
        minSites: Minimum number of sites of a motif; -1 for a twentieth of the
            number of sequences.
        maskR: 1 masks simple repeats.
        nmotifs: Number of motifs to search for; GADEM may return more.

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
                    limit = " or more" if largest is None else f" to {largest}"
                    raise ValueError(f"{name} must be {smallest:g}{limit}, got {value}")
        if self.minSpaceWidth > self.maxSpaceWidth:
            raise ValueError(
                f"minSpaceWidth {self.minSpaceWidth} is above maxSpaceWidth"
                f" {self.maxSpaceWidth}"
            )


GENEMASK: Final = RgademOptions(
    seed=123, nmotifs=10, stopCriterion=5, numEM=80, maxSpaceWidth=0, maskR=1
)
"""Parameters of GeneMask (2023), for the first 1,000 training sequences of a task."""


def with_parameters(options: RgademOptions, settings: Sequence[str]) -> RgademOptions:
    """Returns options with some parameters changed.

    Args:
        options: Options to change.
        settings: Settings such as "numEM=80", with GADEM's parameter names.

    Returns:
        The changed options.

    Raises:
        ValueError: If GADEM has no such parameter, or a value has the wrong type or
            is out of range.
    """
    kinds = {f.name: type(f.default) for f in dataclasses.fields(options)}
    del kinds["Spwm"]  # motifs cannot be given as text
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise ValueError(
                f"GADEM has no parameter {name!r}; it has {', '.join(kinds)}"
            )
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

    Counts are GADEM's frequencies (four decimal places), normalised to sum to one and
    multiplied by GADEM's number of sites. GADEM counts sites that extend over the end
    of their sequence, but they are not listed. Scores of sites are computed here from
    the log-odds scores of the motif; p-values are GADEM's. GADEM reports no E-value.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each, without
            padding.
        options: Parameters of GADEM; None for GADEM's defaults.
        timeout: Seconds after which the search is stopped; None for no limit. With
            GADEM's defaults, 10,000 bases take about a minute, and 1,000 sequences
            take hours.

    Returns:
        The motifs in GADEM's order; empty if GADEM finds none.

    Raises:
        ValueError: If there is no sequence, a sequence has no base, or there are more
            or longer sequences than GADEM's arrays can hold.
        ImportError: If R, rpy2 or rGADEM is missing, or they are incompatible.
        TimeoutError: If the search takes longer than `timeout`.
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
        _motif(rank, record, sequences, background)
        for rank, record in enumerate(answer["motifs"], 1)
    )


def _check_sequences(sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]]) -> None:
    if not 1 <= len(sequences) <= _MOST_SEQUENCES:
        raise ValueError(
            f"rGADEM takes 1 to {_MOST_SEQUENCES:,} sequences, got {len(sequences):,}"
        )
    for name, codes in sequences:
        if not 1 <= len(codes) <= _MOST_BASES:
            raise ValueError(
                f"rGADEM takes sequences of 1 to {_MOST_BASES:,} bases,"
                f" {name!r} has {len(codes):,}"
            )


def _to_json(options: RgademOptions) -> dict[str, Any]:
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    if options.Spwm is not None:
        values["Spwm"] = [motif.probabilities().tolist() for motif in options.Spwm]
    return values


# === Caller ===


def _ask(task: dict[str, Any], timeout: float | None, show: bool) -> dict[str, Any]:
    """Runs a task in a child process and returns its answer."""
    if not (shutil.which("R") or os.path.isdir(os.environ.get("R_HOME", ""))):
        return {"missing": "no R"}
    root = str(pathlib.Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # with more, the seed does not determine the result
        "PYTHONPATH": os.pathsep.join(paths),
    }
    with tempfile.TemporaryDirectory(prefix="rgadem") as name:
        folder = pathlib.Path(name)
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        # Files, because a pipe that is full or kept open would block.
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
        lines = (folder / "log").read_text("utf-8", "replace").split("\n")
        last = " / ".join([s.strip() for s in lines if s.strip()][-_SHOWN:])
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
    """Returns the frequencies of A, C, G, T on both strands."""
    counts = np.bincount(np.concatenate(sequences), minlength=4)[:4] + 1.0
    a, c, g, t = ((counts + counts[::-1]) / (2 * counts.sum())).tolist()
    return a, c, g, t


def _motif(
    rank: int,
    record: dict[str, Any],
    sequences: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    background: tuple[float, float, float, float],
) -> pwm.Motif:
    p = np.asarray(record["pwm"], np.float64)  # (W, 4)
    total = len(record["pos"])
    motif = pwm.Motif(
        name="",
        counts=p / p.sum(1, keepdims=True) * total,
        background=background,
        scores={"sites": total, "positives": len(set(record["seqID"]))},
    )
    weights = np.pad(motif.log_odds(), ((0, 0), (0, 1)))  # N scores 0
    sites = []
    for seq, strand, seq_id, pos, pvalue in zip(
        *(record[key] for key in ("seq", "strand", "seqID", "pos", "pval")), strict=True
    ):
        name, codes = sequences[seq_id - 1]
        located = _locate(codes, motif.width, seq, strand, pos)
        if located is None:
            continue
        start, strand, word = located
        score = float(weights[np.arange(motif.width), word].sum())
        letters = encode.decode(word).decode()
        sites.append((seq_id, pwm.Site(name, start, strand, letters, score, pvalue)))
    sites.sort(key=lambda site: (site[0], site[1].start))
    return dataclasses.replace(
        motif,
        name=f"{rank}-{motif.consensus}",
        sites=tuple(site for _, site in sites),
    )


def _locate(
    codes: npt.NDArray[np.uint8], width: int, seq: str, strand: str, pos: int
) -> tuple[int, str, npt.NDArray[np.uint8]] | None:
    """Finds the position of a site that GADEM reports.

    `pos` is 1-based; it is the first base on "+" and the last on "-". `strand` is ""
    if no base follows the site. `seq` is shortened or empty if the site extends over
    an end of the sequence, and has N where bases were masked.

    Returns:
        Start (0-based), strand and codes, (W,); None if the site extends over an end.

    Raises:
        ChildProcessError: If the sequence has other bases than GADEM reports.
    """
    reported = encode.encode(seq)
    if len(reported) != width:
        return None
    for sign, start in (("+", pos - 1), ("-", pos - width)):
        if strand in ("", sign) and 0 <= start <= len(codes) - width:
            word = codes[start : start + width]
            word = word if sign == "+" else encode.reverse_complement(word)
            if np.all((reported == word) | (reported == alphabet.N)):
                return start, sign, word
    raise ChildProcessError(
        f"rGADEM: site {seq} is not at the reported position {pos}{strand}"
    )


# === Child process ===


def _main(folder: pathlib.Path) -> None:
    """Reads `task.json`, runs the task and writes `answer.json`."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    (folder / "answer.json").write_text(json.dumps(_answer(task, folder)), "utf-8")


def _answer(task: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    if importlib.util.find_spec("rpy2") is None:
        return {"missing": "no rpy2"}
    try:
        from rpy2 import robjects  # pyright: ignore[reportMissingImports]
    except Exception as e:  # any type, if rpy2 and R do not fit
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
    """Returns a DNAStringSet with names 1, 2, …: GADEM fails without names."""
    names = [str(n) for n in range(1, len(sequences) + 1)]
    make = robjects.r("function(x, n) { names(x) <- n; Biostrings::DNAStringSet(x) }")
    return make(robjects.StrVector(sequences), robjects.StrVector(names))


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
    result = robjects.r("rGADEM::GADEM")(_dna_string_set(robjects, sequences), **values)
    read_slot = robjects.r("function(m, name, x) vapply(m@alignList, slot, x, name)")
    motifs = []
    for motif in robjects.r("function(g) g@motifList")(result):
        columns = np.asarray(motif.slots["pwm"]).T  # R's (4, W)
        motifs.append({"pwm": columns.tolist()})
        for name, kind, example in (
            ("seq", str, ""),
            ("strand", str, ""),
            ("seqID", int, 1.0),
            ("pos", int, 1.0),
            ("pval", float, 1.0),
        ):
            motifs[-1][name] = [kind(x) for x in read_slot(motif, name, example)]
    return motifs


if __name__ == "__main__":
    _main(pathlib.Path(sys.argv[1]))
