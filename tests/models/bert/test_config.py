"""Configs of published checkpoints are read; what would change numbers is not."""

import pytest

from genomenet.models import bert


def test_the_room_for_targets_grows_with_the_row():
    assert bert.Config().num_targets == 192
    assert bert.Config(length=64).num_targets == 24
    assert bert.Config(length=64, max_predictions=5).num_targets == 5
    with pytest.raises(ValueError, match="max_predictions must be an integer >= 1"):
        bert.Config(max_predictions=0)
