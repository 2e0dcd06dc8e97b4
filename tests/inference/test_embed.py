import json
import subprocess
import sys

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from genomenet.dna import encode
from genomenet.inference import embed, record_windows
from genomenet.models import selfgenomenet
from genomenet.release import folder

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
        "objective": "reverse_complement",
        "negatives": "global",
        "max_length": 500,
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    model = selfgenomenet.build(selfgenomenet.from_dict(CONFIG["model"]))
    model.save_weights(path / folder.WEIGHTS)
    return path


def table(model, fasta, tmp_path, **options):
    output = tmp_path / "out.parquet"
    counts = embed.embed_files(
        model, str(fasta), output, show_progress=False, **options
    )
    columns = pq.read_table(output).to_pydict()
    assert counts["rows"] == len(columns["name"])
    vectors = np.array(columns["embedding"], np.float32)
    places = list(zip(columns["name"], columns["start"], columns["end"], strict=True))
    return places, vectors


def sequences(fasta):
    found = {}
    for line in fasta.read_text().splitlines():
        if line[0] == ">":
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line
    return found


def test_each_row_is_its_window(model, tiny_fasta, tmp_path):
    places, vectors = table(model, tiny_fasta, tmp_path, batch_size=4, stride=30)
    keras_model = folder.load_model(model)
    records = sequences(tiny_fasta)
    assert {name for name, _, _ in places} == set(records)
    for (name, start, end), vector in zip(places, vectors, strict=True):
        if set(records[name][start:end]) == {"N"}:
            assert np.isnan(vector).all()
            continue
        bases = encode.encode(records[name][start:end])[None]
        expected = selfgenomenet.embed(keras_model, {"bases": bases})[0]
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_none_gives_a_row_a_patch(model, tiny_fasta, tmp_path):
    places, vectors = table(model, tiny_fasta, tmp_path, pool="none")
    assert vectors.shape[1] == 8
    assert places[:2] == [("contig_1", 0, 8), ("contig_1", 4, 12)]
    assert all(end - start == 8 for _, start, end in places)


def test_both_strands_do_not_care_which_is_given(model, tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 45).astype(np.uint8)
    vectors = []
    for number, strand in enumerate((codes, encode.reverse_complement(codes))):
        fasta = tmp_path / f"{number}.fa"
        fasta.write_bytes(b">x\n" + encode.decode(strand) + b"\n")
        vectors.append(table(model, fasta, tmp_path, both_strands=True)[1])
    np.testing.assert_allclose(*vectors, atol=1e-5)


def test_hdf5(model, tiny_fasta, tmp_path):
    places, vectors = table(model, tiny_fasta, tmp_path)
    embed.embed_files(model, str(tiny_fasta), tmp_path / "o.h5", show_progress=False)
    with h5py.File(tmp_path / "o.h5") as f:
        np.testing.assert_allclose(f["embedding"][:], vectors, atol=1e-6)
        names = f["name"].asstr()[:]
        assert list(zip(names, f["start"][:], f["end"][:], strict=True)) == places


def test_short_records_are_skipped_and_counted(model, tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\nACG\n>b\nACGTACGTAC\n")
    counts = embed.embed_files(
        model, str(fasta), tmp_path / "o.parquet", show_progress=False
    )
    assert counts == {"rows": 1, "records": 1, "bases": 3, "blank": 0}
    fasta.write_text(">a\nACG\n")
    output = tmp_path / "none.parquet"
    with pytest.raises(ValueError, match="all 1 records are shorter than 8"):
        embed.embed_files(model, str(fasta), output, show_progress=False)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "cls"}, "pool='cls' must be one of last, mean, max, none, bins"),
        ({"window": 501}, "window=501 must be 8 to 500"),
        ({"window": 7}, "window=7 must be"),
        ({"stride": 100}, "stride=100 must be"),
        ({"pool": "none", "both_strands": True}, "both_strands .* pool='none'"),
        ({"pool": "bins", "both_strands": True}, "both_strands .* pool='bins'"),
    ],
)
def test_options_that_make_no_sense(model, tiny_fasta, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        table(model, tiny_fasta, tmp_path, **options)


def test_unknown_ending(model, tiny_fasta, tmp_path):
    with pytest.raises(ValueError, match="o.csv must end with .* .parquet"):
        embed.embed_files(model, str(tiny_fasta), tmp_path / "o.csv")


@pytest.mark.slow
def test_a_broken_file_leaves_no_output(model, tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\n" + "ACGT" * 500 + "\n>b\nACGT!\n")
    output = tmp_path / "o.parquet"
    arguments = [f"--model={model}", f"--input={fasta}", f"--output={output}"]
    done = subprocess.run(
        [sys.executable, "-m", "genomenet.embed", *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"embed: {fasta}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fa"]


MEASURE = """
import sys
from tests import processes
from genomenet.inference import embed
counts = embed.embed_files(*sys.argv[1:], show_progress=False)
print(counts["rows"], processes.peak_memory() // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".parquet", ".h5"])
def test_memory_does_not_grow_with_the_input(model, tmp_path, ending):
    rows, megabytes = [], []
    for millions in (1, 8):
        fasta = tmp_path / f"{millions}.fa"
        rng = np.random.default_rng(millions)
        with fasta.open("w") as file:
            for record in range(millions):
                bases = encode.decode(rng.integers(0, 4, 1_000_000).astype("uint8"))
                file.write(f">r{record}\n{bases.decode()}\n")
        done = subprocess.run(
            [
                *(sys.executable, "-c", MEASURE),
                *(model, fasta, tmp_path / f"{millions}{ending}"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        row, megabyte = map(int, done.stdout.split())
        rows.append(row)
        megabytes.append(megabyte)
    assert rows[1] == 8 * rows[0]
    assert megabytes[1] < megabytes[0] + 60


@pytest.mark.parametrize(
    ("letters", "k", "share"),
    [
        ("ACGT", 1, 0.0),
        ("NNNN", 1, 1.0),
        ("ACNN", 1, 0.5),
        ("ACNN", 2, 0.5),
        ("ACNN", 3, 1.0),
        ("NACGNACN", 4, 1.0),
        ("NACGNACN", 3, 0.375),
        ("R-.n", 1, 1.0),
    ],
)
def test_share_of_n(letters, k, share):
    assert record_windows.share_of_n(encode.encode(letters), k=k) == share


def test_windows_of_n_are_marked(model, tmp_path):
    fasta = tmp_path / "n.fa"
    fasta.write_text(f">a\n{'ACGTTG' * 10}{'N' * 60}{'ACCTTG' * 10}\n>b\n{'N' * 30}\n")
    _, vectors = table(model, fasta, tmp_path, batch_size=3)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False, True]
    assert np.isfinite(vectors[[0, 2]]).all()
    _, some = table(model, fasta, tmp_path, window=90, max_n=0.3)
    assert np.isnan(some).all()


def test_row_groups_are_large(model, tiny_fasta, tmp_path):
    table(model, tiny_fasta, tmp_path, batch_size=2, pool="none")
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1
