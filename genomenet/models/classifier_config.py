"""The config of a classifier: its task, readouts and windows; keras only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from genomenet import models, task_kinds
from genomenet.layers import readout
from genomenet.models import config_fields

OVER_WINDOWS: Final = ("mean", "attention")
BOTH: Final = "both"
FORWARD: Final = "forward"
STRANDS: Final = (BOTH, FORWARD)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """The task of a classifier, and how windows become one prediction.

    Attributes:
        task: One of `task_kinds.KINDS`.
        classes: Names of the classes in the order of the outputs; empty for
            regression.
        positive: Class of a binary task to which metrics, attributions and motifs
            refer; the last if empty, as in models older than this field.
        readout: Readouts of a window, concatenated: the family's pools and its
            `READOUTS`, counts of k-mers ("kmers3" to "kmers6"), and "onehot", the
            base at each position, for sequences of one length. If empty, `pool` is
            read, without standardisation.
        strands: Strands that are read: "both", whose logits are averaged and whose
            k-mers are counted together with their reverse complements, or "forward";
            if empty, `both_strands` decides.
        members: Number of heads whose probabilities are averaged; for regression their
            predictions.
        encoders: Number of encoders: one for all heads, or one per head.
        pool: How a window becomes a vector; one of the family's `POOLS`.
        window: Bases that the encoder reads at once.
        length: Bases of the longest sequence for which the model was made.
        over_windows: How the windows of a longer sequence become one vector:
            "mean", or "attention", whose weights are learnt.
        dropout: Share of channels dropped before the output, in [0, 1).
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean over both strands; if `strands`
            is empty, the mean of probabilities.
        mean: For regression: the value that is added to the scaled output.
        scale: For regression: the factor of the output.

    Raises:
        ValueError: If a value is out of range or unknown.
    """

    task: str
    classes: tuple[str, ...] = ()
    pool: str = "mean"
    window: int = 512
    length: int = 512
    over_windows: str = "mean"
    dropout: float = 0.1
    augment: bool = False
    both_strands: bool = False
    mean: float = 0.0
    scale: float = 1.0
    positive: str = ""
    readout: tuple[str, ...] = ()
    strands: str = ""
    members: int = dataclasses.field(default=1, metadata=config_fields.NEWER)
    encoders: int = dataclasses.field(default=1, metadata=config_fields.NEWER)

    def __post_init__(self) -> None:
        if self.task not in task_kinds.KINDS:
            raise ValueError(
                f"task must be one of {', '.join(task_kinds.KINDS)}, got {self.task!r}"
            )
        min_classes = {
            task_kinds.BINARY: 2,
            task_kinds.MULTICLASS: 2,
            task_kinds.MULTI_LABEL: 1,
            task_kinds.REGRESSION: 0,
        }[self.task]
        if len(self.classes) < min_classes or (
            self.task in (task_kinds.BINARY, task_kinds.REGRESSION)
            and len(self.classes) != min_classes
        ):
            raise ValueError(f"{self.task} with {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"two classes have the same name: {self.classes}")
        if not all(name.strip() for name in self.classes):
            raise ValueError(f"a class has no name: {self.classes}")
        if self.positive and (
            self.task != task_kinds.BINARY or self.positive not in self.classes
        ):
            raise ValueError(
                f"positive={self.positive!r} is not one of exactly two classes:"
                f" {', '.join(self.classes)}"
            )
        if self.over_windows not in OVER_WINDOWS:
            raise ValueError(
                f"over_windows must be one of {', '.join(OVER_WINDOWS)}, got"
                f" {self.over_windows!r}"
            )
        if len(set(self.readout)) != len(self.readout):
            raise ValueError(f"readout has a repeated name: {', '.join(self.readout)}")
        if self.strands not in ("", *STRANDS):
            raise ValueError(
                f"strands must be one of {', '.join(STRANDS)}, got {self.strands!r}"
            )
        if self.strands and self.both_strands != (self.strands == BOTH):
            raise ValueError(
                f"strands={self.strands!r} with both_strands={self.both_strands}:"
                " these contradict each other"
            )
        if self.strands == FORWARD and self.augment:
            raise ValueError("augment reads both strands, strands='forward' does not")
        if readout.ONE_HOT in self.readout and self.length != self.window:
            raise ValueError(
                f"readout {readout.ONE_HOT} needs sequences of one length in a single"
                f" window, got window={self.window} and length={self.length}"
            )
        if self.members < 1 or self.encoders not in (1, self.members):
            raise ValueError(
                f"members={self.members} need encoders=1 or {self.members}, got"
                f" {self.encoders}"
            )
        if self.members > 1 and self.over_windows != "mean":
            raise ValueError(f"members={self.members} need over_windows='mean'")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        for name in ("window", "length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1 base, got {getattr(self, name)}")
        if not self.scale > 0:
            raise ValueError(f"scale must be > 0, got {self.scale}")

    @property
    def positive_class(self) -> str:
        """The positive class of a binary task, else empty."""
        return (
            (self.positive or self.classes[1]) if self.task == task_kinds.BINARY else ""
        )

    @property
    def encoder_readouts(self) -> tuple[str, ...]:
        """Readouts of the encoder; the others are computed from the bases."""
        names = self.readout or (self.pool,)
        return tuple(name for name in names if name not in readout.OF_BASES)

    @property
    def num_outputs(self) -> int:
        """Width of the logits: 1 for binary tasks and for regression."""
        return (
            1
            if self.task in (task_kinds.BINARY, task_kinds.REGRESSION)
            else len(self.classes)
        )


def check(family: str, encoder: Mapping[str, Any], config: ClassifierConfig) -> None:
    """Checks that an encoder supports a classifier's config.

    Args:
        family: Family of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: Config of the classifier.

    Raises:
        ValueError: If the family lacks a pool or readout, or cannot read such a window.
    """
    module = models.get_family(family)
    fields = module.from_dict(encoder)
    pools = tuple(p for p in module.POOLS if p != "none")
    if config.pool not in pools:
        raise ValueError(
            f"{family} has no pool {config.pool!r}; it has {', '.join(pools)}"
        )
    known = (*pools, *module.READOUTS, *readout.OF_BASES)
    for name in config.readout:
        if name not in known:
            raise ValueError(
                f"{family} has no readout {name!r}; it has {', '.join(known)}"
            )
    shortest = module.min_length(fields)
    if not shortest <= config.window <= fields.max_length:
        raise ValueError(
            f"a window of {config.window} bases is out of range: the model reads"
            f" {shortest} to {fields.max_length} bases at once"
        )


def num_parameters(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the number of parameters of a classifier.

    Args:
        family: Family of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: Config of the classifier.

    Returns:
        The number of parameters, of encoder and head.
    """
    module = models.get_family(family)
    fields = module.from_dict(encoder)
    width = vector_width(family, encoder, config)
    outputs = config.members * config.num_outputs
    outputs += config.over_windows == "attention"
    constants = 2 * width if config.readout else 0
    head = (width + 1) * outputs + constants
    return config.encoders * module.num_parameters(fields, head=False) + head


def readout_widths(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> list[int]:
    """Returns the number of channels of each readout of a classifier.

    Args:
        family: Family of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: Config of the classifier.

    Returns:
        The widths in the order of `config.readout`, or that of the pool if it is empty.
    """
    module = models.get_family(family)
    width = module.width(module.from_dict(encoder))

    def channels(name: str) -> int:
        if name in readout.OF_BASES:
            canonical = config.strands == BOTH
            return readout.bases_width(name, config.window, canonical=canonical)
        return width * (readout.NUM_BINS if name.endswith("bins") else 1)

    return [channels(name) for name in config.readout or (config.pool,)]


def vector_width(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the total number of channels that a classifier reads of a window."""
    return sum(readout_widths(family, encoder, config))


def to_dict(config: ClassifierConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    return config_fields.config_to_dict(config)


def from_dict(values: Mapping[str, Any]) -> ClassifierConfig:
    """Builds a config from JSON values; raises ValueError if they are invalid."""
    return config_fields.config_from_dict(ClassifierConfig, values)
