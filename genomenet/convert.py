"""Converts BERT models from and to Hugging Face: `genomenet convert --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import sys
import warnings

from absl import app, flags

_FROM_HF = flags.DEFINE_string(
    "from_hf",
    None,
    "Folder to read, with config.json, a vocabulary, and model.safetensors or"
    " pytorch_model.bin (or their shards with an index).",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "With --from_hf: the model folder to write."
)
_INPUT = flags.DEFINE_string(
    "input", None, "Name or folder of the trained model to write to --to_hf."
)
_TO_HF = flags.DEFINE_string("to_hf", None, "With --input: the folder to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing folder.")


def main() -> None:
    """Converts one folder."""
    given = (_FROM_HF.value, _OUTPUT.value), (_INPUT.value, _TO_HF.value)
    if [bool(a) + bool(b) for a, b in given] not in ([2, 0], [0, 2]):
        raise app.UsageError("give --from_hf with --output, or --input with --to_hf")
    with startup.refusing("convert"):
        _convert()


def _convert() -> None:
    output = pathlib.Path(str(_OUTPUT.value or _TO_HF.value))
    _check(output)
    from genomenet.data import existing

    existing.check(models=[_INPUT.value] if _INPUT.value else ())
    startup.load_tensorflow()
    from genomenet.porting import hf_bert
    from genomenet.release import export, folder

    if _FROM_HF.value:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            model, content = hf_bert.read(_FROM_HF.value)
        for warning in caught:
            print(f"convert: warning: {warning.message}", file=sys.stderr)
        export.write_release(
            model,
            content,
            directory=output,
            name=output.name,
            metrics={},
            flags_text="",
        )
        print(f"model: {output}")
        print(f'in Python: import genomenet; genomenet.load_model("{output}")')
        return
    model = folder.load_model(str(_INPUT.value))
    from genomenet.models import bert

    if not isinstance(model, bert.BertMaskedLM):
        raise ValueError(f"{_INPUT.value} is not a BERT model: only those are written")
    hf_bert.write(model, output)
    print(f"written: {output}")


def _check(output: pathlib.Path) -> None:
    """Raises unless the output is new, or a model folder that may be replaced."""
    from genomenet import catalog

    if not output.exists():
        return
    if not _OVERWRITE.value:
        raise ValueError(f"{output} exists: give --overwrite to replace it")
    source = pathlib.Path(_FROM_HF.value or catalog.model_folder(str(_INPUT.value)))
    source, output = source.resolve(), output.resolve()
    if output == source or output in source.parents:
        raise ValueError(
            f"{output} is or contains the input: choose another output folder"
        )
    if not (output / "config.json").is_file():
        raise ValueError(
            f"{output} is not a model folder: --overwrite replaces only model folders"
        )


if __name__ == "__main__":
    startup.run(main)
