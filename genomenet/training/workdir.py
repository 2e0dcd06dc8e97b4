"""The folder of a run: its files, its lock, and the check before it is resumed."""

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
from typing import IO, Any, Final

import keras

from genomenet import atomic
from genomenet.training import settings as settings_lib

_SHOWN: Final = 3  # differences named in an error
_LONGEST: Final = 40  # letters of a value in an error


class WorkdirError(ValueError):
    """The folder cannot be used for this run; one line gives the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The configuration of a run: the content of its `config.json`.

    Attributes:
        family: A key of `genomenet.models.FAMILIES`.
        model: Fields of the family's config, as JSON values.
        settings: Training settings.
        dataset: Name, version and split options of the prepared dataset.
        parts: Further entries, each a dict: "classifier" and "init" for fine-tuning.
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
    """The folder of a run, locked while a process trains in it.

    Args:
        path: The folder; created if it is missing.
        read_only: Whether to lock and write nothing, as in processes that are not the
            chief.

    Raises:
        WorkdirError: If another process trains in it, or it is not writable.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False):
        self.path = pathlib.Path(path)
        self.read_only = read_only
        self._lock: IO[str] | None = None
        if not read_only:
            self._lock = self._acquire()

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def __enter__(self) -> Workdir:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the lock; the system releases it if the process is killed."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def adopt(self, config: RunConfig, *, flags_text: str = "") -> None:
        """Writes the configuration, after comparing it with one that is there.

        Args:
            config: The configuration of this run.
            flags_text: The command's flags, one per line.

        Raises:
            WorkdirError: If the folder holds a run that differs in more than
                `settings.CHANGEABLE`.
        """
        path = self.path / "config.json"
        new_content = config.to_json()
        if path.exists():
            old_content = _read_json(path)
            if settings_lib.RETIRED & set(old_content.get("training", {})):
                raise WorkdirError(
                    f"{self.path} holds a run of an earlier version, which read its"
                    " data in another order: use another workdir; to train its weights"
                    " further, set init=pretrained and model to its export"
                )
            differences = list(_differences(old_content, new_content))
            if differences:
                shown = "; ".join(differences[:_SHOWN])
                rest = len(differences) - _SHOWN
                more = f"; and {rest} more" if rest > 0 else ""
                raise WorkdirError(
                    f"use another workdir, or resume the run in {self.path} with its"
                    f" own data and settings, which are not these: {shown}{more}"
                )
        if self.read_only:
            return
        atomic.write_text(path, json.dumps(new_content, indent=2) + "\n")
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
            with lock, contextlib.suppress(OSError):  # Windows blocks readers
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
    """Writes `metrics.jsonl` and, on TensorFlow, event files of TensorBoard.

    Args:
        path: The run's folder.
        step: The step from which the run resumes. Rows after it and an incomplete last
            line are removed, and the event files are rewritten from the other rows.
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
        """Appends a row, which must have a "step"."""
        with self._file.open("a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")
        self._summarise(row)

    def close(self) -> None:
        """Closes the event files."""
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
        Its rows, none if there is no file. Incomplete and damaged lines are skipped.
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
    """Returns the versions of libraries and the commit of this checkout."""
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
    """Yields the differences that prevent a resume, those of the data first."""
    if old.get("family") != new["family"]:
        yield f"family: {old.get('family')} → {new['family']}"
        return
    parts = set(old) | set(new)
    # Other data change settings too, such as steps, so that data come first.
    order = {"dataset": 0, "training": 2}
    names = parts - {"format", "family"}
    for part in sorted(names, key=lambda name: (order.get(name, 1), name)):
        before, after = old.get(part, {}), new.get(part, {})
        for key in sorted(set(before) | set(after)):
            is_free = part == "training" and key in settings_lib.CHANGEABLE
            if is_free or before.get(key) == after.get(key):
                continue
            if part == "dataset" and key.endswith("_digest") and key in before:
                yield f"the {key.removesuffix('_digest')} sequences or labels differ"
                continue
            values = [_shortened(content.get(key)) for content in (before, after)]
            yield f"{part}.{key}: {' → '.join(values)}"


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
