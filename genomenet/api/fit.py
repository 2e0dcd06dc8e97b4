"""Fits a classifier to labelled sequences: the function behind `finetune`."""

from __future__ import annotations

import csv
import dataclasses
import html
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from genomenet import models
from genomenet.api import classifier as classifier_lib
from genomenet.data import catalogue, examples
from genomenet.evaluation import report as report_lib
from genomenet.evaluation import strands as strands_lib
from genomenet.models import classifier as graph_lib
from genomenet.models import classifier_config as config_lib
from genomenet.motifs import report as picture_lib
from genomenet.release import export
from genomenet.release import start as start_lib
from genomenet.training import command, engines, ensemble, few_labels, finetune
from genomenet.training import settings as settings_lib

Pairs = tuple[Sequence[Any], Sequence[Any]]
_TABLES: Final = (".tsv", ".csv", ".txt", ".gz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted classifier with its scores. A notebook shows the report.

    Attributes:
        classifier: The classifier.
        report: Scores with 95 % intervals on the test split, else the validation
            split, else the training split.
        predictions: A row for each scored sequence: column → value.
        plots: Name → PNG.
        workdir: Folder of the run, with `results/` and the release in `export/`; None
            if nothing was kept.
    """

    classifier: classifier_lib.Classifier
    report: report_lib.Report
    predictions: Sequence[Mapping[str, str]]
    plots: Mapping[str, bytes]
    workdir: pathlib.Path | None

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Name of a metric → value with the bounds of its interval."""
        return self.report.scores.values

    @property
    def release(self) -> pathlib.Path | None:
        """The release folder, or None if the run has no folder."""
        return None if self.workdir is None else command.release_folder(self.workdir)

    def __repr__(self) -> str:
        return self.report.summary()

    def _repr_html_(self) -> str:
        images = (
            picture_lib.image(png, name, 'style="max-width:32em"')
            for name, png in self.plots.items()
        )
        return f"<pre>{html.escape(self.report.summary())}</pre>{''.join(images)}"


def read_data(
    data: examples.Data | str | os.PathLike[str] | Pairs,
    validation: str | os.PathLike[str] | Pairs | None = None,
    test: str | os.PathLike[str] | Pairs | None = None,
    *,
    task: str = "auto",
    positive: str | None = None,
    shots: int | None = None,
    label_fraction: float | None = None,
    train_split: str = examples.TRAIN,
    data_dir: str | os.PathLike[str] | None = None,
    verify: bool = False,
    seed: int = 0,
) -> examples.Data:
    """Reads labelled sequences.

    Args:
        data: A table (TSV or CSV), a prepared dataset by name or folder, or a pair
            (sequences, labels). A single table or pair without splits is divided
            80/10/10.
        validation: Validation set, if `data` is a table or a pair.
        test: Test set, if `data` is a table or a pair.
        task: "binary", "multiclass", "multi_label", "regression" or "auto".
        positive: Positive class of two, for F1 and AUPRC.
        shots: Training examples to draw from each class.
        label_fraction: Share of the training examples to draw.
        train_split: Name of the training split, if `data` is a dataset.
        data_dir: Folder of all datasets.
        verify: Whether to compare the checksums of all files of a dataset.
        seed: Seed of the splits and draws.

    Returns:
        The examples.

    Raises:
        ValueError: If the data cannot be read or are invalid.
    """
    if isinstance(data, examples.Data):
        if validation is not None or test is not None:
            raise ValueError(
                "validation and test can only be given if the data are a table"
            )
        labelled = data
    elif isinstance(data, tuple) or _is_table(data):
        given = {"train": data, "validation": validation, "test": test}
        with tempfile.TemporaryDirectory() as folder:
            tables = {
                split: _table(part, pathlib.Path(folder, f"{split}.tsv"))
                for split, part in given.items()
                if part
            }
            labelled = examples.read_tables(tables, task=task, seed=seed)
    else:
        if validation is not None or test is not None:
            raise ValueError(
                "validation and test need a table or a pair, but"
                f" {os.fspath(data)!r} is a dataset"
            )
        path = catalogue.prepare(os.fspath(data), data_dir, verify=verify)
        labelled = examples.read_prepared(path, train=train_split)
    train = labelled[examples.TRAIN]
    if shots:
        train = examples.draw_shots(train, labelled.task, shots, seed=seed)
    if label_fraction is not None:
        train = examples.draw_fraction(train, labelled.task, label_fraction, seed=seed)
    return labelled.with_train(train).with_positive(positive)


def fit_classifier(
    model: str | os.PathLike[str],
    data: examples.Data | str | os.PathLike[str] | Pairs,
    validation: str | os.PathLike[str] | Pairs | None = None,
    test: str | os.PathLike[str] | Pairs | None = None,
    *,
    task: str = "auto",
    positive: str | None = None,
    shots: int | None = None,
    label_fraction: float | None = None,
    init: str | None = None,
    train: str | None = None,
    pool: str | None = None,
    readout: Sequence[str] = (),
    strands: str = "",
    quick: bool = False,
    folds: int | None = None,
    window: int | None = None,
    over_windows: str | None = None,
    augment: bool | None = None,
    both_strands: bool | None = None,
    class_weights: bool = False,
    epochs: int = 10,
    patience: int = 3,
    batch_size: int = 32,
    learning_rate: float | None = None,
    dropout: float = 0.1,
    precision: str = "float32",
    jit_compile: bool = False,
    seed: int = 0,
    workdir: str | os.PathLike[str] | None = None,
    distribute: str = "none",
    flags_text: str = "",
    tell: Callable[[str], Any] | None = None,
) -> Fit | None:
    """Fits a classifier to labelled sequences: the command `genomenet.finetune`.

    With at most 1,000 training sequences and a model with weights, cross-validation
    first compares linear heads over the available readouts, unless an option sets how
    the model is read or trained.

    Args:
        model: Name of a model, or path of its folder. The head of a classifier is also
            used if it matches the task.
        data: As for `read_data`.
        validation: As for `read_data`.
        test: As for `read_data`.
        task: As for `read_data`.
        positive: As for `read_data`.
        shots: As for `read_data`.
        label_fraction: As for `read_data`.
        init: Initial weights, "pretrained" or "random"; by default pretrained if the
            model has weights.
        train: "all", "head" or "head_first"; see `training.finetune.Plan`.
        pool: How a window becomes one vector; the family's default if None.
        readout: Features of a sequence for the head; see
            `models.classifier_config.ClassifierConfig`.
        strands: "both" or "forward".
        quick: Whether to train only the linear head where readouts are selected.
        folds: Number of folds of the training split. One model is trained per fold,
            without it, and scored on it; the classifier averages all models. None
            trains a single model.
        window: Bases per window.
        over_windows: "mean" or "attention".
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean of both strands.
        class_weights: Whether to weight all classes equally.
        epochs: Passes over the training data.
        patience: Epochs without a lower validation loss after which training stops; 0:
            never.
        batch_size: Examples per step.
        learning_rate: Peak learning rate; the family's default if None.
        dropout: Share of channels dropped in training.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        jit_compile: Whether to compile the steps with XLA.
        seed: Seed of draws, weights, order and strands.
        workdir: Folder of the run, for results and the release. An interrupted run
            resumes from it. None keeps nothing on disk.
        distribute: Devices, as for `training.engines.devices`.
        flags_text: Command-line flags, stored in the folder of the run and in the
            release.
        tell: Called with each progress line; prints to stderr by default.

    Returns:
        The classifier and its scores; None in processes that are not the chief.

    Raises:
        ValueError: If the model, the data and the options do not match.
        TrainingError: If the loss is not finite.
        Stopped: If a signal arrives; a run with a folder has been saved.

    Example:
        >>> import genomenet  # doctest: +SKIP
        >>> fit = genomenet.fit_classifier("logo6_genemask_human", "peaks.tsv")
        >>> fit.metrics["auroc"].value
        >>> fit.classifier.predict(["ACGTTGCA" * 20])
    """
    say = tell or (lambda line: print(line, file=sys.stderr))
    devices = engines.devices(distribute)
    given = start_lib.read_start(model, init, dropout=dropout)
    loaded = read_data(
        data,
        validation,
        test,
        task=task,
        positive=positive,
        shots=shots,
        label_fraction=label_fraction,
        seed=seed,
    )
    for line in report_lib.describe(loaded):
        say(line)
    if workdir is not None and pathlib.Path(workdir, "results/metrics.json").is_file():
        say(
            f"{os.fspath(workdir)} holds a finished run: the same data and settings"
            " give the same classifier, and its results are written again"
        )
    fixed = (init, train, pool, over_windows, augment, both_strands)
    is_few = given.model is not None and len(loaded[examples.TRAIN]) <= finetune.FEW
    train = train or (finetune.HEAD_FIRST if is_few else finetune.ALL)
    if learning_rate is None:
        learning_rate = finetune.rate(models.get_family(given.family), train)
    config = start_lib.make_config(
        given,
        loaded,
        pool=pool,
        window=window,
        over_windows=over_windows or "mean",
        dropout=dropout,
        augment=augment is not False,
        both_strands=both_strands is not False,
    )
    selects_readouts = is_few and all(option is None for option in fixed)
    if not selects_readouts and (readout or strands):
        names = readout or [config.pool]
        config = few_labels.with_readout(config, names, strands or config_lib.BOTH)
    pretrained = given.for_task(config)
    has_head = isinstance(pretrained, graph_lib.Classifier)
    selects_readouts = selects_readouts and not has_head
    if given.classifier is not None:
        which = "its head" if has_head else "a new head"
        say(f"initial weights: the encoder of {os.fspath(model)} and {which}")
    if train == finetune.HEAD_FIRST and not has_head and not selects_readouts:
        say("trains the head first, then all weights")
    with tempfile.TemporaryDirectory() as folder:
        job: dict[str, Any] = {
            "family": given.family,
            "encoder": given.encoder,
            "classifier": config,
            "data": loaded,
            "settings": settings_lib.for_classifier(
                batch_size=batch_size,
                learning_rate=learning_rate,
                schedule="linear",
                precision=precision,
                jit_compile=jit_compile,
                seed=seed,
            ),
            "plan": finetune.Plan(
                epochs=epochs,
                train=train,
                patience=patience,
                class_weights=class_weights,
            ),
            "workdir": workdir or folder,
            "origin": given.origin,
            "devices": devices,
            "flags_text": flags_text,
        }

        def learn(
            known: examples.Data, folder: Any, kind: Any = None
        ) -> ensemble.Member:
            arguments = {**job, "data": known, "workdir": folder}
            if not selects_readouts or given.model is None:
                run = finetune.run(**arguments, pretrained=pretrained)
                return ensemble.Member(run=run)
            few = few_labels.run(
                **arguments,
                pretrained=given.model,
                readout=readout,
                strands=kind[1] if kind else strands,
                tune=kind[0] if kind else (False if quick else None),
            )
            say(few.describe())
            graph: Any = few.run.model
            kind = few.is_tuned, graph.config.strands
            return ensemble.Member(run=few.run, kind=kind, selection=few.to_json())

        selection = fold_scores = None
        if folds is None:
            member = learn(loaded, job["workdir"])
            result, selection = member.run, member.selection
            chosen = selection
        else:
            several = ensemble.run(learn, count=folds, tell=say, **job)
            result = several.run
            split = loaded[examples.TRAIN]
            fold_scores = {
                **report_lib.score_folds(
                    loaded.task, split.labels, several.predicted, several.folds
                ),
                "temperature": several.temperature,
                "selections": several.selections,
            }
            chosen = next(iter(several.selections), None)
        if not result.is_chief:
            return None
        graph: Any = result.model
        results = pathlib.Path(workdir or folder, "results")
        report = report_lib.write(
            graph,
            loaded,
            results,
            training=result.metrics,
            selection=selection,
            folds=fold_scores,
            notes=strands_lib.notes(
                loaded,
                selection=chosen,
                reads_both=graph.config.both_strands,
            ),
        )
        if workdir is not None:
            release = command.release_folder(workdir)
            export.write_release(
                graph,
                result.config.to_json(),
                directory=release,
                name=release.name,
                metrics=report.to_json(),
                flags_text=flags_text,
                tell=say,
            )
        with (results / "predictions.tsv").open(encoding="utf-8", newline="") as file:
            predictions = list(csv.DictReader(file, delimiter="\t"))
        plots = {path.stem: path.read_bytes() for path in sorted(results.glob("*.png"))}
    return Fit(
        classifier=classifier_lib.wrap(graph),
        report=report,
        predictions=predictions,
        plots=plots,
        workdir=None if workdir is None else pathlib.Path(workdir),
    )


def _is_table(data: Any) -> bool:
    path = pathlib.Path(data)
    return path.is_file() or path.suffix in _TABLES


def _table(part: Any, path: pathlib.Path) -> str:
    """Returns the path of a table; a pair (sequences, labels) is written to `path`."""
    if not isinstance(part, tuple):
        return os.fspath(part)
    sequences, labels = part
    if len(sequences) != len(labels):
        raise ValueError(
            f"the numbers of sequences ({len(sequences)}) and labels ({len(labels)})"
            " differ"
        )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["id", "sequence", "label"])
        for index, (sequence, label) in enumerate(zip(sequences, labels, strict=True)):
            text = sequence.decode() if isinstance(sequence, bytes) else str(sequence)
            writer.writerow([f"sequence_{index}", text, label])
    return os.fspath(path)
