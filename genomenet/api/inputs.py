"""Converts sequences and labels in common forms to the arrays that models read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import examples, intervals, tables, tasks
from genomenet.dna import alphabet, encode, reader

Codes = npt.NDArray[np.uint8]


def read_records(
    paths: str | Sequence[str],
    *,
    genome: str | Sequence[str] | None = None,
    width: int | None = None,
) -> list[reader.Record]:
    """Reads sequence files, or intervals of a genome, into memory.

    Models take the records directly; each has a `name` and `codes`.

    Args:
        paths: FASTA, FASTQ, GenBank, EMBL or 2bit files, plain or gzip. With a genome:
            BED, narrowPeak, or tables with the columns chrom, start and end.
        genome: Sequence files of the genome.
        width: Bases around the summit of an interval, or around its midpoint if it has
            no summit; None reads the interval itself.

    Returns:
        The records, in the order of the files.

    Raises:
        ValueError: If a file cannot be read, or the intervals do not match the genome.
    """
    return list(intervals.read_records(paths, genome=genome, width=width))


def name_sequences(sequences: Any, *, shortest: int = 1) -> list[tuple[str, Codes]]:
    """Reads sequences like `read_sequences`, with their names.

    Args:
        sequences: As for `read_sequences`, also `data.examples.Examples`.
        shortest: As for `read_sequences`.

    Returns:
        Names and codes; sequences without a name are named "1", "2", ….
    """
    codes = read_sequences(sequences, shortest=shortest)
    if isinstance(sequences, examples.Examples):
        return list(zip(sequences.ids, codes, strict=True))
    names = (getattr(x, "name", str(n)) for n, x in enumerate(sequences, 1))
    return list(zip(names, codes, strict=True))


def read_sequences(sequences: Any, *, shortest: int) -> list[Codes]:
    """Reads sequences of any mix of lengths and kinds.

    Args:
        sequences: A list or an array of str, bytes, Bio.Seq.Seq, records of
            `read_records` or codes of `dna.alphabet`, uint8, (L,); or codes, uint8,
            (N, L), padded on the right.
        shortest: Minimum length of a sequence, in bases.

    Returns:
        Codes of each sequence, uint8, (L,), without padding.

    Raises:
        TypeError: If `sequences` is a single sequence, or an item is not a sequence.
        ValueError: If a letter is not a nucleotide, or a sequence is too short. The
            message has the index of the sequence, and its name if it has one.
    """
    if isinstance(sequences, Mapping) and "bases" in sequences:
        sequences = sequences["bases"]
    if isinstance(sequences, str | bytes):
        raise TypeError("sequences is a single sequence: give a list of sequences")
    sequences = _as_array(sequences)
    encoded = []
    for index, sequence in enumerate(sequences):
        shown = f"sequences[{index}]"
        if isinstance(record_name := getattr(sequence, "name", None), str):
            shown += f" (record {record_name!r})"
        codes = _read(sequence, shown)
        if len(codes) < shortest:
            raise ValueError(
                f"{shown} has {len(codes)} bases, but the model needs at least"
                f" {shortest}"
            )
        encoded.append(codes)
    return encoded


def _read(sequence: Any, name: str) -> Codes:
    sequence = getattr(sequence, "codes", sequence)
    if isinstance(sequence, np.ndarray):
        if sequence.ndim != 1 or sequence.dtype.kind not in "ui":
            raise TypeError(
                f"{name} must be codes of shape (L,), got {sequence.dtype} of shape"
                f" {sequence.shape}"
            )
        if len(sequence) and not 0 <= sequence.min() <= sequence.max() <= alphabet.PAD:
            raise ValueError(
                f"{name} holds the code {sequence.max()}: codes are 0 to {alphabet.PAD}"
            )
        real = np.flatnonzero(sequence != alphabet.PAD)
        return sequence[: real[-1] + 1 if len(real) else 0].astype(np.uint8)
    if not isinstance(sequence, str | bytes):
        if not hasattr(sequence, "reverse_complement"):  # Biopython sequences have it
            raise TypeError(
                f"{name} must be str, bytes, Bio.Seq or codes, got"
                f" {type(sequence).__name__}"
            )
        sequence = bytes(getattr(sequence, "seq", sequence))
    return encode.encode(sequence, name=name)


def read_labels(given: Any, task: tasks.Task) -> npt.NDArray[Any]:
    """Reads labels.

    Args:
        given: Names or indices of the classes, (N,), or an indicator matrix of 0 and
            1, (N, classes). For multi-label tasks also lists of names, or names joined
            by ";". For regression numbers, (N,).
        task: The task of the labels.

    Returns:
        Index of each class, int32, (N,); for multi-label tasks uint8, (N, classes);
        for regression float32, (N,).

    Raises:
        ValueError: If a label is not one of the classes, or not a number.
    """
    given = _as_array(given)
    values = [x.item() if isinstance(x, np.generic) else x for x in given]
    if task.kind == task_kinds.REGRESSION:
        targets = np.array(values, np.float32).reshape(-1)
        if len(targets) != len(values) or not np.isfinite(targets).all():
            raise ValueError("labels of a regression must be one finite number each")
        return targets
    rows = [_read_label(value, i, task) for i, value in enumerate(values)]
    if task.kind == task_kinds.MULTI_LABEL:
        return np.array(rows, np.uint8).reshape(-1, len(task.classes))
    return np.array(rows, np.int32)


def _read_label(value: Any, index: int, task: tasks.Task) -> Any:
    """Returns the index of the class, or a row of 0 and 1 for multi-label tasks."""
    name = f"labels[{index}]"
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return _encode(value, name, task)
    is_multi_label, count = task.kind == task_kinds.MULTI_LABEL, len(task.classes)
    if isinstance(value, bool | int | float) and not is_multi_label:
        if value != int(value) or not 0 <= value < count:
            raise ValueError(
                f"{name}={value} is not the index of a class, 0 to {count - 1}"
            )
        return int(value)
    row = list(value) if isinstance(value, Iterable) else [value]
    if is_multi_label and all(isinstance(x, str) for x in row):
        return _encode(tables.SEPARATOR.join(map(str, row)), name, task)
    row = np.array(row)
    if row.shape != (count,) or not np.isin(row, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1 for each of {count} classes")
    if is_multi_label:
        return row
    if row.sum() != 1:
        raise ValueError(
            f"{name} must be 1 for exactly one class, but is for {int(row.sum())}"
        )
    return int(row.argmax())


def _encode(label: str, name: str, task: tasks.Task) -> Any:
    row = tables.Row(sequence=b"", label=label, id=name, place=name)
    return task.encode(row)


def read_labelled(
    sequences: Any,
    labels: Any,
    sample_weight: Any = None,
    class_weight: Mapping[Any, float] | None = None,
    *,
    task: tasks.Task,
    shortest: int,
) -> tuple[list[Codes], npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """Returns the results of `read_sequences`, `read_labels` and `weigh`.

    Raises:
        ValueError: If sequences or labels are missing, or their numbers differ.
    """
    if sequences is None or labels is None:
        raise ValueError("both sequences and labels must be given")
    codes = read_sequences(sequences, shortest=shortest)
    truth = read_labels(labels, task)
    if len(codes) != len(truth):
        raise ValueError(
            f"the numbers of sequences ({len(codes)}) and labels ({len(truth)}) differ"
        )
    if not codes:
        raise ValueError("sequences is empty: give at least one")
    return codes, truth, weigh(truth, sample_weight, class_weight, task)


def _as_array(values: Any) -> Any:
    """Returns a tensor of any backend as an array, and other values unchanged."""
    return values.numpy() if hasattr(values, "numpy") else values


def weigh(
    labels: npt.NDArray[Any],
    sample_weight: Any,
    class_weight: Mapping[Any, float] | None,
    task: tasks.Task,
) -> npt.NDArray[np.float32] | None:
    """Returns the weight of each sequence.

    Args:
        labels: Labels, as from `read_labels`.
        sample_weight: Weights, (N,), or None.
        class_weight: Name or index of a class → weight, or None.
        task: The task of the labels.

    Returns:
        float32, (N,), the product of both weights, or None if neither is given.

    Raises:
        ValueError: If a class is unknown, the task has no class weights, or the shape
            of `sample_weight` is wrong.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(labels), np.float32)
    if sample_weight is not None:
        given = np.asarray(sample_weight, np.float32)
        if given.shape != weights.shape:
            raise ValueError(
                f"sample_weight must have the shape {weights.shape}, got {given.shape}"
            )
        weights = weights * given
    if class_weight is not None:
        if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
            raise ValueError(
                f"class_weight needs a binary or multiclass task, not {task.kind}"
            )
        by_class = np.ones(len(task.classes), np.float32)
        names = list(class_weight)
        by_class[read_labels(names, task)] = [class_weight[name] for name in names]
        weights = weights * by_class[labels]
    return weights
