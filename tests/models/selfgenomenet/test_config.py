import dataclasses
import json
import pathlib

import pytest

from genomenet import models
from genomenet.models import selfgenomenet
from genomenet.models.selfgenomenet import config as config_lib

FOLDERS = sorted(
    path
    for path in (pathlib.Path(__file__).parents[3] / "models").glob("*/config.json")
    if json.loads(path.read_text())["family"] == "selfgenomenet"
)


def test_the_defaults_are_the_150_nt_virus_model():
    config = selfgenomenet.Config()
    assert (config.length, config.kernel_size, config.stride) == (150, 24, 6)
    assert (config.filters, config.units, config.gaps) == (1024, 512, (3,))
    assert config.num_patches == 22
    assert (
        selfgenomenet.Config(length=1000, kernel_size=40, stride=20).num_patches == 49
    )


def test_round_trip_through_json():
    config = selfgenomenet.Config(gaps=(3, 5, 4), objective="reverse", units=64)
    values = json.loads(json.dumps(selfgenomenet.to_dict(config)))
    assert values["gaps"] == [3, 5, 4]
    assert selfgenomenet.from_dict(values) == config


def test_unknown_keys_are_named_with_the_known_ones():
    with pytest.raises(ValueError, match="has no 'unit', 'window'; it has .*units"):
        selfgenomenet.from_dict({"unit": 5, "window": 3})


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        selfgenomenet.Config().units = 3


@pytest.mark.parametrize(
    ("kernel_size", "stride", "least"),
    [(24, 6, 3), (40, 20, 1), (25, 6, 4), (23, 6, 3), (6, 6, 0), (5, 6, 0)],
)
def test_gap_rule(kernel_size, stride, least):
    def config(gap):
        return selfgenomenet.Config(
            length=150, kernel_size=kernel_size, stride=stride, gaps=(gap,)
        )

    config(least)
    if least:
        with pytest.raises(ValueError, match="share bases") as error:
            config(least - 1)
        assert str(error.value) == (
            f"gap {least - 1} would let a prediction share bases with its target: with"
            f" kernel_size={kernel_size} and stride={stride} a gap must be at least"
            f" ceil({kernel_size}/{stride}) - 1 = {least}"
        )


def test_gap_rule_is_that_no_base_is_shared():
    """Position j read [0, (j-1)s + k); its target read [r + (j+i)s, L)."""
    for kernel_size, stride in ((6, 3), (7, 3), (8, 3), (4, 4), (3, 4)):
        config = selfgenomenet.Config(
            length=40, kernel_size=kernel_size, stride=stride, gaps=(2,)
        )
        spans = selfgenomenet.spans(config, config.length)
        gap, patches = config.gaps[0], config.num_patches
        for j in range(1, patches - gap):
            read = set(range(spans[j - 1][1]))
            on_other = selfgenomenet.spans(config, config.length)[patches - j - gap - 1]
            target = {config.length - 1 - base for base in range(on_other[1])}
            assert not read & target


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"units": 0}, "units must be an integer >= 1, got 0"),
        ({"stride": 1.5}, "stride must be an integer >= 1, got 1.5"),
        ({"filters": True}, "filters must be an integer >= 1, got True"),
        ({"length": "150"}, "length must be an integer >= 1, got '150'"),
        ({"max_length": None}, "max_length must be an integer >= 1, got None"),
        ({"length": 23}, "length=23 is shorter than one patch of 24 bases"),
        ({"max_length": 149}, "max_length=149 is below length=150"),
        ({"objective": "mlm"}, "objective must be one of reverse_complement, .*'mlm'"),
        ({"negatives": "all"}, "negatives must be global or local, got 'all'"),
        ({"gaps": ()}, "gaps must be different and at least one"),
        ({"gaps": (3, 3)}, "gaps must be different and at least one"),
        ({"gaps": 3}, "gaps must be a list of integers, got 3"),
        ({"gaps": (3.5,)}, "gaps must be a list of integers, got"),
        ({"gaps": (21,)}, "gap 21 leaves nothing to predict: .* at most 20"),
    ],
)
def test_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        selfgenomenet.Config(**values)


def test_window():
    window = selfgenomenet.window(selfgenomenet.Config())
    assert (window.length, window.stride) == (150, 150)


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: path.parent.name)
def test_every_preset_builds(path):
    values = json.loads(path.read_text())
    family = models.get_family(values["family"])
    config = config_lib.from_dict(values["model"])
    model = family.build(config)
    assert len(model.projections) == len(config.gaps)
    units = config.units
    projection = units**2 + units
    conv = {24: 99_328, 40: 164_864}[config.kernel_size]
    lstm = {512: 3_147_776, 256: 1_311_744}[units]
    assert model.context_net.encoder.count_params() == conv
    assert model.context_net.count_params() == conv + lstm
    total = {(24, 512): 3_247_104, (40, 512): 3_312_640, (40, 256): 1_476_608}
    assert conv + lstm == total[config.kernel_size, units]
    assert [p.count_params() for p in model.projections] == [projection] * len(
        config.gaps
    )
    assert model.count_params() == conv + lstm + len(config.gaps) * projection


def test_there_are_four_presets():
    assert {path.parent.name for path in FOLDERS} >= {
        "selfgenomenet",
        "selfgenomenet_1000",
        "selfgenomenet_1000_bacteria",
        "selfgenomenet_1000_deepsea",
    }


def test_unknown_family():
    with pytest.raises(ValueError, match="family 'x'; there are bert, selfgenomenet"):
        models.get_family("x")
