"""Fine-tunes a model on labelled sequences: `python -m genomenet.finetune --help`."""

from __future__ import annotations

if __name__ == "__main__":
    from genomenet import startup

    startup.begin()

import os
import pathlib
import sys
from collections.abc import Sequence

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
    "over_windows",
    None,
    ["mean", "attention"],
    "How windows become one vector (default: mean).",
)
_AUGMENT = flags.DEFINE_bool(
    "augment", None, "Train on a random strand of each sequence (default: yes)."
)
_BOTH_STRANDS = flags.DEFINE_bool(
    "both_strands", None, "Predict the mean of both strands (default: yes)."
)
_CLASS_WEIGHTS = flags.DEFINE_bool(
    "class_weights", False, "Weigh examples so that all classes weigh the same."
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 10, "Passes over the training data.", lower_bound=1
)
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
    from genomenet.data import existing

    with startup.refusing("finetune"):
        existing.check(
            models=[_MODEL.value],
            dataset=_DATASET.value,
            data_dir=_DATA_DIR.value,
            files=[_TABLE.value, _VALID_TABLE.value, _TEST_TABLE.value],
        )
    startup.load_tensorflow()
    from genomenet.training import command

    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    with command.resumable("finetune", workdir):
        _finetune(workdir)


def _finetune(workdir: pathlib.Path) -> None:
    from genomenet.api import fit
    from genomenet.training import engines

    engines.devices(_DISTRIBUTE.value)  # several machines meet before any tensor
    data = fit.read_data(
        str(_DATASET.value or _TABLE.value),
        _VALID_TABLE.value,
        _TEST_TABLE.value,
        task=_TASK.value,
        positive=_POSITIVE.value,
        shots=_SHOTS.value,
        label_fraction=_LABEL_FRACTION.value,
        train_split=_TRAIN_SPLIT.value,
        data_dir=_DATA_DIR.value,
        verify=_VERIFY.value,
        seed=_SEED.value,
    )
    found = fit.fit_classifier(
        _MODEL.value,
        data,
        init=_INIT.value,
        train=_TRAIN.value,
        pool=_POOL.value,
        readout=_READOUT.value or (),
        strands=_STRANDS.value or "",
        quick=_QUICK.value,
        window=_WINDOW.value,
        over_windows=_OVER_WINDOWS.value,
        augment=_AUGMENT.value,
        both_strands=_BOTH_STRANDS.value,
        class_weights=_CLASS_WEIGHTS.value,
        epochs=_EPOCHS.value,
        patience=_PATIENCE.value,
        batch_size=_BATCH_SIZE.value,
        learning_rate=_LEARNING_RATE.value,
        dropout=_DROPOUT.value,
        precision=_PRECISION.value,
        jit_compile=_JIT_COMPILE.value,
        seed=_SEED.value,
        workdir=workdir,
        distribute=_DISTRIBUTE.value,
        flags_text=_flags_text(),
    )
    if found is None:  # another process writes
        return
    print(found)
    print(f"results:   {workdir / 'results'}")
    print(f"model:     {found.release}")
    print(
        f"predict:   python -m genomenet.predict --model={found.release}"
        " --input=your.fa.gz --output=predictions.tsv"
    )


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
