"""The training loop of every family: pretraining that can be stopped anywhere."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import keras
import tensorflow as tf

from genomenet import models
from genomenet.data import pipeline
from genomenet.training import checkpoint as checkpoint_lib
from genomenet.training import progress as progress_lib
from genomenet.training import schedule
from genomenet.training import settings as settings_lib
from genomenet.training import step as step_lib
from genomenet.training import strategy as strategy_lib
from genomenet.training import workdir as workdir_lib

_LOG_EVERY: Final = 10  # steps: between rows of metrics.jsonl, and looks at the loss
_SEEN_WINDOWS: Final = 2048  # of the training split, for the trivial baseline


class TrainingError(RuntimeError):
    """Training cannot go on; one line says why and from where to go on."""


class Stopped(Exception):  # noqa: N818 - not an error
    """A signal asked the run to stop; it has been saved.

    Attributes:
        step: The step that was saved.
        signal_number: The signal, 0 if another worker was asked.
    """

    def __init__(self, step: int, signal_number: int):
        super().__init__(f"stopped at step {step}")
        self.step = step
        self.signal_number = signal_number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    Attributes:
        model: The trained model.
        config: What the run is.
        metrics: Of the last evaluation, and "steps".
        is_chief: Whether this process writes the files of the run.
        resumed: Whether there was nothing left to do.
    """

    model: keras.Model
    config: workdir_lib.RunConfig
    metrics: Mapping[str, float]
    is_chief: bool
    resumed: bool


def run(
    *,
    family: str,
    model: Mapping[str, Any],
    settings: settings_lib.Settings,
    dataset: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    strategy: tf.distribute.Strategy | None = None,
    flags_text: str = "",
) -> Result:
    """Trains a model, or goes on with a run that was stopped.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How to train.
        dataset: Folder of a prepared dataset.
        workdir: Folder of the run.
        strategy: Where to compute, of `strategy.make`; one device by default.
        flags_text: The command's flags, kept in the folder.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the model, the settings, the dataset and the folder do not
            fit each other.
        TrainingError: If the loss is not finite.
        Stopped: If a signal came; the run has been saved.
    """
    strategy = strategy or strategy_lib.make("none")
    members = models.get_family(family)
    config = members.from_dict(model)
    data = pipeline.Prepared(dataset)
    run_config = workdir_lib.RunConfig(
        family=family,
        model=members.to_dict(config),
        settings=settings,
        dataset=_identity(data),
    )
    is_chief = strategy_lib.is_chief(strategy)
    folder = workdir_lib.Workdir(workdir, read_only=not is_chief)
    try:
        cutting = pipeline.Cutting(**dataclasses.asdict(members.window(config)))
        _check(data, cutting, settings, strategy)
        folder.adopt(run_config, flags_text=flags_text)
        with _signals() as asked:
            return _Run(
                members, config, run_config, data, cutting, folder, strategy
            ).finish(asked)
    finally:
        folder.close()


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        family: Any,
        config: Any,
        run_config: workdir_lib.RunConfig,
        data: pipeline.Prepared,
        cutting: pipeline.Cutting,
        folder: workdir_lib.Workdir,
        strategy: tf.distribute.Strategy,
    ):
        self.run_config = run_config
        self.settings = settings = run_config.settings
        self.folder = folder
        self.strategy = strategy
        keras.utils.set_random_seed(settings.seed)
        keras.config.set_dtype_policy(settings.precision)
        with strategy.scope():
            self.model = family.build(config)
            self.optimizer = schedule.make_optimizer(settings, self.model)
        self.steps = step_lib.Steps(
            family, self.model, self.optimizer, strategy=strategy, settings=settings
        )
        self.iterator = iter(
            pipeline.training_batches(
                data,
                "train",
                cutting,
                batch_size=settings.batch_size,
                seed=settings.seed,
                shuffle_buffer=settings.shuffle_buffer,
            )
        )
        self.family = family
        self.held_out = _held_out(data, cutting, settings, strategy)
        self.baseline = self._baseline(data, cutting) if self.held_out else {}
        self.checkpoints = checkpoint_lib.Checkpoints(
            folder.checkpoints,
            model=self.model,
            optimizer=self.optimizer,
            iterator=self.iterator,
            keep=settings.keep,
            read_only=folder.read_only,
        )
        sequences = settings.batch_size * settings.accumulate
        self._sequences = sequences
        self._bases = sequences * cutting.length

    def _baseline(
        self, data: pipeline.Prepared, cutting: pipeline.Cutting
    ) -> dict[str, float]:
        """Returns what a model scores that has learned nothing."""
        batch_size = self.settings.batch_size
        seen = pipeline.evaluation_batches(
            data,
            "train",
            cutting,
            batch_size=batch_size,
            num_batches=-(-_SEEN_WINDOWS // batch_size),
            seed=self.settings.seed,
        )
        found = self.family.trivial_baseline(self.model, list(seen), self.held_out)
        return {
            f"val_{name}": found[key]
            for key, name in (("loss", "chance_loss"), ("accuracy", "chance"))
            if key in found
        }

    def finish(self, asked: Callable[[], int]) -> Result:
        """Trains to the last step."""
        settings = self.settings
        first, totals = self.checkpoints.restore()
        if first > settings.steps:
            raise ValueError(
                f"{self.folder.path} has been trained for {first} steps, more than"
                f" --steps={settings.steps}"
            )
        self.progress = progress_lib.ProgressLine(
            steps=settings.steps,
            step=first,
            bases_per_step=self._bases,
            sequences_per_step=self._sequences,
            stream=io.StringIO() if self.folder.read_only else None,
        )
        self.log = None
        if not self.folder.read_only:
            self.log = workdir_lib.MetricsLog(self.folder.path, step=first)
        if 0 < first < settings.steps:
            self.progress.say(f"going on from step {first} of {settings.steps}")
        try:
            self._train(first, totals, asked)
        finally:
            self.progress.close()
            if self.log is not None:
                self.log.close()
        if not self.folder.read_only:
            progress_lib.save_curves(self.folder.path)
        return Result(
            model=self.model,
            config=self.run_config,
            metrics=self._last_metrics(),
            is_chief=not self.folder.read_only,
            resumed=first == settings.steps,
        )

    def _train(
        self, first: int, totals: dict[str, float], asked: Callable[[], int]
    ) -> None:
        settings = self.settings
        is_alone = not strategy_lib.is_multi_worker(self.strategy)
        pending: list[tuple[int, dict[str, tf.Tensor]]] = []
        for step in range(first + 1, settings.steps + 1):
            batches = [next(self.iterator) for _ in range(settings.accumulate)]
            pending.append((step, self.steps.train(batches, bool(asked()))))
            if step == first + 1:
                self.progress.start_clock(step)
            is_row = step % _LOG_EVERY == 0 or step == settings.steps
            is_save = step % settings.checkpoint_every == 0 or step == settings.steps
            is_eval = step % settings.eval_every == 0 or step == settings.steps
            wants_stop = is_alone and asked()
            if not (is_row or is_save or is_eval or wants_stop):
                continue
            is_stop = self._look(pending, totals) or wants_stop
            row: dict[str, float] = {}
            if is_row:
                row = self._row(step, totals)
                totals.clear()
            if is_eval and self.held_out:
                row.update(self._evaluate(step))
            if row and self.log is not None:
                self.log.write({"step": step, **row})
            if is_save or is_stop:
                begin = time.monotonic()
                self.checkpoints.save(step, totals)
                self.progress.exclude(time.monotonic() - begin)
            if is_stop and step < settings.steps:
                raise Stopped(step, asked())

    def _look(
        self, pending: list[tuple[int, dict[str, tf.Tensor]]], totals: dict[str, float]
    ) -> bool:
        """Adds what steps returned to the totals; True if any was asked to stop."""
        is_stop = False
        for step, sums in pending:
            values = {name: float(value) for name, value in sums.items()}
            is_stop |= values.pop("stop") > 0
            if not math.isfinite(values["loss"]):
                raise TrainingError(self._not_finite(step, values["loss"]))
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value
        if pending:
            means = self._means(totals)
            self.progress.update(pending[-1][0], means)
            pending.clear()
        return is_stop

    def _row(self, step: int, totals: Mapping[str, float]) -> dict[str, float]:
        return {
            **self._means(totals),
            "learning_rate": self._learning_rate(step - 1),
            **self.progress.speed(step),
        }

    def _evaluate(self, step: int) -> dict[str, float]:
        begin = time.monotonic()
        totals: dict[str, float] = {}
        for batch in self.held_out:
            for name, value in self.steps.evaluate(batch).items():
                totals[name] = totals.get(name, 0.0) + float(value)
        means = {f"val_{name}": value for name, value in self._means(totals).items()}
        means.update(self.baseline)
        self.progress.exclude(time.monotonic() - begin)
        if not math.isfinite(means["val_loss"]):
            raise TrainingError(self._not_finite(step, means["val_loss"]))
        self.progress.say(
            f"step {step}: validation "
            + ", ".join(progress_lib.describe(means, "val_"))
        )
        return means

    def _means(self, totals: Mapping[str, float]) -> dict[str, float]:
        weight = totals.get("weight", 0.0)
        means = {
            name: value / weight if weight else 0.0
            for name, value in totals.items()
            if name not in ("weight", "stop")
        }
        return {**means, **self.family.derived(means)} if means else means

    def _learning_rate(self, step: int) -> float:
        inner: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return float(inner._learning_rate(step))

    def _not_finite(self, step: int, loss: float) -> str:
        saved = self.checkpoints.latest_step
        last = (
            "there is no checkpoint before it"
            if saved is None
            else f"the last good checkpoint is step {saved}, in"
            f" {self.folder.checkpoints}"
        )
        return (
            f"the loss became {loss} at step {step}, with a learning rate of"
            f" {self._learning_rate(step - 1):.3g}; {last}; try a lower"
            " --learning_rate in a new --workdir"
        )

    def _last_metrics(self) -> dict[str, float]:
        rows = workdir_lib.read_metrics(self.folder.path)
        metrics: dict[str, float] = {}
        for row in rows:
            metrics.update(row)
        metrics["steps"] = self.settings.steps
        metrics.pop("step", None)
        return metrics


def _identity(data: pipeline.Prepared) -> dict[str, Any]:
    """Returns what tells one prepared dataset from another."""
    keys = ("chunk_length", "min_length", "splits", "seed", "bases")
    return {
        "name": data.name,
        "version": data.version,
        **{key: data.metadata[key] for key in keys if key in data.metadata},
    }


def _check(
    data: pipeline.Prepared,
    cutting: pipeline.Cutting,
    settings: settings_lib.Settings,
    strategy: tf.distribute.Strategy,
) -> None:
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise ValueError(
            f"--batch_size={settings.batch_size} cannot be dealt evenly to"
            f" {replicas} replicas"
        )
    if settings.precision == "mixed_float16" and replicas > 1:
        raise ValueError(
            "--precision=mixed_float16 works on one device only; with several take"
            " mixed_bfloat16"
        )
    data.check("train", cutting, batch_size=settings.batch_size)


def _held_out(
    data: pipeline.Prepared,
    cutting: pipeline.Cutting,
    settings: settings_lib.Settings,
    strategy: tf.distribute.Strategy,
) -> list[dict[str, tf.Tensor]]:
    """Reads the validation batches once; they are the same at every evaluation."""
    if "validation" not in data.splits:
        return []
    replicas = strategy.num_replicas_in_sync
    found = data.count("validation", cutting, at_most=settings.batch_size)
    batch_size = found - found % replicas
    if not batch_size:
        return []
    return list(
        pipeline.evaluation_batches(
            data,
            "validation",
            cutting,
            batch_size=batch_size,
            num_batches=settings.eval_batches,
            seed=settings.seed,
        )
    )


@contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Yields a function that tells which signal has come, 0 for none.

    The first SIGINT or SIGTERM is noted, the next one acts as it would have.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread
        before.clear()
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
