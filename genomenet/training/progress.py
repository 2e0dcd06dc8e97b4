"""The progress line and the learning curves of a run."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Final, TextIO

from genomenet import atomic
from genomenet.training import workdir as workdir_lib

_PLAIN_SECONDS: Final = 10.0  # between lines if the stream is not a terminal


class ProgressLine:
    """Shows the progress of a run: one live line in a terminal, else periodic lines.

    Args:
        steps: Steps of the whole run.
        step: Step from which the run starts or resumes.
        bases_per_step: Bases that a step reads, over all replicas.
        sequences_per_step: Windows that a step reads, over all replicas.
        stream: Where to write; standard error by default.
    """

    def __init__(
        self,
        *,
        steps: int,
        step: int,
        bases_per_step: int,
        sequences_per_step: int,
        stream: TextIO | None = None,
    ):
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._steps = steps
        self._bases, self._sequences = bases_per_step, sequences_per_step
        self._first_step = self._last_step = step
        self._begin: float | None = None
        self._paused = 0.0
        self._printed = 0.0
        self._width = 0

    def start_clock(self, step: int) -> None:
        """Starts to measure speed; called after the first step, which compiles."""
        self._begin = time.monotonic()
        self._first_step = step

    def speed(self, step: int) -> dict[str, float]:
        """Returns sequences and bases per second since the clock was started."""
        if self._begin is None or step == self._first_step:
            return {}
        seconds = time.monotonic() - self._begin - self._paused
        rate = (step - self._first_step) / max(seconds, 1e-9)
        return {
            "sequences_per_second": rate * self._sequences,
            "bases_per_second": rate * self._bases,
        }

    def exclude(self, seconds: float) -> None:
        """Excludes time that was not spent on training from the speed."""
        self._paused += seconds

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows a step with the metrics since the last row of the log."""
        self._last_step = step
        now = time.monotonic()
        if not self._is_terminal and now - self._printed < _PLAIN_SECONDS:
            return
        self._printed = now
        line = self._format(step, metrics)
        if self._is_terminal:
            columns = os.get_terminal_size(self._stream.fileno()).columns
            line = line[: max(columns - 1, 20)]
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Prints a permanent line."""
        if self._is_terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Ends the live line."""
        if self._is_terminal and self._width:
            self._stream.write("\n")
            self._width = 0

    def _format(self, step: int, metrics: Mapping[str, float]) -> str:
        parts = [f"step {step}/{self._steps}", *describe(metrics)]
        speed = self.speed(step)
        if speed:
            parts.append(f"{speed['sequences_per_second']:,.0f} sequences/s")
            parts.append(f"{speed['bases_per_second'] / 1e3:,.1f} kb/s")
            rate = speed["sequences_per_second"] / self._sequences
            parts.append(f"ETA {duration((self._steps - step) / rate)}")
        return " | ".join(parts)


def describe(metrics: Mapping[str, float], prefix: str = "") -> list[str]:
    """Returns loss and accuracy as text, each with its chance level."""
    parts = []
    if f"{prefix}loss" in metrics:
        text = f"loss {metrics[f'{prefix}loss']:.4f}"
        if f"{prefix}chance_loss" in metrics:
            text += f" (chance {metrics[f'{prefix}chance_loss']:.4f})"
        parts.append(text)
    if f"{prefix}accuracy" in metrics:
        text = f"accuracy {metrics[f'{prefix}accuracy']:.2%}"
        if f"{prefix}chance" in metrics:
            text += f" (chance {metrics[f'{prefix}chance']:.2%})"
        parts.append(text)
    return parts


def duration(seconds: float) -> str:
    """Formats a duration as 'h:mm:ss' or 'm:ss'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def save_curves(path: pathlib.Path) -> pathlib.Path | None:
    """Plots training and validation loss and accuracy of a run.

    Args:
        path: The run's folder, with its `metrics.jsonl`.

    Returns:
        The path of `learning_curves.png` in it, or None if there is nothing to plot.
    """
    from matplotlib import figure as figure_lib  # slow to import

    rows = workdir_lib.read_metrics(path)
    names = [
        column for column in ("loss", "accuracy") if any(column in row for row in rows)
    ]
    if not names:
        return None
    figure = figure_lib.Figure(figsize=(5.2 * len(names), 3.6), layout="constrained")
    for name, axis in zip(
        names, figure.subplots(1, len(names), squeeze=False)[0], strict=True
    ):
        for key, label, style in (
            (name, "training", {"linewidth": 1, "alpha": 0.6}),
            (f"val_{name}", "validation", {"marker": "o", "markersize": 3}),
        ):
            points = [(row["step"], row[key]) for row in rows if key in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=label, **style)
        chance_key = {"loss": "val_chance_loss", "accuracy": "val_chance"}[name]
        chance = [row[chance_key] for row in rows if chance_key in row]
        if chance:
            axis.axhline(chance[-1], color="grey", linestyle=":", label="chance")
        axis.set_xlabel("step")
        axis.set_ylabel(f"{name} (nats)" if name == "loss" else name)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    with atomic.replacing(path / "learning_curves.png") as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path / "learning_curves.png"
