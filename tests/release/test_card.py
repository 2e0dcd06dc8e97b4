import pytest

from genomenet.release import card

EVIL = "a|b`c`*d*_e_[f](javascript:g)<script>h</script>&amp;\n# i\x1b[31m\u202ej"


def make(**fields):
    config = {
        "family": "bert",
        "classifier": {"task": "binary", "classes": ["no", EVIL], "positive": EVIL},
        "dataset": {"name": EVIL, "train_rows": 3},
        "training": {"seed": 0, "note": "```\n# evil"},
    }
    metrics = {
        "split": "test",
        "metrics": {EVIL: {"value": 0.5, "low": 0.4, "high": 0.6}},
    }
    return card.stub("tiny_1", {**config, **fields}, metrics, "a\n```\n# evil")


def test_labels_mean_nothing_in_a_card():
    text = make()
    assert text.startswith("# tiny_1\n")
    for evil in ("<script", "\n# i", "\x1b", "\u202e", " *d*", "[f]("):
        assert evil not in text.replace(card.code(EVIL), ""), evil
    use = next(line for line in text.splitlines() if line.startswith("Predicts"))
    assert use.count(card.escape(EVIL)) == 2
    row = next(line for line in text.splitlines() if "0.5000" in line)
    assert row.replace("\\|", "").count("|") == 4


FEW = {
    "task": "binary",
    "classes": ["unbound", "bound"],
    "positive": "bound",
    "readout": ["kmers6", "kmers5", "kmers4"],
    "strands": "both",
}


def few(steps, **changes):
    config = {
        "classifier": {**FEW, **changes},
        "training": {"seed": 0, "steps": 20},
        "plan": {"train": "head_first"},
    }
    metrics = {"split": "test", "metrics": {}, "training": {"steps": steps}}
    return card.stub("few", config, metrics, "").splitlines()


def test_a_run_without_steps_has_no_settings_of_training():
    lines = few(0)
    assert not [line for line in lines if "steps" in line or "chance" in line]
    assert "```json" not in lines
    assert (
        "Linear head over counts of 4-, 5- and 6-mers, both strands; the weights of the"
        " encoder were not changed."
    ) in lines
    assert (
        "Predicts unbound, bound (binary). Positive class (for F1 and AUPRC): bound. To"
        " be completed."
    ) in lines


def test_a_run_names_the_steps_that_it_had():
    lines = few(12, readout=["mean", "onehot", "kmers3"], strands="forward", members=5)
    assert "Trained for 12 steps. To be completed." in lines
    assert "```json" in lines
    assert (
        "Mean of 5 linear heads over counts of 3-mers and readouts of the encoder"
        " (mean) and the base at each position, one strand."
    ) in lines
    assert not [line for line in few(12, readout=[]) if "inear head" in line]


def test_chance_is_explained_where_it_is_listed():
    config = {"training": {"seed": 0, "steps": 20}}
    text = card.stub("x", config, {"val_chance": 0.5, "steps": 20}, "")
    assert "| chance | 0.5 |" in text
    assert "`chance` is accuracy at chance level." in text
    assert "Trained for 20 steps." in text
    assert "`chance`" not in card.stub("x", config, {"val_loss": 0.5}, "")


def test_no_text_ends_a_block_of_code():
    lines = make().splitlines()
    assert lines.count("````") >= 2
    place = lines.index("# evil")
    assert "````" in lines[:place]
    assert "````" in lines[place:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("promoter", "promoter"),
        ("CD4+ T-cells", "CD4+ T-cells"),
        ("my_label_1", "my_label_1"),
        ("_x_", r"\_x\_"),
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a\\", "a\\\\"),
        ("å\t", r"å\\t"),
        (None, "None"),
    ],
)
def test_escape(text, expected):
    assert card.escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a_b", "`a_b`"), ("`a", "`` `a ``"), ("a``b\n", "``` a``b\\n ```")],
)
def test_code(text, expected):
    assert card.code(text) == expected
