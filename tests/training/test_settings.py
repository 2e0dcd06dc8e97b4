import dataclasses

import pytest

from genomenet.training import settings


def test_round_trip():
    values = dataclasses.asdict(settings.Settings(steps=7, schedule="cosine"))
    assert settings.from_dict(values) == settings.Settings(steps=7, schedule="cosine")


def test_unknown_key():
    with pytest.raises(ValueError, match="training has no 'step'; it has accumulate"):
        settings.from_dict({"step": 3})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("learning_rate", 0.0),
        ("warmup_steps", -1),
        ("schedule", "step"),
        ("precision", "float64"),
        ("seed", 2**32),
    ],
)
def test_bad_values_are_named(key, value):
    with pytest.raises(ValueError, match=f"{key} .*{value}"):
        settings.from_dict({key: value})
