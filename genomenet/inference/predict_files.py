"""Predicts sequence files and tables as a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import tqdm

from genomenet import atomic, task_kinds
from genomenet.inference import inputs as inputs_lib
from genomenet.inference import journal as journal_lib
from genomenet.inference import predict, prediction_table, record_windows
from genomenet.inference import tracks as tracks_lib
from genomenet.release import folder as folder_lib

_AHEAD: Final = 16  # number of batches that are read, then sorted by length


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `predict_files`.

    Attributes:
        window: Bases per window of sequence files. By default the maximum sequence
            length of the classifier; 0 predicts each record as a whole.
        stride: Bases between windows; the window by default.
        batch_size: Windows per batch.
        both_strands: Whether to average over both strands; by default as the classifier
            was evaluated.
        on_error: "stop" at a malformed record, or "skip" it.
        max_n: Share of N at or above which a window gets no label and no values.
        bedgraph: Folder for a bedGraph file of each class, or None.
        bigwig: Folder for a bigWig file of each class, or None.
        genome: Sequence files of the genome, if the input consists of intervals.
        width: Bases around the summit of an interval, or around its midpoint if it has
            no summit; None reads the interval itself.
    """

    window: int | None = None
    stride: int | None = None
    batch_size: int = 64
    both_strands: bool | None = None
    on_error: str = inputs_lib.STOP
    max_n: float = 1.0
    bedgraph: str | os.PathLike[str] | None = None
    bigwig: str | os.PathLike[str] | None = None
    genome: str | Sequence[str] | None = None
    width: int | None = None


def predict_files(
    name: str | os.PathLike[str],
    inputs: str | Sequence[str],
    output: str | os.PathLike[str],
    options: Options | None = None,
    *,
    warn: Callable[[str], None],
    show_progress: bool = True,
) -> inputs_lib.Counts:
    """Predicts sequence files or tables as a stream.

    Memory depends on the longest record, not on the size of the files. If the process
    is killed, the same call resumes.

    Args:
        name: Name or release folder of a classifier.
        inputs: Sequence files, patterns, or "-" for standard input; or tables with a
            column `sequence`; with a genome, files of intervals. Each row of a table
            and each interval is predicted as a whole.
        output: A .tsv, .tsv.gz or .parquet file: name, start, end (0-based,
            half-open, forward strand), label and the probability of each class; for
            regression only "value". Label and values are empty (Parquet: null) for
            windows with too many N. The file appears when it is complete.
        options: Options of the prediction.
        warn: Called with a line for each skipped record.
        show_progress: Whether to show a progress bar.

    Returns:
        The counts.

    Raises:
        ValueError: If the model, a file or an option is invalid, or there is nothing
            to predict.
        ImportError: If bigWig is requested and pybigtools is missing.
    """
    options = options or Options()
    output = pathlib.Path(output)
    prediction_table.check_name(output)
    record_windows.check_max_n(options.max_n)
    predictor = load(name, options)
    config = predictor.model.config
    counts = inputs_lib.Counts()
    given = inputs_lib.Inputs(
        [inputs] if isinstance(inputs, str) else inputs,
        genome=options.genome,
        width=options.width,
        on_error=options.on_error,
        shortest=predictor.shortest,
        counts=counts,
        warn=warn,
    )
    window, stride = _window(options, predictor, given.are_rows)
    if output.exists() and any(
        os.path.exists(path) and output.samefile(path) for path in given.paths
    ):
        raise ValueError(f"{output} is also an input: choose another output")
    is_value = config.task == task_kinds.REGRESSION
    columns = ["value"] if is_value else list(config.classes)
    with (
        tracks_lib.Tracks(
            columns, bedgraph=options.bedgraph, bigwig=options.bigwig
        ) as tracks,
        atomic.replacing(output) as partial,
        journal_lib.Journal(
            output, journal_lib.identity_of(predictor.model, max_n=options.max_n), warn
        ) as journal,
        tqdm.tqdm(
            unit="b", unit_scale=True, desc="predicting", disable=not show_progress
        ) as bar,
    ):
        windows = record_windows.cut(
            given.read(),
            window=window,
            stride=stride,
            shortest=predictor.shortest,
            on_short=given.on_short,
        )
        with contextlib.closing(
            prediction_table.PredictionTable(
                partial, output, columns, has_label=not is_value
            )
        ) as table:
            for group, values, is_blank in _predicted(
                predictor, windows, window, bar, journal, max_n=options.max_n
            ):
                labels: list[str | None] = [None] * len(group)
                kept = np.flatnonzero(~is_blank)
                named = predict.labels_of(config.task, config.classes, values[kept])
                for index, label in zip(kept.tolist(), named, strict=False):
                    labels[index] = label
                intervals = [(w.name, w.start, w.end) for w in group]
                table.write(intervals, [] if is_value else labels, values)
                tracks.write(group, values)
                counts.rows += len(group)
                counts.blank += int(is_blank.sum())
                _count_labels(counts, named, config.task)
        if not counts.rows:
            raise ValueError(given.nothing())
        tracks.finish()
    return counts


def load(name: str | os.PathLike[str], options: Options) -> predict.Predictor:
    """Loads a classifier.

    Args:
        name: Name or release folder.
        options: Options; only `both_strands` and `batch_size` are used.

    Returns:
        The classifier, compiled.

    Raises:
        ValueError: If there is no such model, or it is an encoder without a head.
    """
    model = folder_lib.load_classifier(name)
    if options.both_strands is not None:
        model.config = dataclasses.replace(
            model.config, both_strands=options.both_strands
        )
    return predict.Predictor(model, batch_size=options.batch_size)


def _window(
    options: Options, predictor: predict.Predictor, are_rows: bool
) -> tuple[int, int]:
    """Returns window and stride in bases; 0 and 0 for whole records."""
    shortest = predictor.shortest
    if are_rows:
        for flag in ("window", "stride", "bedgraph", "bigwig"):
            if getattr(options, flag) is not None:
                raise ValueError(
                    f"--{flag} can only be used with sequence files: rows of tables and"
                    " intervals are predicted as a whole"
                )
        return 0, 0
    window = options.window
    if window is None:
        window = max(predictor.model.config.length, shortest)
    if window == 0:
        if options.stride is not None:
            raise ValueError(f"stride={options.stride} cannot be used with window=0")
        return 0, 0
    if window < shortest:
        raise ValueError(
            f"window={window} must be at least {shortest} bases for this model, or 0 to"
            " predict each record as a whole"
        )
    stride = window if options.stride is None else options.stride
    if not 1 <= stride <= window:
        raise ValueError(f"stride={stride} must be 1 to window={window} bases")
    return window, stride


def _predicted(
    predictor: predict.Predictor,
    windows: Iterator[record_windows.Window],
    window: int,
    bar: tqdm.tqdm,
    journal: journal_lib.Journal,
    *,
    max_n: float,
) -> Iterator[
    tuple[list[record_windows.Window], npt.NDArray[np.float32], npt.NDArray[np.bool_]]
]:
    """Yields groups of windows in order, their values, and a mask of blank windows.

    Values of blank windows are NaN.
    """
    k = getattr(predictor.model.encoder.config, "kmer", 1)
    count = _AHEAD * predictor.batch_size
    bases = count * max(window, predictor.model.config.length)
    for group in _groups(windows, count=count, bases=bases):
        is_blank = record_windows.blank(group, max_n=max_n, k=k)
        before = bar.n
        values = journal.values(
            [window.codes for window in group],
            functools.partial(_values, predictor, group, is_blank, bar),
        )
        bar.update(sum(len(window.codes) for window in group) - (bar.n - before))
        yield group, values, is_blank


def _values(
    predictor: predict.Predictor,
    group: Sequence[record_windows.Window],
    is_blank: npt.NDArray[np.bool_],
    bar: tqdm.tqdm,
) -> npt.NDArray[np.float32]:
    """Returns the values of windows, (N, outputs), NaN for blank ones."""
    values = np.full((len(group), predictor.width), np.nan, np.float32)
    kept = np.flatnonzero(~is_blank)
    codes = [group[index].codes for index in kept.tolist()]
    for indices, part in predictor.batches(codes):
        values[kept[indices]] = part
        bar.update(sum(len(codes[index]) for index in indices))
    return values


def _groups(
    windows: Iterator[record_windows.Window], *, count: int, bases: int
) -> Iterator[list[record_windows.Window]]:
    """Groups windows, up to a number of windows or of bases."""
    group: list[record_windows.Window] = []
    held = 0
    for window in windows:
        group.append(window)
        held += len(window.codes)
        if len(group) >= count or held >= bases:
            yield group
            group, held = [], 0
    if group:
        yield group


def _count_labels(counts: inputs_lib.Counts, labels: Sequence[str], task: str) -> None:
    """Counts predicted labels; each label of a multi-label row counts separately."""
    if task == task_kinds.MULTI_LABEL:
        parts = [label.split(";") if label else ["(none)"] for label in labels]
        labels = list(itertools.chain(*parts))
    counts.labels.update(labels)
