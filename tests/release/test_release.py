import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from genomenet import catalog
from genomenet.dna import encode
from genomenet.models import selfgenomenet
from genomenet.release import export, folder, listing
from genomenet.release import saved as saved_lib

CONFIG = {
    "format": 1,
    "family": "selfgenomenet",
    "model": {
        "length": 60,
        "kernel_size": 8,
        "stride": 4,
        "filters": 16,
        "units": 8,
        "gaps": [2],
        "max_length": 500,
    },
    "training": {"steps": 3, "seed": 0},
}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    model = selfgenomenet.build(selfgenomenet.from_dict(CONFIG["model"]))
    directory = tmp_path_factory.mktemp("release") / "tiny"
    path = export.write_release(
        model,
        CONFIG,
        directory=directory,
        name="tiny",
        metrics={"val_loss": 2.0},
        flags_text="--model=tiny\n",
    )
    return model, path


@pytest.fixture(scope="module")
def saved(released):
    return tf.saved_model.load(str(released[1] / "saved_model"))


def test_a_release_holds_its_proof(released):
    model, path = released
    assert {p.name for p in path.iterdir()} == {
        "README.md",
        "config.json",
        "golden.json",
        "metrics.json",
        "model.weights.h5",
        "saved_model",
        "train.flags",
    }
    assert [p.name for p in path.parent.iterdir()] == ["tiny"]
    loaded = folder.load_model(path)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    content = json.loads((path / "config.json").read_text())
    data = (path / "model.weights.h5").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert content["weights"] == {
        "size": len(data),
        "sha256": digest,
        "config_sha256": folder.digest(content),
    }
    assert content["model"]["objective"] == "reverse_complement"  # a default


def test_golden_values_through_weights_and_saved_model(released, saved):
    _, path = released
    model = folder.load_model(path)
    cases = json.loads((path / "golden.json").read_text())
    assert [case["case"] for case in cases] == ["plain", "rich in N", "long"]
    for case in cases:
        bases = encode.encode(case["sequence"])[None]
        ours = np.asarray(selfgenomenet.embed(model, {"bases": bases}))[0, :5]
        theirs = saved.embed([case["sequence"]])["embedding"][0, :5]
        np.testing.assert_allclose(ours, case["embed"], atol=1e-6)
        np.testing.assert_allclose(theirs, case["embed"], atol=1e-6)


def test_mixed_lengths_case_and_letters_change_nothing(saved):
    short, long = "ACGTTGCAACGT", "ACGT" * 100 + "ACG"
    alone = [saved.embed([s])["embedding"][0] for s in (short, long)]
    together = saved.embed([short, long])["embedding"]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    folded = saved.embed(["acguugcaacgu"])["embedding"][0]
    np.testing.assert_allclose(folded, alone[0], atol=1e-6)
    ambiguous = saved.embed(["ACGTRYK-ACGT", "ACGTNNNNACGT"])["embedding"]
    np.testing.assert_allclose(*ambiguous, atol=1e-6)


def test_no_sequence_gives_no_row(saved):
    assert saved.embed(tf.constant([], tf.string))["embedding"].shape == (0, 8)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACGT" * 5, "ACGTACGTACGTX"], r"row 1, position 13: not a nucleotide .*88"),
        (["ACGT" * 5, "ACG"], r"row 1: 3 bases are too few.* at least 8"),
        ([""], r"row 0: 0 bases are too few"),
        (["A" * 501], r"row 0: 501 bases are too many.* at most 500.*genomenet.embed"),
        (["ACGTACGT\0\0"], r"row 0, position 9: .*byte 0"),
    ],
)
def test_bad_strings_are_named(saved, sequences, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        saved.embed(sequences)


@pytest.mark.slow
def test_saved_model_needs_no_genomenet(released, tmp_path):
    code = (
        "import sys, tensorflow as tf\n"
        "m = tf.saved_model.load(sys.argv[1])\n"
        "print(m.embed(['ACGTACGTAC'])['embedding'].shape)\n"
        "assert not any(n.startswith('genomenet') for n in sys.modules)\n"
    )
    saved_model = os.fspath(released[1] / "saved_model")
    output = subprocess.run(
        [sys.executable, "-I", "-c", code, saved_model],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "(1, 8)" in output.stdout, output.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "config.json").write_text("{"), "is not JSON"),
        (
            lambda p: (p / "model.weights.h5").write_bytes(b"x"),
            "weights.h5 does not match",
        ),
    ],
)
def test_damaged_folders(released, tmp_path, damage, message):
    copy = tmp_path / "copy"
    shutil.copytree(released[1], copy)
    damage(copy)
    with pytest.raises(ValueError, match=message):
        folder.load_model(copy)


def test_the_folder_of_a_run_is_no_model(released, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(released[1] / "config.json", run)
    with pytest.raises(ValueError, match="run is the folder of a run.*--workdir=.*run"):
        folder.load_model(run)
    shutil.copytree(released[1], run / "export" / "x")
    with pytest.raises(ValueError, match="its model is .*run/export/x"):
        folder.load_model(run)


def test_weights_of_another_model(released, tmp_path):
    other = selfgenomenet.build(
        selfgenomenet.from_dict({**CONFIG["model"], "units": 16})
    )
    with pytest.raises(ValueError, match="does not match the model"):
        folder.load_weights(other, released[1] / "model.weights.h5")


def test_preset_without_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("GENOMENET_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"no trained weights.*genomenet.train"):
        folder.load_model("selfgenomenet")
    assert listing.list_models()["selfgenomenet"] == "preset"
    assert "ecoli_k12" in listing.list_datasets()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(released, tmp_path, monkeypatch):
    """A catalogue that knows the model by its index, and a server that has it."""
    path = released[1]
    root = tmp_path / "models"
    (root / "tiny").mkdir(parents=True)
    (root / "tiny/config.json").write_text((path / "config.json").read_text())
    files = [
        {
            "path": p.relative_to(path).as_posix(),
            "size": p.stat().st_size,
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
        }
        for p in sorted(path.rglob("*"))
        if p.is_file()
    ]
    index = {"format": 1, "base_url": None, "models": {"tiny": {"files": files}}}
    (root / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(catalog, "models_root", lambda: root)
    monkeypatch.setenv("GENOMENET_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(_Quiet, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        url = f"http://localhost:{httpd.server_port}"
        monkeypatch.setenv("GENOMENET_MODELS_URL", url)
        yield root, index
        httpd.shutdown()
        thread.join()


def cached(tmp_path):
    return [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_released_weights_are_fetched_once(released, server, tmp_path, monkeypatch):
    assert listing.list_models() == {"tiny": "remote"}
    loaded = folder.load_model("tiny")
    for ours, theirs in zip(loaded.weights, released[0].weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert listing.list_models() == {"tiny": "local"}
    monkeypatch.setenv("GENOMENET_MODELS_URL", "http://localhost:9")
    folder.load_model("tiny")


def test_a_damaged_file_in_the_cache_is_fetched_again(
    released, server, tmp_path, monkeypatch
):
    folder.load_model("tiny")
    path = tmp_path / "cache" / "models" / "tiny" / "model.weights.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    folder.load_model("tiny")
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-10])
    monkeypatch.delenv("GENOMENET_MODELS_URL")
    with pytest.raises(ValueError, match=r"model.weights.h5 is not the released file"):
        folder.load_model("tiny")


ANSWERS = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabc",
    "no status": b"nothing\r\n\r\n",
    "long line": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "hang up": b"",
    "to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "to ftp": b"HTTP/1.1 302 Found\r\nLocation: ftp://localhost/x\r\n\r\n",
    "loop": b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
    "not found": b"HTTP/1.1 404 \x1b[31mNo\r\n\r\n",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", ANSWERS)  # urllib leaves sockets of redirects open
def test_what_a_server_does_wrong_is_one_line(server, tmp_path, monkeypatch, answer):
    class Bad(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(ANSWERS[answer])

    with socketserver.ThreadingTCPServer(("localhost", 0), Bad) as bad:
        thread = threading.Thread(target=bad.serve_forever)
        thread.start()
        url = f"http://localhost:{bad.server_address[1]}"
        monkeypatch.setenv("GENOMENET_MODELS_URL", url)
        with pytest.raises(ValueError, match=url) as caught:
            folder.load_model("tiny")
        bad.shutdown()
        thread.join()
    assert str(caught.value).isprintable()
    assert not cached(tmp_path)


@pytest.mark.parametrize(
    "url", ["ftp://localhost", "nothing", "http://local host", "http://[::1"]
)
def test_addresses_that_are_none(server, monkeypatch, url):
    monkeypatch.setenv("GENOMENET_MODELS_URL", url)
    with pytest.raises(ValueError, match=re.escape(url)):
        folder.load_model("tiny")


@pytest.mark.parametrize("key", ["size", "sha256"])
def test_what_was_not_released_is_refused(server, tmp_path, key):
    root, index = server
    for entry in index["models"]["tiny"]["files"]:
        if entry["path"] == "model.weights.h5":
            entry[key] = 10 if key == "size" else "0" * 64
    (root / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is not the released file"):
        folder.load_model("tiny")
    assert not [p for p in cached(tmp_path) if "weights" in p.name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "index.json is not JSON"),
        ("[]", "index.json is not an index of models"),
        (
            '{"models": {"tiny": {"files": [{"path": "a"}]}}}',
            "is not an index of models",
        ),
        (
            '{"models": {"tiny": {"files": [{"path": 1, "size": 1, "sha256": ""}]}}}',
            "is not an index of models",
        ),
    ],
)
def test_a_damaged_index(server, text, message):
    (server[0] / "index.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        folder.load_model("tiny")


def test_paths_may_not_leave_the_cache(server, tmp_path):
    root, index = server
    index["models"]["tiny"]["files"] = [
        {"path": "../../evil", "size": 1, "sha256": "0" * 64}
    ]
    (root / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="unsafe path"):
        folder.load_model("tiny")


def test_offline_names_url_and_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GENOMENET_MODELS_URL", "http://localhost:9")
    with pytest.raises(
        ValueError, match=r"http://localhost:9/tiny/.* copy it to .*tiny"
    ):
        folder.load_model("tiny")
    monkeypatch.delenv("GENOMENET_MODELS_URL")
    with pytest.raises(ValueError, match="set GENOMENET_MODELS_URL, or copy"):
        folder.load_model("tiny")


def test_a_saved_model_is_exported_once(released, tmp_path, monkeypatch):
    released = released[1]
    assert saved_lib.saved_model(released) == released / "saved_model"
    monkeypatch.setenv("GENOMENET_CACHE", str(tmp_path / "cache"))
    plain = tmp_path / "plain"
    shutil.copytree(released, plain, ignore=shutil.ignore_patterns("saved_model"))
    path = saved_lib.saved_model(plain)
    assert path.is_relative_to(tmp_path / "cache")
    monkeypatch.setattr(export, "save_model", None)  # not called again
    assert saved_lib.saved_model(plain) == path


def test_an_exported_model_must_have_the_golden_outputs(
    released, tmp_path, monkeypatch
):
    monkeypatch.setenv("GENOMENET_CACHE", str(tmp_path / "cache"))
    other = tmp_path / "other"
    shutil.copytree(released[1], other, ignore=shutil.ignore_patterns("saved_model"))
    cases = json.loads((other / "golden.json").read_text())
    cases[1]["embed"][0] += 0.01
    (other / "golden.json").write_text(json.dumps(cases))
    with pytest.raises(ValueError, match="golden.json: .* 'rich in N'"):
        saved_lib.saved_model(other)
    assert not list((tmp_path / "cache").glob("*/*"))


def test_strings_of_n_only_are_marked(saved):
    found = saved.embed(["ACGTTGCAACGT", "N" * 20, "ACGTNNNNACGT"])
    np.testing.assert_allclose(found["share_n"], [0, 1, 1 / 3], atol=1e-6)
    is_blank = np.isnan(found["embedding"]).all(axis=1)
    assert is_blank.tolist() == [False, True, False]
    assert np.isfinite(found["embedding"].numpy()[[0, 2]]).all()


def test_strings_are_read_in_parts_in_their_order(saved):
    rng = np.random.default_rng(0)
    strings = [
        "".join(rng.choice(list("ACGT"), size))
        for size in rng.permutation([12] * 500 + [500] * 30 + [77, 300])
    ]
    found = saved.embed(strings)["embedding"].numpy()
    for row in range(0, len(strings), 60):
        alone = saved.embed(strings[row : row + 1])["embedding"][0]
        np.testing.assert_allclose(found[row], alone, atol=1e-6)
