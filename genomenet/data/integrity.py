"""Checks that prepared datasets are as built: known features, unchanged files.

A build writes the size and checksums of every file into `metadata.json`. They are
compared whenever a dataset is opened. An older dataset, without checksums, is compared
with the counts and sizes that TFDS stores.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from genomenet import atomic
from genomenet.data import packed_chunks, sources

INFO: Final = "dataset_info.json"
FEATURES: Final = "features.json"
METADATA: Final = "metadata.json"

_FILES: Final = "files"  # key of the metadata
_ENDS: Final = 1 << 14  # bytes at either end that are always compared
_SMALL: Final = 1 << 27  # bytes up to which a dataset is always read whole
_HEADER: Final = 12  # bytes of a TFRecord before its data: length and its checksum
_FRAME: Final = 16  # with the checksum of the data

# Feature classes allowed in features.json: TFDS imports the modules of others.
_KNOWN: Final = frozenset(
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "features_dict.FeaturesDict",
        "text_feature.Text",
        "tensor_feature.Tensor",
        "scalar.Scalar",
        "class_label_feature.ClassLabel",
    )
)
_ADVICE: Final = "build the dataset again, with overwrite"


def seal(directory: str | os.PathLike[str]) -> None:
    """Writes size and checksums of all files into the metadata of a dataset.

    Args:
        directory: Folder of a dataset that was just built.
    """
    folder = pathlib.Path(directory)
    facts = metadata(folder)
    facts[_FILES] = {
        path.name: _described(path, whole=True)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (METADATA, packed_chunks.FILE)
    }
    atomic.write_text(folder / METADATA, json.dumps(facts))


def digest(facts: Mapping[str, Any]) -> str:
    """Returns a digest of the content of a prepared dataset.

    It does not depend on the name or the folder of the dataset.

    Args:
        facts: The metadata of the dataset.

    Returns:
        32 hexadecimal digits: the digest of the checksums of its shards, in their
        order, or, for an older dataset without them, of its other metadata, which hold
        its options and the checksums of its sources. Empty if there are no metadata.
    """
    files = facts.get(_FILES)
    if files:
        content: Any = [files[name] for name in sorted(files) if _is_shard(name)]
        content = [entry["sha256"] for entry in content]
    else:
        content = dict(facts)
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32] if content else ""


def metadata(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the metadata that a recipe wrote for a prepared dataset.

    Args:
        directory: Folder of the dataset.

    Returns:
        The metadata; empty for a dataset that has none.

    Raises:
        DatasetError: If the file is damaged.
    """
    path = pathlib.Path(directory, METADATA)
    return _json(path) if path.is_file() else {}


def check(directory: str | os.PathLike[str], *, whole: bool = False) -> None:
    """Checks the files of a prepared dataset.

    Args:
        directory: Folder of the dataset.
        whole: Whether to read all files completely. Else only datasets up to 128 MiB
            are; for larger ones the sizes and both ends of every file are compared.

    Raises:
        DatasetError: If a file is missing, truncated, empty, changed or another one.
    """
    folder = pathlib.Path(directory)
    files = metadata(folder).get(_FILES)
    if files is not None:
        _compare(folder, files, whole=whole)
    info = _json(folder / INFO)
    try:
        shards = _shards(info)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise _error(folder / INFO, "does not describe a dataset") from e
    if files is None:
        _count(folder, shards)
        if whole:
            _read(folder)
    else:
        for name in (name for lengths in shards.values() for name in lengths[1]):
            if name not in files:
                raise _error(folder / METADATA, f"does not list {name}")


def opened(directory: str | os.PathLike[str], *, whole: bool = False) -> Any:
    """Checks a prepared dataset and opens it.

    Args:
        directory: Folder of the dataset.
        whole: As for `check`.

    Returns:
        The TFDS builder of the dataset.

    Raises:
        DatasetError: If a file has changed since it was built, or `features.json` names
            other classes than those of genomenet's datasets.
    """
    import tensorflow_datasets as tfds  # slow to import

    folder = pathlib.Path(directory)
    check(folder, whole=whole)
    _check_features(folder / FEATURES)
    try:
        builder: Any = tfds.builder_from_directory(os.fspath(folder))
        for split in builder.info.splits.values():
            if any(pathlib.Path(path).parent != folder for path in split.filepaths):
                raise _error(folder / INFO, f"names files of {split.name} elsewhere")
        features = dict(builder.info.features)
        for name, feature in features.items():
            labels = folder / f"{name}.labels.txt"
            is_class = isinstance(feature, tfds.features.ClassLabel)
            if is_class and not labels.is_file():
                raise _error(labels, "is missing")
    except sources.DatasetError:
        raise
    except Exception as e:  # its type depends on what is wrong in which file
        raise sources.DatasetError(
            f"{folder} cannot be read as a dataset: {sources.cause(e)}: {_ADVICE}"
        ) from e
    return builder


@contextlib.contextmanager
def reading(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Names the damaged file if a record of a prepared dataset cannot be read.

    Args:
        directory: Folder of the dataset that is read in the block.

    Raises:
        DatasetError: If the block fails because a file is missing or damaged.
    """
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        tf.errors.InvalidArgumentError,
    ):
        _read(pathlib.Path(directory))  # raises if the cause is in the files
        raise


def _compare(folder: pathlib.Path, files: Any, *, whole: bool) -> None:
    """Compares files with the sizes and checksums of the build."""
    try:
        total = sum(entry["bytes"] for entry in files.values())
        known = {
            name: (entry["sha256"], entry["ends"]) for name, entry in files.items()
        }
    except (TypeError, KeyError, AttributeError):
        raise _error(folder / METADATA, "holds no sizes and checksums") from None
    whole = whole or total <= _SMALL
    for name, expected in files.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise _error(path, "is missing")
        size = path.stat().st_size
        if size != expected["bytes"]:
            cause = (
                f"has {size:,} bytes, not {expected['bytes']:,}: truncated or replaced"
            )
            raise _error(path, cause if size else "is empty")
        actual = _described(path, whole=whole)
        if all(actual[key] == expected[key] for key in actual):
            continue
        others = [
            other
            for other, (sha256, ends) in known.items()
            if actual["ends"] == ends and actual.get("sha256", sha256) == sha256
        ]
        cause = "is damaged: its checksum is not that of the build"
        if others:
            cause = f"is not what was built: it holds {others[0]}"
        raise _error(path, cause)


def _described(path: pathlib.Path, *, whole: bool) -> dict[str, Any]:
    """Returns the size and checksums of a file; hashes all of it only if `whole`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = file.read(_ENDS)
        file.seek(max(size - _ENDS, 0))
        ends += file.read(_ENDS)
        description: dict[str, Any] = {
            "bytes": size,
            "ends": hashlib.sha256(ends).hexdigest()[:32],
        }
        if whole:
            file.seek(0)
            description["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return description


def _shards(info: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, int]]]:
    """Returns, for each split, the bytes of its records and shard → record count."""
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        raise ValueError("only TFRecord files can be read")
    shards = {}
    for split in info["splits"]:
        stem = f"{info['name']}-{split['name']}.tfrecord"
        if os.path.basename(stem) != stem:
            raise ValueError(f"{stem} is not a file name")
        lengths = [int(length) for length in split.get("shardLengths", ())]
        names = {
            f"{stem}-{index:05d}-of-{len(lengths):05d}": length
            for index, length in enumerate(lengths)
        }
        shards[split["name"]] = int(split.get("numBytes", 0)), names
    return shards


def _count(
    folder: pathlib.Path, shards: Mapping[str, tuple[int, Mapping[str, int]]]
) -> None:
    """Compares the shards with the numbers of records and bytes that TFDS stores."""
    for split, (num_bytes, names) in shards.items():
        total = 0
        for name, expected in names.items():
            path = folder / name
            if not path.is_file():
                raise _error(path, "is missing")
            if not path.stat().st_size:
                raise _error(path, "is empty")
            num_records = _num_records(path)
            if num_records is None:
                raise _error(path, "is truncated or damaged")
            if num_records != expected:
                raise _error(path, f"holds {num_records:,} examples, not {expected:,}")
            total += path.stat().st_size - _FRAME * num_records
        if num_bytes and total != num_bytes:
            raise sources.DatasetError(
                f"{folder}: the shards of {split} hold {total:,} bytes, not"
                f" {num_bytes:,}: one was replaced: {_ADVICE}"
            )


def _num_records(path: pathlib.Path) -> int | None:
    """Returns the number of TFRecords in a file; None if the last one is truncated."""
    size, position, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while position < size:
            length = int.from_bytes(file.read(_HEADER)[:8], "little")
            position += length + _FRAME
            count += 1
            if position > size:
                return None
            file.seek(position)
    return count


def _read(folder: pathlib.Path) -> None:
    """Reads every example; raises an error for the first file that cannot be read."""
    import tensorflow as tf

    builder = opened(folder)
    text = tf.TensorSpec((), tf.string)
    parse: Any = tf.function(builder.info.features.deserialize_example)
    parse = parse.get_concrete_function(text)  # once for all shards
    for split in builder.info.splits.values():
        for path in split.filepaths:
            records = tf.data.TFRecordDataset(os.fspath(path))
            try:
                for _ in records.map(parse):
                    pass
            except tf.errors.OpError as e:
                raise _error(path, "is damaged: an example cannot be read") from e


def _check_features(path: pathlib.Path) -> None:
    """Refuses features of other classes than those of genomenet's datasets."""
    from google.protobuf import json_format
    from tensorflow_datasets.core.proto import feature_pb2

    content = _json(path)
    try:
        if "type" in content:  # an old form, which TFDS would read
            raise ValueError(f"type {content['type']!r}")
        feature: Any = feature_pb2.Feature()  # pyright: ignore[reportAttributeAccessIssue]
        _check_feature(json_format.ParseDict(content, feature))
    except (ValueError, json_format.ParseError, RecursionError) as e:
        cause = f"does not describe a dataset of genomenet: {sources.cause(e)}"
        raise _error(path, cause) from e


def _check_feature(feature: Any) -> None:
    """Refuses a feature of another class, also within another feature."""
    kind = feature.WhichOneof("content")
    if feature.python_class_name not in _KNOWN or kind == "json_feature":
        raise ValueError(f"feature class {feature.python_class_name!r} is not known")
    for nested in feature.features_dict.features.values():
        _check_feature(nested)


def _json(path: pathlib.Path) -> dict[str, Any]:
    """Reads an object from a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _error(path, "is missing") from None
    except (ValueError, RecursionError) as e:
        raise _error(path, f"is damaged: not JSON: {sources.cause(e)}") from e
    if not isinstance(content, dict):
        raise _error(path, "is damaged: not a JSON object")
    return content


def _is_shard(name: str) -> bool:
    return ".tfrecord-" in name


def _error(path: str | os.PathLike[str], cause: str) -> sources.DatasetError:
    return sources.DatasetError(f"{os.fspath(path)} {cause}: {_ADVICE}")
