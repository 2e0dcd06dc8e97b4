"""Audits a task of labelled sequences: the function behind `genomenet.audit`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from genomenet.data import examples, sources, tables
from genomenet.dna import alphabet
from genomenet.dna import files as files_lib
from genomenet.evaluation import audit as audit_lib

Part = str | os.PathLike[str] | tuple[Sequence[Any], Sequence[Any]]


def audit_task(
    train: Part | examples.Data,
    validation: Part | None = None,
    test: Part | None = None,
    *,
    task: str = "auto",
    train_split: str = examples.TRAIN,
    data_dir: str | os.PathLike[str] | None = None,
    genome: Sequence[str | os.PathLike[str]] = (),
    seed: int = 0,
) -> audit_lib.Audit:
    """Looks for copies between splits and for shortcuts to the labels.

    Requires the extra `audit`.

    Args:
        train: A table (TSV or CSV), a prepared dataset by name or folder, a pair
            (sequences, labels), or the result of `api.fit.read_data`; as for
            `fit_classifier`. A single table or pair without splits is divided
            80/10/10.
        validation: Validation set, if `train` is a table or a pair.
        test: Test set, if `train` is a table or a pair.
        task: "binary", "multiclass", "multi_label", "regression" or "auto".
        train_split: Name of the training split, if `train` is a dataset.
        data_dir: Folder of all datasets.
        genome: FASTA files of all genomes that the sequences come from. The audit
            checks which sequences occur there, and whether the classes differ in it.
        seed: Seed of the splits, folds and intervals.

    Returns:
        The overall verdict, "PASS", "WARN" or "FAIL", and the verdict of each check.

    Raises:
        ImportError: If seqleak is not installed.
        ValueError: If the sequences or the genome cannot be read or are invalid.

    Example:
        >>> import genomenet  # doctest: +SKIP
        >>> audit = genomenet.audit_task(train="train.tsv", test="test.tsv")
        >>> audit.verdict
        >>> audit.checks
    """
    if not audit_lib.is_installed():
        raise ImportError(audit_lib.MISSING)
    if isinstance(genome, (str, os.PathLike)):
        genome = [genome]
    check_genome(genome)
    parts = {"train": train, "validation": validation, "test": test}
    given = {split: part for split, part in parts.items() if part is not None}
    paths = {split: os.fspath(p) for split, p in given.items() if _is_file(p)}
    if len(paths) == len(given):
        data = examples.read_tables(paths, task=task, seed=seed)
    else:
        from genomenet.api import fit  # keras

        data = fit.read_data(
            train,
            validation,
            test,
            task=task,
            train_split=train_split,
            data_dir=data_dir,
            seed=seed,
        )
    spelled = {}
    for text in (text for part in given.values() for text in _texts(part)):
        codes = alphabet.CODES[np.frombuffer(text.encode(), np.uint8)]
        spelled[codes.tobytes()] = text.replace("U", "T").replace("u", "t")
    return audit_lib.audit(data, spelled=spelled, genome=genome, seed=seed)


def check_genome(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Checks that the files of a genome are FASTA.

    Args:
        paths: Existing files.

    Raises:
        ValueError: If a file is not FASTA or cannot be read.
    """
    for path in paths:
        with files_lib.opened(os.fspath(path)) as (kind, _):
            if kind != files_lib.FASTA:
                raise sources.DatasetError(
                    f"{path} is in the format {kind}: an audit needs FASTA"
                )


def _is_file(part: Any) -> bool:
    return isinstance(part, (str, os.PathLike)) and pathlib.Path(part).is_file()


def _texts(part: Any) -> Iterator[str]:
    """Yields the sequences of a table or of pairs as they were written."""
    if _is_file(part):
        required = [tables.SEQUENCE, tables.LABEL]
        for _, values in tables.read_fields(os.fspath(part), required=required):
            yield values[tables.SEQUENCE]
    elif isinstance(part, tuple):
        for sequence in part[0]:
            yield sequence.decode() if isinstance(sequence, bytes) else str(sequence)
