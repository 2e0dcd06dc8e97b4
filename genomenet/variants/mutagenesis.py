"""Effects of every single substitution, deletion and insertion of a sequence."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tqdm

from genomenet import atomic, task_kinds
from genomenet.dna import alphabet, encode
from genomenet.inference import writers
from genomenet.models import classifier
from genomenet.motifs import report
from genomenet.release import folder as folder_lib
from genomenet.variants import scores

BASES: Final = "ACGT"

_AT_ONCE: Final = 1024  # mutants that are in memory together
_TOLD: Final = 8192  # substitutions after which the bar moves


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mutagenesis:
    """What each substitution changes.

    Attributes:
        score: Name of the score, as `genomenet.variant_effects` names it.
        names: Names of the sequences, N.
        codes: Their bases, uint8, (L,) each.
        effects: Mutant against the sequence as it is, float32, (N, L, 4), channels A,
            C, G, T; 0 for the base that is there, NaN at N and beyond the end of a
            shorter sequence.
        deletions: Effects of the sequence less one base, float32, (N, L), NaN as in
            `effects`; None where they were not asked for.
        insertions: Effects of a base before each position, float32, (N, L, 4), NaN
            beyond the end of a shorter sequence; None where they were not asked for.
    """

    score: str
    names: list[str]
    codes: list[npt.NDArray[np.uint8]]
    effects: npt.NDArray[np.float32]
    deletions: npt.NDArray[np.float32] | None = None
    insertions: npt.NDArray[np.float32] | None = None

    @property
    def centred(self) -> npt.NDArray[np.float32]:
        """Effects less their mean over the four bases, float32, (N, L, 4)."""
        return self.effects - self.effects.mean(axis=2, keepdims=True)

    def plot(self, index: int = 0) -> report.Picture:
        """Draws a sequence as `figures.draw` does; a notebook shows it."""
        from genomenet.variants import figures  # imports this module

        return report.Picture(figures.draw(self, index))


def saturation_mutagenesis(
    model: Any,
    sequences: str | bytes | Sequence[Any],
    *,
    score: str | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 64,
    both_strands: bool | None = None,
    pool: str | None = None,
    deletions: bool = False,
    insertions: bool = False,
    show_progress: bool = False,
) -> Mutagenesis:
    """Predicts every single substitution of sequences, each read as a whole.

    After a deletion the sequence ends in N, and after an insertion its last base is
    cut off: all are read at one length, as `genomenet.variant_effects` reads indels.

    Args:
        model: Name or folder of a model, or a Keras model.
        sequences: One sequence or several: text, bytes, or codes of `dna.alphabet`.
        score: Which score of `genomenet.variant_effects`; by default the logit of the
            positive class, the value of a regression, the likelihood of a masked
            language model, or "l2" of another encoder.
        names: Of the sequences; counted from 1 if None.
        batch_size: Sequences read at once.
        both_strands: As for `genomenet.variant_effects`.
        pool: As for `genomenet.variant_effects`.
        deletions: Whether to delete each base as well.
        insertions: Whether to insert each of the four bases before each position.
        show_progress: Whether to show a bar.

    Returns:
        The effects.

    Raises:
        ValueError: If the model or a sequence is not usable, or there is no such score;
            a likelihood is one of substitutions only.
    """
    if isinstance(sequences, str | bytes):
        sequences = [sequences]
    names = list(names or (str(n + 1) for n in range(len(sequences))))
    codes = [
        x if _is_codes(x) else encode.encode(x, name=name)
        for x, name in zip(sequences, names, strict=True)
    ]
    if not codes:
        raise ValueError("no sequence was given")
    if isinstance(model, str | os.PathLike):
        model = folder_lib.load_model(model)
    model = classifier.graph_of(model)
    longest = max(map(len, codes))
    effects = np.full((len(codes), longest, 4), np.nan, np.float32)
    deleted = effects[..., 0].copy() if deletions else None
    inserted = effects.copy() if insertions else None
    scorers: dict[int, scores.Scorer] = {}  # a shape is compiled once
    total = sum(map(len, codes)) * (3 + deletions + 4 * insertions)
    with tqdm.tqdm(
        total=total,
        unit=" mutants",
        unit_scale=True,
        disable=not show_progress,
        delay=1,  # not before what is refused
    ) as bar:
        for row, one in enumerate(codes):
            scorer = scorers.get(len(one))
            if scorer is None:
                scorer = scorers[len(one)] = scores.Scorer(
                    model,
                    window=len(one),
                    batch_size=batch_size,
                    both_strands=both_strands,
                    pool=pool,
                )
            score = _checked(score, scorer, model)
            if score == scores.LIKELIHOOD and (deletions or insertions):
                raise ValueError(
                    "a likelihood is one of substitutions only: for deletions and"
                    f" insertions give score={scores.L2} or {scores.COSINE}"
                )
            here = slice(0, len(one))
            effects[row, here] = _substituted(scorer, one, score, bar.update)
            if deleted is not None:
                (places,) = np.nonzero(one < alphabet.NUM_BASES)
                values = _shifted(scorer, one, score, places, None, bar.update)
                deleted[row, places] = values
            if inserted is not None:
                places = np.repeat(np.arange(len(one)), 4)
                bases = np.tile(np.arange(4, dtype=np.uint8), len(one))
                values = _shifted(scorer, one, score, places, bases, bar.update)
                inserted[row, here] = values.reshape(-1, 4)
    return Mutagenesis(
        score=str(score),
        names=names,
        codes=codes,
        effects=effects,
        deletions=deleted,
        insertions=inserted,
    )


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks that a file's name says its format.

    Args:
        path: The file.

    Raises:
        ValueError: If it ends with neither .npz nor .tsv, or is a folder.
    """
    if not os.fspath(path).endswith((".npz", ".tsv")):
        raise ValueError(f"{path} must end with .npz, .tsv")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: choose another name")


def write(found: Mutagenesis, path: str | os.PathLike[str]) -> None:
    """Writes effects.

    Args:
        found: The effects.
        path: An .npz file with `effects`, `centred`, `names`, `score` and, where there
            are some, `deletions` and `insertions`; or a .tsv file with a row a base:
            name, position from 0, base, the effects of A, C, G and T, then of the
            deletion, and of A, C, G and T before the base; empty where there is none.

    Raises:
        ValueError: If the name says no format.
    """
    check_name(path)
    optional = {"deletions": found.deletions, "insertions": found.insertions}
    more: dict[str, Any] = {k: x for k, x in optional.items() if x is not None}
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        if os.fspath(path).endswith(".npz"):
            arrays: dict[str, Any] = {
                "effects": found.effects,
                "centred": found.centred,
                "names": np.array(found.names),
                "score": np.array(found.score),
            }
            np.savez_compressed(file, **arrays, **more)
            return
        columns = list(BASES)
        values = [found.effects]
        if found.deletions is not None:
            columns.append("deletion")
            values.append(found.deletions[..., None])
        if found.insertions is not None:
            columns += [f"insertion_{base}" for base in BASES]
            values.append(found.insertions)
        file.write(("\t".join(["name", "position", "base", *columns]) + "\n").encode())
        table = np.concatenate(values, axis=2)
        for name, codes, rows in zip(found.names, found.codes, table, strict=True):
            letters = encode.decode(codes).decode()
            for at, (letter, row) in enumerate(zip(letters, rows, strict=False)):
                line = "\t".join(
                    [name, str(at), letter, *map(writers.digits, row.tolist())]
                )
                file.write(f"{line}\n".encode())


def _substituted(
    scorer: scores.Scorer,
    codes: npt.NDArray[np.uint8],
    score: str,
    advance: Callable[[int], object],
) -> npt.NDArray[np.float32]:
    """Returns the effects of substitutions in one sequence, (L, 4)."""
    found = np.full((len(codes), alphabet.NUM_BASES), np.nan, np.float32)
    (known,) = np.nonzero(codes < alphabet.NUM_BASES)
    found[known, codes[known]] = 0.0
    places, bases = encode.substitutions(codes)
    for first in range(0, len(places), _TOLD):
        part = slice(first, first + _TOLD)
        at, base = places[part], bases[part]
        found[at, base] = scorer.substitutions(codes, at, base, score)
        advance(len(at))
    return found


def _shifted(
    scorer: scores.Scorer,
    codes: npt.NDArray[np.uint8],
    score: str,
    places: npt.NDArray[np.intp],
    bases: npt.NDArray[np.uint8] | None,
    advance: Callable[[int], object],
) -> npt.NDArray[np.float32]:
    """Returns the effects of insertions, or of deletions where there are no bases."""
    column = list(scorer.keys).index(score)
    found = np.zeros(len(places), np.float32)
    for first in range(0, len(places), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        at = places[part]
        rows = (
            encode.deleted(codes, at)
            if bases is None
            else encode.inserted(codes, at, bases[part])
        )
        of, spans = np.zeros(len(at), np.intp), [scores.NO_SPAN] * len(at)
        found[part] = scorer.score(codes[None], rows, of, spans)[:, column]
        advance(len(at))
    return found


def _checked(score: str | None, scorer: scores.Scorer, model: Any) -> str:
    """Returns the score that is meant."""
    keys = list(scorer.keys)
    if score is None:
        config = model.config
        if (
            isinstance(model, classifier.Classifier)
            and config.task == task_kinds.BINARY
        ):
            return f"logit_{config.positive_class}"
        for name in (scores.VALUE, scores.LIKELIHOOD, scores.L2):
            if name in keys:
                return name
    if score not in keys:
        raise ValueError(f"score={score!r} is none of {', '.join(keys)}")
    return score


def _is_codes(x: Any) -> bool:
    """Returns whether an array holds codes, not letters."""
    return isinstance(x, np.ndarray) and bool((x <= alphabet.N).all())
