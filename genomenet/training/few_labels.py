"""Training on few labels: a linear head over chosen readouts, then all weights."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet import compiled, models, task_kinds
from genomenet.data import batches, examples, tasks
from genomenet.layers import readout as readout_lib
from genomenet.layers import strand
from genomenet.models import classifier as classifier_lib
from genomenet.models import classifier_config as config_lib
from genomenet.models import family as family_lib
from genomenet.training import finetune, loop, readouts
from genomenet.training import settings as settings_lib

_TRIAL: Final = "trial"
_TRIALS: Final = 3  # largest number of folds on which training all weights is tried
_CLEAR_ERRORS: Final = 3.0  # standard errors: a larger difference ends the trials


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """A classifier trained on few labels.

    Attributes:
        run: A result as `finetune.run` returns it.
        choice: The chosen readouts and strands, and all candidates.
        losses: Mean loss of held-out rows for the linear head ("head") and for
            training of all weights ("all"); empty if these were not compared.
        is_tuned: Whether all weights of the returned classifier were trained.
    """

    run: loop.Result
    choice: readouts.Choice
    losses: Mapping[str, float]
    is_tuned: bool

    def describe(self) -> str:
        """Returns one line that states the choice and the reasons."""
        choice, count = self.choice, len(self.choice.members)
        model: Any = self.run.model
        is_regression = model.config.task == task_kinds.REGRESSION
        name = "Pearson" if is_regression else "AUROC"
        scores = ", ".join(
            f"{value:.3f} with {_STRANDS[strands]}"
            for strands, value in choice.of_strands.items()
        )
        heads = f"the mean of {count} linear heads" if count > 1 else "a linear head"
        number = len(choice.tried)
        line = (
            f"{'best head' if self.is_tuned else 'chosen'}: {heads}"
            f" ({', '.join(choice.readout)}), {_STRANDS[choice.strands]}; {number}"
            f" {'heads were' if number > 1 else 'head was'} compared by"
            f" cross-validation; best {name} {scores}; {name} of the choice on"
            f" sequences not used for it: {choice.score:.3f}"
        )
        if choice.strands == config_lib.FORWARD and choice.is_clear:
            line += "; strands tell the classes apart, so only one is read"
        if self.losses:
            line += (
                f"; full training was tried{' and is kept' * self.is_tuned}: held-out"
                f" loss {self.losses['all']:.3f} against {self.losses['head']:.3f} of"
                f" the linear head{'' if self.is_tuned else ', which is kept'}"
            )
        return line

    def to_json(self) -> dict[str, Any]:
        """Returns the candidates and the choice, for `metrics.json`."""
        choice = self.choice
        return {
            "readout": list(choice.readout),
            "strands": choice.strands,
            "strand_is_clearly_better": choice.is_clear,
            "held_out_loss": choice.loss,
            "held_out_score": choice.score,
            "score_of_strands": dict(choice.of_strands),
            "members": [dataclasses.asdict(one) for one in choice.members],
            "tried": [dataclasses.asdict(one) for one in choice.tried],
            "all_weights": {**self.losses, "kept": self.is_tuned},
        }


_STRANDS: Final = {
    config_lib.BOTH: "both strands",
    config_lib.FORWARD: "one strand",
}


def candidates(
    family: str, config: config_lib.ClassifierConfig, data: examples.Data
) -> list[readouts.Readout]:
    """Returns the readouts that are compared if none is given.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        config: What is predicted.
        data: All splits.

    Returns:
        Each readout by itself; "onehot" only if all sequences have the same length
        and fit into one window.
    """
    family_module = models.get_family(family)
    names = [name for name in family_module.POOLS if name != "none"]
    names += [*family_module.READOUTS, *readout_lib.KMERS]
    lengths = {
        int(length) for split in data.splits.values() for length in set(split.lengths)
    }
    if lengths == {config.window}:
        names.append(readout_lib.ONE_HOT)
    return [(name,) for name in names]


def run(
    *,
    family: str,
    encoder: Mapping[str, Any],
    classifier: config_lib.ClassifierConfig,
    data: examples.Data,
    settings: settings_lib.Settings,
    plan: finetune.Plan,
    workdir: str | os.PathLike[str],
    pretrained: keras.Model,
    readout: Sequence[str] = (),
    strands: str = "",
    tune: bool | None = None,
    origin: Mapping[str, Any] | None = None,
    devices: loop.Devices | None = None,
    flags_text: str = "",
) -> Result:
    """Trains a classifier on at most `finetune.FEW` sequences.

    The encoder runs once. Linear heads over its readouts are compared by
    cross-validation. The best of them is then compared with training of all weights
    on three of the folds, or on fewer if the losses differ by three standard errors.
    That training starts with a head over the family's pool, or with the best linear
    head if readout or strands are given. The linear head is the classifier, unless the
    held-out loss of training all weights is lower by more than a standard error.

    Args:
        family: As for `finetune.run`.
        encoder: As for `finetune.run`.
        classifier: What is predicted; its readout and strands are chosen here.
        data: As for `finetune.run`.
        settings: As for `finetune.run`, for training of all weights.
        plan: As for `finetune.run`; `train` is not used.
        workdir: Folder of the run.
        pretrained: The encoder.
        readout: Names of readouts, concatenated; chosen if empty.
        strands: "both" or "forward"; chosen if empty.
        tune: Whether all weights are trained; decided by a trial if None.
        origin: As for `finetune.run`.
        devices: As for `finetune.run`.
        flags_text: As for `finetune.run`.

    Returns:
        The classifier and the record of the choice.

    Raises:
        ValueError: As `finetune.run`.
    """
    family_module = models.get_family(family)
    finetune.check(data, family_module.min_length(family_module.from_dict(encoder)))
    tried = [tuple(readout)] if readout else candidates(family, classifier, data)
    strand_options = [strands] if strands else list(config_lib.STRANDS)
    train = data[examples.TRAIN]
    weights = np.ones(len(train), np.float32)
    if plan.class_weights:
        weights = examples.class_weights(train, data.task)
    truth = finetune.scaled(train.labels, classifier)
    reader = Reader(family, encoder, classifier, tried, pretrained)
    features = {option: reader.read(train, option) for option in strand_options}
    choice = readouts.choose(
        features,
        tried,
        truth,
        data.task,
        train.groups(),
        weights=weights,
        seed=settings.seed,
    )
    chosen = with_readout(classifier, choice.readout, choice.strands)

    chosen_features = np.concatenate(
        [features[choice.strands][name] for name in choice.readout], axis=1
    )

    def fit(rows: np.ndarray | None = None) -> readouts.Head:
        """Fits the chosen linear head to some rows, or to all."""
        return readouts.fit(
            choice, features, truth, data.task, weights=weights, rows=rows
        )

    def make(head: readouts.Head) -> classifier_lib.Classifier:
        """Returns a classifier with a linear head."""
        return build(family, encoder, chosen, pretrained, head)

    is_given = bool(readout or strands)

    def train_all(
        train_data: examples.Data, folder: pathlib.Path, initial: keras.Model
    ) -> loop.Result:
        """Trains all weights, from the linear head if readouts are given."""
        which = finetune.ALL if is_given else finetune.HEAD_FIRST
        return finetune.run(
            family=family,
            encoder=encoder,
            classifier=chosen if is_given else classifier,
            data=train_data,
            settings=settings,
            plan=dataclasses.replace(plan, train=which),
            workdir=folder,
            pretrained=initial,
            origin=origin,
            devices=devices,
            flags_text=flags_text,
        )

    losses: dict[str, float] = {}
    is_tuned = bool(tune)
    if tune is None:
        trial_losses: dict[str, list[np.ndarray]] = {"head": [], "all": []}
        for fold in range(_TRIALS):
            is_held = choice.folds == fold
            held_out = train.take(np.flatnonzero(is_held))
            rest = train.take(np.flatnonzero(~is_held))
            if not len(held_out) or not is_complete(rest, data.task):
                continue
            folder = pathlib.Path(workdir, _TRIAL, str(fold))
            rest_data = dataclasses.replace(data, splits={examples.TRAIN: rest})
            head = fit(np.flatnonzero(~is_held))
            trial = train_all(rest_data, folder, make(head) if is_given else pretrained)
            model: Any = trial.model
            labels = finetune.scaled(held_out.labels, classifier)
            for name, logits in (
                ("head", head(chosen_features[is_held])),
                ("all", predict_logits(model, held_out)),
            ):
                trial_losses[name].append(readouts.losses(logits, labels, data.task))
            losses_per_row = {
                name: np.concatenate(parts) for name, parts in trial_losses.items()
            }
            losses = {
                name: float(np.mean(values)) for name, values in losses_per_row.items()
            }
            gain = losses_per_row["head"] - losses_per_row["all"]
            is_tuned = _is_better(gain)
            if _is_better(gain, _CLEAR_ERRORS) or _is_better(-gain, _CLEAR_ERRORS):
                break
    if is_tuned:
        initial = make(fit()) if is_given else pretrained
        run = train_all(data, pathlib.Path(workdir), initial)
        return Result(run=run, choice=choice, losses=losses, is_tuned=True)
    kept = finetune.keep(
        make(fit()),
        data,
        settings,
        plan,
        workdir,
        origin=origin,
        devices=devices,
        flags_text=flags_text,
    )
    return Result(run=kept, choice=choice, losses=losses, is_tuned=False)


def with_readout(
    config: config_lib.ClassifierConfig, readout: Sequence[str], strands: str
) -> config_lib.ClassifierConfig:
    """Returns the config with other readouts and strands.

    Args:
        config: What is predicted.
        readout: Names of readouts.
        strands: "both" or "forward".

    Returns:
        The config; with "both", training reads a random strand of each sequence.
    """
    is_both = strands == config_lib.BOTH
    return dataclasses.replace(
        config,
        readout=tuple(readout),
        strands=strands,
        both_strands=is_both,
        augment=is_both,
    )


def build(
    family: str,
    encoder: Mapping[str, Any],
    config: config_lib.ClassifierConfig,
    pretrained: keras.Model,
    head: readouts.Head,
) -> classifier_lib.Classifier:
    """Returns a classifier made of a pretrained encoder and a linear head.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted; its readouts are those of the head.
        pretrained: The encoder.
        head: The linear head.
    """
    model = classifier_lib.Classifier(family, encoder, config)
    family_lib.transfer(pretrained, model.encoder)
    layers: tuple[Any, Any] = model.standardize, model.output_layer
    layers[0].mean.assign(head.mean)
    layers[0].factor.assign(head.factor)
    layers[1].kernel.assign(head.kernel)
    layers[1].bias.assign(head.bias)
    return model


def predict_logits(
    model: classifier_lib.Classifier, split: examples.Examples
) -> np.ndarray:
    """Returns the logits of sequences, averaged over the strands that are read.

    Args:
        model: The classifier.
        split: The sequences.

    Returns:
        float64, (N, outputs).
    """
    return strand_logits(model, split).mean(axis=0)


def strand_logits(
    model: classifier_lib.Classifier, split: examples.Examples
) -> np.ndarray:
    """Returns the logits of each strand that is read: float64, (S, N, outputs).

    Args:
        model: The classifier.
        split: The sequences.
    """

    def read(model: classifier_lib.Classifier, rows: Any) -> Any:
        strand_rows = [rows, strand.reverse_padded(rows)][
            : 1 + model.config.both_strands
        ]
        return ops.stack(
            [model({"bases": bases})["logits"] for bases in strand_rows], axis=1
        )

    return _in_parts(model, read, split).astype(np.float64).swapaxes(0, 1)


class Reader:
    """Computes all candidate readouts of a frozen encoder in one pass per strand."""

    def __init__(
        self,
        family: str,
        encoder: Mapping[str, Any],
        config: config_lib.ClassifierConfig,
        tried: Sequence[readouts.Readout],
        pretrained: keras.Model,
    ):
        names = list(dict.fromkeys(name for readout in tried for name in readout))
        kmers = [name for name in names if name in readout_lib.KMERS]
        self._models = {}
        for strands, strand_names in (
            (config_lib.FORWARD, names),
            (config_lib.BOTH, kmers),
        ):
            if strand_names:
                reader_config = with_readout(config, strand_names, strands)
                config_lib.check(family, encoder, reader_config)
                self._models[strands] = classifier_lib.Classifier(
                    family, encoder, reader_config
                )
        model = self._models[config_lib.FORWARD]
        family_lib.transfer(pretrained, model.encoder)
        self._widths = {
            strands: config_lib.readout_widths(family, encoder, model.config)
            for strands, model in self._models.items()
        }
        self._strands: dict[bool, dict[str, np.ndarray]] = {}

    def read(self, split: examples.Examples, strands: str) -> dict[str, np.ndarray]:
        """Returns the readouts by name, of one strand or averaged over both."""
        forward = self._pool(config_lib.FORWARD, split, is_other=False)
        if strands == config_lib.FORWARD:
            return forward
        other = self._pool(config_lib.FORWARD, split, is_other=True)
        both = {name: (forward[name] + other[name]) / 2 for name in forward}
        if config_lib.BOTH in self._models:
            both |= self._pool(config_lib.BOTH, split, is_other=False)
        return both

    def _pool(
        self, strands: str, split: examples.Examples, *, is_other: bool
    ) -> dict[str, np.ndarray]:
        model = self._models[strands]

        def read(model: classifier_lib.Classifier, rows: Any) -> Any:
            vectors, is_valid = model.read(
                strand.reverse_padded(rows) if is_other else rows
            )
            shares = ops.cast(is_valid, "float32")[..., None]
            return ops.sum(vectors * shares, 1) / ops.sum(shares, 1)

        ends = np.cumsum(self._widths[strands])[:-1]
        parts = np.split(_in_parts(model, read, split), ends, axis=1)
        return dict(zip(model.config.readout, parts, strict=True))


def _in_parts(
    model: classifier_lib.Classifier,
    read: Callable[..., Any],
    split: examples.Examples,
) -> np.ndarray:
    """Applies a function to all rows, batching rows of similar length."""
    call = compiled.function(model, read)
    sequences = [split[row] for row in range(len(split))]
    most = models.get_family(model.family).BASES_AT_ONCE
    size = max(1, min(64, most // int(split.lengths.max())))
    order, results = [], []
    for indices, rows in batches.by_length(sequences, batch_size=size):
        order.append(indices)
        results.append(call(compiled.pad_to_few(rows))[: len(indices)])
    return np.concatenate(results)[np.argsort(np.concatenate(order))]


def _is_better(gain: np.ndarray, errors: float = 1.0) -> bool:
    """Whether the mean gain is above 0 by more than `errors` standard errors."""
    if len(gain) < 2:
        return False
    return bool(gain.mean() > errors * gain.std(ddof=1) / np.sqrt(len(gain)))


def is_complete(train: examples.Examples, task: tasks.Task) -> bool:
    """Whether rows suffice for training: all classes occur, or labels differ."""
    if task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return len(np.unique(train.labels)) == len(task.classes)
    return bool(np.ptp(train.labels, axis=0).any())
