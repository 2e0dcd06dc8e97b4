"""Fine-tunes a model on labelled sequences: `python -m genomenet.finetune --help`."""

from __future__ import annotations

if __name__ == "__main__":
    from genomenet import startup

    startup.begin()

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Name of a folder in models/, or the path of one. A classifier that predicts the"
    " same gives its head too.",
    required=True,
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Name of a dataset of labelled sequences, or its folder."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of all datasets (default: as in TFDS)."
)
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Read all of --dataset first and compare checksums, not only sizes and ends.",
)
_TABLE = flags.DEFINE_string(
    "table",
    None,
    "TSV or CSV with columns sequence, label, and where wanted id and split; alone and"
    " without a split it is divided, 80/10/10.",
)
_VALID_TABLE = flags.DEFINE_string("valid_table", None, "Validation set of --table.")
_TEST_TABLE = flags.DEFINE_string("test_table", None, "Test set of --table.")
_TASK = flags.DEFINE_enum(
    "task",
    "auto",
    ["auto", "binary", "multiclass", "multi_label", "regression"],
    "What the labels of --table mean; found in the labels if not given.",
)
_POSITIVE = flags.DEFINE_string(
    "positive",
    None,
    "Of two classes the one that F1 and AUPRC are about (default: the one that is not"
    " called non-…, control, background, other, 0 or the like, else the last).",
)
_TRAIN_SPLIT = flags.DEFINE_string(
    "train_split", "train", "Split of --dataset to learn from, as train_10."
)
_SHOTS = flags.DEFINE_integer(
    "shots", None, "Training examples drawn of each class.", lower_bound=1
)
_LABEL_FRACTION = flags.DEFINE_float(
    "label_fraction", None, "Share of the training examples that is drawn."
)
_INIT = flags.DEFINE_enum(
    "init",
    None,
    ["pretrained", "random"],
    "Weights to begin with (default: pretrained where the model has weights).",
)
_TRAIN = flags.DEFINE_enum(
    "train",
    None,
    ["all", "head", "head_first"],
    "Weights that are trained; head: a linear probe; head_first: a linear probe, and"
    " from it on all (default: all; of a model with weights, where there are at most"
    " 1,000 training sequences, a linear head over chosen readouts, and from it on all"
    " where held-out sequences say that it is better).",
)
_POOL = flags.DEFINE_enum(
    "pool",
    None,
    ["mean", "last", "cls", "max"],
    "How a window becomes one vector (default: the family's).",
)
_READOUT = flags.DEFINE_list(
    "readout",
    None,
    "What is read of a sequence, joined by commas: pools of the family, bins,"
    " embeddings_mean, embeddings_bins, kmers3 to kmers6, onehot (default: chosen by"
    " cross-validation where there are at most 1,000 training sequences, else"
    " --pool).",
)
_STRANDS = flags.DEFINE_enum(
    "strands",
    None,
    ["both", "forward"],
    "Strands that are read, in place of --augment and --both_strands (default: chosen"
    " as --readout is).",
)
_QUICK = flags.DEFINE_bool(
    "quick",
    False,
    "Where readouts are chosen, leave it at the linear head: training of all weights"
    " is not tried.",
)
_WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Bases read at once (default: the longest sequence, or where that is more than"
    " twice what the model was trained on, that); longer ones are read in windows.",
    lower_bound=1,
)
_OVER_WINDOWS = flags.DEFINE_enum(
    "over_windows", "mean", ["mean", "attention"], "How windows become one vector."
)
_AUGMENT = flags.DEFINE_bool(
    "augment", True, "Train on a random strand of each sequence."
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", True, "Predict the mean of both strands."
)
_CLASS_WEIGHTS = flags.DEFINE_bool(
    "class_weights", False, "Weigh examples so that all classes weigh the same."
)
_EPOCHS = flags.DEFINE_integer("epochs", 10, "Times all is read.", lower_bound=1)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    3,
    "Epochs without a lower validation loss that end the run; 0: never.",
    lower_bound=0,
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Examples a step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate",
    None,
    "Peak learning rate (default: the family's, of head_first a tenth of it, of a"
    " linear probe 1e-2).",
    lower_bound=0,
)
_DROPOUT = flags.DEFINE_float("dropout", 0.1, "Share of channels dropped in training.")
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Number format of the computations.",
)
_JIT_COMPILE = flags.DEFINE_bool("jit_compile", False, "Compile with XLA.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of draws, weights, order and strands.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run (default: runs/finetune-<model>-<data>)."
)
_DISTRIBUTE = flags.DEFINE_enum(
    "distribute",
    "auto",
    ["auto", "none", "mirrored", "multi_worker"],
    "Devices, as in genomenet.train.",
)


# Flags that say how a model is read or trained: with one, nothing is chosen.
_OLDER = ("init", "train", "pool", "over_windows", "augment", "both_strands")


def main(argv: Sequence[str]) -> None:
    """Trains, scores the test split, and writes a release folder."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {argv[1:]}")
    if bool(_DATASET.value) == bool(_TABLE.value):
        raise app.UsageError("give one of --dataset and --table")
    if _SHOTS.value and _LABEL_FRACTION.value is not None:
        raise app.UsageError("give one of --shots and --label_fraction")
    if _DATASET.value and (_VALID_TABLE.value or _TEST_TABLE.value):
        raise app.UsageError("--valid_table and --test_table go with --table")
    from genomenet import startup

    startup.load_tensorflow()
    from genomenet.training import command

    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    with command.resumable("finetune", workdir):
        _finetune(workdir)


def _finetune(workdir: pathlib.Path) -> None:
    from genomenet import models
    from genomenet.evaluation import report
    from genomenet.models import classifier as classifier_lib
    from genomenet.release import export, start
    from genomenet.training import command, engines, few_labels, finetune, settings

    devices = engines.devices(_DISTRIBUTE.value)
    given = start.read_start(_MODEL.value, _INIT.value, dropout=_DROPOUT.value)
    data = _data()
    for line in report.describe(data):
        print(line, file=sys.stderr)
    is_few = given.model is not None and len(data["train"]) <= finetune.FEW
    is_chosen = is_few and not any(flags.FLAGS[name].present for name in _OLDER)
    train = _TRAIN.value or (finetune.HEAD_FIRST if is_few else finetune.ALL)
    rate = _LEARNING_RATE.value
    if rate is None:
        rate = finetune.rate(models.get_family(given.family), train)
    classifier = start.make_config(
        given,
        data,
        pool=_POOL.value,
        window=_WINDOW.value,
        over_windows=_OVER_WINDOWS.value,
        dropout=_DROPOUT.value,
        augment=_AUGMENT.value,
        both_strands=_BOTH_STRANDS.value,
    )
    if not is_chosen and (_READOUT.value or _STRANDS.value):
        names = _READOUT.value or [classifier.pool]
        strands = _STRANDS.value or classifier_lib.BOTH
        classifier = few_labels.with_readout(classifier, names, strands)
    pretrained = given.for_task(classifier)
    has_head = isinstance(pretrained, classifier_lib.Classifier)
    is_chosen = is_chosen and not has_head
    if given.classifier is not None:
        which = "its head too" if has_head else "a fresh head"
        print(f"begins with the encoder of {_MODEL.value} and {which}", file=sys.stderr)
    if train == finetune.HEAD_FIRST and not has_head and not is_chosen:
        print("trains the head, then all weights on from it", file=sys.stderr)
    job: dict[str, Any] = {
        "family": given.family,
        "encoder": given.encoder,
        "classifier": classifier,
        "data": data,
        "settings": settings.Settings(
            batch_size=_BATCH_SIZE.value,
            learning_rate=rate,
            schedule="linear",
            weight_decay=0.01,
            epsilon=1e-8,
            clip_norm=1.0,
            precision=_PRECISION.value,
            jit_compile=_JIT_COMPILE.value,
            seed=_SEED.value,
        ),
        "plan": finetune.Plan(
            epochs=_EPOCHS.value,
            train=train,
            patience=_PATIENCE.value,
            class_weights=_CLASS_WEIGHTS.value,
        ),
        "workdir": workdir,
        "origin": given.origin,
        "devices": devices,
        "flags_text": _flags_text(),
    }
    selection = None
    if is_chosen and given.model is not None:
        few = few_labels.run(
            **job,
            pretrained=given.model,
            readout=_READOUT.value or (),
            strands=_STRANDS.value or "",
            tune=not _QUICK.value,
        )
        result, selection = few.run, few.to_json()
        print(few.describe(), file=sys.stderr)
    else:
        result = finetune.run(**job, pretrained=pretrained)
    if not result.is_chief:
        return
    model: Any = result.model
    found = report.write(
        model,
        data,
        workdir / "results",
        training=result.metrics,
        selection=selection,
    )
    release = command.release_folder(workdir)
    export.write_release(
        model,
        result.config.to_json(),
        directory=release,
        name=release.name,
        metrics=found.to_json(),
        flags_text=_flags_text(),
    )
    print(found.summary())
    print(f"results:   {workdir / 'results'}")
    print(f"model:     {release}")
    print(
        f"predict:   python -m genomenet.predict --model={release}"
        " --input=your.fa.gz --output=predictions.tsv"
    )


def _data() -> Any:
    """Reads the examples, and draws from them where that was asked for."""
    from genomenet.data import catalogue, examples

    if _DATASET.value:
        path = catalogue.prepare(_DATASET.value, _DATA_DIR.value, verify=_VERIFY.value)
        data = examples.read_prepared(path, train=_TRAIN_SPLIT.value)
    else:
        given = {
            "train": _TABLE.value,
            "validation": _VALID_TABLE.value,
            "test": _TEST_TABLE.value,
        }
        tables = {split: path for split, path in given.items() if path}
        data = examples.read_tables(tables, task=_TASK.value, seed=_SEED.value)
    train = data["train"]
    if _SHOTS.value:
        train = examples.draw_shots(train, data.task, _SHOTS.value, seed=_SEED.value)
    if _LABEL_FRACTION.value is not None:
        fraction = _LABEL_FRACTION.value
        train = examples.draw_fraction(train, data.task, fraction, seed=_SEED.value)
    return data.with_train(train).with_positive(_POSITIVE.value)


def _default_workdir() -> str:
    data = _DATASET.value or pathlib.Path(str(_TABLE.value)).name.split(".")[0]
    names = [pathlib.Path(v).name for v in (str(_MODEL.value), data)]
    return f"runs/finetune-{names[0]}-{names[1]}"


def _flags_text() -> str:
    """Returns the flags that were given, as a --flagfile takes them."""
    from genomenet.training import command

    return command.flags_text(
        flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    app.run(main)
