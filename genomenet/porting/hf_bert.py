"""BERT between this package and Hugging Face's `transformers`."""

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
_TIED: Final = {  # name → the weight of which it must be a copy
    f"{_DECODER}weight": "bert.embeddings.word_embeddings.weight",
    f"{_DECODER}bias": "cls.predictions.bias",
}
_POSITIONS: Final = "bert.embeddings.position_ids"  # a constant of old releases
_PARTS: Final = ("embeddings.", "encoder.", "pooler.")  # of `BertModel` alone
# What training on several devices, torch.compile or a model around it put before names.
_WRAPPERS: Final = ("module.", "_orig_mod.", "model.", "bert.bert.", "bert.cls.")
_HEAD: Final = "cls.predictions."
_OTHER_HEADS: Final = ("classifier.", "qa_outputs.", "cls.seq_relationship.")
_FILES: Final = (  # the first that is there is read, as `transformers` does
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
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
        directory: With `config.json`, weights in `model.safetensors` or
            `pytorch_model.bin` or the files that their index names, and a vocabulary,
            which must be ours.

    Returns:
        The model with its weights, and the content of its `config.json` here.

    Raises:
        ValueError: If a file is missing or damaged, a number is not supported, the
            vocabulary differs, or a weight is missing, left over or misshapen.

    Warns:
        UserWarning: If nothing names the vocabulary, or there is no masked-LM head,
            so that a fresh one is made.
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
            f"{folder} has no vocab.txt, tokenizer.json or vocab.json: that its tokens"
            " are in DNABERT's order (A, T, C, G) is taken on trust",
            stacklevel=2,
        )
    _check_sizes(config, weights, source)
    if not any(name.startswith(_HEAD) for name in weights):
        others = sorted(n for n in weights if n.startswith(_OTHER_HEADS))
        weights = {n: v for n, v in weights.items() if n not in others}
        left_out = (
            f"; left out: {json_file.printable(', '.join(others))}" if others else ""
        )
        warnings.warn(
            f"{source} is an encoder without a masked-LM head: embeddings and"
            f" fine-tuning need none, and a fresh one is made{left_out}",
            stacklevel=2,
        )
        weights |= _fresh_head(config)
    model = bert.build(config)
    assign(model, weights, source=str(source))
    return model, {"format": 1, "family": "bert", "model": bert.to_dict(config)}


def _check_sizes(
    config: bert.Config, weights: Mapping[str, np.ndarray], source: pathlib.Path
) -> None:
    """Refuses a config of a much larger model, before that is made."""
    needed = config.num_parameters(head=False)
    held = sum(value.size for value in weights.values())
    names = [pair.theirs for pair in pairs(config)]
    for name in names:
        if name not in weights and not name.startswith(_HEAD):
            raise ValueError(f"{source} has no weight {name!r}")
    if needed > 2 * held:
        raise ValueError(
            f"{source} holds {held:,} numbers, and the model of config.json has"
            f" {needed:,}"
        )


def _fresh_head(config: bert.Config) -> dict[str, np.ndarray]:
    """Returns the weights of a masked-LM head as drawn, the same every time."""
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
        names = json_file.printable(", ".join(sorted(left)))
        raise ValueError(f"{source}: left over: {names}")
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
    """Returns the variable at a path of attributes and list places."""
    found: Any = model
    for part in path.split("."):
        found = found[int(part)] if part.isdecimal() else getattr(found, part)
    return found


def _read_weights(folder: pathlib.Path) -> tuple[dict[str, np.ndarray], pathlib.Path]:
    """Reads all weights, under the names of today's `BertForMaskedLM`."""
    for file in _FILES:
        path = folder / file
        if os.path.lexists(path):
            break
    else:
        shards = sorted(p.name for p in folder.glob("*-of-*"))
        raise ValueError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin"
            + (
                f", only parts such as {shards[0]} without their index"
                if shards
                else ""
            )
        )
    weights = _read_shards(path) if path.suffix == ".json" else _read_file(path)
    renamed = {}
    for name, value in weights.items():
        new = _rename(name)
        if new in renamed:
            raise ValueError(f"{path}: {name!r} is there under another name, too")
        renamed[new] = value
    return renamed, path


def _rename(name: str) -> str:
    """Returns today's name of a weight, without what it was wrapped in."""
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    for old, today in _OLD_NAMES.items():
        name = name.replace(old, today)
    return f"bert.{name}" if name.startswith(_PARTS) else name


def _read_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads one file of weights."""
    _check_file(path)
    if path.suffix != ".safetensors":
        return torch_file.read(path)
    try:
        return safetensors.load_file(path)
    except Exception as e:  # its own errors, and KeyError of types that NumPy lacks
        raise ValueError(
            f"{path} is damaged: {json_file.printable(' '.join(str(e).split()))}"
        ) from e


def _read_shards(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the files that an index names, each with just the weights it lists."""
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
                f" name of a {suffix} file beside it"
            )
        by_file.setdefault(file, set()).add(name)
    weights: dict[str, np.ndarray] = {}
    for file, listed in sorted(by_file.items()):
        shard = _read_file(path.parent / file)
        for name in sorted(listed ^ set(shard)):
            what = "has no weight" if name in listed else "has, and the index not,"
            raise ValueError(f"{path.parent / file} {what} {name!r} ({path.name})")
        weights |= shard
    return weights


def _check_file(path: pathlib.Path) -> None:
    """Refuses what is no file, and what stands for one in a clone without LFS."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from None
    json_file.refuse_pointer(path, start)
