"""Pretrained encoders that take sequences directly and are also Keras models."""

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
    """Mixin with the methods that all encoders add to those of Keras."""

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
                concatenates the means of 8 parts; "none" returns a vector for each
                token or patch.
            window: Bases per window, by default the training length of the model. The
                vector of a longer sequence is the mean over its windows. The last
                window ends at the end of the sequence.
            batch_size: Windows per batch.

        Returns:
            Float32, (N, C), equal to the output of the command `embed`; (N, 8·C) for
            bins; for pool "none" a list of N arrays, (T, C).

        Raises:
            ValueError: If the model does not support the pool or window, a sequence is
                too short, or a sequence is longer than the window with pool "none".
        """
        family: Any = models.get_family(self.FAMILY)
        pool = str(pool or family.POOLS[0])
        window = int(window or self.config.length)
        shortest, longest = family.min_length(self.config), self.config.max_length
        if pool not in (pools := (*family.POOLS, *family.READOUTS)):
            raise ValueError(f"pool={pool!r} must be one of {', '.join(pools)}")
        if not shortest <= window <= longest:
            raise ValueError(f"window={window} must be {shortest} to {longest} bases")
        codes = inputs.read_sequences(sequences, shortest=shortest)
        if pool == "none" and max(map(len, codes), default=0) > window:
            raise ValueError(
                f"pool='none' reads at most window={window} bases, but a sequence has"
                f" {max(map(len, codes))}"
            )
        pieces, owners = [], []
        for index, sequence in enumerate(codes):
            for first in tiling.starts(len(sequence), window=window, stride=window):
                pieces.append(sequence[first : first + window])
                owners.append(index)
        call = _compiled(self, ("embed", pool), _Embed(family, pool))
        rows: list[Any] = [None] * len(pieces)
        for indices, batch in batches.by_length(pieces, batch_size=batch_size):
            vectors = np.asarray(call(compiled.pad_to_few(batch)), np.float32)
            for index_in_batch, row in zip(indices, vectors, strict=False):
                rows[index_in_batch] = row
        if pool == "none":
            lengths = [len(family.spans(self.config, len(piece))) for piece in pieces]
            return [row[:n] for row, n in zip(rows, lengths, strict=True)]
        width = rows[0].shape[-1] if rows else family.width(self.config)
        total = np.zeros((len(codes), width), np.float32)
        np.add.at(total, owners, np.reshape(rows, (-1, width)))
        return total / np.bincount(owners, minlength=len(codes))[:, None]


class _Embed:
    """Callable that embeds bases with a family and a pool."""

    def __init__(self, family: Any, pool: str):
        self._family, self._pool = family, pool

    def __call__(self, model: Any, bases: Any) -> Any:
        return self._family.embed(model, {"bases": bases}, self._pool)


@keras.saving.register_keras_serializable(package="genomenet", name="SelfGenomeNetOf")
class SelfGenomeNet(Encoder, selfgenomenet.SelfGenomeNet):
    """`models.selfgenomenet.SelfGenomeNet` with the method `embed`."""

    FAMILY = "selfgenomenet"


@keras.saving.register_keras_serializable(package="genomenet", name="BertMaskedLMOf")
class BertMaskedLM(Encoder, bert.BertMaskedLM):
    """`models.bert.BertMaskedLM` with the methods `embed` and `predict_masked`."""

    FAMILY = "bert"

    def predict_masked(
        self, sequences: Any, *, batch_size: int = _BATCH_SIZE
    ) -> list[npt.NDArray[np.float32]]:
        """Predicts every base from the others by masking each base in turn.

        All k-mers that contain the base are masked. The predicted probabilities of each
        k-mer are summed to the four bases, then averaged over the k-mers.

        Args:
            sequences: A list of str, bytes, Bio.Seq or codes of `dna.alphabet`, none
                longer than the maximum length of the model. Time grows with the square
                of the length.
            batch_size: Masked copies per batch.

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
                    f"sequences[{index}] has {len(sequence)} bases, but the model reads"
                    f" at most {longest}"
                )
        call = _compiled(self, "masked", _predict_words)
        return [self._masked(call, sequence, batch_size) for sequence in codes]

    def _masked(
        self, call: Callable[..., Any], sequence: inputs.Codes, batch_size: int
    ) -> npt.NDArray[np.float32]:
        k, length = self.config.kmer, len(sequence)
        words = kmer.vocabulary(k)[kmer.NUM_SPECIAL :]
        # Whether word v has base b at offset j: (V, k, 4).
        has_base = np.array([["ACGT".index(x) for x in word] for word in words])
        has_base = np.eye(4, dtype=np.float32)[has_base]
        base = np.arange(length)[:, None]
        token = base - np.arange(k)[None]  # the k-mer with the base at offset j
        exists = (token >= 0) & (token <= length - k)  # (L, k)
        at = np.where(exists, token, 0)
        probabilities = np.zeros((length, 4), np.float32)
        for first in range(0, length, batch_size):
            rows = np.minimum(np.arange(first, first + batch_size), length - 1)
            bases = np.repeat(sequence[None], batch_size, axis=0)
            is_masked = np.zeros((batch_size, length - k + 1), bool)
            row, offset = np.nonzero(exists[rows])
            is_masked[row, at[rows][row, offset]] = True
            words_at = np.asarray(  # (B, k, V)
                call(bases, is_masked, at[rows].astype(np.int32))
            )
            by_token = np.einsum("bkv,vkc->bkc", words_at, has_base)
            count = exists[rows].sum(axis=1, keepdims=True)
            total = (by_token * exists[rows][..., None]).sum(axis=1)
            probabilities[rows] = total / count
        return probabilities


def _predict_words(model: Any, bases: Any, is_masked: Any, at: Any) -> Any:
    """Returns probabilities of all k-mers at some positions, (B, k, V)."""
    logs = bert.predict_masked(model, {"bases": bases}, is_masked, at)
    return ops.softmax(logs[..., kmer.NUM_SPECIAL :], axis=-1)


def _compiled(model: Any, key: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function compiled for a model, cached under a key in the model."""
    known = model.__dict__.setdefault("_calls", {})
    if key in known:
        return known[key]
    known[key] = compiled.function(model, call)
    return known[key]


_CLASSES: dict[type, type] = {
    bert.BertMaskedLM: BertMaskedLM,
    selfgenomenet.SelfGenomeNet: SelfGenomeNet,
}
"""Class of a family's model → its encoder class; `_encoder_class` adds others."""


def load_model(name: str | os.PathLike[str]) -> Any:
    """Loads a trained model.

    Args:
        name: Name of a model in `models/`, or the path of a release folder. Weights
            that are not on this machine are downloaded according to
            `models/index.json`.

    Returns:
        An encoder with `embed`, and for masked language models `predict_masked`; a
        `Classifier` for a result of `genomenet.finetune`.

    Raises:
        ValueError: If there is no such model, or its weights are missing, damaged or
            those of another model.
    """
    model: Any = folder.load_model(name)
    if isinstance(model, classifier_lib.Classifier):
        return classifier.wrap(model)
    content = folder.read_config(folder.catalog.model_folder(name))
    return wrap(content["family"], model)


def wrap(family: str, model: Any) -> Any:
    """Returns an encoder that takes sequences, with the weights of a model.

    Args:
        family: Family of the model, a key of `genomenet.models.FAMILIES`.
        model: The model; it is not changed. Its class has `get_config` and
            `from_config`.

    Returns:
        An encoder, which is also an instance of the model's class.
    """
    encoder: Any = _encoder_class(family, type(model)).from_config(model.get_config())
    family_lib.transfer(model, encoder)
    return encoder


def _encoder_class(family: str, model_class: Any) -> Any:
    """Returns the class that adds `Encoder` to a family's model, made on first use."""
    if issubclass(model_class, Encoder):
        return model_class
    if model_class not in _CLASSES:
        name = model_class.__name__
        attributes = {
            "FAMILY": family,
            "__doc__": f"`{name}` with the method `embed`.",
            "__module__": __name__,
        }
        encoder_class = type(name, (Encoder, model_class), attributes)
        register = keras.saving.register_keras_serializable(
            package=f"genomenet.{family}", name=f"{name}Of"
        )
        _CLASSES[model_class] = register(encoder_class)
    return _CLASSES[model_class]
