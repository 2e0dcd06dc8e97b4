"""Pretrained models that take sequences as they are; plain Keras models beside."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from genomenet import compiled, models
from genomenet.api import classifier, inputs
from genomenet.data import batches
from genomenet.dna import kmer, tiling
from genomenet.models import bert, selfgenomenet
from genomenet.models import classifier as classifier_lib
from genomenet.models import family as family_lib
from genomenet.release import folder

_BATCH_SIZE = 64


class Encoder:
    """What every encoder has beside Keras' methods; not made by itself."""

    FAMILY: str
    config: Any

    def embed(
        self,
        sequences: Any,
        *,
        pool: str | None = None,
        window: int | None = None,
        batch_size: int = _BATCH_SIZE,
    ) -> Any:
        """Embeds sequences of any mix of lengths.

        Args:
            sequences: A list of str, bytes, Bio.Seq or codes of `dna.alphabet`.
            pool: How a window becomes a vector; the family's default if None. "bins"
                joins the means of 8 parts; "none" gives a vector for each token or
                patch.
            window: Bases read at once, by default the length of the model's training
                rows. The vector of a longer sequence is the mean over its windows,
                of which the last ends with the sequence.
            batch_size: Windows read at once.

        Returns:
            Float32, (N, C), as the command `embed` writes, or of bins (N, 8·C); for
            pool "none" a list of N arrays, (T, C).

        Raises:
            ValueError: If the model has no such pool or window, a sequence is too
                short, or with pool "none" longer than the window.
        """
        family: Any = models.get_family(self.FAMILY)
        pool = str(pool or family.POOLS[0])
        window = int(window or self.config.length)
        shortest, longest = family.shortest(self.config), self.config.max_length
        if pool not in (pools := (*family.POOLS, *family.READOUTS)):
            raise ValueError(f"pool={pool!r} must be one of {', '.join(pools)}")
        if not shortest <= window <= longest:
            raise ValueError(f"window={window} must be {shortest} to {longest} bases")
        codes = inputs.read_sequences(sequences, shortest=shortest)
        if pool == "none" and max(map(len, codes), default=0) > window:
            raise ValueError(
                f"pool='none' reads at most window={window} bases, a sequence has"
                f" {max(map(len, codes))}"
            )
        pieces, owners = [], []
        for index, sequence in enumerate(codes):
            for first in tiling.starts(len(sequence), window=window, stride=window):
                pieces.append(sequence[first : first + window])
                owners.append(index)
        call = _compiled(self, ("embed", pool), _Embed(family, pool))
        rows: list[Any] = [None] * len(pieces)
        for numbers, batch in batches.by_length(pieces, batch_size=batch_size):
            found = np.asarray(call(compiled.pad_to_few(batch)), np.float32)
            for number, row in zip(numbers, found, strict=False):
                rows[number] = row
        if pool == "none":
            lengths = [len(family.spans(self.config, len(piece))) for piece in pieces]
            return [row[:n] for row, n in zip(rows, lengths, strict=True)]
        width = rows[0].shape[-1] if rows else family.width(self.config)
        total = np.zeros((len(codes), width), np.float32)
        np.add.at(total, owners, np.reshape(rows, (-1, width)))
        return total / np.bincount(owners, minlength=len(codes))[:, None]


class _Embed:
    """A family's embedding with a pool."""

    def __init__(self, family: Any, pool: str):
        self._family, self._pool = family, pool

    def __call__(self, model: Any, bases: Any) -> Any:
        return self._family.embed(model, {"bases": bases}, self._pool)


@keras.saving.register_keras_serializable(package="genomenet", name="SelfGenomeNetOf")
class SelfGenomeNet(Encoder, selfgenomenet.SelfGenomeNet):
    """Self-GenomeNet with `embed`; else as `models.selfgenomenet.SelfGenomeNet`."""

    FAMILY = "selfgenomenet"


@keras.saving.register_keras_serializable(package="genomenet", name="BertMaskedLMOf")
class BertMaskedLM(Encoder, bert.BertMaskedLM):
    """BERT with `embed` and `predict_masked`; else as `models.bert.BertMaskedLM`."""

    FAMILY = "bert"

    def predict_masked(
        self, sequences: Any, *, batch_size: int = _BATCH_SIZE
    ) -> list[npt.NDArray[np.float32]]:
        """Predicts every base from the others: each is masked in turn.

        All k-mers that hold the base are masked; what they are predicted to be is
        summed to the four bases, and the mean over the k-mers is taken.

        Args:
            sequences: A list of str, bytes, Bio.Seq or codes of `dna.alphabet`, each
                at most as long as the model reads at once. Time grows with the square
                of the length.
            batch_size: Masked copies read at once.

        Returns:
            For each sequence float32, (L, 4): probabilities of A, C, G and T.

        Raises:
            ValueError: If a sequence is too short or too long.
        """
        k, longest = self.config.kmer, self.config.max_length
        codes = inputs.read_sequences(sequences, shortest=k)
        for index, sequence in enumerate(codes):
            if len(sequence) > longest:
                raise ValueError(
                    f"sequences[{index}] has {len(sequence)} bases, the model reads at"
                    f" most {longest} at once"
                )
        call = _compiled(self, "masked", _predict_words)
        return [self._masked(call, sequence, batch_size) for sequence in codes]

    def _masked(
        self, call: Callable[..., Any], sequence: inputs.Codes, batch_size: int
    ) -> npt.NDArray[np.float32]:
        k, length = self.config.kmer, len(sequence)
        words = kmer.vocabulary(k)[kmer.NUM_SPECIAL :]
        # Whether word v has base b at offset j: (V, k, 4).
        has = np.array([["ACGT".index(x) for x in word] for word in words])
        has = np.eye(4, dtype=np.float32)[has]
        base = np.arange(length)[:, None]
        token = base - np.arange(k)[None]  # the k-mer with the base at offset j
        is_there = (token >= 0) & (token <= length - k)  # (L, k)
        at = np.where(is_there, token, 0)
        found = np.zeros((length, 4), np.float32)
        for first in range(0, length, batch_size):
            rows = np.minimum(np.arange(first, first + batch_size), length - 1)
            bases = np.repeat(sequence[None], batch_size, axis=0)
            is_masked = np.zeros((batch_size, length - k + 1), bool)
            line, offset = np.nonzero(is_there[rows])
            is_masked[line, at[rows][line, offset]] = True
            words_at = np.asarray(  # (B, k, V)
                call(bases, is_masked, at[rows].astype(np.int32))
            )
            each = np.einsum("bkv,vkc->bkc", words_at, has)
            count = is_there[rows].sum(axis=1, keepdims=True)
            found[rows] = (each * is_there[rows][..., None]).sum(axis=1) / count
        return found


def _predict_words(model: Any, bases: Any, is_masked: Any, at: Any) -> Any:
    """Returns probabilities of the words at some k-mers: (B, k, V) of bases only."""
    logs = bert.predict_masked(model, {"bases": bases}, is_masked, at)
    return ops.softmax(logs[..., kmer.NUM_SPECIAL :], axis=-1)


def _compiled(model: Any, key: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of a model and arrays, compiled once for the model."""
    known = model.__dict__.setdefault("_calls", {})
    if key in known:
        return known[key]
    known[key] = compiled.function(model, call)
    return known[key]


_CLASSES = {"bert": BertMaskedLM, "selfgenomenet": SelfGenomeNet}


def load_model(name: str | os.PathLike[str]) -> Any:
    """Loads a trained model.

    Args:
        name: Name of a model in `models/`, or the path of a release folder. Weights
            that are not on this machine are fetched as `models/index.json` says.

    Returns:
        An encoder, with `embed` and of a masked language model `predict_masked`; of
        what `genomenet.finetune` made a `Classifier`.

    Raises:
        ValueError: If there is no such model, or its weights are missing, damaged or
            of another model.
    """
    model: Any = folder.load_model(name)
    if isinstance(model, classifier_lib.Classifier):
        return classifier.wrap(model)
    content = folder.read_config(folder.catalog.model_folder(name))
    return wrap(content["family"], model)


def wrap(family: str, model: Any) -> Any:
    """Returns an encoder that takes sequences, with the weights of a model.

    Args:
        family: Of the model, a key of `genomenet.models.FAMILIES`.
        model: The model; it is not changed.

    Returns:
        The encoder; of a family that has none here the model itself.
    """
    cls = _CLASSES.get(family)
    if cls is None:
        return model
    found = cls.from_config(model.get_config())
    family_lib.transfer(model, found)
    return found
