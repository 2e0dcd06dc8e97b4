"""Fetches trained weights that are missing locally, from the cache or the network."""

from __future__ import annotations

import hashlib
import http.client
import os
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from genomenet import atomic, catalog, json_file
from genomenet.data import sources

_BLOCK: Final = 1 << 20
_TIMEOUT: Final = 60  # seconds without a response
_SLOWEST: Final = 20_000  # bytes per second below which a download is aborted
_SCHEMES: Final = ("https", "http", "file")


def names() -> list[str]:
    """Returns the sorted names of the models in `models/index.json`."""
    return sorted(_index()["models"])


def cached(name: str, file: str) -> pathlib.Path | None:
    """Returns the folder of a model in the user's cache if it has `file`, or None."""
    folder = cache() / "models" / name
    return folder if (folder / file).is_file() else None


def find(name: str, file: str) -> pathlib.Path | None:
    """Finds the folder of a released model, and downloads it if it is not cached.

    Every file is written under a temporary name and renamed after its size and SHA-256
    have been checked.

    Args:
        name: Name of the model.
        file: The required file. It is downloaded last, so that a folder that has it is
            complete.

    Returns:
        The folder in the cache, or None if no such model has been released.

    Raises:
        ValueError: If the model cannot be downloaded, or differs from the release.
    """
    index = _index()
    if name not in index["models"]:
        return None
    folder = cache() / "models" / name
    files = sorted(index["models"][name]["files"], key=lambda f: f["path"] == file)
    present = [entry for entry in files if (folder / entry["path"]).is_file()]
    damaged = [e for e in present if not _is_released(folder / e["path"], e)]
    if file in [entry["path"] for entry in present] and not damaged:
        return folder
    base = os.environ.get("GENOMENET_MODELS_URL") or index.get("base_url")
    if not base and damaged:
        raise ValueError(
            f"{folder / damaged[0]['path']} is not the released file: its size or"
            " SHA-256 differs; delete it and fetch it again"
        )
    if not base:
        raise ValueError(
            f"{name} is not on this machine, and models/index.json has no base_url to"
            f" fetch it from: set GENOMENET_MODELS_URL, or copy its files to {folder}"
        )
    for entry in files:
        _check_path(entry["path"])
        _fetch(f"{base.rstrip('/')}/{name}/{entry['path']}", entry, folder)
    return folder


def _fetch(url: str, entry: dict[str, Any], folder: pathlib.Path) -> None:
    path = folder / entry["path"]
    if path.is_file() and _is_released(path, entry):
        return
    digest, size = hashlib.sha256(), 0
    latest = time.monotonic() + _TIMEOUT + entry["size"] / _SLOWEST
    opener = urllib.request.build_opener(_SameScheme)
    try:
        if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
            raise OSError(f"use {', '.join(_SCHEMES)}")
        with (
            opener.open(url, timeout=_TIMEOUT) as answer,
            atomic.replacing(path) as partial,
        ):
            with partial.open("wb") as f:
                while block := answer.read1(_BLOCK):
                    if time.monotonic() > latest:
                        raise TimeoutError("the download is too slow")
                    size += len(block)
                    if size > entry["size"]:
                        break
                    digest.update(block)
                    f.write(block)
            if size != entry["size"] or digest.hexdigest() != entry["sha256"]:
                raise _OtherFileError(
                    f"{url} is not the released file: {size} bytes, SHA-256"
                    f" {digest.hexdigest()}; expected {entry['size']} bytes,"
                    f" {entry['sha256']}"
                )
    except _OtherFileError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as e:
        cause = str(getattr(e, "reason", None) or e or type(e).__name__)
        cause = cause if cause.isprintable() else repr(cause)
        if isinstance(e, urllib.error.HTTPError):
            e.close()
        raise ValueError(
            f"{url} cannot be fetched ({cause:.200}): fetch it in another way and copy"
            f" it to {path.parent}"
        ) from e


class _OtherFileError(ValueError):
    """The downloaded file differs from the released one."""


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not to another scheme, such as from https to http."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        schemes = [urllib.parse.urlsplit(u).scheme for u in (req.full_url, newurl)]
        if schemes[0] != schemes[1]:
            raise OSError(f"it redirects from {schemes[0]} to {schemes[1]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_released(path: pathlib.Path, entry: dict[str, Any]) -> bool:
    is_size = path.stat().st_size == entry["size"]
    return is_size and sources.sha256(path) == entry["sha256"]


def _check_path(text: str) -> None:
    path = pathlib.PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise ValueError(f"models/index.json names an unsafe path: {text!r}")


def cache() -> pathlib.Path:
    """Returns the user's cache: $GENOMENET_CACHE, or ~/.cache/genomenet."""
    given = os.environ.get("GENOMENET_CACHE") or "~/.cache/genomenet"
    return pathlib.Path(given).expanduser()


def _index() -> dict[str, Any]:
    path = catalog.models_root() / "index.json"
    if not path.is_file():
        return {"format": 1, "base_url": None, "models": {}}
    index = json_file.read(path)
    try:
        entries = [e for m in index["models"].values() for e in m["files"]]
        is_sound = all(
            isinstance(e["path"], str)
            and type(e["size"]) is int
            and isinstance(e["sha256"], str)
            for e in entries
        )
    except (KeyError, TypeError, AttributeError):
        is_sound = False
    if not is_sound or not isinstance(index.get("base_url"), str | None):
        raise ValueError(
            f"{path} is not an index of models: each model needs files with path, size"
            " and sha256"
        )
    return index
