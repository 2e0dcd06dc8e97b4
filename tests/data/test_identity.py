"""Published sequences, recognised by their bases."""

import hashlib

import numpy as np
import pytest

from genomenet.data import genome_index, identity, sources
from genomenet.dna import reader


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write(path, **records):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    return str(path)


def known(text, **kwargs):
    md5 = hashlib.md5(text.upper().encode()).hexdigest()
    return identity.Known(length=len(text), md5=md5, **kwargs)


def test_known_sequences_are_found_by_content(tmp_path):
    one, two = letters(300), letters(400, 1)
    write(tmp_path / "a.fa", other=letters(200), NC_1=one.lower())
    write(tmp_path / "b.fa", other=letters(250), chr2=two)
    (tmp_path / "broken.fa").write_text("not a sequence\n")
    index = genome_index.index(
        [str(tmp_path / "*.fa")],
        min_length=20,
        known={"chr2": known(two), "chr1": known(one)},
    )
    assert [c.name for c in index.contigs] == ["chr1", "chr2"]
    assert index.origins["chr1"] == (str(tmp_path / "a.fa"), "NC_1")
    assert index.not_wanted == 2


def test_a_missing_known_sequence_is_an_error(tmp_path):
    path = write(tmp_path / "a.fa", x=letters(300))
    with pytest.raises(sources.DatasetError, match=r"a.fa: chr1 \(300,000 bases\) not"):
        genome_index.index(
            [path], min_length=9, known={"chr1": identity.Known(length=300_000)}
        )
    broken = tmp_path / "b.fa"
    broken.write_text("no sequence\n")
    with pytest.raises(reader.SequenceFileError, match="b.fa"):
        genome_index.index(
            [path, str(broken)],
            min_length=9,
            known={"chr1": identity.Known(length=300_000)},
        )


def test_a_masked_copy_of_a_known_sequence_is_refused(tmp_path):
    text = letters(300)
    masked = write(tmp_path / "a.fa", x="N" * 150 + text[150:])
    with pytest.raises(reader.SequenceFileError, match="length of c, but its MD5"):
        genome_index.index([masked], min_length=9, known={"c": known(text)})
    with pytest.raises(reader.SequenceFileError, match="50% N: masked"):
        genome_index.index([masked], min_length=9, known={"c": known(text, max_n=0.3)})
