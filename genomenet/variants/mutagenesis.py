"""Effects of all single substitutions, deletions and insertions in a sequence."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tqdm

from genomenet import atomic, models, task_kinds
from genomenet.dna import alphabet, encode
from genomenet.inference import writers
from genomenet.models import classifier
from genomenet.motifs import report
from genomenet.release import folder as folder_lib
from genomenet.variants import scores

BASES: Final = "ACGT"

_AT_ONCE: Final = 1024  # mutants in memory at once
_TOLD: Final = 8192  # substitutions per update of the progress bar


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mutagenesis:
    """Effects of all single mutations of N sequences.

    Attributes:
        score: Name of the score, as in `genomenet.variant_effects`.
        names: Names of the N sequences.
        codes: Bases of the sequences, uint8, (L,) each.
        effects: Effects of substitutions, mutant against original, float32, (N, L, 4),
            channels A, C, G, T; 0 for the original base, NaN at N and beyond the end
            of a shorter sequence.
        deletions: Effects of deleting one base, float32, (N, L), NaN as in `effects`;
            None if they were not requested.
        insertions: Effects of inserting a base before each position, float32,
            (N, L, 4), NaN beyond the end of a shorter sequence; None if they were not
            requested.
    """

    score: str
    names: list[str]
    codes: list[npt.NDArray[np.uint8]]
    effects: npt.NDArray[np.float32]
    deletions: npt.NDArray[np.float32] | None = None
    insertions: npt.NDArray[np.float32] | None = None

    @property
    def centred(self) -> npt.NDArray[np.float32]:
        """Effects minus their mean over the four bases, float32, (N, L, 4)."""
        return self.effects - self.effects.mean(axis=2, keepdims=True)

    def plot(self, index: int = 0) -> report.Picture:
        """Draws a sequence as `figures.draw` does, as an image for a notebook."""
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
    """Predicts the effects of all single substitutions in sequences.

    The model reads each sequence as a whole. After a deletion, N is appended to the
    sequence, and after an insertion, its last base is removed. The length thus stays
    the same, as for indels in `genomenet.variant_effects`.

    Args:
        model: Name or folder of a model, or a Keras model.
        sequences: One sequence or several: text, bytes, or codes of `dna.alphabet`.
        score: Name of a score of `genomenet.variant_effects`. By default the logit of
            the positive class, the value of a regression, the likelihood of a masked
            language model, or "l2" for another encoder.
        names: Names of the sequences; "1", "2", … if None.
        batch_size: Number of sequences per batch.
        both_strands: As for `genomenet.variant_effects`.
        pool: As for `genomenet.variant_effects`.
        deletions: Whether to delete each base as well.
        insertions: Whether to insert each of the four bases before each position.
        show_progress: Whether to show a progress bar.

    Returns:
        The effects.

    Raises:
        ValueError: If the model or a sequence is not usable, the model has no such
            score, or a likelihood is requested for deletions or insertions. Lengths
            are checked before the first sequence is read.
    """
    if isinstance(sequences, str | bytes):
        sequences = [sequences]
    names = list(names or (str(index + 1) for index in range(len(sequences))))
    codes = [
        x if _is_codes(x) else encode.encode(x, name=name)
        for x, name in zip(sequences, names, strict=True)
    ]
    if not codes:
        raise ValueError("no sequence was given")
    if isinstance(model, str | os.PathLike):
        model = folder_lib.load_model(model)
    model = classifier.graph_of(model)
    _check_lengths(model, names, codes)
    longest = max(map(len, codes))
    effects = np.full((len(codes), longest, 4), np.nan, np.float32)
    deleted = effects[..., 0].copy() if deletions else None
    inserted = effects.copy() if insertions else None
    scorers: dict[int, scores.Scorer] = {}  # by length: each is compiled once
    total = sum(map(len, codes)) * (3 + deletions + 4 * insertions)
    with tqdm.tqdm(
        total=total,
        unit=" mutants",
        unit_scale=True,
        disable=not show_progress,
        delay=1,  # errors in the arguments come before the bar
    ) as bar:
        for row, sequence in enumerate(codes):
            scorer = scorers.get(len(sequence))
            if scorer is None:
                scorer = scorers[len(sequence)] = scores.Scorer(
                    model,
                    window=len(sequence),
                    batch_size=batch_size,
                    both_strands=both_strands,
                    pool=pool,
                )
            score = _checked(score, scorer, model)
            if score == scores.LIKELIHOOD and (deletions or insertions):
                raise ValueError(
                    f"score={score!r} is for substitutions only: for deletions and"
                    f" insertions give score={scores.L2!r} or {scores.COSINE!r}"
                )
            columns = slice(0, len(sequence))
            effects[row, columns] = _substituted(scorer, sequence, score, bar.update)
            if deleted is not None:
                (positions,) = np.nonzero(sequence < alphabet.NUM_BASES)
                values = _shifted(scorer, sequence, score, positions, None, bar.update)
                deleted[row, positions] = values
            if inserted is not None:
                positions = np.repeat(np.arange(len(sequence)), 4)
                bases = np.tile(np.arange(4, dtype=np.uint8), len(sequence))
                values = _shifted(scorer, sequence, score, positions, bases, bar.update)
                inserted[row, columns] = values.reshape(-1, 4)
    return Mutagenesis(
        score=str(score),
        names=names,
        codes=codes,
        effects=effects,
        deletions=deleted,
        insertions=inserted,
    )


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks that the name of a file states its format.

    Args:
        path: The file.

    Raises:
        ValueError: If it ends with neither .npz nor .tsv, or is a folder.
    """
    if not os.fspath(path).endswith((".npz", ".tsv")):
        raise ValueError(f"{path} must end with .npz, .tsv")
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: choose another name")


def write(mutations: Mutagenesis, path: str | os.PathLike[str]) -> None:
    """Writes effects to a file.

    Args:
        mutations: Effects to write.
        path: An .npz file with `effects`, `centred`, `names`, `score` and, if they
            were requested, `deletions` and `insertions`. Or a .tsv file with one row
            per base: name, 0-based position, base, the effects of A, C, G and T, of
            the deletion, and of inserting A, C, G and T before the base; empty where
            there is no value.

    Raises:
        ValueError: If the name ends with neither .npz nor .tsv, or is a folder.
    """
    check_name(path)
    optional = {"deletions": mutations.deletions, "insertions": mutations.insertions}
    more: dict[str, Any] = {k: x for k, x in optional.items() if x is not None}
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        if os.fspath(path).endswith(".npz"):
            arrays: dict[str, Any] = {
                "effects": mutations.effects,
                "centred": mutations.centred,
                "names": np.array(mutations.names),
                "score": np.array(mutations.score),
            }
            np.savez_compressed(file, **arrays, **more)
            return
        columns = list(BASES)
        values = [mutations.effects]
        if mutations.deletions is not None:
            columns.append("deletion")
            values.append(mutations.deletions[..., None])
        if mutations.insertions is not None:
            columns += [f"insertion_{base}" for base in BASES]
            values.append(mutations.insertions)
        file.write(("\t".join(["name", "position", "base", *columns]) + "\n").encode())
        table = np.concatenate(values, axis=2)
        for name, codes, rows in zip(
            mutations.names, mutations.codes, table, strict=True
        ):
            letters = encode.decode(codes).decode()
            for position, (letter, row) in enumerate(zip(letters, rows, strict=False)):
                line = "\t".join(
                    [name, str(position), letter, *map(writers.digits, row.tolist())]
                )
                file.write(f"{line}\n".encode())


def _check_lengths(
    model: Any, names: Sequence[str], sequences: Sequence[npt.NDArray[np.uint8]]
) -> None:
    """Raises ValueError if a sequence is too short or too long for a model."""
    is_classifier = isinstance(model, classifier.Classifier)
    config = model.encoder.config if is_classifier else model.config
    shortest = models.family_of(model).min_length(config)
    for name, codes in zip(names, sequences, strict=True):
        if len(codes) < shortest:
            raise ValueError(
                f"record {name!r}: {len(codes)} bases are too few: the model reads at"
                f" least {shortest}"
            )
        if not is_classifier and len(codes) > config.max_length:
            raise ValueError(
                f"record {name!r}: {len(codes)} bases are too many: the model reads at"
                f" most {config.max_length}"
            )


def _substituted(
    scorer: scores.Scorer,
    codes: npt.NDArray[np.uint8],
    score: str,
    advance: Callable[[int], object],
) -> npt.NDArray[np.float32]:
    """Returns the effects of substitutions in one sequence, (L, 4)."""
    effects = np.full((len(codes), alphabet.NUM_BASES), np.nan, np.float32)
    (known,) = np.nonzero(codes < alphabet.NUM_BASES)
    effects[known, codes[known]] = 0.0
    positions, bases = encode.substitutions(codes)
    for first in range(0, len(positions), _TOLD):
        part = slice(first, first + _TOLD)
        at, part_bases = positions[part], bases[part]
        effects[at, part_bases] = scorer.substitutions(codes, at, part_bases, score)
        advance(len(at))
    return effects


def _shifted(
    scorer: scores.Scorer,
    codes: npt.NDArray[np.uint8],
    score: str,
    positions: npt.NDArray[np.intp],
    bases: npt.NDArray[np.uint8] | None,
    advance: Callable[[int], object],
) -> npt.NDArray[np.float32]:
    """Returns the effects of insertions, or of deletions if `bases` is None."""
    column = list(scorer.keys).index(score)
    effects = np.zeros(len(positions), np.float32)
    for first in range(0, len(positions), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        at = positions[part]
        rows = (
            encode.deleted(codes, at)
            if bases is None
            else encode.inserted(codes, at, bases[part])
        )
        indices, spans = np.zeros(len(at), np.intp), [scores.NO_SPAN] * len(at)
        effects[part] = scorer.score(codes[None], rows, indices, spans)[:, column]
        advance(len(at))
    return effects


def _checked(score: str | None, scorer: scores.Scorer, model: Any) -> str:
    """Returns the name of the score, by default that of the model."""
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
    if score is None:
        raise ValueError(f"this model needs a score: one of {', '.join(keys)}")
    if score not in keys:
        raise ValueError(f"score={score!r} must be one of {', '.join(keys)}")
    return score


def _is_codes(x: Any) -> bool:
    """Returns whether a value is an array of codes, not of letters."""
    return isinstance(x, np.ndarray) and bool((x <= alphabet.N).all())
