"""Fine-tunes a model on labelled sequences: `python -m genomenet.finetune --help`."""

from __future__ import annotations

from genomenet import startup

if __name__ == "__main__":
    startup.begin()

import pathlib
import sys

from absl import app, flags

from genomenet import command_flags

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Name of a folder in models/, or the path of one. If it is a classifier with the"
    " same classes, training starts from its head too.",
    required=True,
)
_GIVEN = command_flags.define_labelled()
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Read all of --dataset first and compare checksums, not only sizes and ends of"
    " files.",
)
_POSITIVE = flags.DEFINE_string(
    "positive",
    None,
    "Positive class of two, for F1 and AUPRC (default: the class not named non-…,"
    " control, background, other, 0 or the like; else the last).",
)
_SHOTS = flags.DEFINE_integer(
    "shots", None, "Training examples to draw from each class.", lower_bound=1
)
_LABEL_FRACTION = flags.DEFINE_float(
    "label_fraction", None, "Share of the training examples to draw."
)
_INIT = flags.DEFINE_enum(
    "init",
    None,
    ["pretrained", "random"],
    "Initial weights (default: pretrained if the model has weights).",
)
_TRAIN = flags.DEFINE_enum(
    "train",
    None,
    ["all", "head", "head_first"],
    "Weights to train. head: a linear probe; head_first: a linear probe, then all"
    " weights. Default: all. If the model has weights and there are at most 1,000"
    " training sequences: choose a linear head, then train all weights if held-out"
    " sequences say that this is better.",
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
    "Features of a sequence for the head, joined by commas: pools of the family, bins,"
    " middle_mean, middle_bins, embeddings_mean, embeddings_bins, kmers3 to kmers6,"
    " onehot (default: selected by cross-validation for at most 1,000 training"
    " sequences, else --pool).",
)
_STRANDS = flags.DEFINE_enum(
    "strands",
    None,
    ["both", "forward"],
    "Strands to read, instead of --augment and --both_strands (default: selected as"
    " for --readout).",
)
_QUICK = flags.DEFINE_bool(
    "quick",
    False,
    "Keep the chosen linear head; do not try to train all weights. Has an effect only"
    " with at most 1,000 training sequences.",
)
_FOLDS = flags.DEFINE_integer(
    "folds",
    None,
    "Train N models, each without one fold of the training split; score each on its"
    " fold; release their mean as one classifier.",
    lower_bound=2,
)
_WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Bases per window (default: the length of the longest sequence; if that is over"
    " twice the model's training length, the training length); longer sequences are"
    " read in windows.",
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
    "class_weights", False, "Weight examples so that all classes have equal weight."
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 10, "Passes over the training data.", lower_bound=1
)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    3,
    "Epochs without a lower validation loss after which training stops; 0: never.",
    lower_bound=0,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 32, "Examples per step.", lower_bound=1
)
_LEARNING_RATE = flags.DEFINE_float(
    "learning_rate",
    None,
    "Peak learning rate (default: depends on the architecture; a tenth of it for"
    " head_first, 0.01 for head).",
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

flags.adopt_module_key_flags(command_flags)


def main() -> None:
    """Trains a classifier, scores the test split, and writes a release folder."""
    _GIVEN.check()
    if _SHOTS.value and _LABEL_FRACTION.value is not None:
        raise app.UsageError("give one of --shots and --label_fraction")
    from genomenet.data import existing

    with startup.refusing("finetune"):
        existing.check(models=[_MODEL.value], **_GIVEN.named())
    startup.load_tensorflow()
    from genomenet.training import command

    workdir = pathlib.Path(_WORKDIR.value or _default_workdir())
    with command.resumable("finetune", workdir):
        _finetune(workdir)


def _finetune(workdir: pathlib.Path) -> None:
    from genomenet.api import fit
    from genomenet.training import engines

    engines.devices(_DISTRIBUTE.value)  # workers must connect before any tensor exists
    data = fit.read_data(
        str(_GIVEN.dataset.value or _GIVEN.table.value),
        _GIVEN.valid_table.value,
        _GIVEN.test_table.value,
        task=_GIVEN.task.value,
        positive=_POSITIVE.value,
        shots=_SHOTS.value,
        label_fraction=_LABEL_FRACTION.value,
        train_split=_GIVEN.train_split.value,
        data_dir=_GIVEN.data_dir.value,
        verify=_VERIFY.value,
        seed=_SEED.value,
    )
    fit_result = fit.fit_classifier(
        _MODEL.value,
        data,
        init=_INIT.value,
        train=_TRAIN.value,
        pool=_POOL.value,
        readout=_READOUT.value or (),
        strands=_STRANDS.value or "",
        quick=_QUICK.value,
        folds=_FOLDS.value,
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
    if fit_result is None:  # another process writes the results
        return
    print(fit_result)
    print(f"results:   {workdir / 'results'}")
    print(f"model:     {fit_result.release}")
    print(
        f"predict:   python -m genomenet.predict --model={fit_result.release}"
        " --input=your.fa.gz --output=predictions.tsv"
    )


def _default_workdir() -> str:
    data = (
        _GIVEN.dataset.value or pathlib.Path(str(_GIVEN.table.value)).name.split(".")[0]
    )
    names = [pathlib.Path(v).name for v in (str(_MODEL.value), data)]
    return f"runs/finetune-{names[0]}-{names[1]}"


def _flags_text() -> str:
    """Returns the given flags in the format of --flagfile."""
    from genomenet.training import command

    return command.flags_text(
        flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    )


if __name__ == "__main__":
    startup.run(main)
