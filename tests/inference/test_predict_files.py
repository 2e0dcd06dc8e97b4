"""Predictions of whole files, against the classifier called directly."""

import csv
import dataclasses
import gzip
import io
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from genomenet.dna import encode
from genomenet.inference import predict, predict_files
from genomenet.models import classifier, selfgenomenet
from genomenet.models import classifier_config as config_lib
from genomenet.release import export, folder

ENCODER = {
    "length": 60,
    "kernel_size": 8,
    "stride": 4,
    "filters": 16,
    "units": 8,
    "gaps": [2],
    "max_length": 500,
}
CLASSES = ("a", "b/c", "end")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    rng = np.random.default_rng(0)
    config = config_lib.ClassifierConfig(
        task="multiclass", classes=CLASSES, window=50, length=80, both_strands=True
    )
    model = classifier.Classifier("selfgenomenet", ENCODER, config)
    for weight in model.output_layer.weights:  # clear differences between windows
        weight.assign(rng.normal(0, 20, weight.shape))
    content = {
        "format": 1,
        "family": "selfgenomenet",
        "model": ENCODER,
        "classifier": config_lib.to_dict(config),
    }
    return export.write_release(
        model, content, directory=path, name=path.name, metrics={}
    )


@pytest.fixture(scope="module")
def loaded(model):
    return folder.load_model(model)


@pytest.fixture(autouse=True, scope="module")
def _loaded_once():
    """Keeps classifiers compiled from one test to the next."""
    load, kept = predict_files.load, {}

    def load_once(name, options):
        key = (str(name), options.batch_size, options.both_strands)
        if key not in kept:
            kept[key] = load(name, options)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict_files, "load", load_once)
        yield


def run(model, given, output, warn=None, **options):
    return predict_files.predict_files(
        model,
        given if isinstance(given, list) else str(given),
        output,
        predict_files.Options(**options),
        warn=(lambda line: None) if warn is None else warn.append,
        show_progress=False,
    )


def read(path):
    text = path.read_bytes()
    text = gzip.decompress(text) if path.suffix == ".gz" else text
    return list(csv.reader(io.StringIO(text.decode()), delimiter="\t"))


def sequences(fasta):
    blocks = [block.split("\n", 1) for block in fasta.read_text().split(">")[1:]]
    return {head.split()[0]: body.replace("\n", "") for head, body in blocks}


def expected(loaded, sequence):
    return np.asarray(classifier.predict(loaded, encode.encode(sequence)[None]))[0]


@pytest.mark.parametrize("window", [None, 120, 0])
def test_each_row_is_its_window(model, loaded, tiny_fasta, tmp_path, window):
    output = tmp_path / "o.tsv"
    stride = None if window == 0 else 30
    counts = run(model, tiny_fasta, output, window=window, stride=stride, batch_size=64)
    header, *rows = read(output)
    assert header == ["name", "start", "end", "label", "a", "b/c", "class_end"]
    assert (counts.records, counts.rows) == (3, len(rows))
    records = sequences(tiny_fasta)
    told = [row for row in rows if row[3]]
    for name, start, end, label, *values in told[:: len(told) // 3]:
        wanted = expected(loaded, records[name][int(start) : int(end)])
        np.testing.assert_allclose(np.array(values, float), wanted, atol=2e-5)
        assert label == CLASSES[wanted.argmax()]
    assert dict(counts.labels) == {
        label: [r[3] for r in told].count(label) for label in {r[3] for r in told}
    }
    assert counts.blank == len(rows) - len(told)
    if window == 0:
        assert [row[:3] for row in rows] == [
            [name, "0", str(len(sequence))] for name, sequence in records.items()
        ]


def test_borders_of_windows(model, tmp_path):
    fasta = tmp_path / "x.fa"
    bases = "ACGTTGCA" * 30
    fasta.write_text(
        f">a\n{bases[:80]}\n>b\n{bases[:81]}\n>c\n{bases[:170]}\n>d\nACGTACGT"
    )
    run(model, fasta, tmp_path / "o.tsv", stride=40)
    places = [
        (row[0], int(row[1]), int(row[2])) for row in read(tmp_path / "o.tsv")[1:]
    ]
    assert places == [
        ("a", 0, 80),
        ("b", 0, 80),
        ("b", 1, 81),
        ("c", 0, 80),
        ("c", 40, 120),
        ("c", 80, 160),
        ("c", 90, 170),
        ("d", 0, 8),
    ]


def test_long_records_take_one_shape_and_others_one_trace_more(loaded, monkeypatch):
    traces, original = [], classifier.predict

    def traced(*arguments, **named):
        traces.extend(named)  # "apply": of the predictor alone
        return original(*arguments, **named)

    monkeypatch.setattr(classifier, "predict", traced)
    predictor = predict.Predictor(loaded, batch_size=4)
    rng = np.random.default_rng(0)
    shapes = []
    rows = predictor.rows
    predictor.rows = lambda codes: shapes.append(codes.shape) or rows(codes)
    for lengths in ([80] * 9, [30, 80, 70], [100, 500]):
        codes = [rng.integers(0, 4, n).astype(np.uint8) for n in lengths]
        for numbers, values in predictor.batches(codes):
            wanted = expected(loaded, encode.decode(codes[numbers[-1]]))
            np.testing.assert_allclose(values[-1], wanted, atol=2e-5)
    assert shapes[:3] == [(4, 80)] * 3
    assert shapes[-2:] == [(1, 500), (3, 100)]  # of long rows fewer
    assert len(traces) <= 3


def test_tables_fasta_and_parquet_agree(model, tiny_fasta, tmp_path):
    records = sequences(tiny_fasta)
    lines = ["id,note,sequence", *(f'{n},"x,y",{s}' for n, s in records.items())]
    table = tmp_path / "x.txt"
    table.write_text("\n".join(lines))
    run(model, table, tmp_path / "t.tsv")
    run(model, tiny_fasta, tmp_path / "f.tsv.gz", window=0)
    run(model, tiny_fasta, tmp_path / "f.parquet", window=0)
    rows = read(tmp_path / "t.tsv")
    assert rows == read(tmp_path / "f.tsv.gz")
    columns = pq.read_table(tmp_path / "f.parquet")
    assert columns.column_names == rows[0]
    assert [str(t) for t in columns.schema.types][:5] == [
        *("string", "int64", "int64", "string", "float"),
    ]
    for row, values in zip(rows[1:], columns.to_pylist(), strict=True):
        assert row[:4] == [str(values[n]) for n in ("name", "start", "end", "label")]
        probabilities = np.array([values[name] for name in rows[0][4:]])
        np.testing.assert_allclose(np.array(row[4:], float), probabilities, rtol=1e-5)


def test_labels_of_a_table_are_left_alone(model, tmp_path):
    table = tmp_path / "x.tsv"
    table.write_text("sequence\tlabel\tsplit\n" + "ACGT" * 5 + "\t\tmine\n")
    run(model, table, tmp_path / "o.tsv")
    assert read(tmp_path / "o.tsv")[1][:3] == ["x.tsv:2", "0", "20"]


BAD_FASTA = (
    ">a\n"
    + "ACGT" * 9
    + "\n>\nACGTACGTACGT\n>b\nAC!T\n>c\n>a\nACGTACGTACGT\n>d\nACG\n>e\n"
    + "TTGA" * 9
)


def test_malformed_and_short_records_are_left_out(model, tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text(BAD_FASTA)
    warned = []
    counts = run(model, fasta, tmp_path / "o.tsv", warned, on_error="skip")
    assert (counts.records, counts.short, counts.bad) == (2, 1, 4)
    assert [row[0] for row in read(tmp_path / "o.tsv")[1:]] == ["a", "e"]
    assert warned == [
        f"skipped {fasta}: header 2 has no name after its '>'",
        f"skipped {fasta}: record 'b': '!' at position 3 is not a nucleotide letter",
        f"skipped {fasta}: record 'c': header without sequence",
        f"skipped {fasta}: record 'a': this name was used before, in {fasta}",
        f"skipped {fasta}: record 'd': 3 bases are too few: the model needs at least 8",
    ]


def test_malformed_rows_are_left_out(model, tmp_path):
    table = tmp_path / "x.tsv"
    table.write_text("sequence\tid\nACGTACGTACGT\ta\nACGT!\tb\nAC\nAC\tc\n")
    warned = []
    counts = run(model, table, tmp_path / "o.tsv", warned, on_error="skip")
    assert (counts.records, counts.short, counts.bad) == (1, 1, 2)
    assert warned == [
        f"skipped {table}: line 3: '!' at position 5 is not a nucleotide letter",
        f"skipped {table}: line 4: 1 columns, its header has 2",
        f"skipped {table}: record 'c': 2 bases are too few: the model needs at least 8",
    ]


def test_many_short_records_are_reported_once(model, tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text("".join(f">{i}\nACG\n" for i in range(50)))
    warned = []
    with pytest.raises(ValueError, match="nothing to predict: 50 sequences are shorte"):
        run(model, fasta, tmp_path / "o.tsv", warned)
    assert len(warned) == 11
    assert [path.name for path in tmp_path.iterdir()] == ["x.fa"]


def test_an_error_in_the_middle_leaves_nothing(model, tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text(">a\n" + "ACGT" * 2000 + "\n>b\nAC!T\n")
    options = {"stride": 4, "bedgraph": tmp_path / "tracks"}
    with pytest.raises(ValueError, match="record 'b': '!' at position 3"):
        run(model, fasta, tmp_path / "o.tsv", **options)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [fasta]


def test_standard_input(model, tiny_fasta, tmp_path, monkeypatch):
    run(model, tiny_fasta, tmp_path / "a.tsv")
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(tiny_fasta.read_bytes())
    with open(tmp_path / "x.gz", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        run(model, "-", tmp_path / "b.tsv")
    assert read(tmp_path / "a.tsv") == read(tmp_path / "b.tsv")


@pytest.fixture
def make(monkeypatch, loaded):
    """Makes classifiers of other tasks, without writing them."""

    def make(**fields):
        config = dataclasses.replace(loaded.config, both_strands=False, **fields)
        model = classifier.Classifier("selfgenomenet", ENCODER, config)
        predictor = predict.Predictor(model)
        monkeypatch.setattr(predict_files, "load", lambda name, options: predictor)
        return model

    return make


def test_several_labels(make, tmp_path, tiny_fasta):
    make(task="multi_label")
    counts = run("", tiny_fasta, tmp_path / "o.tsv")
    header, *rows = read(tmp_path / "o.tsv")
    assert header[3:] == ["label", "a", "b/c", "class_end"]
    for row in rows:
        values = dict(zip(CLASSES, map(float, row[4:]), strict=True))
        assert row[3] == ";".join(name for name, p in values.items() if p >= 0.5)
    found = [name for row in rows for name in (row[3] or "(none)").split(";")]
    assert dict(counts.labels) == {name: found.count(name) for name in found}


def test_numbers(make, tmp_path, tiny_fasta):
    model = make(task="regression", classes=(), mean=500.0, scale=2.0)
    counts = run("", tiny_fasta, tmp_path / "o.tsv", bedgraph=tmp_path / "tracks")
    header, *rows = read(tmp_path / "o.tsv")
    assert header == ["name", "start", "end", "value"]
    assert not counts.labels
    wanted = expected(model, sequences(tiny_fasta)["contig_1"][:80]).item()
    assert float(rows[0][3]) == pytest.approx(wanted, rel=1e-5)
    text = (tmp_path / "tracks" / "value.bedgraph").read_text()
    assert text.splitlines()[0].split("\t") == rows[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 7}, "window=7 must be at least 8"),
        ({"stride": 100}, "stride=100 must be 1 to window=80"),
        ({"window": 0, "stride": 3}, "stride=3 .* window=0"),
        ({"on_error": "no"}, "on_error must be stop or skip, got 'no'"),
    ],
)
def test_options_that_make_no_sense(model, tiny_fasta, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(model, tiny_fasta, tmp_path / "o.tsv", **options)


def test_files_that_make_no_sense(model, tiny_fasta, tmp_path):
    table = tmp_path / "x.tsv"
    table.write_text("sequence\nACGTACGTACGT\n")
    with pytest.raises(
        ValueError, match="o.csv must end with .*.tsv, .tsv.gz, .parquet"
    ):
        run(model, tiny_fasta, tmp_path / "o.csv")
    (tmp_path / "d.tsv").mkdir()
    with pytest.raises(ValueError, match="d.tsv is a folder: choose another name"):
        run(model, tiny_fasta, tmp_path / "d.tsv")
    with pytest.raises(ValueError, match="tables and sequence files are mixed"):
        run(model, [str(table), str(tiny_fasta)], tmp_path / "o.tsv")
    with pytest.raises(ValueError, match="x.tsv is also an input"):
        run(model, table, table)
    with pytest.raises(ValueError, match="--window can only be used"):
        run(model, table, tmp_path / "o.tsv", window=50)
    table.write_text("seq\nACGTACGTACGT\n")
    with pytest.raises(ValueError, match="no column 'sequence' in its header"):
        run(model, table, tmp_path / "o.tsv")
    with pytest.raises(ValueError, match="no such file"):
        run(model, tmp_path / "none.fa", tmp_path / "o.tsv")


def test_an_encoder_is_to_be_fine_tuned(tmp_path, tiny_fasta):
    with pytest.raises(ValueError, match="selfgenomenet is an encoder .* fine-tune"):
        run("selfgenomenet", tiny_fasta, tmp_path / "o.tsv")


MEASURE = """
import sys
from tests import processes
from genomenet.inference import predict_files
options = predict_files.Options(bedgraph=sys.argv[3] + ".tracks")
counts = predict_files.predict_files(
    *sys.argv[1:], options, warn=print, show_progress=False
)
print(counts.rows, processes.peak_memory() // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(model, tmp_path):
    rows, megabytes = [], []
    for millions in (5, 20):
        fasta = tmp_path / f"{millions}.fa"
        rng = np.random.default_rng(millions)
        with fasta.open("w") as file:
            for record in range(millions):
                bases = encode.decode(rng.integers(0, 4, 1_000_000).astype("uint8"))
                file.write(f">r{record}\n{bases.decode()}\n")
        output = tmp_path / f"{millions}.parquet"
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, model, fasta, output],
            capture_output=True,
            text=True,
            check=True,
        )
        row, megabyte = map(int, done.stdout.split())
        rows.append(row)
        megabytes.append(megabyte)
    assert rows[1] == 4 * rows[0]
    assert megabytes[1] < megabytes[0] + 60


N_FASTA = f">a\n{'ACGTTGCA' * 10}{'N' * 80}{'ACGTTGCC' * 10}\n>gap\n{'-n' * 20}\n"


def test_windows_of_n_get_no_class(model, tmp_path):
    fasta = tmp_path / "n.fa"
    fasta.write_text(N_FASTA)
    folder_ = tmp_path / "tracks"
    counts = run(model, fasta, tmp_path / "o.tsv", bedgraph=folder_)
    rows = read(tmp_path / "o.tsv")[1:]
    assert [row[1] for row in rows] == ["0", "80", "160", "0"]
    assert [row[3:] == [""] * 4 for row in rows] == [False, True, False, True]
    assert (counts.rows, counts.blank, counts.labels.total()) == (4, 2, 2)
    track = (folder_ / "a.bedgraph").read_text().splitlines()
    assert [line.split("\t")[:3] for line in track] == [
        ["a", "0", "80"],
        ["a", "160", "240"],
    ]
    run(model, fasta, tmp_path / "o.parquet")
    columns = pq.read_table(tmp_path / "o.parquet")
    assert columns["label"].is_null().to_pylist() == [False, True, False, True]
    assert columns["a"].null_count == columns["class_end"].null_count == 2


def test_the_share_of_n_is_an_option(model, tmp_path):
    fasta = tmp_path / "n.fa"
    fasta.write_text(N_FASTA)
    counts = run(model, fasta, tmp_path / "o.tsv", window=120, max_n=0.3)
    assert (counts.rows, counts.blank) == (3, 3)
    counts = run(model, fasta, tmp_path / "o.tsv", window=120, max_n=0.35)
    assert (counts.rows, counts.blank) == (3, 1)
    with pytest.raises(ValueError, match="max_n must be above 0 and at most 1, got 0"):
        run(model, fasta, tmp_path / "o.tsv", max_n=0)


def test_bigwig_of_n_only(model, tmp_path):
    pytest.importorskip("pybigtools")
    fasta = tmp_path / "n.fa"
    fasta.write_text(f">a\n{'N' * 200}\n")
    counts = run(model, fasta, tmp_path / "o.tsv", bigwig=tmp_path / "tracks")
    assert counts.rows == counts.blank == 3


def test_long_sequences_are_read_in_parts(model, loaded, tmp_path):
    predictor = predict.Predictor(loaded, batch_size=2)
    codes = np.random.default_rng(0).integers(0, 4, 5000).astype(np.uint8)
    sizes = []
    read_out = selfgenomenet.read_out

    def counted(model, batch, names, **options):
        (vectors,) = read_out(model, batch, names, **options)
        return [
            tf.py_function(lambda x: sizes.append(len(x)) or x, [vectors], tf.float32)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfgenomenet, "read_out", counted)
        found = predictor.predict([codes])
    assert max(sizes) == 3  # windows of 50 bases in a batch of 2 of 80
    wanted = expected(loaded, encode.decode(codes))
    np.testing.assert_allclose(found[0], wanted, atol=2e-5)


def test_a_saved_classifier_marks_n_and_reads_in_parts(model, loaded):
    saved = tf.saved_model.load(str(model / "saved_model"))
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), n)) for n in (60, 9000, 80, 8)]
    found = saved.predict([*strings, "N" * 100])
    for row, string in enumerate(strings):
        wanted = expected(loaded, string)
        np.testing.assert_allclose(found["probabilities"][row], wanted, atol=2e-5)
        assert found["label"][row].numpy().decode() == CLASSES[wanted.argmax()]
    assert np.isnan(found["probabilities"][4]).all()
    assert found["label"][4] == b""
    assert found["share_n"].numpy().tolist() == [0, 0, 0, 0, 1]


def test_intervals_of_a_genome(model, tiny_fasta, tmp_path):
    records = sequences(tiny_fasta)
    places = [("contig_1", 100, 220), ("contig_2", 5, 85), ("contig_1", 400, 480)]
    bed, fasta = tmp_path / "peaks.bed", tmp_path / "cut.fa"
    bed.write_text("".join(f"{c}\t{start}\t{end}\n" for c, start, end in places))
    fasta.write_text(
        "".join(f">{c}:{s}-{e}\n{records[c][s:e]}\n" for c, s, e in places)
    )
    counts = run(model, bed, tmp_path / "a.tsv", genome=str(tiny_fasta))
    run(model, fasta, tmp_path / "b.tsv", window=0)
    assert counts.rows == 3
    assert read(tmp_path / "a.tsv") == read(tmp_path / "b.tsv")
    with pytest.raises(ValueError, match="it holds intervals"):
        run(model, bed, tmp_path / "c.tsv")
    with pytest.raises(ValueError, match="--window .* intervals"):
        run(model, bed, tmp_path / "c.tsv", genome=str(tiny_fasta), window=60)
