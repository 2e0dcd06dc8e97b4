import io
import json

import numpy as np
import pytest
from PIL import Image

from genomenet.training import progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61, "1:01"), (3725.4, "1:02:05")]
)
def test_duration(seconds, text):
    assert progress.duration(seconds) == text


def test_line_shows_loss_accuracy_speed_and_time_left():
    stream = io.StringIO()
    line = progress.ProgressLine(
        steps=100, step=0, bases_per_step=300, sequences_per_step=2, stream=stream
    )
    line.start_clock(1)
    line._begin -= 5  # five seconds ago
    line.update(11, {"loss": 4.0, "accuracy": 0.25, "chance": 0.1})
    text = stream.getvalue()
    assert text.startswith(
        "step 11/100 | loss 4.0000 | accuracy 25.00% (chance 10.00%)"
    )
    assert "| 4 sequences/s | 0.6 kb/s | ETA 0:4" in text
    line.update(12, {"loss": 3.0})  # too soon for another line
    assert stream.getvalue() == text


def test_curves_are_drawn(tmp_path):
    assert progress.save_curves(tmp_path) is None
    rows = [
        {"step": s, "loss": 4 / s, "val_loss": 5 / s, "accuracy": 0.1 * s}
        for s in range(1, 5)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    picture = np.asarray(Image.open(progress.save_curves(tmp_path)).convert("L"))
    assert picture.shape[0] > 300
    assert picture.min() < 100
