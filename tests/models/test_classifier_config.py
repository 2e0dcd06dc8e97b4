import dataclasses

import pytest

from genomenet.models import classifier_config


def test_a_config_keeps_its_values():
    config = classifier_config.ClassifierConfig(
        task="binary", classes=("a", "b"), pool="last"
    )
    assert classifier_config.from_dict(classifier_config.to_dict(config)) == config
    with pytest.raises(ValueError, match="no 'clases'"):
        classifier_config.from_dict({"task": "regression", "clases": []})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "ternary"}, "task must be one of"),
        ({"classes": ("a",)}, "binary with 1 classes"),
        ({"classes": ("a", "a")}, "'a', 'a'"),
        ({"over_windows": "max"}, "over_windows must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"window": 0}, "window must be >= 1"),
        ({"scale": 0.0}, "scale must be > 0"),
    ],
)
def test_nonsense_is_refused(fields, message):
    config = classifier_config.ClassifierConfig(task="binary", classes=("a", "b"))
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **fields)
