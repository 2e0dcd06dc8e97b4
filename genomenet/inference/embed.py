"""Embeds sequence files as a stream of windows."""

from __future__ import annotations

import collections
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from genomenet import atomic, compiled, models
from genomenet.data import intervals
from genomenet.dna import reader
from genomenet.inference import journal as journal_lib
from genomenet.inference import outputs, record_windows, writers
from genomenet.layers import strand
from genomenet.release import folder as folder_lib


def embed_files(
    name: str | os.PathLike[str],
    inputs: str | Sequence[str],
    output: str | os.PathLike[str],
    *,
    window: int | None = None,
    stride: int | None = None,
    pool: str | None = None,
    batch_size: int = 64,
    both_strands: bool = False,
    max_n: float = 1.0,
    genome: str | Sequence[str] | None = None,
    width: int | None = None,
    warn: Callable[[str], None] = lambda line: None,
    show_progress: bool = True,
) -> dict[str, int]:
    """Embeds every window of sequence files, in constant memory.

    If the process is killed, the same call resumes.

    Args:
        name: Name of a model or path of a release folder.
        inputs: Sequence files, patterns, or "-" for standard input; with a genome,
            files of intervals.
        output: A .parquet or .h5 file: name, start, end (0-based, half-open, forward
            strand) and embedding. It appears when it is complete.
        window: Bases of a window; the model's training length by default.
        stride: Bases between windows; the window by default. The last window of a
            record ends at the end of the record.
        pool: How a window becomes one vector; the model's default if None. "bins"
            concatenates the means of its 8 parts; "none" writes one row per patch or
            token.
        batch_size: Maximum number of windows per batch. On a CPU, batches of BERT are
            limited to what its caches hold.
        both_strands: Whether to average with the vector of the reverse complement.
        max_n: Share of N at or above which the vectors of a window are NaN.
        genome: Genome of the intervals, as for `data.intervals.read_records`.
        width: Bases around the summit of an interval, or around its midpoint if it has
            no summit.
        warn: Called with a line if the call resumes.
        show_progress: Whether to show a progress bar.

    Returns:
        Counts: "rows", "records" skipped as too short, their "bases", and "blank",
        the windows whose vectors are NaN.

    Raises:
        ValueError: If the model, a file or an option is invalid, or all records are
            too short.
    """
    writers.check_name(output)
    record_windows.check_max_n(max_n)
    model = folder_lib.load_model(name)
    content = folder_lib.read_config(folder_lib.catalog.model_folder(name))
    family: Any = models.get_family(content["family"])
    pool = str(pool or content.get("pool") or family.POOLS[0])
    window = window or model.config.length
    stride = stride or window
    _check(family, model, pool, window, stride, both_strands)
    skipped: collections.Counter[str] = collections.Counter()

    def on_short(record: reader.Record) -> None:
        skipped[record.name] += len(record.codes)

    windows = record_windows.cut(
        intervals.read_records(inputs, genome=genome, width=width),
        window=window,
        stride=stride,
        shortest=family.min_length(model.config),
        on_short=on_short,
    )
    batch_size = outputs.rows_at_once(model, window, batch_size)
    call = _compiled(family, model, pool, both_strands)
    k = getattr(model.config, "kmer", 1)
    rows = blank = 0
    output = pathlib.Path(output)
    with (
        atomic.replacing(output) as partial,
        journal_lib.Journal(
            output,
            journal_lib.identity_of(model, pool=pool, both_strands=both_strands),
            warn,
        ) as journal,
        tqdm.tqdm(
            unit="b", unit_scale=True, desc="embedding", disable=not show_progress
        ) as bar,
    ):
        writer: writers.Writer | None = None
        try:
            for batch, codes in record_windows.batched(
                windows, batch_size=batch_size, length=window
            ):
                vectors = journal.values(
                    [window.codes for window in batch],
                    functools.partial(_vectors, call, codes, len(batch)),
                )
                is_blank = record_windows.blank(batch, max_n=max_n, k=k)
                vectors[is_blank] = np.nan
                blank += int(is_blank.sum())
                names, starts, ends, vectors = _rows(
                    batch, vectors, family, model.config, pool
                )
                if writer is None:
                    writer = writers.open_writer(
                        partial, output.suffix, vectors.shape[-1]
                    )
                writer.write(names, starts, ends, vectors)
                rows += len(names)
                bar.update(sum(len(w.codes) for w in batch))
        finally:
            if writer is not None:
                writer.close()
        if not rows:
            raise ValueError(_nothing(inputs, skipped, family.min_length(model.config)))
    return {
        "rows": rows,
        "records": len(skipped),
        "bases": sum(skipped.values()),
        "blank": blank,
    }


def _compiled(family: Any, model: keras.Model, pool: str, both_strands: bool) -> Any:
    def call(codes: tf.Tensor) -> tf.Tensor:
        vectors = family.embed(model, {"bases": codes}, pool)
        if not both_strands:
            return vectors
        other = family.embed(model, {"bases": strand.reverse_padded(codes)}, pool)
        return (vectors + other) / 2

    return compiled.graph(call)


def _vectors(call: Any, codes: np.ndarray, count: int) -> np.ndarray:
    """Returns the vectors of the first rows of a batch."""
    return np.array(call(tf.constant(codes))[:count], np.float32)


def _rows(
    batch: list[record_windows.Window],
    vectors: np.ndarray,
    family: Any,
    config: Any,
    pool: str,
) -> tuple[list[str], list[int], list[int], np.ndarray]:
    """Returns the columns of a batch: a row per window, or per span for "none"."""
    if pool != "none":
        names, starts, ends = (
            [getattr(w, field) for w in batch] for field in ("name", "start", "end")
        )
        return names, starts, ends, vectors[: len(batch)]
    names, starts, ends, parts = [], [], [], []
    for window, row in zip(batch, vectors, strict=False):
        spans = family.spans(config, len(window.codes))
        names += [window.name] * len(spans)
        starts += [window.start + begin for begin, _ in spans]
        ends += [window.start + end for _, end in spans]
        parts.append(row[: len(spans)])
    return names, starts, ends, np.concatenate(parts)


def _check(
    family: Any,
    model: keras.Model,
    pool: str,
    window: int,
    stride: int,
    both_strands: bool,
) -> None:
    config: Any = model.config  # pyright: ignore[reportAttributeAccessIssue]
    if pool not in (pools := (*family.POOLS, *family.READOUTS)):
        raise ValueError(f"pool={pool!r} must be one of {', '.join(pools)}")
    if both_strands and (pool == "none" or pool.endswith("bins")):
        # The bins of the other strand are in the opposite order.
        raise ValueError(f"both_strands cannot be used with pool={pool!r}")
    shortest = family.min_length(config)
    if not shortest <= window <= config.max_length:
        raise ValueError(
            f"window={window} must be {shortest} to {config.max_length} bases for this"
            " model"
        )
    if not 1 <= stride <= window:
        raise ValueError(f"stride={stride} must be 1 to window={window} bases")


def _nothing(
    inputs: str | Iterable[str], skipped: collections.Counter[str], shortest: int
) -> str:
    """Returns the error message for input without a record that is long enough."""
    files = inputs if isinstance(inputs, str) else ", ".join(inputs)
    return (
        f"{files}: nothing to embed: all {len(skipped)} records are shorter than"
        f" {shortest} bases"
    )
