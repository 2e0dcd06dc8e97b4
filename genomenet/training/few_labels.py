"""Learning from few labels: a linear head over chosen readouts, then all weights."""

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

_BASES: Final = 1 << 12  # that are embedded at once: more is no faster on a CPU
_TRIAL: Final = "trial"
_TRIALS: Final = 3  # folds on which training all weights is tried, at most
_CLEAR: Final = 3.0  # standard errors of a difference that needs no further fold


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """A classifier learnt from few labels.

    Attributes:
        run: As `finetune.run` returns it.
        choice: Which readouts and strands were chosen, and what was tried.
        losses: Mean losses of held-out rows of the linear head, "head", and after all
            weights were trained, "all"; empty if that was not tried.
        is_tuned: Whether all weights were trained in the end.
    """

    run: loop.Result
    choice: readouts.Choice
    losses: Mapping[str, float]
    is_tuned: bool

    def describe(self) -> str:
        """Returns in one line what was chosen and why."""
        choice = self.choice
        name = "Pearson" if _is_number(self.run) else "AUROC"
        scores = " and ".join(
            f"{value:.3f} on {_STRANDS[strands]}"
            for strands, value in choice.of_strands.items()
        )
        line = (
            f"linear head: {', '.join(choice.readout)} of {_STRANDS[choice.strands]}:"
            f" {len(choice.tried)} linear heads were compared by cross-validation"
            f" ({name} {scores}; {choice.score:.3f} on rows that the choice had not"
            " seen)"
        )
        if choice.strands == config_lib.FORWARD and choice.is_clear:
            line += "; strands tell the classes apart, so only one is read"
        if self.losses:
            line += (
                f"; held-out loss {self.losses['head']:.3f}, of training the head and"
                f" then all weights {self.losses['all']:.3f}"
            )
            line += ", which is kept" if self.is_tuned else ", which is not kept"
        return line

    def to_json(self) -> dict[str, Any]:
        """Returns what was tried and chosen, for `metrics.json`."""
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
    """Returns the readouts that are tried where none is given.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        config: What is predicted.
        data: Its splits.

    Returns:
        Every readout by itself; "onehot" where all sequences have one length and are
        read at once.
    """
    members = models.get_family(family)
    names = [name for name in members.POOLS if name != "none"]
    names += [*members.READOUTS, *readout_lib.KMERS]
    lengths = {int(n) for split in data.splits.values() for n in set(split.lengths)}
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
    """Learns a classifier from at most `finetune.FEW` sequences.

    The encoder is read once. Linear heads over its readouts are compared by
    cross-validation. On three of the folds, or fewer where they agree by three
    standard errors, the best is compared with what is done without a choice: a head
    over the family's pool of both strands, and from it on all weights; where readout or
    strands are given, with training all weights on from the linear head. The linear
    head is the classifier, unless the other's held-out loss is lower by more than a
    standard error.

    Args:
        family: As for `finetune.run`.
        encoder: As for `finetune.run`.
        classifier: What is predicted; its readout and strands are chosen here.
        data: As for `finetune.run`.
        settings: As for `finetune.run`, for training of all weights.
        plan: As for `finetune.run`; `train` is not used.
        workdir: Folder of the run.
        pretrained: The encoder.
        readout: Names that are read side by side; chosen if there are none.
        strands: "both" or "forward"; chosen if empty.
        tune: Whether all weights are trained; tried and compared if None.
        origin: As for `finetune.run`.
        devices: As for `finetune.run`.
        flags_text: As for `finetune.run`.

    Returns:
        The classifier, and how it was chosen.

    Raises:
        ValueError: As `finetune.run`.
    """
    members = models.get_family(family)
    finetune.check(data, members.shortest(members.from_dict(encoder)))
    tried = [tuple(readout)] if readout else candidates(family, classifier, data)
    kinds = [strands] if strands else list(config_lib.STRANDS)
    train = data[examples.TRAIN]
    weights = np.ones(len(train), np.float32)
    if plan.class_weights:
        weights = examples.class_weights(train, data.task)
    truth = finetune.scaled(train.labels, classifier)
    reader = Reader(family, encoder, classifier, tried, pretrained)
    features = {kind: reader.read(train, kind) for kind in kinds}
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

    read = np.concatenate(
        [features[choice.strands][name] for name in choice.readout], axis=1
    )

    def fit(rows: np.ndarray | None = None) -> readouts.Head:
        """Returns the linear head of some rows."""
        return readouts.fit(
            choice, features, truth, data.task, weights=weights, rows=rows
        )

    def make(head: readouts.Head) -> classifier_lib.Classifier:
        """Returns a linear head as a classifier."""
        return build(family, encoder, chosen, pretrained, head)

    is_fixed = bool(readout or strands)

    def train_all(
        known: examples.Data, folder: pathlib.Path, begin: keras.Model
    ) -> loop.Result:
        """Trains all weights: on from the head of what is fixed, else head first."""
        how = finetune.ALL if is_fixed else finetune.HEAD_FIRST
        return finetune.run(
            family=family,
            encoder=encoder,
            classifier=chosen if is_fixed else classifier,
            data=known,
            settings=settings,
            plan=dataclasses.replace(plan, train=how),
            workdir=folder,
            pretrained=begin,
            origin=origin,
            devices=devices,
            flags_text=flags_text,
        )

    losses: dict[str, float] = {}
    is_tuned = bool(tune)
    if tune is None:
        each: dict[str, list[np.ndarray]] = {"head": [], "all": []}
        for fold in range(_TRIALS):
            is_held = choice.folds == fold
            held_out = train.take(np.flatnonzero(is_held))
            known = train.take(np.flatnonzero(~is_held))
            if not len(held_out) or not is_complete(known, data.task):
                continue
            folder = pathlib.Path(workdir, _TRIAL, str(fold))
            rest = dataclasses.replace(data, splits={examples.TRAIN: known})
            head = fit(np.flatnonzero(~is_held))
            trial = train_all(rest, folder, make(head) if is_fixed else pretrained)
            model: Any = trial.model
            label = finetune.scaled(held_out.labels, classifier)
            for name, logits in (
                ("head", head(read[is_held])),
                ("all", predict_logits(model, held_out)),
            ):
                each[name].append(readouts.losses(logits, label, data.task))
            rows = {name: np.concatenate(parts) for name, parts in each.items()}
            losses = {name: float(np.mean(values)) for name, values in rows.items()}
            gain = rows["head"] - rows["all"]
            is_tuned = _is_better(gain)
            if _is_better(gain, _CLEAR) or _is_better(-gain, _CLEAR):
                break
    if is_tuned:
        begin = make(fit()) if is_fixed else pretrained
        run = train_all(data, pathlib.Path(workdir), begin)
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
    """Returns the config of a classifier that reads some readouts and strands.

    Args:
        config: What is predicted.
        readout: Names of readouts.
        strands: "both" or "forward".

    Returns:
        The config; both strands are read in training too, one at a time.
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
    """Returns a classifier of a pretrained encoder and a linear head.

    Args:
        family: A key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted; its readouts are those of the head.
        pretrained: The encoder.
        head: The head.
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
    """Returns the logits of sequences, the mean of both strands where both are read.

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
        each = [rows, strand.reverse_padded(rows)][: 1 + model.config.both_strands]
        return ops.stack([model({"bases": one})["logits"] for one in each], axis=1)

    return _in_parts(model, read, split).astype(np.float64).swapaxes(0, 1)


class Reader:
    """Reads all candidate readouts of a frozen encoder in one pass over each strand."""

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
        for kind, of_kind in (
            (config_lib.FORWARD, names),
            (config_lib.BOTH, kmers),
        ):
            if of_kind:
                one = with_readout(config, of_kind, kind)
                config_lib.check(family, encoder, one)
                self._models[kind] = classifier_lib.Classifier(family, encoder, one)
        model = self._models[config_lib.FORWARD]
        family_lib.transfer(pretrained, model.encoder)
        self._widths = {
            kind: config_lib.readout_widths(family, encoder, model.config)
            for kind, model in self._models.items()
        }
        self._strands: dict[bool, dict[str, np.ndarray]] = {}

    def read(self, split: examples.Examples, strands: str) -> dict[str, np.ndarray]:
        """Returns what is read of one strand, or the mean of both, by name."""
        found = self._of(config_lib.FORWARD, split, is_other=False)
        if strands == config_lib.FORWARD:
            return found
        other = self._of(config_lib.FORWARD, split, is_other=True)
        both = {name: (found[name] + other[name]) / 2 for name in found}
        if config_lib.BOTH in self._models:
            both |= self._of(config_lib.BOTH, split, is_other=False)
        return both

    def _of(
        self, kind: str, split: examples.Examples, *, is_other: bool
    ) -> dict[str, np.ndarray]:
        model = self._models[kind]

        def read(model: classifier_lib.Classifier, rows: Any) -> Any:
            vectors, is_valid = model.read(
                strand.reverse_padded(rows) if is_other else rows
            )
            shares = ops.cast(is_valid, "float32")[..., None]
            return ops.sum(vectors * shares, 1) / ops.sum(shares, 1)

        ends = np.cumsum(self._widths[kind])[:-1]
        parts = np.split(_in_parts(model, read, split), ends, axis=1)
        return dict(zip(model.config.readout, parts, strict=True))


def _in_parts(
    model: classifier_lib.Classifier,
    read: Callable[..., Any],
    split: examples.Examples,
) -> np.ndarray:
    """Returns what a function makes of rows, neighbours in length together."""
    call = compiled.function(model, read)
    sequences = [split[row] for row in range(len(split))]
    size = max(1, min(64, _BASES // int(split.lengths.max())))
    order, found = [], []
    for numbers, rows in batches.by_length(sequences, batch_size=size):
        order.append(numbers)
        found.append(call(compiled.pad_to_few(rows))[: len(numbers)])
    return np.concatenate(found)[np.argsort(np.concatenate(order))]


def _is_better(gain: np.ndarray, errors: float = 1.0) -> bool:
    """Whether gains of rows are above 0 by more than some standard errors."""
    if len(gain) < 2:
        return False
    return bool(gain.mean() > errors * gain.std(ddof=1) / np.sqrt(len(gain)))


def is_complete(train: examples.Examples, task: tasks.Task) -> bool:
    """Whether rows can be learnt from: of every class one, and not all labels alike."""
    if task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return len(np.unique(train.labels)) == len(task.classes)
    return bool(np.ptp(train.labels, axis=0).any())


def _is_number(run: loop.Result) -> bool:
    model: Any = run.model
    return model.config.task == task_kinds.REGRESSION
