"""Effects of every single substitution of a sequence."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.dna import alphabet, encode
from genomenet.inference import writers
from genomenet.models import classifier
from genomenet.release import folder as folder_lib
from genomenet.variants import scores

BASES: Final = "ACGT"

_AT_ONCE: Final = 1024  # mutants that are in memory together


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
    """

    score: str
    names: list[str]
    codes: list[npt.NDArray[np.uint8]]
    effects: npt.NDArray[np.float32]

    @property
    def centred(self) -> npt.NDArray[np.float32]:
        """Effects less their mean over the four bases, float32, (N, L, 4)."""
        return self.effects - self.effects.mean(axis=2, keepdims=True)


def saturation_mutagenesis(
    model: Any,
    sequences: str | bytes | Sequence[Any],
    *,
    score: str | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 64,
    both_strands: bool | None = None,
    pool: str | None = None,
) -> Mutagenesis:
    """Predicts every single substitution of sequences, each read as a whole.

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

    Returns:
        The effects.

    Raises:
        ValueError: If the model or a sequence is not usable, or there is no such score.
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
    effects = np.full((len(codes), max(map(len, codes)), 4), np.nan, np.float32)
    scorers: dict[int, scores.Scorer] = {}  # a shape is compiled once
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
        effects[row, : len(one)] = _effects(scorer, one, score)
    return Mutagenesis(score=str(score), names=names, codes=codes, effects=effects)


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
        path: An .npz file with `effects`, `centred`, `names` and `score`; or a .tsv
            file with a row a base: name, position from 0, base, and the effects of A,
            C, G and T, empty where there is none.

    Raises:
        ValueError: If the name says no format.
    """
    check_name(path)
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        if os.fspath(path).endswith(".npz"):
            np.savez_compressed(
                file,
                effects=found.effects,
                centred=found.centred,
                names=np.array(found.names),
                score=np.array(found.score),
            )
            return
        file.write(b"name\tposition\tbase\tA\tC\tG\tT\n")
        for name, codes, rows in zip(
            found.names, found.codes, found.effects, strict=True
        ):
            letters = encode.decode(codes).decode()
            for at, (letter, row) in enumerate(zip(letters, rows, strict=False)):
                values = map(writers.digits, row.tolist())
                line = "\t".join([name, str(at), letter, *values])
                file.write(f"{line}\n".encode())


def _effects(
    scorer: scores.Scorer, codes: npt.NDArray[np.uint8], score: str
) -> npt.NDArray[np.float32]:
    """Returns the effects on one sequence, (L, 4)."""
    column = list(scorer.keys).index(score)
    found = np.full((len(codes), alphabet.NUM_BASES), np.nan, np.float32)
    (known,) = np.nonzero(codes < alphabet.NUM_BASES)
    found[known, codes[known]] = 0.0
    places, bases = encode.substitutions(codes)
    for first in range(0, len(places), _AT_ONCE):
        at, base = places[first : first + _AT_ONCE], bases[first : first + _AT_ONCE]
        values = scorer.score(
            codes[None],
            encode.substituted(codes, at, base),
            np.zeros(len(at), np.intp),
            [(place, place + 1) for place in at.tolist()],
        )
        found[at, base] = values[:, column]
    return found


def _checked(score: str | None, scorer: scores.Scorer, model: Any) -> str:
    """Returns the score that is meant."""
    keys = list(scorer.keys)
    if score is None:
        config = model.config
        if (
            isinstance(model, classifier.Classifier)
            and config.task == classifier.BINARY
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
