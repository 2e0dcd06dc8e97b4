"""BERT between this package and Hugging Face's `transformers`."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from genomenet import atomic
from genomenet.dna import kmer
from genomenet.models import bert
from genomenet.porting import torch_file

_DENSE: Final = (("kernel", "weight", True), ("bias", "bias", False))
_NORM: Final = (("gamma", "weight", False), ("beta", "bias", False))
_BLOCK: Final = (
    ("query", "attention.self.query", _DENSE),
    ("key", "attention.self.key", _DENSE),
    ("value", "attention.self.value", _DENSE),
    ("attended", "attention.output.dense", _DENSE),
    ("attention_norm", "attention.output.LayerNorm", _NORM),
    ("inner", "intermediate.dense", _DENSE),
    ("outer", "output.dense", _DENSE),
    ("norm", "output.LayerNorm", _NORM),
)
_DECODER: Final = "cls.predictions.decoder."
_TIED: Final = {  # name → the weight of which it must be a copy
    f"{_DECODER}weight": "bert.embeddings.word_embeddings.weight",
    f"{_DECODER}bias": "cls.predictions.bias",
}
_POSITIONS: Final = "bert.embeddings.position_ids"  # a constant of old releases
_PARTS: Final = ("embeddings.", "encoder.", "pooler.")  # of `BertModel` alone
_OLD_NAMES: Final = {  # of TensorFlow's first release, kept in early checkpoints
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}


class Pair(NamedTuple):
    """One weight on both sides.

    Attributes:
        ours: The path of attributes from the model.
        theirs: The name in `BertForMaskedLM`.
        is_transposed: Whether theirs is ours turned around.
    """

    ours: str
    theirs: str
    is_transposed: bool


def pairs(config: bert.Config) -> list[Pair]:
    """Lists every weight of a model and its name on the other side.

    Args:
        config: The numbers of the model.

    Returns:
        One pair a weight, in the order of the model.
    """
    found = [
        Pair(f"backbone.embedding.{ours}", f"bert.embeddings.{theirs}.weight", False)
        for ours, theirs in (
            ("tokens", "word_embeddings"),
            ("positions", "position_embeddings"),
            ("types", "token_type_embeddings"),
        )
    ]
    layers: list[tuple[str, str, Any]] = [
        ("backbone.embedding.norm", "bert.embeddings.LayerNorm", _NORM)
    ]
    for number in range(config.num_hidden_layers):
        layers += [
            (
                f"backbone.blocks.{number}.{ours}",
                f"bert.encoder.layer.{number}.{theirs}",
                k,
            )
            for ours, theirs, k in _BLOCK
        ]
    if config.pooler:
        layers.append(("backbone.pooler", "bert.pooler.dense", _DENSE))
    head = "cls.predictions.transform"
    layers.append(("transform", f"{head}.dense", _DENSE))
    layers.append(("transform_norm", f"{head}.LayerNorm", _NORM))
    found += [
        Pair(f"{ours}.{our_weight}", f"{theirs}.{their_weight}", is_transposed)
        for ours, theirs, kind in layers
        for our_weight, their_weight, is_transposed in kind
    ]
    return [*found, Pair("output_bias", "cls.predictions.bias", False)]


def read(directory: str | os.PathLike[str]) -> tuple[bert.BertMaskedLM, dict[str, Any]]:
    """Reads a folder of Hugging Face's as a model of ours.

    Args:
        directory: With `config.json`, `model.safetensors` or `pytorch_model.bin`,
            and where there is one `vocab.txt`, which must be ours.

    Returns:
        The model with its weights, and the content of its `config.json` here.

    Raises:
        ValueError: If a file is missing or damaged, a number is not supported, the
            vocabulary differs, or a weight is missing, left over or misshapen.
    """
    folder = pathlib.Path(directory)
    weights, source = _weights(folder)
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    except ValueError as e:
        raise ValueError(f"{path} is not JSON: {e}") from e
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object")
    pooler = any(name.startswith("bert.pooler.") for name in weights)
    try:
        config = bert.Config.from_hf(values, pooler=pooler)
    except ValueError as e:
        cause = str(e).removeprefix("config.json: ")
        raise ValueError(f"{path}: {cause}") from None
    _check_vocabulary(folder / "vocab.txt", config.kmer)
    model = bert.build(config)
    assign(model, weights, source=str(source))
    return model, {"format": 1, "family": "bert", "model": bert.to_dict(config)}


def assign(
    model: bert.BertMaskedLM, weights: Mapping[str, np.ndarray], *, source: str
) -> None:
    """Gives a model the weights of a `BertForMaskedLM`.

    Args:
        model: The model.
        weights: Name → array, names as `BertForMaskedLM` writes them.
        source: Where they come from, for messages.

    Raises:
        ValueError: If a weight is missing, left over or misshapen; nothing has been
            assigned then.
    """
    left = dict(weights)
    positions = left.pop(_POSITIONS, None)
    if positions is not None and (
        positions.ravel().tolist() != list(range(positions.size))
    ):
        raise ValueError(f"{source}: {_POSITIONS} are not 0, 1, 2, …")
    values = []
    for pair in pairs(model.config):
        if pair.theirs not in left:
            raise ValueError(f"{source} has no weight {pair.theirs!r}")
        value = left.pop(pair.theirs)
        value = value.T if pair.is_transposed else value
        variable = variable_of(model, pair.ours)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{source}: {pair.theirs!r} has the shape"
                f" {weights[pair.theirs].shape}, which does not fit {pair.ours}"
                f" {tuple(variable.shape)}"
            )
        if value.dtype.kind in "iub":
            raise ValueError(f"{source}: {pair.theirs!r} holds whole numbers")
        if not np.isfinite(value).all():
            raise ValueError(f"{source}: {pair.theirs!r} holds NaN or infinity")
        values.append((variable, value))
    for name, origin in _TIED.items():
        copy = left.pop(name, None)
        if copy is not None and not np.array_equal(copy, weights[origin]):
            raise ValueError(f"{source}: {name!r} is not tied to {origin!r}")
    if left:
        raise ValueError(f"{source}: left over: {', '.join(sorted(left))}")
    for variable, value in values:
        variable.assign(value)


def write(model: bert.BertMaskedLM, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a model as a folder that `transformers` loads, whole or not at all.

    Args:
        model: The model.
        directory: The folder to make; one that exists is replaced.

    Returns:
        The folder: `config.json`, `model.safetensors`, `vocab.txt` and the files of
        the tokenizer.
    """
    directory = pathlib.Path(directory)
    config = model.config
    weights = {}
    for pair in pairs(config):
        value = np.asarray(variable_of(model, pair.ours))
        weights[pair.theirs] = np.ascontiguousarray(
            value.T if pair.is_transposed else value
        )
    with atomic.replacing(directory) as partial:
        partial.mkdir(parents=True)
        safetensors.save_file(
            weights, partial / "model.safetensors", metadata={"format": "pt"}
        )
        vocabulary = "\n".join(kmer.vocabulary(config.kmer)) + "\n"
        (partial / "vocab.txt").write_text(vocabulary, encoding="utf-8")
        for name, content in (
            ("config.json", config.to_hf()),
            (
                "tokenizer_config.json",
                {
                    "tokenizer_class": "BertTokenizer",
                    "do_lower_case": False,
                    "model_max_length": config.max_position_embeddings,
                },
            ),
            (
                "special_tokens_map.json",
                {
                    f"{name}_token": f"[{name.upper()}]"
                    for name in ("unk", "sep", "pad", "cls", "mask")
                },
            ),
        ):
            text = json.dumps(content, indent=2) + "\n"
            (partial / name).write_text(text, encoding="utf-8")
    return directory


def variable_of(model: bert.BertMaskedLM, path: str) -> Any:
    """Returns the variable at a path of attributes and list places."""
    found: Any = model
    for part in path.split("."):
        found = found[int(part)] if part.isdecimal() else getattr(found, part)
    return found


def _weights(folder: pathlib.Path) -> tuple[dict[str, np.ndarray], pathlib.Path]:
    """Reads all weights, under the names of today's `BertForMaskedLM`."""
    path = folder / "model.safetensors"
    if path.is_file():
        try:
            weights = safetensors.load_file(path)
        except (OSError, SafetensorError) as e:
            raise ValueError(f"{path} is damaged: {e}") from e
    else:
        path = folder / "pytorch_model.bin"
        if not path.is_file():
            raise ValueError(
                f"{folder} has neither model.safetensors nor pytorch_model.bin"
            )
        weights = torch_file.read(path)
    renamed = {}
    for name, value in weights.items():
        new = name
        for old, today in _OLD_NAMES.items():
            new = new.replace(old, today)
        if new.startswith(_PARTS):
            new = f"bert.{new}"
        if new in renamed:
            raise ValueError(f"{path}: {name!r} is there under another name, too")
        renamed[new] = value
    return renamed, path


def _check_vocabulary(path: pathlib.Path, k: int) -> None:
    if not path.is_file():
        return
    try:
        found = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "not a text file"
        raise ValueError(f"{path} cannot be read: {reason}") from None
    expected = kmer.vocabulary(k)
    if found == expected:
        return
    if len(found) != len(expected):
        raise ValueError(f"{path} has {len(found)} tokens, not {len(expected)}")
    line = next(
        i
        for i, pair in enumerate(zip(found, expected, strict=True))
        if pair[0] != pair[1]
    )
    raise ValueError(
        f"{path}, line {line + 1}: {found[line]!r} stands where DNABERT's vocabulary"
        f" has {expected[line]!r}"
    )
