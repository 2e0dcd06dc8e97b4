"""Labelled intervals, compared with slices of the genome cut by hand."""

import gzip
import itertools
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources
from genomenet.data import intervals as intervals_lib

CONTIGS = {
    name: "".join(np.random.default_rng(i).choice(list("ACGTN"), 200 + i))
    for i, name in enumerate(["chr1", "chr2", "chrUn", "chrX"])
}
OTHER_STRAND = str.maketrans("ACGTN", "TGCAN")


def by_hand(contig, start, end, strand="+"):
    sequence = CONTIGS[contig][start:end]
    return sequence if strand != "-" else sequence.translate(OTHER_STRAND)[::-1]


@pytest.fixture(params=["genome.fa", "genome.fa.gz"])
def genome(tmp_path, request):
    text = "".join(
        f">{name} x\n{letters.lower()}\n" for name, letters in CONTIGS.items()
    )
    packed = gzip.compress(text.encode())
    path = tmp_path / request.param
    path.write_bytes(packed if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{n}\n{letters}\n" for n, letters in CONTIGS.items()))
    return path


def write(path, text):
    path.parent.mkdir(exist_ok=True, parents=True)
    packed = gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
    path.write_bytes(packed)
    return path


def build(root, given, genome, **options):
    return building.prepare(
        "mine",
        lambda data_dir: recipes.LabelledIntervals(
            name="mine", sources=given, genome=[genome], data_dir=data_dir, **options
        ),
        data_dir=root,
        show_progress=False,
    )[0]


def read(path):
    builder = tfds.builder_from_directory(path)
    names = builder.info.features["label"].names
    return {
        split: sorted(
            (e["id"].decode(), e["sequence"].decode(), names[e["label"]])
            for e in builder.as_dataset(split=split).as_numpy_iterator()
        )
        for split in builder.info.splits
    }


def test_bed(tmp_path, genome):
    rng = np.random.default_rng(0)
    lines, expected = ["track name=x", "# made up", ""], []
    for i in range(40):
        contig = list(CONTIGS)[i % 4]
        start, end = sorted(rng.choice(201, 2, replace=False).tolist())
        end = min(end, len(CONTIGS[contig]))
        label, strand = ("yes", "no")[i % 3 == 0], "+-."[i % 3]
        lines.append(f"{contig}\t{start}\t{end}\t{label}\t{i}\t{strand}")
        name = f"{contig}:{start}-{end}" + "(-)" * (strand == "-")
        expected.append((name, by_hand(contig, start, end, strand), label))
    path = write(tmp_path / "x.bed", "\n".join(lines) + "\r\n")
    built = read(build(tmp_path, [path], genome, splits="50/25/25"))
    assert list(built) == ["train", "validation", "test"]
    assert sorted(itertools.chain(*built.values())) == sorted(expected)


def test_a_folder_of_genomic_benchmarks(tmp_path, plain):
    header = "id,region,start,end,strand\n"
    rows = {
        "train/positive": "0,chr2,5,25,+\n1,chrX,0,203,-\n",
        "train/negative": "0,chr1,10,30,-\n",
        "test/positive": "0,chr2,7,27,-\n",
        "test/negative": "0,chrX,183,203,+\n",
    }
    files = [write(tmp_path / f"{n}.csv.gz", header + r) for n, r in rows.items()]
    assert read(build(tmp_path, files, plain)) == {
        "train": [
            ("chr1:10-30(-)", by_hand("chr1", 10, 30, "-"), "negative"),
            ("chr2:5-25", by_hand("chr2", 5, 25), "positive"),
            ("chrX:0-203(-)", by_hand("chrX", 0, 203, "-"), "positive"),
        ],
        "test": [
            ("chr2:7-27(-)", by_hand("chr2", 7, 27, "-"), "positive"),
            ("chrX:183-203", by_hand("chrX", 183, 203), "negative"),
        ],
    }
    facts = building.metadata(tmp_path / "mine" / "1.0.0")
    assert facts["recipe"] == "LabelledIntervals"
    assert facts["sources"][-1]["file"] == "genome.fa"
    assert facts["labels"]["train"] == {"negative": 1, "positive": 2}


def test_one_file_a_class(tmp_path, plain):
    a = write(tmp_path / "a.bed", "chr1 0 10\nchr1 20 30\n")
    b = write(tmp_path / "b.bed", "chr2\t0\t10\tpeak_1\nchrX\t20\t30\tpeak_2\n")
    built = read(build(tmp_path, {"yes": [a], "no": [b]}, plain, splits="100"))
    assert [(name, label) for name, _, label in built["train"]] == [
        ("chr1:0-10", "yes"),
        ("chr1:20-30", "yes"),
        ("chr2:0-10", "no"),
        ("chrX:20-30", "no"),
    ]


def test_columns_of_a_table(tmp_path):
    text = "Chrom;Start;END;label;split;note\nchr1;3;9;0.5;dev;x\n"
    path = write(tmp_path / "x.csv", text)
    assert list(intervals_lib.read(str(path))) == [
        intervals_lib.Interval(
            contig="chr1",
            start=3,
            end=9,
            is_reverse=False,
            label="0.5",
            split="validation",
            place=f"{path}: line 2",
        )
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chr1\t10\t10\ta", "start 10 is not before end 10"),
        ("chr1\t11\t10\ta", "start 11 is not before end 10"),
        ("chr1\t-1\t10\ta", "start '-1' is not a whole number from 0 on"),
        ("chr1\t1\t1e3\ta", "end '1e3' is not a whole number from 0 on"),
        ("chr1\t10\t201\ta", "end 201 is beyond chr1, which has 200 bases in {genome}"),
        ("chr1\t10", "2 columns; BED has chrom, start, end, …"),
        ("chr1\t10\t20\ta\t0\t*", "strand '*' is none of + - ."),
        ("chr1\t10\t20\t\t0\t+", "empty label"),
        (
            "chr9\t10\t20\ta",
            "contig 'chr9' is not in {genome}: it has chr1, chr2, chrUn, chrX",
        ),
        (
            "X\t10\t20\ta",
            "contig 'X' is not in {genome}: it has 'chrX'; use the same names in both",
        ),
    ],
)
def test_errors_name_the_file_the_line_and_the_cause(tmp_path, plain, line, expected):
    path = write(tmp_path / "x.bed", f"chr1\t0\t10\ta\nchr2\t0\t10\tb\n{line}\n")
    with pytest.raises(sources.DatasetError) as error:
        build(tmp_path / "data", [path], plain)
    assert str(error.value) == f"{path}: line 3: {expected.format(genome=plain)}"
    assert not list((tmp_path / "data").glob("*/*"))


def test_errors_of_tables(tmp_path):
    path = write(tmp_path / "x.csv", "id,start,end\n0,1,2\n")
    with pytest.raises(sources.DatasetError, match="no column 'region' in its header"):
        list(intervals_lib.read(str(path)))
    path = write(tmp_path / "y.csv", "region,start,end,split\nchr1,1,2,other\n")
    with pytest.raises(sources.DatasetError, match="line 2: split 'other' is none of"):
        list(intervals_lib.read(str(path)))


def test_a_genome_is_needed(tmp_path):
    path = write(tmp_path / "x.bed", "chr1\t0\t10\ta\n")
    with pytest.raises(sources.DatasetError, match="intervals need a genome"):
        recipes.LabelledIntervals(name="mine", sources=[path])


def test_another_genome_is_another_dataset(tmp_path, plain):
    path = write(tmp_path / "x.bed", "chr1\t0\t10\ta\nchr2\t0\t10\tb\n")
    build(tmp_path, [path], plain, splits="100")
    build(tmp_path, [path], plain, splits="100")
    plain.write_text(plain.read_text() + ">more\nACGT\n")
    with pytest.raises(sources.DatasetError, match="other source files"):
        build(tmp_path, [path], plain, splits="100")


def test_builders_can_be_pickled(tmp_path, plain):
    path = write(tmp_path / "x.bed", "chr1\t0\t10\ta\nchr2\t0\t10\tb\n")
    builder = recipes.LabelledIntervals(name="mine", sources=[path], genome=[plain])
    copy = pickle.loads(pickle.dumps(builder))
    assert copy.identity() == builder.identity()


class Enhancers(recipes.LabelledIntervals, skip_registration=True):
    """A recipe that finds both in the manual directory."""

    CLASSES = ("negative", "positive")
    MANUAL_FILES = ("*/*.csv.gz",)
    GENOME_FILES = ("*.fa",)
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Fetch both."


def test_a_recipe_with_a_manual_directory(tmp_path, plain):
    for name in ("train/positive", "train/negative", "test/positive"):
        text = "id,region,start,end,strand\n0,chr1,0,9,+\n"
        write(tmp_path / f"{name}.csv.gz", text)
    arguments = {"data_dir": tmp_path / "data", "show_progress": False}
    path, _ = building.prepare(
        "enhancers", lambda d: Enhancers(data_dir=d), manual_dir=tmp_path, **arguments
    )
    assert {split: len(rows) for split, rows in read(path).items()} == {
        "train": 2,
        "test": 1,
    }
    plain.unlink()
    with pytest.raises(sources.DatasetError, match="enhancers: no genome. Fetch both."):
        building.prepare(
            "enhancers",
            lambda d: Enhancers(data_dir=d),
            manual_dir=tmp_path,
            overwrite=True,
            **arguments,
        )


@pytest.mark.parametrize("first", ["", "#chrom\tstart\tend\tname\tscore\tstrand\n"])
@pytest.mark.parametrize("second", ["", "chrom\tchromStart\tchromEnd\tname\n"])
def test_a_line_of_names_is_no_interval(tmp_path, first, second):
    path = write(tmp_path / "x.bed", first or second)
    with path.open("a") as file:
        file.write("chr1\t10\t20\tpos\t0\t-\n")
    [found] = intervals_lib.read(str(path))
    assert (found.contig, found.start, found.label, found.is_reverse) == (
        *("chr1", 10, "pos", True),
    )


def test_a_strand_in_the_place_of_the_score_is_an_error(tmp_path):
    path = write(tmp_path / "x.bed", "chr1\t10\t20\tpos\t-\n")
    with pytest.raises(sources.DatasetError, match="line 1: score '-' is not"):
        list(intervals_lib.read(str(path)))


def test_names_of_peaks_are_no_classes(tmp_path, plain):
    for name in ("bound", "free"):
        rows = [
            f"chr1\t{n}\t{n + 30}\t{name}_peak_{n}\t100\t.\t5.1\t-1\t-1\t5\n"
            for n in range(12)
        ]
        write(tmp_path / f"{name}.narrowPeak", "".join(rows))
    given = [tmp_path / f"{name}.narrowPeak" for name in ("bound", "free")]
    folder = build(tmp_path / "data", given, plain)
    facts = building.metadata(folder)
    assert facts["classes"] == ["bound", "free"]
    assert facts["labels_from_file_names"] == ["bound.narrowPeak", "free.narrowPeak"]


def test_one_folder_called_dev_is_no_split(tmp_path, plain):
    given = []
    for name in ("bound", "free"):
        rows = [f"chr1\t{n}\t{n + 30}\t{name}\n" for n in range(20)]
        given.append(write(tmp_path / "dev" / f"{name}.bed", "".join(rows)))
    facts = building.metadata(build(tmp_path / "data", given, plain))
    assert set(facts["labels"]) == {"train", "validation", "test"}
    assert "splits_from_folders" not in facts


def test_a_strand_in_the_place_of_the_name_is_an_error(tmp_path):
    path = write(tmp_path / "x.bed", "chr1\t10\t20\t-\n")
    with pytest.raises(sources.DatasetError, match="line 1: name '-'; BED has the str"):
        list(intervals_lib.read(str(path)))


def test_a_header_may_begin_with_a_sign(tmp_path):
    path = write(tmp_path / "x.tsv", "#chrom\tstart\tend\tlabel\nchr1\t1\t9\tyes\n")
    [found] = intervals_lib.read(str(path))
    assert (found.contig, found.label) == ("chr1", "yes")
