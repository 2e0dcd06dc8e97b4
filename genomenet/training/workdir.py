"""The folder of a run: what it writes, and how a run is taken up again."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import IO, Any

import keras

from genomenet import atomic
from genomenet.training import settings as settings_lib


class WorkdirError(ValueError):
    """A folder that cannot hold this run; one line says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run is: the content of its `config.json`.

    Attributes:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: How it trains.
        dataset: Name, version and split options of the prepared dataset.
        parts: More of the content, each a dict: of fine-tuning "classifier", "init".
    """

    family: str
    model: Mapping[str, Any]
    settings: settings_lib.Settings
    dataset: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON values, in the format of a release's `config.json`."""
        return {
            "format": 1,
            "family": self.family,
            "model": dict(self.model),
            "training": dataclasses.asdict(self.settings),
            "dataset": dict(self.dataset),
            **{name: dict(part) for name, part in self.parts.items()},
        }


class Workdir:
    """A run's folder, locked while a process trains in it.

    Args:
        path: The folder; made where it is missing.
        read_only: For processes that are not the chief: nothing is locked or
            written.

    Raises:
        WorkdirError: If another process trains in it, or it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False):
        self.path = pathlib.Path(path)
        self.read_only = read_only
        self._lock: IO[str] | None = None
        if not read_only:
            self._lock = self._acquire()

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    def __enter__(self) -> Workdir:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the lock; the system does where the process is killed."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def adopt(self, config: RunConfig, *, flags_text: str = "") -> None:
        """Writes what the run is, or checks that it is the one begun here.

        Args:
            config: Of this run.
            flags_text: The command's flags, one a line.

        Raises:
            WorkdirError: If the folder holds a run that differs in more than
                `settings.CHANGEABLE`.
        """
        path = self.path / "config.json"
        new = config.to_json()
        if path.exists():
            old = _read_json(path)
            if settings_lib.RETIRED & set(old.get("training", {})):
                raise WorkdirError(
                    f"{self.path} holds a run of an earlier version, which read its"
                    " data in another order: take another workdir; to train its"
                    " weights further, init=pretrained with its export as model"
                )
            differences = list(_differences(old, new))
            if differences:
                raise WorkdirError(
                    f"{self.path} holds a run with other settings:"
                    f" {'; '.join(differences)}. Take another workdir, or the"
                    " settings of the run to go on with it"
                )
        if self.read_only:
            return
        atomic.write_text(path, json.dumps(new, indent=2) + "\n")
        atomic.write_text(self.path / "flags.txt", flags_text)
        versions = {**library_versions(), "dataset": dict(config.dataset)}
        atomic.write_text(
            self.path / "versions.json", json.dumps(versions, indent=2) + "\n"
        )

    def _acquire(self) -> IO[str]:
        owner = "unknown"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a+", encoding="utf-8")
        except OSError as e:
            raise WorkdirError(f"cannot write in {self.path}: {e.strerror}") from e
        if not atomic.lock(lock):
            with lock, contextlib.suppress(OSError):  # Windows keeps readers out
                lock.seek(0)
                owner = lock.read().strip() or owner
            raise WorkdirError(
                f"another process (pid {owner}) is training in {self.path}"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock


class MetricsLog:
    """`metrics.jsonl` and, made from it, the event files of TensorBoard.

    Without TensorFlow, which writes them, there are no event files.

    Args:
        path: The run's folder.
        step: The step the run goes on from: rows after it, and a torn last line,
            are cut off, and the event files are made anew from what is left.
    """

    def __init__(self, path: pathlib.Path, *, step: int):
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        self._file = path / "metrics.jsonl"
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        atomic.write_text(self._file, lines)
        events = path / "tensorboard"
        if events.exists():
            shutil.rmtree(events)
        self._writer = None
        if keras.backend.backend() != "tensorflow":
            return
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(os.fspath(events))
        for row in rows:
            self._summarise(row)

    def write(self, row: Mapping[str, float]) -> None:
        """Appends one row, which has a "step"."""
        with self._file.open("a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        self._summarise(row)

    def close(self) -> None:
        """Flushes the event files."""
        if self._writer is not None:
            self._writer.close()

    def _summarise(self, row: Mapping[str, float]) -> None:
        if self._writer is None:
            return
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name != "step":
                    self._tf.summary.scalar(name, value)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Reads `metrics.jsonl`.

    Args:
        path: The folder of a run.

    Returns:
        Its rows; without the file none. Lines that are torn or damaged are dropped.
    """
    file = pathlib.Path(path) / "metrics.jsonl"
    if not file.exists():
        return []
    rows = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, TypeError, KeyError):
            continue
        rows.append(row)
    return rows


def library_versions() -> dict[str, Any]:
    """Returns the versions that a run depends on, and this checkout's commit."""
    names = ("genomenet", "tensorflow", "keras", "jax", "tensorflow-datasets", "numpy")
    versions: dict[str, Any] = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    if versions["genomenet"] is None:  # run from a checkout, not installed
        import genomenet

        versions["genomenet"] = genomenet.__version__
    versions["git_commit"] = _git_commit()
    return versions


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = [content[key] for key in ("model", "training", "dataset")]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise WorkdirError(f"{path} is damaged: it holds no run ({e!r:.80})") from e
    if not all(isinstance(part, dict) for part in parts):
        raise WorkdirError(f"{path} is damaged: it holds no run")
    return content


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a run may not change, as `part.key: old → new`."""
    if old.get("family") != new["family"]:
        yield f"family: {old.get('family')} → {new['family']}"
        return
    parts = set(old) | set(new)
    for part in sorted(parts - {"format", "family"}):
        before, after = old.get(part, {}), new.get(part, {})
        for key in sorted(set(before) | set(after)):
            is_free = part == "training" and key in settings_lib.CHANGEABLE
            if not is_free and before.get(key) != after.get(key):
                yield f"{part}.{key}: {before.get(key)} → {after.get(key)}"
