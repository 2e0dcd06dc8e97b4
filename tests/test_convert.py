"""The binary as a user runs it."""

import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from genomenet.models import bert
from genomenet.porting import hf_bert
from genomenet.release import folder
from tests import harness


def convert(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "genomenet.convert", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_there_and_back(tmp_path):
    model = bert.build(
        bert.Config(
            kmer=3,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=30,
            length=30,
        )
    )
    harness.set_weights(model.weights)
    theirs = hf_bert.write(model, tmp_path / "theirs")
    ours, back = tmp_path / "ours", tmp_path / "back"
    done = convert(f"--from_hf={theirs}", f"--output={ours}")
    assert done.returncode == 0, done.stderr
    assert str(ours) in done.stdout
    loaded = folder.load_model(ours)
    bases = np.array([[0, 1, 2, 3, 3, 2]], "uint8")
    for name, value in model({"bases": bases}).items():
        assert (
            harness.array(value) == harness.array(loaded({"bases": bases})[name])
        ).all()
    done = convert(f"--input={ours}", f"--to_hf={back}")
    assert done.returncode == 0, done.stderr
    for file in theirs.iterdir():
        assert file.read_bytes() == (back / file.name).read_bytes()

    again = convert(f"--input={ours}", f"--to_hf={back}")
    assert again.returncode == 1
    assert again.stderr.strip().endswith("exists: give --overwrite to replace it")
    (theirs / "model.safetensors").write_bytes(b"x")
    broken = convert(f"--from_hf={theirs}", f"--output={tmp_path / 'no'}")
    assert broken.returncode == 1
    assert "model.safetensors is damaged" in broken.stderr.splitlines()[-1]
    assert not (tmp_path / "no").exists()
    assert convert(f"--input={ours}").returncode == 1


def test_only_another_model_is_overwritten(binary, tmp_path, capsys):
    main = binary("convert").main
    model, other = tmp_path / "runs" / "hf", tmp_path / "photos"
    for folder_made in (model, other):
        folder_made.mkdir(parents=True)
        (folder_made / "file.txt").write_text("mine")
    (model / "config.json").write_text("{}")
    for output, message in (
        (model, "is or contains the input"),
        (model.parent, "is or contains the input"),
        (other, "is not a model folder: --overwrite"),
        (other / "file.txt", "is not a model folder"),
    ):
        with flagsaver.flagsaver():
            flags.FLAGS(["", f"--from_hf={model}", f"--output={output}", "--overwrite"])
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"convert: {output}")
        assert message in line
    assert (model / "file.txt").is_file()
    assert (other / "file.txt").is_file()
