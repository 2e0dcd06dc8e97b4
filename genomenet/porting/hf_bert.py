"""Converts BERT between this package and `transformers` of Hugging Face."""

from __future__ import annotations

import json
import os
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from safetensors import numpy as safetensors

from genomenet import atomic, json_file
from genomenet.dna import kmer
from genomenet.models import bert
from genomenet.porting import hf_config, hf_vocabulary, torch_file

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
_TIED: Final = {  # name → the weight that it must be equal to
    f"{_DECODER}weight": "bert.embeddings.word_embeddings.weight",
    f"{_DECODER}bias": "cls.predictions.bias",
}
_POSITIONS: Final = "bert.embeddings.position_ids"  # a constant in old releases
_PARTS: Final = ("embeddings.", "encoder.", "pooler.")  # of a plain `BertModel`
# Prefixes from training on several devices, torch.compile or an enclosing model.
_WRAPPERS: Final = ("module.", "_orig_mod.", "model.", "bert.bert.", "bert.cls.")
_HEAD: Final = "cls.predictions."
_OTHER_HEADS: Final = ("classifier.", "qa_outputs.", "cls.seq_relationship.")
_FILES: Final = (  # the first existing one is read, as in `transformers`
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_OLD_NAMES: Final = {  # names of the first TensorFlow release, in early checkpoints
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
}


class Pair(NamedTuple):
    """One weight in both libraries.

    Attributes:
        ours: The path of attributes from the model.
        theirs: The name in `BertForMaskedLM`.
        is_transposed: Whether the arrays are transposes of each other.
    """

    ours: str
    theirs: str
    is_transposed: bool


def pairs(config: bert.Config) -> list[Pair]:
    """Lists every weight of a model and its name in `transformers`.

    Args:
        config: The hyperparameters of the model.

    Returns:
        One pair per weight, in the order of the model.
    """
    weights = [
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
    for index in range(config.num_hidden_layers):
        layers += [
            (
                f"backbone.blocks.{index}.{ours}",
                f"bert.encoder.layer.{index}.{theirs}",
                k,
            )
            for ours, theirs, k in _BLOCK
        ]
    if config.pooler:
        layers.append(("backbone.pooler", "bert.pooler.dense", _DENSE))
    head = "cls.predictions.transform"
    layers.append(("transform", f"{head}.dense", _DENSE))
    layers.append(("transform_norm", f"{head}.LayerNorm", _NORM))
    weights += [
        Pair(f"{ours}.{our_weight}", f"{theirs}.{their_weight}", is_transposed)
        for ours, theirs, kind in layers
        for our_weight, their_weight, is_transposed in kind
    ]
    return [*weights, Pair("output_bias", "cls.predictions.bias", False)]


def read(directory: str | os.PathLike[str]) -> tuple[bert.BertMaskedLM, dict[str, Any]]:
    """Reads a Hugging Face folder as a model of this package.

    Args:
        directory: Folder with `config.json`, weights in `model.safetensors` or
            `pytorch_model.bin` or the shards of their index, and the vocabulary of
            DNABERT.

    Returns:
        The model with its weights, and the content of its `config.json` in this
        package.

    Raises:
        ValueError: If a file is missing or damaged, a hyperparameter is not supported,
            the vocabulary differs, or a weight is missing, unexpected or of the wrong
            shape.

    Warns:
        UserWarning: If there is no vocabulary file, or no masked-LM head, so that a
            random one is created.
    """
    folder = pathlib.Path(directory)
    weights, source = _read_weights(folder)
    path = folder / "config.json"
    values = json_file.read_object(path)
    pooler = any(name.startswith("bert.pooler.") for name in weights)
    try:
        config = hf_config.read(values, pooler=pooler)
    except ValueError as e:
        cause = str(e).removeprefix("config.json: ")
        raise ValueError(f"{path}: {cause}") from None
    if not hf_vocabulary.check(folder, config.kmer):
        warnings.warn(
            f"{folder} has no vocab.txt, tokenizer.json or vocab.json: its tokens are"
            " assumed to be in the order of DNABERT (A, T, C, G)",
            stacklevel=2,
        )
    _check_sizes(config, weights, source)
    if not any(name.startswith(_HEAD) for name in weights):
        others = sorted(n for n in weights if n.startswith(_OTHER_HEADS))
        weights = {n: v for n, v in weights.items() if n not in others}
        ignored = (
            f"; ignored: {json_file.printable(', '.join(others))}" if others else ""
        )
        warnings.warn(
            f"{source} has no masked-LM head, which embeddings and fine-tuning do not"
            f" need: a random one is created{ignored}",
            stacklevel=2,
        )
        weights |= _fresh_head(config)
    model = bert.build(config)
    assign(model, weights, source=str(source))
    return model, {"format": 1, "family": "bert", "model": bert.to_dict(config)}


def _check_sizes(
    config: bert.Config, weights: Mapping[str, np.ndarray], source: pathlib.Path
) -> None:
    """Raises if the config describes a much larger model, before it is built."""
    needed = config.num_parameters(head=False)
    held = sum(value.size for value in weights.values())
    names = [pair.theirs for pair in pairs(config)]
    for name in names:
        if name not in weights and not name.startswith(_HEAD):
            raise ValueError(f"{source} has no weight {name!r}")
    if needed > 2 * held:
        raise ValueError(
            f"{source} has {held:,} parameters, but the model of config.json has"
            f" {needed:,}"
        )


def _fresh_head(config: bert.Config) -> dict[str, np.ndarray]:
    """Returns random weights of a masked-LM head, with a fixed seed."""
    rng, width = np.random.default_rng(0), config.hidden_size
    kernel = rng.normal(scale=config.initializer_range, size=(width, width))
    return {
        "cls.predictions.transform.dense.weight": kernel.astype("float32"),
        "cls.predictions.transform.dense.bias": np.zeros(width, "float32"),
        "cls.predictions.transform.LayerNorm.weight": np.ones(width, "float32"),
        "cls.predictions.transform.LayerNorm.bias": np.zeros(width, "float32"),
        "cls.predictions.bias": np.zeros(config.vocab_size, "float32"),
    }


def assign(
    model: bert.BertMaskedLM, weights: Mapping[str, np.ndarray], *, source: str
) -> None:
    """Assigns the weights of a `BertForMaskedLM` to a model.

    Args:
        model: The model.
        weights: Name → array, with the names of `BertForMaskedLM`.
        source: Origin of the weights, for error messages.

    Raises:
        ValueError: If a weight is missing, unexpected or of the wrong shape. No weight
            is assigned in that case.
    """
    remaining = dict(weights)
    positions = remaining.pop(_POSITIONS, None)
    if positions is not None and (
        positions.ravel().tolist() != list(range(positions.size))
    ):
        raise ValueError(f"{source}: {_POSITIONS} are not 0, 1, 2, …")
    values = []
    for pair in pairs(model.config):
        if pair.theirs not in remaining:
            raise ValueError(f"{source} has no weight {pair.theirs!r}")
        value = remaining.pop(pair.theirs)
        value = value.T if pair.is_transposed else value
        variable = variable_of(model, pair.ours)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{source}: {pair.theirs!r} has the shape"
                f" {weights[pair.theirs].shape}, which does not match {pair.ours}"
                f" {tuple(variable.shape)}"
            )
        if value.dtype.kind in "iub":
            raise ValueError(f"{source}: {pair.theirs!r} contains integers, not floats")
        if not np.isfinite(value).all():
            raise ValueError(f"{source}: {pair.theirs!r} contains NaN or infinity")
        values.append((variable, value))
    for name, origin in _TIED.items():
        copy = remaining.pop(name, None)
        if copy is not None and not np.array_equal(copy, weights[origin]):
            raise ValueError(f"{source}: {name!r} is not tied to {origin!r}")
    if remaining:
        names = json_file.printable(", ".join(sorted(remaining)))
        raise ValueError(f"{source} has unexpected weights: {names}")
    for variable, value in values:
        variable.assign(value)


def write(model: bert.BertMaskedLM, directory: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a model as a folder for `transformers`, atomically.

    Args:
        model: The model.
        directory: The folder to write; an existing one is replaced.

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
            ("config.json", hf_config.write(config)),
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
    """Returns the variable at a path of attributes and list indices."""
    value: Any = model
    for part in path.split("."):
        value = value[int(part)] if part.isdecimal() else getattr(value, part)
    return value


def _read_weights(folder: pathlib.Path) -> tuple[dict[str, np.ndarray], pathlib.Path]:
    """Reads all weights, with the current names of `BertForMaskedLM`."""
    for file in _FILES:
        path = folder / file
        if os.path.lexists(path):
            break
    else:
        shards = sorted(p.name for p in folder.glob("*-of-*"))
        raise ValueError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin"
            + (
                f", only shards such as {shards[0]} without their index"
                if shards
                else ""
            )
        )
    weights = _read_shards(path) if path.suffix == ".json" else _read_file(path)
    renamed = {}
    for name, value in weights.items():
        new = _rename(name)
        if new in renamed:
            raise ValueError(f"{path}: {name!r} also occurs under another name")
        renamed[new] = value
    return renamed, path


def _rename(name: str) -> str:
    """Returns the current name of a weight, without prefixes of wrappers."""
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    for old, current in _OLD_NAMES.items():
        name = name.replace(old, current)
    return f"bert.{name}" if name.startswith(_PARTS) else name


def _read_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads one file of weights."""
    _check_file(path)
    if path.suffix != ".safetensors":
        return torch_file.read(path)
    try:
        return safetensors.load_file(path)
    except Exception as e:  # its own errors, and KeyError for dtypes NumPy lacks
        raise ValueError(
            f"{path} is damaged: {json_file.printable(' '.join(str(e).split()))}"
        ) from e


def _read_shards(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the shards of an index; each must have exactly the listed weights."""
    content = json_file.read_object(path)
    names = content.get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{path} has no weight_map")
    suffix = pathlib.PurePath(path.name.removesuffix(".index.json")).suffix
    by_file: dict[str, set[str]] = {}
    for name, file in names.items():
        is_name = isinstance(file, str) and re.fullmatch(r"[\w-][\w.-]*", file)
        if not is_name or not file.endswith(suffix):
            raise ValueError(
                f"{path}: {name!r} is in {json_file.short(file)}, which is not the"
                f" name of a {suffix} file in the same folder"
            )
        by_file.setdefault(file, set()).add(name)
    weights: dict[str, np.ndarray] = {}
    for file, listed in sorted(by_file.items()):
        shard = _read_file(path.parent / file)
        for name in sorted(listed ^ set(shard)):
            what = "has no weight" if name in listed else "has the unlisted weight"
            raise ValueError(f"{path.parent / file} {what} {name!r} ({path.name})")
        weights |= shard
    return weights


def _check_file(path: pathlib.Path) -> None:
    """Raises if a file cannot be read or is a Git LFS pointer."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from None
    json_file.refuse_pointer(path, start)
