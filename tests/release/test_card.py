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
