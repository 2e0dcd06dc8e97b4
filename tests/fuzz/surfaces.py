"""What is attacked: a sound input, how it is read, and what a wrong result would be."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Surface:
    """One kind of input.

    Attributes:
        name: In tables and seeds.
        make: Writes a sound input into a folder and returns its path.
        read: Reads an input.
        wrong: Path, what was read, what was read of the sound input → why it is wrong,
            or None.
        files: Files of an input that are damaged.
        share: How many inputs it gets, compared with the others.
        refusals: What refuses an input.
    """

    name: str
    make: Callable[[pathlib.Path], pathlib.Path]
    read: Callable[[pathlib.Path], Any]
    wrong: Callable[[pathlib.Path, Any, Any], str | None]
    files: Callable[[pathlib.Path], list[pathlib.Path]] = lambda path: [path]
    share: float = 1.0
    refusals: tuple[type[BaseException], ...] = (ValueError, OSError)


def letters(length: int, seed: int = 0) -> str:
    """Returns random bases."""
    rng = np.random.default_rng(seed)
    return rng.choice(list("ACGT"), length).tobytes().decode("utf-32-le")


# === Sequence files ===


def write_fasta(folder):
    path = folder / "genome.fa"
    soft = letters(150, 1)
    records = [
        f">one a contig\n{letters(90)}\n{letters(30, 2)}\n",
        f">two\n{soft[:60].lower()}{soft[60:]}\nNNNNRYacgu\n",
        f">three|x third\r\n{letters(45, 3)}\r\n",
    ]
    path.write_text("".join(records), newline="")
    return path


def write_gzip(folder):
    plain = write_fasta(folder)
    path = folder / "genome.fa.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()
    return path


def _biopython(folder, kind, name):
    from Bio import SeqIO
    from Bio.Seq import Seq
    from Bio.SeqRecord import SeqRecord

    path = folder / name
    records = [
        SeqRecord(
            Seq(letters(200 + 30 * n, n)),
            id=f"AB{n:06}.1",
            name=f"AB{n:06}",
            annotations={"molecule_type": "DNA"},
        )
        for n in range(3)
    ]
    SeqIO.write(records, path, kind)
    return path


def write_two_bit(folder):
    """Writes the format by hand: header, index, then a record with a run of N."""
    names, records = [b"chrA", b"chrB"], []
    for n in range(2):
        text = letters(64 + 4 * n, n)
        codes = np.array(["TCAG".index(x) for x in text]).reshape(-1, 4)
        packed = (codes << np.array([6, 4, 2, 0])).sum(1).astype("uint8").tobytes()
        head = np.array([len(text), 1, 10, 5, 0, 0], "<u4").tobytes()
        records.append(head + packed)
    at = 16 + sum(len(name) + 5 for name in names)
    index, body = b"", b""
    for name, record in zip(names, records, strict=True):
        offset = np.array([at + len(body)], "<u4").tobytes()
        index += bytes([len(name)]) + name + offset
        body += record
    path = folder / "genome.2bit"
    header = np.array([0x1A412743, 0, 2, 0], "<u4").tobytes()
    path.write_bytes(header + index + body)
    return path


def read_sequences(path):
    from genomenet.dna import encode, reader

    return [(r.name, encode.decode(r.codes).decode()) for r in reader.read(str(path))]


def plain_fasta(data: bytes) -> list[tuple[str, str]]:
    """Reads FASTA in a few lines, to compare with; what is damaged is read as it is."""
    normal = str.maketrans("URYSWKMBDHV-.", "TNNNNNNNNNNNN")
    found = []
    text = "\n" + data.decode("utf-8-sig", "replace").replace("\r", "\n")
    for block in text.split("\n>")[1:]:
        header, _, body = block.partition("\n")
        found.append(
            (header.split()[0], "".join(body.split()).upper().translate(normal))
        )
    return found


def wrong_fasta(path, value, _):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    expected = plain_fasta(data)
    return None if value == expected else f"{value} is not {expected}"


def write_fastq(folder):
    path = folder / "reads.fq"
    reads = [(f"r{n} 1:N:0:ACGT", letters(30 + n, n)) for n in range(8)]
    path.write_text("".join(f"@{t}\n{s}\n+\n{'I' * len(s)}\n" for t, s in reads))
    return path


def wrong_records(path, value, sound):
    """Other bases may be what the file says; names and letters are checked."""
    for name, bases in value:
        if not name or not bases or set(bases) - set("ACGTN"):
            return f"{name!r} {bases[:40]!r}"
    return None


# === Tables, intervals, counts ===


def write_table(folder, delimiter="\t"):
    path = folder / f"labelled.{'tsv' if delimiter == chr(9) else 'csv'}"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["id", "sequence", "label"])
        for n in range(12):
            writer.writerow([f"peak {n}, x", letters(30 + n, n), ("off", "on")[n % 2]])
    return path


def read_table(path):
    from genomenet.data import tables

    rows = tables.read_tables([str(path)])
    return [(row.sequence.decode(), row.label) for row in rows]


def wrong_table(path, value, _):
    text = path.read_text("utf-8-sig", errors="strict")
    first = text.splitlines()[0]
    delimiter = next(d for d in "\t,;" if d in first)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    normal = str.maketrans("URYSWKMBDHV-.", "TNNNNNNNNNNNN")
    expected = []
    for row in rows:
        named = {k.strip().lower(): (v or "").strip() for k, v in row.items() if k}
        if any(named.values()):
            bases = named["sequence"].upper().translate(normal)
            expected.append((bases, named["label"]))
    return None if value == expected else f"{value} is not {expected}"


def write_bed(folder):
    (folder / "genome.fa").write_text(
        f">chr1\n{letters(500)}\n>chr2\n{letters(300, 1)}\n"
    )
    path = folder / "peaks.bed"
    lines = [
        f"chr{1 + n % 2}\t{10 * n}\t{10 * n + 40}\tpeak\t0\t{'+-'[n % 2]}\n"
        for n in range(10)
    ]
    path.write_text("".join(lines))
    return path


def read_bed(path):
    from genomenet.data import intervals as intervals_lib

    found = intervals_lib.read(str(path), label="peak")
    rows = intervals_lib.cut(found, [str(path.with_name("genome.fa"))])
    return sorted((row.id, row.sequence.decode()) for row in rows)


def wrong_bed(path, value, _):
    from Bio.Seq import reverse_complement

    genome = dict(plain_fasta(path.with_name("genome.fa").read_bytes()))
    expected = []
    for line in path.read_text("utf-8-sig").splitlines():
        fields = line.split("\t") if "\t" in line else line.split()
        fields = [x.strip() for x in fields]
        if not any(fields) or fields[0].startswith(("#", "track", "browser")):
            continue
        start, end = int(fields[1]), int(fields[2])
        is_reverse = len(fields) > 5 and fields[5] == "-"
        bases = genome[fields[0]][start:end]
        bases = reverse_complement(bases) if is_reverse else bases
        expected.append((f"{fields[0]}:{start}-{end}{'(-)' * is_reverse}", bases))
    return None if value == sorted(expected) else f"{value} is not {sorted(expected)}"


def write_vcf(folder):
    path = folder / "calls.vcf"
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    alts = ("C", "ACG,<DEL>", "*", "G[chr2:8[")
    rows = [
        f"chr{1 + n % 2}\t{10 * n}\trs{n}\tA\t{alts[n % 4]}\t.\tPASS\tDP={n}\n"
        for n in range(12)
    ]
    path.write_text(head + "".join(rows))
    return path


def read_vcf(path):
    from genomenet.variants import vcf

    def refuse(error):
        raise error

    found = list(vcf.read(str(path), refuse))
    return [
        x if isinstance(x, bytes) else (x.line, x.contig, x.position, x.ref, x.alts)
        for x in found
    ]


def wrong_vcf(path, value, _):
    expected, is_body = [], False
    for line in io.BytesIO(path.read_bytes()):
        if is_body and line.strip() and not line.startswith(b"#"):
            text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            contig, position, _, ref, alts, *_ = text.split("\t")
            line = line, contig, int(position), ref, tuple(alts.split(","))
        elif line.startswith(b"#CHROM\t"):
            is_body = True
        expected.append(line)
    return None if value == expected else f"{value} is not {expected}"


def write_counts(folder):
    from genomenet.data import kmer_ranking
    from genomenet.dna import encode, kmer

    path = folder / "counts.tsv"
    counter = kmer_ranking.Counter(2)
    counter.add(encode.encode(letters(5000)))
    words = kmer.vocabulary(2)[kmer.NUM_SPECIAL :]
    rows = zip(words, counter.counts.tolist(), strict=True)
    path.write_text("".join(f"{w}\t{n}\n" for w, n in rows))
    return path


def read_counts(path):
    from genomenet.data import kmer_ranking

    return kmer_ranking.read_counts(str(path), 2).counts.tolist()


def wrong_counts(path, value, _):
    total = 0
    for line in path.read_text("utf-8-sig").split("\n"):
        word, *rest = (line.split() or [""])[:2]
        if set(word.upper()) <= set("ACGTU") and len(word) == 2 and rest:
            total += int(rest[0])
    is_right = sum(value) in (total, 2 * total)  # canonical k-mers count twice
    return None if is_right else f"{sum(value)} is not {total}"


# === Models ===

MODEL = {
    "format": 1,
    "family": "selfgenomenet",
    "model": {
        **{"length": 60, "kernel_size": 8, "stride": 4, "filters": 16, "units": 8},
        **{"gaps": [2], "max_length": 500},
    },
    "training": {"steps": 3, "seed": 0},
}


def write_release(folder):
    from genomenet.models import selfgenomenet
    from genomenet.release import export

    model = selfgenomenet.build(selfgenomenet.from_dict(MODEL["model"]))
    path = export.write_release(
        model,
        MODEL,
        directory=folder / "tiny",
        name="tiny",
        metrics={"val_loss": 2.0},
        flags_text="--model=tiny\n",
    )
    return pathlib.Path(path)


def read_release(path):
    import keras

    from genomenet.models import selfgenomenet
    from genomenet.release import folder

    keras.backend.clear_session()
    model = folder.load_model(path)
    bases = np.random.default_rng(0).integers(0, 4, (2, 60)).astype("uint8")
    return np.asarray(selfgenomenet.embed(model, {"bases": bases}))


def wrong_arrays(_, value, sound):
    same = value.shape == sound.shape and np.array_equal(value, sound)
    return None if same else "other embeddings"


def only(*names):
    """Returns a choice of the files with these names."""
    return lambda path: [path / name for name in names]


# === Foreign and packed weights, genomes ===


def write_torch(folder):
    golden = pathlib.Path(__file__).parents[1] / "golden"
    path = folder / "torch_zip.bin"
    path.write_bytes((golden / "torch_zip.bin").read_bytes())
    return path


def write_torch_legacy(folder):
    golden = pathlib.Path(__file__).parents[1] / "golden"
    path = folder / "torch_legacy.bin"
    path.write_bytes((golden / "torch_legacy.bin").read_bytes())
    return path


def read_torch(path):
    from genomenet.porting import torch_file

    return torch_file.read(path)


def wrong_shapes(_, value, sound):
    """A PyTorch file has no checksum of its numbers; sizes must not grow."""
    size = sum(x.nbytes for x in value.values())
    limit = 10 * sum(x.nbytes for x in sound.values()) + 10_000
    return None if size <= limit else f"{size} bytes"


def write_hugging_face(folder):
    from genomenet.models import bert
    from genomenet.porting import hf_bert

    config = bert.Config(
        kmer=3,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=20,
        length=20,
    )
    return hf_bert.write(bert.build(config), folder / "hf")


def read_hugging_face(path):
    import keras

    from genomenet.porting import hf_bert

    keras.backend.clear_session()
    model, _ = hf_bert.read(path)
    return [np.asarray(weight) for weight in model.weights]


def anything(*_):
    """Whatever was read is right: the input says nothing that could be compared."""
    return None


def write_packed(folder):
    from genomenet.data import prepared

    path = folder / "genome.npz"
    prepared.pack(
        [str(write_fasta(folder))], path, name="x", min_length=20, splits="100"
    )
    return path


def read_packed(path):
    from genomenet.data import prepared

    genome = prepared.read(path)
    chunks = genome.chunks
    bases = [
        chunks.genome.take(np.array([start]), end - start)[0].tobytes()
        for split in chunks.splits
        for start, end in chunks.intervals(split)
    ]
    return genome.name, genome.options, chunks.contigs, chunks.digest, bases


def wrong_equal(_, value, sound):
    return None if value == sound else "another genome"


# === Prepared datasets and checkpoints ===


def write_dataset(folder):
    from genomenet.data import building, recipes

    (folder / "genome.fa").write_text(
        "".join(f">c{n}\n{letters(2000, n)}\n" for n in range(6))
    )
    directory, _ = building.prepare(
        "tiny",
        lambda root: recipes.GenomeChunks(
            name="tiny", sources=[folder / "genome.fa"], data_dir=root, chunk_length=400
        ),
        data_dir=folder / "data",
        show_progress=False,
    )
    return pathlib.Path(directory)


def all_files(path):
    return sorted(p for p in path.rglob("*") if p.is_file())


def read_dataset(path):
    from genomenet.data import integrity, shards

    data = shards.Prepared(path)
    with integrity.reading(path):
        return {
            split: [chunk["bases"].numpy().tobytes() for chunk in data.dataset(split)]
            for split in data.splits
        }


def write_labelled(folder):
    from genomenet.data import building, recipes

    path = write_table(folder)
    directory, _ = building.prepare(
        "tiny",
        lambda root: recipes.LabelledSequences(
            name="tiny", sources=[path], data_dir=root, splits="50/25/25"
        ),
        data_dir=folder / "data",
        show_progress=False,
    )
    return pathlib.Path(directory)


def read_labelled(path):
    from genomenet.data import examples

    data = examples.read_prepared(path)
    return {
        name: (split.codes.tobytes(), split.labels.tolist(), split.ids)
        for name, split in data.splits.items()
    }


def checkpoints(path):
    """Returns a small model and its optimizer, and what saves them."""
    import keras

    from genomenet.training.engines import checkpoint

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="dense")])
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    saved = checkpoint.Checkpoints(path, model=model, optimizer=optimizer, keep=2)
    return model, saved


def write_checkpoints(folder):
    model, saved = checkpoints(folder / "checkpoints")
    for step in (10, 20):
        model.layers[0].kernel.assign(np.full((3, 4), step))
        saved.save(step, {"loss": step / 7})
    return folder / "checkpoints"


def read_checkpoints(path):
    model, saved = checkpoints(path)
    step, totals = saved.restore()
    if not step:
        raise ValueError(f"{path}: nothing was restored")
    return step, totals, np.unique(np.asarray(model.layers[0].kernel)).tolist()


def wrong_checkpoint(_, value, sound):
    step, totals, kernel = value
    return None if kernel == [step] and totals == {"loss": step / 7} else f"{value}"


SURFACES = {
    surface.name: surface
    for surface in (
        Surface("fasta", write_fasta, read_sequences, wrong_fasta, share=8),
        Surface("fasta_gzip", write_gzip, read_sequences, wrong_fasta, share=3),
        Surface("fastq", write_fastq, read_sequences, wrong_records, share=2),
        Surface(
            "genbank",
            lambda folder: _biopython(folder, "genbank", "genome.gb"),
            read_sequences,
            wrong_records,
            share=3,
        ),
        Surface(
            "embl",
            lambda folder: _biopython(folder, "embl", "genome.embl"),
            read_sequences,
            wrong_records,
            share=2,
        ),
        Surface("two_bit", write_two_bit, read_sequences, wrong_records, share=3),
        Surface("table_tsv", write_table, read_table, wrong_table, share=5),
        Surface(
            "table_csv",
            lambda folder: write_table(folder, ","),
            read_table,
            wrong_table,
            share=3,
        ),
        Surface("bed", write_bed, read_bed, wrong_bed, share=4),
        Surface("vcf", write_vcf, read_vcf, wrong_vcf, share=4),
        Surface("kmer_counts", write_counts, read_counts, wrong_counts, share=2),
        Surface(
            "config",
            write_release,
            read_release,
            wrong_arrays,
            files=only("config.json"),
        ),
        Surface(
            "weights",
            write_release,
            read_release,
            wrong_arrays,
            files=only("model.weights.h5"),
        ),
        Surface("torch_zip", write_torch, read_torch, wrong_shapes, share=2),
        Surface("torch_legacy", write_torch_legacy, read_torch, wrong_shapes, share=2),
        Surface(
            "hugging_face",
            write_hugging_face,
            read_hugging_face,
            anything,
            files=only("config.json", "model.safetensors", "vocab.txt"),
            share=0.5,
        ),
        Surface("packed_genome", write_packed, read_packed, wrong_equal, share=2),
        Surface(
            "labelled",
            write_labelled,
            read_labelled,
            wrong_equal,
            files=all_files,
            share=0.5,
        ),
        Surface(
            "checkpoints",
            write_checkpoints,
            read_checkpoints,
            wrong_checkpoint,
            files=all_files,
            share=0.5,
        ),
        Surface(
            "prepared",
            write_dataset,
            read_dataset,
            wrong_equal,
            files=all_files,
        ),
    )
}
