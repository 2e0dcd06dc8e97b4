import dataclasses
import json
import multiprocessing

import pytest

from genomenet.training import settings, workdir


def config(model=None, **training):
    return workdir.RunConfig(
        family="selfgenomenet",
        model=model or {"length": 60},
        settings=settings.Settings(**training),
        dataset={"name": "tiny"},
    )


def test_what_a_run_writes_can_be_taken_up(tmp_path):
    folder = workdir.Workdir(tmp_path / "run")
    folder.adopt(config(), flags_text="--model=x\n")
    folder.adopt(config(steps=5, keep=1))  # neither changes a weight that is there
    content = json.loads((tmp_path / "run/config.json").read_text())
    assert content["training"] == dataclasses.asdict(settings.Settings(steps=5, keep=1))
    assert json.loads((tmp_path / "run/versions.json").read_text())["tensorflow"]
    folder.close()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (config({"length": 90}), "model.length: 60 → 90"),
        (config(batch_size=3), "training.batch_size: 64 → 3"),
        (config(seed=3, learning_rate=1.0), "learning_rate.*training.seed: 0 → 3"),
    ],
)
def test_another_run_is_refused(tmp_path, other, message):
    folder = workdir.Workdir(tmp_path)
    folder.adopt(config())
    with pytest.raises(workdir.WorkdirError, match=message):
        folder.adopt(other)
    folder.close()


def test_the_advice_comes_first_and_few_differences_follow(tmp_path):
    folder = workdir.Workdir(tmp_path)
    run = config(seed=3, learning_rate=1.0, schedule="linear", batch_size=3)
    dataset = {**run.dataset, "train_digest": "ab", "test_rows": "9" * 99}
    folder.adopt(dataclasses.replace(config(), dataset=dataset))
    dataset = {**run.dataset, "train_digest": "cd", "test_rows": "8" * 99}
    with pytest.raises(workdir.WorkdirError) as error:
        folder.adopt(dataclasses.replace(run, dataset=dataset))
    folder.close()
    message = str(error.value)
    assert message.startswith("use another workdir, or resume the run in ")
    assert message.endswith(
        f"dataset.test_rows: {'9' * 40}… → {'8' * 40}…; the train sequences or labels"
        " differ; training.batch_size: 64 → 3; and 3 more"
    )


def hold(path, ready, done):
    folder = workdir.Workdir(path)
    ready.set()
    done.wait(30)
    folder.close()


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    first = context.Process(target=hold, args=(tmp_path, ready, done))
    first.start()
    assert ready.wait(30)
    with pytest.raises(workdir.WorkdirError, match=rf"pid {first.pid}\) is training"):
        workdir.Workdir(tmp_path)
    first.kill()
    first.join()
    workdir.Workdir(tmp_path).close()


def test_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(workdir.WorkdirError, match="cannot write in"):
        workdir.Workdir(tmp_path / "file")


def test_metrics_are_cut_back_and_a_torn_line_dropped(tmp_path):
    rows = [{"step": step, "loss": float(step)} for step in (10, 20, 30)]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 40, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert workdir.read_metrics(tmp_path) == rows
    log = workdir.MetricsLog(tmp_path, step=20)
    log.write({"step": 25, "loss": 7.0})
    log.close()
    steps = [row["step"] for row in workdir.read_metrics(tmp_path)]
    assert steps == [10, 20, 25]
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    assert summary_steps(events[0]) == [10, 20, 25]


def summary_steps(path):
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    events = [tf.compat.v1.Event.FromString(record) for record in records]
    return [event.step for event in events if event.summary.value]
