"""Pretrained models that take sequences: as the family's own functions embed."""

import keras
import numpy as np
import pytest

from genomenet.api import encoders
from genomenet.dna import encode, kmer
from genomenet.models import bert, selfgenomenet


@pytest.fixture(scope="module")
def masked_lm():
    config = bert.Config(
        kmer=3,
        length=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    return encoders.BertMaskedLM(config)


def test_embed_is_the_familys(masked_lm):
    texts = ["ACGTACGTTA", "acgunACGTTGCA", "ACG"]
    for pool in (*bert.POOLS[:3], *bert.READOUTS):
        found = masked_lm.embed(texts, pool=pool)
        for row, text in zip(found, texts, strict=True):
            batch = {"bases": encode.encode(text)[None]}
            expected = bert.embed(masked_lm, batch, pool)[0]
            np.testing.assert_allclose(row, expected, atol=1e-5)
    tokens = masked_lm.embed(texts, pool="none")
    assert [x.shape for x in tokens] == [(8, 16), (11, 16), (1, 16)]
    np.testing.assert_allclose(tokens[0].mean(0), masked_lm.embed(texts)[0], atol=1e-5)


def test_bins_are_means_of_parts_in_their_order(masked_lm):
    text = "ACGTACGTTAACGTACGT"  # 18 bases: 16 tokens, two a bin
    (tokens,) = masked_lm.embed([text], pool="none")
    found = masked_lm.embed([text], pool="bins")
    assert found.shape == (1, 8 * 16)
    expected = tokens.reshape(8, 2, 16).mean(axis=1)
    np.testing.assert_allclose(found[0].reshape(8, 16), expected, atol=1e-5)


def test_a_long_sequence_is_the_mean_of_its_windows(masked_lm):
    text = "ACGTTGCAACCA" * 4  # 48 bases: windows at 0, 20 and 28
    parts = masked_lm.embed([text[:20], text[20:40], text[28:]], window=20)
    found = masked_lm.embed([text, "ACGT"], window=20)
    np.testing.assert_allclose(found[0], parts.mean(axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="window=99 must be 3 to"):
        masked_lm.embed([text], window=99)
    with pytest.raises(ValueError, match="window=30 .* 48"):
        masked_lm.embed([text], pool="none")
    with pytest.raises(ValueError, match="pool='last'"):
        masked_lm.embed([text], pool="last")


def test_predict_masked_hides_the_base(masked_lm):
    text = "ACGTTGCA"
    found = masked_lm.predict_masked([text, "ACG"], batch_size=3)
    assert [x.shape for x in found] == [(8, 4), (3, 4)]
    np.testing.assert_allclose(found[0].sum(axis=1), 1.0, atol=1e-5)
    # What stands at a base does not matter to what is predicted there.
    other = masked_lm.predict_masked(["ACGATGCA"])[0]
    np.testing.assert_allclose(other[3], found[0][3], atol=1e-6)
    # By hand, the first base: one 3-mer holds it.
    ids = np.concatenate([[2], kmer.tokenize(encode.encode(text), 3), [3]])[None]
    ids[0, 1] = kmer.MASK_ID
    tokens = {"token_ids": ids, "padding_mask": np.ones(ids.shape, bool)}
    logits = np.asarray(masked_lm(tokens)["logits"])[0, 1, kmer.NUM_SPECIAL :]
    shares = np.exp(logits) / np.exp(logits).sum()
    first = [word[0] for word in kmer.vocabulary(3)[kmer.NUM_SPECIAL :]]
    expected = [shares[np.array(first) == base].sum() for base in "ACGT"]
    np.testing.assert_allclose(found[0][0], expected, atol=1e-5)


def test_both_stay_plain_keras_models(masked_lm, tmp_path):
    config = selfgenomenet.Config(
        length=40, kernel_size=8, stride=4, filters=16, units=8, gaps=(1,)
    )
    other = encoders.SelfGenomeNet(config)
    bases = {"bases": np.zeros((2, 20), np.uint8)}
    for model, name in ((masked_lm, "logits"), (other, "context")):
        model.embed(["ACGTACGTACGT"])
        expected = model(bases)[name]
        model.save(tmp_path / "model.keras")
        copy = keras.saving.load_model(tmp_path / "model.keras")
        assert type(copy) is type(model)
        np.testing.assert_allclose(copy(bases)[name], expected, atol=1e-6)


def test_a_release_is_loaded_with_its_weights():
    import genomenet
    from genomenet.release import folder

    model = genomenet.load_model("logo6_genemask_human")
    text = "ACGTTGCAACGTTGCA"
    plain = folder.load_model("logo6_genemask_human")
    expected = bert.embed(plain, {"bases": encode.encode(text)[None]})
    np.testing.assert_allclose(model.embed([text]), expected, atol=1e-5)
