"""The training loop of every model, with runs that can be resumed; keras only.

An `Engine` computes the steps and saves checkpoints. `engines` has one for each backend
of Keras.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import keras

from genomenet.data import sources
from genomenet.layers import precision
from genomenet.models import family as family_lib
from genomenet.training import gradients, signals
from genomenet.training import progress as progress_lib
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

_LOG_EVERY: Final = 10  # steps between rows of metrics.jsonl and checks of the loss


class TrainingError(RuntimeError):
    """Training cannot continue; one line gives the reason and the last checkpoint."""


class Stopped(Exception):  # noqa: N818 - not an error
    """A signal stopped the run, which has been saved.

    Attributes:
        step: The step that was saved.
        signal_number: The signal; 0 if another worker received it.
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
        config: The configuration of the run.
        metrics: Metrics of the last evaluation, and "steps".
        is_chief: Whether this process writes the files of the run.
        resumed: Whether the run was finished before, so that nothing was trained.
    """

    model: keras.Model
    config: workdir_lib.RunConfig
    metrics: Mapping[str, float]
    is_chief: bool
    resumed: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """The model, objective and data of a run.

    Attributes:
        objective: Has `loss(model, batch, *, training, gather)` and
            `derived_metrics(means)`, as in `genomenet.models.family.Family`.
        make_model: Builds the model with its initial weights, under the strategy.
        batches: Function of the index of the first batch, the index of this process
            and the number of processes. Yields this process's rows without end.
        held_out: Batches of the validation split; the same at every evaluation.
        bases_per_row: Bases in a row.
        baseline: Computes the chance-level loss and accuracy for a model, as
            "val_chance_loss" and "val_chance".
        is_done: Decides from the rows of `metrics.jsonl` whether to end early.
        best: File for the weights with the lowest validation loss. The run returns
            these weights; if None, it returns the last ones.
        parts: Number of parts of each batch, which `batches` yields one by one. Their
            gradients are summed, which saves memory and gives the same step.
    """

    objective: Any
    make_model: Callable[[], keras.Model]
    batches: Callable[[int, int, int], Generator[Mapping[str, Any]]]
    held_out: Sequence[Mapping[str, Any]]
    bases_per_row: int
    baseline: Callable[[keras.Model], Mapping[str, float]] = lambda model: {}
    is_done: Callable[[Sequence[Mapping[str, float]]], bool] = lambda rows: False
    best: pathlib.Path | None = None
    parts: int = 1


class Engine(Protocol):
    """Computes the steps of a run and holds its weights, data and checkpoints.

    Attributes:
        model: The model. It holds the trained weights only after `write_back`.
        optimizer: Its optimizer.
        is_alone: Whether no other process takes part.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    is_alone: bool

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint on disk, or None."""
        ...

    def restore(self) -> tuple[int, dict[str, float]]:
        """Restores the newest checkpoint; returns its step, or 0, and its sums."""
        ...

    def save(self, step: int, totals: Mapping[str, float]) -> None:
        """Saves a checkpoint, at most one per step and only on the chief."""
        ...

    def train(self, stop: bool) -> Mapping[str, Any]:
        """Makes one optimizer step on the next batches.

        Args:
            stop: Whether this process has been asked to stop.

        Returns:
            Sums over all rows, each of a metric times the row's weight: "weight",
            "loss", the family's metrics, and "stop", which is above 0 if any process
            was asked to stop. They may still be being computed.
        """
        ...

    def evaluate(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Scores one global batch; returns sums as `train` does."""
        ...

    def write_back(self) -> None:
        """Copies the trained weights into the model."""
        ...

    def close(self) -> None:
        """Ends the prefetching of batches."""
        ...


class Devices(Protocol):
    """The devices of a run, in this process and others; made by `engines.devices`.

    Attributes:
        is_chief: Whether this process writes the files of the run.
        num_replicas: Number of devices that share a batch, over all processes.
        is_cpu: Whether all of them are CPUs.
    """

    is_chief: bool
    num_replicas: int
    is_cpu: bool

    def check(self, settings: settings_lib.Settings) -> None:
        """Raises a ValueError if the devices do not support the settings."""
        ...

    def scope(self) -> AbstractContextManager[Any]:
        """Returns the context in which models are built on the devices."""
        ...

    def engine(
        self, job: Job, settings: settings_lib.Settings, folder: workdir_lib.Workdir
    ) -> Engine:
        """Makes the engine that computes this process's part of a run."""
        ...


def run(
    job: Job,
    config: workdir_lib.RunConfig,
    *,
    folder: workdir_lib.Workdir,
    devices: Devices,
) -> Result:
    """Trains a model, or resumes an interrupted run.

    Args:
        job: The model, objective and data.
        config: The configuration of the run, which `folder` has adopted.
        folder: Folder of the run.
        devices: Where to compute.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: If the run in the folder already has more steps.
        TrainingError: If the loss is not finite.
        Stopped: If a signal arrived; the run has been saved.
    """
    with signals.noted() as asked, weights_of(config.settings):
        return _Run(job, config, folder, devices).finish(asked)


@contextmanager
def weights_of(settings: settings_lib.Settings) -> Iterator[None]:
    """Sets the precision and the seed of a run, and restores both afterwards.

    The seed is that of Python's generator, from which Keras draws the seeds of
    initial weights and of dropout.
    """
    state = random.getstate()
    random.seed(settings.seed)
    try:
        with precision.policy(settings.precision):
            yield
    finally:
        random.setstate(state)


def check_batch_size(settings: settings_lib.Settings, num_replicas: int) -> None:
    """Raises a ValueError if batches cannot be divided evenly among the devices."""
    if settings.batch_size % num_replicas:
        raise ValueError(
            f"batch_size={settings.batch_size} must be a multiple of the"
            f" {num_replicas} replicas"
        )


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        job: Job,
        run_config: workdir_lib.RunConfig,
        folder: workdir_lib.Workdir,
        devices: Devices,
    ):
        self.job = job
        self.run_config = run_config
        self.settings = settings = run_config.settings
        self.folder = folder
        part_settings = dataclasses.replace(
            settings,
            batch_size=settings.batch_size // job.parts,
            accumulate=settings.accumulate * job.parts,
        )
        self.engine = devices.engine(job, part_settings, folder)
        self.baseline = dict(job.baseline(self.engine.model)) if job.held_out else {}
        self._sequences = settings.batch_size * settings.accumulate
        self._bases = self._sequences * job.bases_per_row

    def finish(self, asked: Callable[[], int]) -> Result:
        """Trains to the last step and returns the result."""
        settings = self.settings
        first, totals = self.engine.restore()
        if first > settings.steps:
            raise ValueError(
                f"{self.folder.path} has been trained for {first} steps, more than"
                f" steps={settings.steps}; use another workdir, or more steps"
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
        self.rows = [
            row
            for row in workdir_lib.read_metrics(self.folder.path)
            if row["step"] <= first
        ]
        is_over = first == settings.steps or self.job.is_done(self.rows)
        if first and not is_over:
            self.progress.say(f"resuming from step {first} of {settings.steps}")
        try:
            if not is_over:
                self._train(first, totals, asked)
        finally:
            self.progress.close()
            self.engine.close()
            if self.log is not None:
                self.log.close()
        if not self.folder.read_only:
            self._draw()
        self.engine.write_back()
        if self.job.best is not None and self.job.best.exists():
            _load(self.engine.model, self.job.best)
        return Result(
            model=self.engine.model,
            config=self.run_config,
            metrics=self._last_metrics(),
            is_chief=not self.folder.read_only,
            resumed=is_over,
        )

    def _train(
        self, first: int, totals: dict[str, float], asked: Callable[[], int]
    ) -> None:
        settings = self.settings
        pending_sums: list[tuple[int, Mapping[str, Any]]] = []
        for step in range(first + 1, settings.steps + 1):
            pending_sums.append((step, self.engine.train(bool(asked()))))
            if step == first + 1:
                self.progress.start_clock(step)
            is_row = step % _LOG_EVERY == 0 or step == settings.steps
            is_save = step % settings.checkpoint_every == 0 or step == settings.steps
            is_eval = step % settings.eval_every == 0 or step == settings.steps
            wants_stop = self.engine.is_alone and asked()
            if not (is_row or is_save or is_eval or wants_stop):
                continue
            is_stop = self._look(pending_sums, totals) or wants_stop
            row: dict[str, float] = {}
            if is_row:
                row = self._row(step, totals)
                totals.clear()
            if is_eval and self.job.held_out:
                row.update(self._evaluate(step))
            if row:
                self._note({"step": step, **row})
            is_over = is_eval and self.job.is_done(self.rows)
            if is_save or is_stop or is_over:
                begin = time.monotonic()
                self.engine.save(step, totals)
                self.progress.exclude(time.monotonic() - begin)
            if is_over:
                self.progress.say(f"step {step}: stopped early, no improvement")
                return
            if is_stop and step < settings.steps:
                raise Stopped(step, asked())

    def _draw(self) -> None:
        try:
            progress_lib.save_curves(self.folder.path)
        except ImportError:
            self.progress.say("learning curves need matplotlib, which is not installed")

    def _note(self, row: dict[str, float]) -> None:
        """Writes a row of metrics, and the weights if their loss is the lowest."""
        best = self.job.best
        if best is not None and "val_loss" in row and not self.folder.read_only:
            earlier = [r["val_loss"] for r in self.rows if "val_loss" in r]
            if not earlier or row["val_loss"] < min(earlier):
                partial = best.with_name(f".{best.name}")
                self.engine.write_back()
                family_lib.save_weights(self.engine.model, partial)
                partial.replace(best)
        self.rows.append(row)
        if self.log is not None:
            self.log.write(row)

    def _look(
        self,
        pending_sums: list[tuple[int, Mapping[str, Any]]],
        totals: dict[str, float],
    ) -> bool:
        """Adds sums of steps to the totals; returns whether any was asked to stop."""
        is_stop = False
        for step, sums in pending_sums:
            values = {name: float(value) for name, value in sums.items()}
            is_stop |= values.pop("stop") > 0
            if not math.isfinite(values["loss"]):
                raise TrainingError(self._not_finite(step, values["loss"]))
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value
        if pending_sums:
            means = self._means(totals)
            self.progress.update(pending_sums[-1][0], means)
            pending_sums.clear()
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
        for batch in self.job.held_out:
            for name, value in self.engine.evaluate(batch).items():
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
        means = gradients.means(totals)
        derive = self.job.objective.derived_metrics
        return {**means, **derive(means)} if means else means

    def _learning_rate(self, step: int) -> float:
        optimizer: Any = self.engine.optimizer
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return float(inner._learning_rate(step))

    def _not_finite(self, step: int, loss: float) -> str:
        saved = self.engine.latest_step
        last = (
            "there is no checkpoint before it"
            if saved is None
            else f"the last good checkpoint is step {saved}, in"
            f" {self.folder.checkpoints}"
        )
        return (
            f"the loss became {loss} at step {step}, with a learning rate of"
            f" {self._learning_rate(step - 1):.3g}; {last}; try a lower"
            " learning_rate in a new workdir"
        )

    def _last_metrics(self) -> dict[str, float]:
        """Returns the latest metrics, those of the best evaluation where it is kept."""
        rows = workdir_lib.read_metrics(self.folder.path)
        metrics: dict[str, float] = {}
        for row in rows:
            metrics.update(row)
        evaluated = [row for row in rows if "val_loss" in row]
        if self.job.best is not None and evaluated:
            metrics.update(min(evaluated, key=lambda row: row["val_loss"]))
        metrics.pop("step", None)
        metrics["steps"] = rows[-1]["step"] if rows else self.settings.steps
        return metrics


def _load(model: keras.Model, path: pathlib.Path) -> None:
    """Loads the weights of the best evaluation."""
    try:
        model.load_weights(path)
    except Exception as e:  # its type depends on the damage
        cause = f"{sources.cause(e):.200}"
        raise ValueError(f"{path} is damaged ({cause}): use another workdir") from e
