"""Evaluation protocols: their settings, and the runs that they consist of."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from genomenet.evaluation import tables
from genomenet.training import finetune
from genomenet.training import settings as settings_lib

FEW_SHOT: Final = "few_shot"
LABEL_FRACTION: Final = "label_fraction"
# Protocol → column of its setting; protocol → default settings.
COLUMNS: Final = {FEW_SHOT: "shots", LABEL_FRACTION: "label_fraction"}
DEFAULTS: Final[Mapping[str, tuple[int | float, ...]]] = {
    FEW_SHOT: (10, 50, 100, 500, 1000),
    LABEL_FRACTION: (0.001, 0.01, 0.1, 1.0),
}
PRETRAINED: Final = "pretrained"
RANDOM: Final = "random"
ALL: Final = "all"
HEAD: Final = "head"
READOUTS: Final = "readouts"
TRAINS: Final = (ALL, HEAD, READOUTS)  # the trained part of a model
KMER: Final = "k-mer regression"
CNN: Final = "small CNN"
CHOSEN_KMER: Final = "k-mer regression, chosen"
ONE_HOT: Final = "one-hot regression, chosen"
MARKOV: Final = "Markov rule"
GAPPED: Final = "gapped k-mer SVM"
BASELINES: Final = (KMER, CHOSEN_KMER, ONE_HOT, MARKOV, GAPPED, CNN)

DROPOUT: Final = 0.1
WARMUP: Final = 0.1
CNN_RATE: Final = 1e-3

_MANY_SHOTS: Final = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of training.

    Attributes:
        epochs: Passes over the training data, at least.
        batch_size: Examples per step.
        learning_rate: Peak learning rate; None for the `CLASSIFIER_RATE` of the
            model's family.
        least_steps: Smallest number of steps; epochs are added until it is reached.
    """

    epochs: int
    batch_size: int
    learning_rate: float | None
    least_steps: int = 0

    def epochs_of(self, rows: int) -> int:
        """Returns the number of epochs for a number of examples."""
        per_epoch = -(-rows // self.batch_size)
        return max(self.epochs, -(-self.least_steps // per_epoch))

    def settings(self, seed: int, rate_of_family: float) -> settings_lib.Settings:
        """Returns the settings of the training loop; steps follow from the epochs."""
        return settings_lib.Settings(
            batch_size=self.batch_size,
            learning_rate=self.learning_rate or rate_of_family,
            schedule="linear",
            weight_decay=0.01,
            beta_1=0.9,
            beta_2=0.999,
            epsilon=1e-8,
            clip_norm=1.0,
            seed=seed,
        )

    def __str__(self) -> str:
        more = f", at least {self.least_steps} steps" if self.least_steps else ""
        rate = f"{self.learning_rate:g}" if self.learning_rate else "of the family"
        return (
            f"{self.epochs} epochs{more}, batches of {self.batch_size}, learning rate"
            f" {rate}"
        )


_FEW: Final = Recipe(epochs=20, batch_size=5, learning_rate=1e-4)
_MANY: Final = Recipe(epochs=5, batch_size=15, learning_rate=5e-5)
_FRACTION: Final = Recipe(epochs=10, batch_size=32, learning_rate=None, least_steps=200)
_PROBE: Final = Recipe(epochs=10, batch_size=32, learning_rate=1e-2, least_steps=200)
CNN_RECIPE: Final = Recipe(
    epochs=1, batch_size=32, learning_rate=CNN_RATE, least_steps=200
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """The settings that are compared, and how models are trained under each.

    Neither protocol has a validation set: the last weights are tested.

    Attributes:
        kind: "few_shot" or "label_fraction".
        settings: Examples of each class, or shares of the labels, ascending.

    Raises:
        ValueError: If `kind` is unknown, or a setting is out of range.

    Source:
        Few shots: Roy et al., GeneMask (ECAI 2023). Differences: no first steps are
        left out; a random strand is read in training and both in prediction; settings
        between 100 and 500 shots train as 100. Label fractions: Gündüz et al.,
        Self-GenomeNet (2023), who have 1, 10 and 100 %; optimizer, batch size and
        learning rate are those of `genomenet.finetune`. Linear probes are added to
        both.
    """

    kind: str
    settings: tuple[int | float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise ValueError(
                f"protocol must be one of {', '.join(COLUMNS)}, got {self.kind!r}"
            )
        settings = tuple(sorted(set(self.settings or DEFAULTS[self.kind])))
        object.__setattr__(self, "settings", settings)
        for value in settings:
            if self.kind == FEW_SHOT and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"shots must be whole numbers >= 1, got {value}")
            if self.kind == LABEL_FRACTION and not 0 < value <= 1:
                raise ValueError(f"fractions must be above 0, at most 1, got {value}")

    @property
    def column(self) -> str:
        """Column of the setting in tables."""
        return COLUMNS[self.kind]

    def recipe(self, setting: float, train: str = ALL) -> Recipe:
        """Returns the recipe that trains a model under a setting."""
        if train == HEAD:
            return _PROBE
        if self.kind == LABEL_FRACTION:
            return _FRACTION
        return _MANY if setting >= _MANY_SHOTS else _FEW

    def describe(self) -> Iterator[str]:
        """Yields the hyperparameters of the protocol, one sentence each."""
        by_recipe: dict[str, list[str]] = {}
        for setting in self.settings:
            by_recipe.setdefault(str(self.recipe(setting)), []).append(str(setting))
        for recipe, settings in by_recipe.items():
            yield f"{', '.join(settings)} {self.column.replace('_', ' ')}: {recipe}."
        yield f"`head`, a linear probe: {_PROBE}."
        yield (
            f"`{READOUTS}`, up to {finetune.FEW:,} training sequences: a linear head"
            " on the frozen encoder, with readouts and strands chosen by 5-fold"
            " cross-validation as in `finetune`; `random …` is the same with random"
            " weights."
        )
        yield (
            f"AdamW (0.9, 0.999, epsilon 1e-8, decay 0.01), gradients clipped to 1.0,"
            f" warm-up over {WARMUP:.0%} of the steps, then linear decay; dropout"
            f" {DROPOUT}. No validation set: the last weights are tested."
        )
        yield (
            "Models train on a random strand of each sequence and predict the mean of"
            " both. `random …` is the same architecture with random initial weights."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One model under one setting with one seed.

    Attributes:
        name: Name of the model, or one of `BASELINES`.
        init: "pretrained" or "random"; empty for a baseline.
        train: "all", "head" or "readouts"; empty for a baseline.
        setting: Shots, or the share of the labels.
        seed: Seed of initial weights and order, and of the examples if they are drawn.
    """

    name: str
    init: str = ""
    train: str = ""
    setting: int | float
    seed: int

    @property
    def label(self) -> str:
        """Name of the model in tables and figures."""
        name = f"random {self.name}" if self.init == RANDOM else self.name
        return name if self.train in ("", ALL) else f"{name}, {self.train}"

    @property
    def key(self) -> tuple[str, int | float, int]:
        """Label, setting and seed, which are unique within a protocol."""
        return self.label, self.setting, self.seed


def plan(
    protocol: Protocol,
    models: Mapping[str, bool],
    seeds: int,
    *,
    from_scratch: bool = True,
) -> list[Run]:
    """Lists the runs, seed by seed, so that early results cover all models.

    Args:
        protocol: The protocol.
        models: Name of each model → whether it has weights.
        seeds: Number of runs of each model and setting.
        from_scratch: Whether models with weights are also trained from random initial
            weights.

    Returns:
        The runs, including those of all baselines.

    Raises:
        ValueError: If `seeds` < 1.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be >= 1, got {seeds}")
    inits = (PRETRAINED, RANDOM) if from_scratch else (PRETRAINED,)
    kinds = [
        (name, init, train)
        for name, has_weights in models.items()
        for init in (inits if has_weights else (RANDOM,))
        for train in TRAINS
    ]
    kinds += [(name, "", "") for name in BASELINES]
    return [
        Run(name=name, init=init, train=train, setting=setting, seed=seed)
        for seed in range(seeds)
        for setting in protocol.settings
        for name, init, train in kinds
    ]


def remaining(rows: Sequence[tables.Row], runs: Sequence[Run], column: str) -> float:
    """Estimates how long runs take from the durations of finished runs.

    Args:
        rows: Tidy rows of finished runs.
        runs: Runs to be done.
        column: Column of the setting.

    Returns:
        Seconds: the sum over runs of the median of finished runs of the same model and
        setting; without any, of the same model, or of all. NaN if there is no row.
    """
    known: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        kind = (row[tables.MODEL], row[column])
        for part in (kind, kind[:1], ()):
            known.setdefault(part, []).append(float(row["seconds"]))
    medians = {kind: statistics.median(values) for kind, values in known.items()}
    total = 0.0
    for run in runs:
        kinds = ((run.label, run.setting), (run.label,), ())
        total += next((medians[k] for k in kinds if k in medians), float("nan"))
    return total


def in_order(rows: Sequence[tables.Row]) -> list[tables.Row]:
    """Sorts rows by model, as tables show them; baselines come last.

    Args:
        rows: Tidy rows of runs, in any order.
    """
    names = list(dict.fromkeys(row["name"] for row in rows))
    names.sort(key=lambda name: name in BASELINES)
    return sorted(
        rows,
        key=lambda row: (
            names.index(row["name"]),
            row.get("init") == RANDOM,
            TRAINS.index(row.get("train") or ALL),
        ),
    )


def comparisons(rows: Sequence[tables.Row]) -> set[frozenset[str]]:
    """Returns the pairs of models that are worth a test.

    Args:
        rows: Tidy rows.

    Returns:
        Pairs of labels. Each model that is pretrained, or has no pretrained weights, is
        paired with the baselines, with itself from random initial weights or as a
        linear probe, and with other models that are trained in the same way.
    """
    labels: dict[str, tuple[str, str, str]] = {
        row[tables.MODEL]: (str(row["name"]), row.get("init", ""), row.get("train", ""))
        for row in rows
    }
    trained = {name for name, init, _ in labels.values() if init == PRETRAINED}
    pairs = set()
    for first, (name, init, train) in labels.items():
        if not init or (init == RANDOM and name in trained):
            continue
        for second, (other, other_init, other_train) in labels.items():
            is_baseline = not other_init
            is_itself = other == name and (other_init == init or other_train == train)
            is_rival = other not in (name, *BASELINES) and other_train == train
            is_rival &= other_init == PRETRAINED or other not in trained
            if first != second and (is_baseline or is_itself or is_rival):
                pairs.add(frozenset((first, second)))
    return pairs
