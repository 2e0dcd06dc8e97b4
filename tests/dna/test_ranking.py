import numpy as np
import pytest

from genomenet.dna import kmer, ranking

HEADER = "kmer,count,pmi,npmi,rank\n"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "ranking.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_ranks_stand_where_the_vocabulary_says(write):
    path = write(f"# of a test\n{HEADER}GGG,9,1,1,1\nAAT,8,1,0.5,2\nAAA,7,1,0.1,3\n")
    ranks = ranking.read(path, 3)
    assert ranks.dtype == np.int32
    assert ranks.shape == (64,)
    ids = {word: i for i, word in enumerate(kmer.vocabulary(3))}
    for rank, word in enumerate(("GGG", "AAT", "AAA"), 1):
        assert ranks[ids[word] - kmer.NUM_SPECIAL] == rank
    assert np.count_nonzero(ranks == 4) == 61


def test_comments_blank_lines_and_a_byte_order_mark_do_not_count(write):
    path = write(f'\ufeff{HEADER}\n# a, "b\n\nAAA,7,1,0.1,1\r\n\n# "c\nAAT,6,1,0,2\n\n')
    assert ranking.read(path, 3)[:2].tolist() == [1, 2]


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_bundled_rankings_are_whole_and_name_their_source(k):
    assert "human_chr20" in ranking.bundled(k)
    ranks = ranking.read("human_chr20", k)
    assert np.unique(ranks).tolist() == list(range(1, ranks.max() + 1))
    assert len(ranks) == 4**k
    assert (ranks <= 4**k).all()  # chr20 holds every 6-mer often enough
    path = ranking._FOLDER / f"human_chr20_k{k}.csv"
    comments = [x for x in path.read_text("utf-8").splitlines() if x.startswith("#")]
    header = "\n".join(comments)
    for expected in ("GRCh37", "rank_kmers", f"--k={k}", "counted", ".fa.gz"):
        assert expected in header
    assert "/" not in header.replace("(hg19)", "")


def test_the_bundled_ranking_puts_repeats_first_and_cpg_last():
    ranks = ranking.read("human_chr20", 6)
    words = np.array(kmer.vocabulary(6)[kmer.NUM_SPECIAL :])[np.argsort(ranks)]
    assert set(words[:2]) == {"AAAAAA", "TTTTTT"}
    assert all("CG" in word for word in words[-20:])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "the first line must be kmer,count,pmi,npmi,rank"),
        ("AAA,1,1,1,1", "the first line must be kmer,count,pmi,npmi,rank"),
        (HEADER, "the ranks are not 1, 2, 3, … each once"),
        (f"{HEADER}AAA,1,1,1,2", "the ranks are not 1, 2, 3, … each once"),
        (f"{HEADER}AAA,1,1,1,1\nAAT,1,1,1,1", "the ranks are not 1, 2, 3, … each"),
        (f"# a\n{HEADER}AAN,1,1,1,1", "line 3: 'AAN' is not a 3-mer"),
        (f"# a\n{HEADER}AAAA,1,1,1,1", "line 3: 'AAAA' is not a 3-mer"),
        (f"{HEADER}\nAAA,1,1,1,0", "line 3: .* from 1 to 64; got 'AAA,1,1,1,0'"),
        (f"{HEADER}AAA,1,1,1,65", "line 2: .* from 1 to 64; got 'AAA,1,1,1,65'"),
        (f"{HEADER}AAA,1,1,1,99999999999", "line 2: .* from 1 to 64; got 'AAA,1,1,1,9"),
        (f"{HEADER}AAA,1,1,1,x", "line 2: .* from 1 to 64; got 'AAA,1,1,1,x'"),
        (f"{HEADER}AAA,1,1,1", "line 2: .* from 1 to 64; got 'AAA,1,1,1'"),
        (f"{HEADER}AAA,1,1,1,1\nAAA,1,1,1,2", "line 3: AAA is listed twice"),
        # Depends on the largest field that csv was last told to allow.
        (
            f'{HEADER}AAA,1,1,1,"{"1" * 200_000}',
            "is not a ranking of 3-mers|from 1 to 64",
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(write, lines, message):
    path = write(lines)
    with pytest.raises(ValueError, match=message) as caught:
        ranking.read(path, 3)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_name_that_is_none_lists_those_there_are(tmp_path):
    for name in ("human_chr21", tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ValueError, match="6-mers: .*human_chr20"):
            ranking.read(name, 6)
    with pytest.raises(ValueError, match="8-mers: .* none"):
        ranking.read("human_chr20", 8)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        ranking.read(path, 3)
