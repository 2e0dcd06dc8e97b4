"""Compares the vocabulary of a Hugging Face folder with that of DNABERT."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from genomenet import json_file
from genomenet.dna import kmer

_SPECIAL = ("unk", "sep", "pad", "cls", "mask")


def check(folder: pathlib.Path, k: int) -> bool:
    """Checks every file of a folder that lists tokens or their indices.

    Args:
        folder: The folder.
        k: Bases of a token.

    Returns:
        Whether a file lists the whole vocabulary. If none does, the order of the tokens
        is unknown.

    Raises:
        ValueError: If a file cannot be read, or a token differs from the token of
            DNABERT's vocabulary at the same index.
    """
    expected = kmer.vocabulary(k)
    whole = False
    for path, tokens in _vocabularies(folder):
        _check_tokens(path, tokens, expected)
        if len(tokens) != len(expected):
            raise ValueError(f"{path} has {len(tokens)} tokens, not {len(expected)}")
        whole = True
    for path, tokens in _additions(folder):
        _check_tokens(path, tokens, expected)
    _check_special(folder / "special_tokens_map.json")
    _check_special(folder / "tokenizer_config.json")
    return whole


def _check_tokens(
    path: pathlib.Path, tokens: Mapping[Any, Any], expected: list[str]
) -> None:
    """Raises if a token differs from the expected token at its index."""
    for index, token in sorted(tokens.items()):
        ours = expected[index] if 0 <= index < len(expected) else None
        if token != ours:
            where = f", line {index + 1}" if path.suffix == ".txt" else ""
            difference = (
                f"must be {ours!r} as in DNABERT's vocabulary"
                if ours is not None
                else f"is beyond DNABERT's vocabulary of {len(expected)} tokens"
            )
            at = "" if where else f" (index {index})"
            raise ValueError(
                f"{path}{where}: {json_file.short(token)}{at} {difference}"
            )


def _vocabularies(
    folder: pathlib.Path,
) -> Iterator[tuple[pathlib.Path, dict[int, Any]]]:
    """Yields each file with a whole vocabulary, and its mapping index → token."""
    path = folder / "vocab.txt"
    if path.is_file():
        try:
            content = path.read_bytes()
            json_file.refuse_pointer(path, content)
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "not a text file"
            raise ValueError(f"{path} cannot be read: {reason}") from None
        yield path, dict(enumerate(text.split()))
    path = folder / "tokenizer.json"
    if path.is_file():
        model = json_file.read_object(path).get("model")
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        if isinstance(vocabulary, list):  # Unigram: pairs of token and score
            tokens = [v[0] if isinstance(v, list) and v else v for v in vocabulary]
            yield path, dict(enumerate(tokens))
        else:
            yield path, _by_index(path, vocabulary)
    path = folder / "vocab.json"
    if path.is_file():
        yield path, _by_index(path, json_file.read_object(path))


def _additions(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict[int, Any]]]:
    """Yields each file with additional tokens, and its mapping index → token."""
    path = folder / "added_tokens.json"
    if path.is_file():
        yield path, _by_index(path, json_file.read_object(path))
    path = folder / "tokenizer.json"
    if path.is_file():
        added = json_file.read_object(path).get("added_tokens") or []
        if not isinstance(added, list) or not all(isinstance(t, dict) for t in added):
            raise ValueError(f"{path}: added_tokens is not a list of tokens")
        pairs = [(token.get("content"), token.get("id")) for token in added]
        yield path, _by_index(path, pairs)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        added = json_file.read_object(path).get("added_tokens_decoder") or {}
        if not isinstance(added, dict):
            raise ValueError(f"{path}: added_tokens_decoder is not an object")
        yield (
            path,
            _by_index(
                path,
                [
                    (
                        token.get("content") if isinstance(token, dict) else token,
                        int(index) if index.isdecimal() else index,
                    )
                    for index, token in added.items()
                ],
            ),
        )


def _by_index(path: pathlib.Path, tokens: Any) -> dict[int, Any]:
    """Inverts the mapping token → index; raises if it is not such an object."""
    if isinstance(tokens, dict):
        tokens = list(tokens.items())
    if not isinstance(tokens, list):
        raise ValueError(f"{path} has no vocabulary")
    by_index: dict[int, Any] = {}
    for token, index in tokens:
        if not isinstance(token, str) or type(index) is not int:
            raise ValueError(
                f"{path}: {json_file.short(token)} has the index"
                f" {json_file.short(index)}, which must be an integer"
            )
        if by_index.get(index, token) != token:
            raise ValueError(
                f"{path}: {json_file.short(token)} and"
                f" {json_file.short(by_index[index])} both have the index {index}"
            )
        by_index[index] = token
    return by_index


def _check_special(path: pathlib.Path) -> None:
    """Raises if a special token, such as `unk_token`, differs from DNABERT's."""
    if not path.is_file():
        return
    content = json_file.read_object(path)
    for name in _SPECIAL:
        token = content.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token is not None and token != f"[{name.upper()}]":
            raise ValueError(
                f"{path}: {name}_token is {json_file.short(token)}, but must be"
                f" [{name.upper()}] as in DNABERT's vocabulary"
            )
