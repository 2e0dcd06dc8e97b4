"""Writes a trained run as a release folder: `python -m genomenet.export --help`."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags, logging

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_NAME = flags.DEFINE_string("name", None, "Name of the model.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The release folder (default: <workdir>/export/<name>)."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a folder that is there.")


def main(argv: Sequence[str]) -> None:
    """Restores the newest checkpoint and writes the folder."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    try:
        print(_export(pathlib.Path(_WORKDIR.value), _NAME.value))
    except (ValueError, OSError) as e:
        print(f"export: {e}", file=sys.stderr)
        sys.exit(1)


def _export(workdir: pathlib.Path, name: str) -> pathlib.Path:
    output = pathlib.Path(_OUTPUT.value or workdir / "export" / name)
    if pathlib.PurePath(name).name != name or name.startswith("."):
        raise ValueError(f"--name={name} is not the name of a folder")
    if output.exists() and not _OVERWRITE.value:
        raise ValueError(f"{output} exists: give --overwrite to replace it")
    from genomenet import startup

    startup.load_tensorflow()
    from genomenet import models
    from genomenet.release import export, folder
    from genomenet.training import checkpoint
    from genomenet.training import workdir as workdir_lib

    config = folder.read_config(workdir)
    family = models.get_family(config["family"])
    model = family.build(family.from_dict(config["model"]))
    step = checkpoint.load_weights(model, workdir)
    metrics: dict[str, float] = {}
    for row in workdir_lib.read_metrics(workdir):
        if row["step"] <= step:
            metrics.update(row)
    metrics.pop("step", None)
    flags_file = workdir / "flags.txt"
    return export.write_release(
        model,
        config,
        directory=output,
        name=name,
        metrics={**metrics, "steps": step},
        flags_text=flags_file.read_text() if flags_file.exists() else "",
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    app.run(main)
