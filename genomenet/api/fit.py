"""One call from labelled sequences to a classifier: what `genomenet.finetune` does."""

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
    """A classifier that was fitted, and what it is worth. Shows itself in a notebook.

    Attributes:
        classifier: The classifier.
        report: Scores with 95 % intervals, of the test split or what there is of it.
        predictions: A row for each sequence that was scored, by column.
        plots: Name → PNG.
        workdir: Folder of the run, with `results/` and the release in `export/`; None
            where nothing was kept.
    """

    classifier: classifier_lib.Classifier
    report: report_lib.Report
    predictions: Sequence[Mapping[str, str]]
    plots: Mapping[str, bytes]
    workdir: pathlib.Path | None

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Name → value with the ends of its interval."""
        return self.report.scores.values

    @property
    def release(self) -> pathlib.Path | None:
        """The release folder, where the run has a folder."""
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
        data: A table (TSV or CSV), a prepared dataset by name or folder, or sequences
            and labels. A table or pairs alone, without a split, are divided 80/10/10.
        validation: Of a table or pairs: the validation set.
        test: Of a table or pairs: the test set.
        task: "binary", "multiclass", "multi_label", "regression" or "auto".
        positive: Of two classes the one that F1 and AUPRC are about.
        shots: Training examples drawn of each class.
        label_fraction: Share of the training examples that is drawn.
        train_split: Of a dataset: the split to learn from.
        data_dir: Folder of all datasets.
        verify: Whether to compare the checksums of all of a dataset.
        seed: Of what is drawn.

    Returns:
        The examples.

    Raises:
        ValueError: If they cannot be read, or make no sense.
    """
    if isinstance(data, examples.Data):
        if validation is not None or test is not None:
            raise ValueError("validation and test go with a table")
        found = data
    elif isinstance(data, tuple) or _is_table(data):
        given = {"train": data, "validation": validation, "test": test}
        with tempfile.TemporaryDirectory() as folder:
            tables = {
                split: _table(part, pathlib.Path(folder, f"{split}.tsv"))
                for split, part in given.items()
                if part
            }
            found = examples.read_tables(tables, task=task, seed=seed)
    else:
        if validation is not None or test is not None:
            raise ValueError("validation and test go with a table, not with a dataset")
        path = catalogue.prepare(os.fspath(data), data_dir, verify=verify)
        found = examples.read_prepared(path, train=train_split)
    train = found[examples.TRAIN]
    if shots:
        train = examples.draw_shots(train, found.task, shots, seed=seed)
    if label_fraction is not None:
        train = examples.draw_fraction(train, found.task, label_fraction, seed=seed)
    return found.with_train(train).with_positive(positive)


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

    With at most 1,000 training sequences and a model that has weights, linear heads
    over what can be read of it are compared by cross-validation first, unless an option
    says how it is read or trained.

    Args:
        model: Name of a model, or path of its folder. A classifier that predicts the
            same gives its head too.
        data: As for `read_data`.
        validation: As for `read_data`.
        test: As for `read_data`.
        task: As for `read_data`.
        positive: As for `read_data`.
        shots: As for `read_data`.
        label_fraction: As for `read_data`.
        init: "pretrained" or "random"; pretrained where the model has weights.
        train: "all", "head" or "head_first"; see `training.finetune.Plan`.
        pool: How a window becomes one vector; the family's by default.
        readout: What is read of a sequence; see
            `models.classifier_config.ClassifierConfig`.
        strands: "both" or "forward".
        quick: Whether to leave it at the linear head where readouts are chosen.
        folds: Into how many the training split is cut, where the classifier is to be
            the mean of as many, each learnt from all folds but one and scored on it.
        window: Bases read at once.
        over_windows: "mean" or "attention".
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean of both strands.
        class_weights: Whether all classes weigh the same.
        epochs: Passes over the training data.
        patience: Epochs without a lower validation loss that end the run; 0: never.
        batch_size: Examples in a step.
        learning_rate: Peak rate; that of the family by default.
        dropout: Share of channels dropped in training.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        jit_compile: Whether XLA compiles the steps.
        seed: Of draws, weights, order and strands.
        workdir: Folder of the run, which goes on where it was stopped; results and a
            release are written there. None keeps nothing on the disk.
        distribute: Devices, as for `training.engines.devices`.
        flags_text: Kept in the folder of the run and in the release.
        tell: Called with each line on what is done; written to stderr by default.

    Returns:
        The classifier and its scores; None in processes that are not the chief.

    Raises:
        ValueError: If the model, the data and the options do not fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal came; a run with a folder has been saved.

    Example:
        >>> import genomenet  # doctest: +SKIP
        >>> fit = genomenet.fit_classifier("logo6_genemask_human", "peaks.tsv")
        >>> fit.metrics["auroc"].value
        >>> fit.classifier.predict(["ACGTTGCA" * 20])
    """
    say = tell or (lambda line: print(line, file=sys.stderr))
    devices = engines.devices(distribute)
    given = start_lib.read_start(model, init, dropout=dropout)
    found = read_data(
        data,
        validation,
        test,
        task=task,
        positive=positive,
        shots=shots,
        label_fraction=label_fraction,
        seed=seed,
    )
    for line in report_lib.describe(found):
        say(line)
    older = (init, train, pool, over_windows, augment, both_strands)
    is_few = given.model is not None and len(found[examples.TRAIN]) <= finetune.FEW
    train = train or (finetune.HEAD_FIRST if is_few else finetune.ALL)
    if learning_rate is None:
        learning_rate = finetune.rate(models.get_family(given.family), train)
    config = start_lib.make_config(
        given,
        found,
        pool=pool,
        window=window,
        over_windows=over_windows or "mean",
        dropout=dropout,
        augment=augment is not False,
        both_strands=both_strands is not False,
    )
    is_chosen = is_few and all(option is None for option in older)
    if not is_chosen and (readout or strands):
        names = readout or [config.pool]
        config = few_labels.with_readout(config, names, strands or config_lib.BOTH)
    pretrained = given.for_task(config)
    has_head = isinstance(pretrained, graph_lib.Classifier)
    is_chosen = is_chosen and not has_head
    if given.classifier is not None:
        which = "its head too" if has_head else "a fresh head"
        say(f"begins with the encoder of {os.fspath(model)} and {which}")
    if train == finetune.HEAD_FIRST and not has_head and not is_chosen:
        say("trains the head, then all weights on from it")
    with tempfile.TemporaryDirectory() as folder:
        job: dict[str, Any] = {
            "family": given.family,
            "encoder": given.encoder,
            "classifier": config,
            "data": found,
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
            own = {**job, "data": known, "workdir": folder}
            if not is_chosen or given.model is None:
                return ensemble.Member(run=finetune.run(**own, pretrained=pretrained))
            few = few_labels.run(
                **own,
                pretrained=given.model,
                readout=readout,
                strands=kind[1] if kind else strands,
                tune=kind[0] if kind else (False if quick else None),
            )
            say(few.describe())
            graph: Any = few.run.model
            kind = few.is_tuned, graph.config.strands
            return ensemble.Member(run=few.run, kind=kind, selection=few.to_json())

        selection = of_folds = None
        if folds is None:
            one = learn(found, job["workdir"])
            result, selection = one.run, one.selection
            chosen = selection
        else:
            several = ensemble.run(learn, count=folds, tell=say, **job)
            result = several.run
            split = found[examples.TRAIN]
            of_folds = {
                **report_lib.score_folds(
                    found.task, split.labels, several.predicted, several.folds
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
            found,
            results,
            training=result.metrics,
            selection=selection,
            folds=of_folds,
            notes=strands_lib.notes(
                found,
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
    """Returns the file of a table; of sequences and labels, one that is written."""
    if not isinstance(part, tuple):
        return os.fspath(part)
    sequences, labels = part
    if len(sequences) != len(labels):
        raise ValueError(f"{len(sequences)} sequences have {len(labels)} labels")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["id", "sequence", "label"])
        for number, (sequence, label) in enumerate(zip(sequences, labels, strict=True)):
            text = sequence.decode() if isinstance(sequence, bytes) else str(sequence)
            writer.writerow([f"sequence_{number}", text, label])
    return os.fspath(path)
