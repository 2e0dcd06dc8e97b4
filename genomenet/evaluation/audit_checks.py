"""The checks of an audit: those of seqleak, in plain words, and further ones."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import examples, mirrored
from genomenet.dna import alphabet, encode

PASS: Final = "PASS"
WARN: Final = "WARN"
FAIL: Final = "FAIL"
SKIP: Final = "SKIP"
"""Verdict of a check that does not apply."""

ORDER: Final = (SKIP, PASS, WARN, FAIL)
"""Verdicts from the best to the worst."""

_SPLITS: Final = {examples.TRAIN: "train", examples.VALIDATION: "dev"}
_SHORT: Final = 60  # bases below which one substitution changes most 21-mers

# seqleak's name of a check → our name, and the text with its value.
_CHECKS: Final = {
    "overlap.exact": (
        "copies",
        "{v:.1%} of the test sequences are in training or validation, on either strand",
    ),
    "overlap.near": (
        "near copies",
        "{v:.1%} of the test sequences share half of their {k}-mers with one training"
        " or validation sequence",
    ),
    "overlap.windows": (
        "overlapping windows",
        "{v:.1%} of the test sequences share a stretch of at least a fifth of their"
        " length with a training or validation sequence",
    ),
    "shortcut.length": ("length", "MCC {v:.2f} from the length alone"),
    "shortcut.ambiguous": ("N", "MCC {v:.2f} from N and ambiguous letters alone"),
    "shortcut.lowinfo": (
        "mostly N",
        "{v:.1%} of the test sequences are more than half N",
    ),
    "shortcut.case": ("case", "MCC {v:.2f} from lower-case letters alone"),
    "shortcut.composition": (
        "GC and CpG",
        "MCC {v:.2f} from {feature} alone; this may be biology: models must beat it",
    ),
    "shortcut.kmer": (
        "Markov chain",
        "MCC {v:.2f} from an order-3 Markov chain of each class alone; this may be"
        " biology: models must beat it",
    ),
    "shortcut.position_motif": (
        "positions",
        "MCC {v:.2f} from the bases at {words} alone; models must beat it",
    ),
    "shortcut.anchored_motif": (
        "ends",
        "MCC {v:.2f} from the bases at {words} alone; models must beat it",
    ),
    "construction.unmatched_site": (
        "site",
        "{v:.1%} of the test sequences outside class {cls_label!r} lack {kmer} at"
        " position {pos}, which that class has",
    ),
    "construction.shuffle": (
        "dinucleotide shuffles",
        "{v:.1%} of the test sequences are a dinucleotide shuffle of a training or"
        " validation sequence",
    ),
    "construction.segment": (
        "replaced segments",
        "{v:.1%} of the test sequences share segments with a training or validation"
        " sequence, at the same positions",
    ),
    "construction.synthetic_negatives": (
        "made negatives",
        "{v:.1%} of the test sequences are made from a sequence of another class:"
        " shuffled, or with segments replaced",
    ),
    "construction.library": (
        "constant segments",
        "MCC {v:.2f} from the constant segment of each sequence alone",
    ),
    "construction.genome_membership": (
        "genome",
        "MCC {v:.2f} from whether a sequence is in the genome ({members})",
    ),
}
_FEATURES: Final = {
    "gc": "GC",
    "cpg_oe": "observed/expected CpG",
    "cpg_dens": "CpG density",
    "natural": "similarity to the human genome",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check.

    Attributes:
        name: The property that is checked.
        verdict: `PASS`, `WARN`, `FAIL` or `SKIP`.
        value: A share of sequences, or Matthews' correlation (MCC: 0 is the chance
            level, 1 is perfect) of a rule that is fitted to training and scored on
            test; None if the check was skipped.
        text: The result as a sentence.
    """

    name: str
    verdict: str
    value: float | None
    text: str


def of_seqleak(
    data: examples.Data,
    *,
    spelled: Mapping[bytes, str],
    genome: Sequence[str | os.PathLike[str]],
    resamples: int,
    seed: int,
) -> Iterator[Check]:
    """Yields the checks of seqleak; takes the arguments of `audit.audit`."""
    length = np.median(np.concatenate([part.lengths for part in data.splits.values()]))
    k = 13 if length < _SHORT else 21
    train, test = data[examples.TRAIN], data[_tested(data)]
    chance = {
        "cv_mcc": 3 / len(train) ** 0.5,
        "cv_auroc": 0.5 + 3 * _auroc_error(train),
        "test_auroc": 0.5 + 2 * _auroc_error(test),
    }
    for name, result in _results(data, spelled, genome, k, resamples, seed):
        yield _translated(name, result, k, chance)


def _results(
    data: examples.Data,
    spelled: Mapping[bytes, str],
    genome: Sequence[str | os.PathLike[str]],
    k: int,
    resamples: int,
    seed: int,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields seqleak's name and result of each check."""
    import pandas as pd
    from seqleak import audit as seqleak_lib
    from seqleak.audit import io as seqleak_io

    if data.task.classes and sum(map(bool, _counts(data))) < 2:
        raise ValueError(f"{data.name}: an audit needs sequences of two classes")
    is_class = data.task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS)
    columns: dict[str, list[Any]] = {"split": [], "item_id": [], "seq0": []}
    labels: list[Any] = []
    for split, part in data.splits.items():
        name = "test" if split == _tested(data) else _SPLITS[split]
        columns["split"] += [name] * len(part)
        columns["item_id"] += part.ids
        columns["seq0"] += _letters(part, spelled)
        labels += part.labels.reshape(len(part), -1).sum(axis=1).tolist()
    names = data.task.classes
    columns["label"] = [names[label] for label in labels] if is_class else labels
    task = seqleak_io.Task(
        name=data.name,
        items=pd.DataFrame({**columns, "__file": ""}),
        elements=["sequence"],
        task_type="classification" if is_class else "regression",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about constant labels, which do no harm
        report, _ = seqleak_lib.run_audit(
            task,
            checks=None if is_class else ["overlap", "shortcut.lowinfo"],
            k=k,
            n_boot=resamples,
            seed=seed,
            homology="off",
            genome=[os.fspath(path) for path in genome],
            quiet=True,
        )
    for name in _CHECKS:
        if name in report["checks"]:
            yield name, report["checks"][name]


def _tested(data: examples.Data) -> str:
    """Returns the name of the split that is scored."""
    order = (examples.TEST, examples.VALIDATION, examples.TRAIN)
    return next(split for split in order if split in data.splits)


def _auroc_error(part: examples.Examples) -> float:
    """Returns the standard error of the area under a ROC curve of two classes."""
    positive = np.count_nonzero(part.labels)
    pairs = positive * (len(part) - positive)
    return float(np.sqrt((len(part) + 1) / 12 / pairs)) if pairs > 0 else np.inf


def _counts(data: examples.Data) -> npt.NDArray[np.int64]:
    """Counts the sequences of each class: (classes,)."""
    count = len(data.task.classes)
    if data.task.kind == task_kinds.MULTI_LABEL:
        return np.sum(
            [part.labels.sum(axis=0) for part in data.splits.values()], axis=0
        )
    parts = [np.bincount(part.labels, minlength=count) for part in data.splits.values()]
    return np.sum(parts, axis=0)


def _letters(part: examples.Examples, spelled: Mapping[bytes, str]) -> list[str]:
    """Returns sequences in their original spelling."""
    rows = [part[row] for row in range(len(part))]
    return [spelled.get(r.tobytes()) or encode.decode(r).decode() for r in rows]


def _translated(
    name: str, result: Mapping[str, Any], k: int, chance: Mapping[str, float]
) -> Check:
    """Returns a result of seqleak as a check; a result that may be chance passes."""
    title, text = _CHECKS[name]
    verdict, value, evidence = result["status"], result["value"], result["evidence"]
    if verdict not in ORDER[1:] or value is None:
        return Check(name=title, verdict=SKIP, value=None, text=_why_not(name, result))
    if evidence.get("status_from") == "auroc":  # for rare classes
        text = f"{text} (AUROC {evidence['test_auroc']:.2f})"
        if any(evidence[key] < chance[key] for key in ("cv_auroc", "test_auroc")):
            verdict = PASS
    elif "MCC" in text:
        low = (result["ci"] or [0])[0] or 0  # lower end of the interval
        if low <= 0 or evidence.get("cv_mcc", 1) < chance["cv_mcc"]:
            verdict = PASS
    if "not assessable" in result["reason"]:
        text = (
            "{not_assessable:.0%} of the test sequences cannot be compared: their"
            " {k}-mers hold N, or occur in more than 64 training sequences"
        )
    if verdict == PASS:
        text = text.partition(";")[0]  # without advice
    if name == "construction.unmatched_site" and "kmer" not in evidence:
        text = "no k-mer is at one position in 95% of the sequences of a class"
    if name == "construction.library" and not evidence.get("n_backbones"):
        text = "no constant segment is in 5% of the sequences"
    shares = evidence.get("shares", {}).get("test", {})
    fields = {
        **evidence,
        "v": value,
        "k": k,
        "feature": _FEATURES.get(evidence.get("selected_feature", ""), "GC or CpG"),
        "words": ", ".join(_words(evidence.get("features"))),
        "members": ", ".join(
            f"{share['members']:.0%} of {label!r}"
            for label, share in shares.items()
            if share["members"] is not None
        ),
    }
    return Check(name=title, verdict=verdict, value=value, text=text.format(**fields))


def _words(features: Any) -> list[str]:
    """Returns the k-mers of a rule with their 0-based positions."""
    if not isinstance(features, list):
        return []
    return [f"{f.get('anchored', f['pos'])} ({f['kmer']})" for f in features]


def _why_not(name: str, result: Mapping[str, Any]) -> str:
    """Returns why a check was skipped."""
    if name == "construction.genome_membership" and "given" in result["reason"]:
        return "not checked: no genome was given"
    return f"not checked: {result['reason'].removesuffix(' in this version')}"


def of_ours(data: examples.Data) -> Iterator[Check]:
    """Yields the checks that seqleak lacks."""
    validation = examples.VALIDATION
    if validation in data.splits and examples.TEST in data.splits:
        share = examples.overlap(data)[validation] / len(data[validation])
        yield Check(
            name="validation copies",
            verdict=WARN if share >= 0.005 else PASS,
            value=share,
            text=f"{share:.1%} of the validation sequences are in training",
        )
    if not data.task.classes:
        return
    count = examples.contradictions(data)
    share = count / sum(map(len, data.splits.values()))
    yield Check(
        name="several labels",
        verdict=WARN if share >= 0.005 else PASS,
        value=share,
        text=f"{count:,} sequences occur with several labels, on either strand",
    )
    if data.task.kind == task_kinds.MULTI_LABEL:
        return
    for first, second, share in mirrored.pairs(data):
        yield Check(
            name="strands",
            verdict=WARN,
            value=share,
            text=(
                f"{share:.0%} of {first!r} and {second!r} are each other's reverse"
                " complement"
            ),
        )
    share, first, second = _shuffled(data)
    text = "no two classes share the base counts of sequences beyond chance"
    if share:
        text = (
            f"{share:.0%} of the sequences of {first!r} or {second!r} have the base"
            " counts of a sequence of the other class, beyond chance: they may be"
            " shuffles"
        )
    verdict = FAIL if share >= 0.25 else WARN if share >= 0.05 else PASS
    yield Check(name="shuffles", verdict=verdict, value=share, text=text)


def _shuffled(data: examples.Data) -> tuple[float, str, str]:
    """Finds the two classes that share base counts most often beyond chance.

    If classes are drawn independently, pairs of equal counts are at most as frequent
    between classes as within them, by geometric mean (Cauchy-Schwarz inequality). Each
    shuffle adds a pair between classes.

    Returns:
        Pairs above chance per sequence of the smaller class, at most 1, and the names
        of the classes; 0 if they may be chance (below five standard errors).
    """
    from scipy import sparse

    rows: dict[tuple[bytes, int], int] = {}
    for split in data.splits.values():
        for row, label in enumerate(split.labels.tolist()):
            rows.setdefault((split[row].tobytes(), label), len(rows))
    labels = np.array([label for _, label in rows])
    counts = np.array(
        [[codes.count(base) for base in range(alphabet.PAD)] for codes, _ in rows]
    )
    _, composition = np.unique(counts, axis=0, return_inverse=True)
    shape = (int(composition.max()) + 1, len(data.task.classes))
    ones = np.ones(len(labels))
    table = sparse.coo_matrix((ones, (composition.ravel(), labels)), shape).tocsr()
    pairs = (table.T @ table).toarray()
    sizes = np.bincount(labels, minlength=shape[1])
    best = (0.0, "", "")
    within = (np.diag(pairs) - sizes) / 2 + 1  # one more, to err on the safe side
    density = within / np.maximum(1, sizes * (sizes - 1) / 2)
    for first, second in np.argwhere(np.triu(pairs, 1)):
        chance = (
            sizes[first] * sizes[second] * np.sqrt(density[first] * density[second])
        )
        above = pairs[first, second] - chance
        spread = chance**2 / 4 * (1 / within[first] + 1 / within[second])
        share = float(min(1, above / min(sizes[first], sizes[second])))
        if above > 5 * np.sqrt(pairs[first, second] + spread) and share > best[0]:
            best = (share, data.task.classes[first], data.task.classes[second])
    return best
