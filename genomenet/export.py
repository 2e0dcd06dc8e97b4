"""Writes a trained run as a release folder: `python -m genomenet.export --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib

from absl import app, flags

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_FROM_NPZ = flags.DEFINE_string(
    "from_npz",
    None,
    "Instead of --workdir: an .npz file of weights from an earlier version, in a folder"
    " with config.json, metrics.jsonl and flags.txt.",
)
_NAME = flags.DEFINE_string("name", None, "Name of the model.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The release folder (default: export/<name> in the run's folder)."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing folder.")


def main() -> None:
    """Loads the trained weights and writes the folder."""
    if (_WORKDIR.value is None) == (_FROM_NPZ.value is None):
        raise app.UsageError("give either --workdir or --from_npz")
    with startup.refusing("export"):
        print(_export(_NAME.value))


def _export(name: str) -> pathlib.Path:
    npz = _FROM_NPZ.value
    workdir = pathlib.Path(npz).parent if npz else pathlib.Path(_WORKDIR.value or "")
    output = pathlib.Path(_OUTPUT.value or workdir / "export" / name)
    if pathlib.PurePath(name).name != name or name.startswith("."):
        raise ValueError(f"--name={name} must be a folder name, without separators")
    if output.exists() and not _OVERWRITE.value:
        raise ValueError(f"{output} exists: give --overwrite to replace it")
    from genomenet import json_file, startup

    json_file.read(workdir / "config.json")
    startup.load_tensorflow()
    from genomenet import models
    from genomenet.release import export, folder
    from genomenet.training import npz_file
    from genomenet.training import workdir as workdir_lib
    from genomenet.training.engines import checkpoint

    config = folder.read_config(workdir)
    family = models.get_family(config["family"])
    model = family.build(family.from_dict(config["model"]))
    rows = workdir_lib.read_metrics(workdir)
    if npz is None:
        is_jax = any((workdir / "checkpoints").glob("step-*.npz"))
        load = npz_file.load_weights if is_jax else checkpoint.load_weights
        step = load(model, workdir)
    else:
        step = npz_file.load_model(model, npz)
    metrics: dict[str, float] = {}
    for row in rows:
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
    startup.run(main)
