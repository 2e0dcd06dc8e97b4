"""What a classifier predicts and what it reads for that: its config; keras only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from genomenet import models, task_kinds
from genomenet.layers import readout
from genomenet.models import family as family_lib

OVER_WINDOWS: Final = ("mean", "attention")
BOTH: Final = "both"
FORWARD: Final = "forward"
STRANDS: Final = (BOTH, FORWARD)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """What is predicted, and how windows become one prediction.

    Attributes:
        task: One of `task_kinds.KINDS`.
        classes: Names of the classes in the order of the outputs; of regression
            none.
        positive: Of two classes the one that metrics, attributions and motifs are
            about; the last if empty, as in models made before there was a choice.
        readout: What is read of a window, side by side: the family's pools and its
            `READOUTS`, counts of k-mers ("kmers3" to "kmers6"), and "onehot", the
            base at each position, of sequences of one length. Empty: `pool` alone,
            not standardised.
        strands: Which strands are read: "both", of which the logits are averaged and
            k-mers counted together with their reverse complements, or "forward";
            empty as `both_strands` says.
        members: Heads whose probabilities are averaged, of regression their numbers.
        encoders: Encoders that they read: one for all, or one each.
        pool: How a window becomes a vector; one of the family's `POOLS`.
        window: Bases that the encoder reads at once.
        length: Bases of the longest sequence it was made for.
        over_windows: How the windows of a longer sequence become one vector:
            "mean", or "attention", whose weights are learnt.
        dropout: Share of channels dropped before the output, in [0, 1).
        augment: Whether training reads a random strand of each sequence.
        both_strands: Whether predictions are the mean over both strands, of the
            probabilities where `strands` is empty.
        mean: Of regression: what is added to the scaled output.
        scale: Of regression: by what the output is multiplied.

    Raises:
        ValueError: If a number or word makes no sense.
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
    members: int = dataclasses.field(default=1, metadata=family_lib.NEWER)
    encoders: int = dataclasses.field(default=1, metadata=family_lib.NEWER)

    def __post_init__(self) -> None:
        if self.task not in task_kinds.KINDS:
            raise ValueError(
                f"task must be one of {', '.join(task_kinds.KINDS)}, got {self.task!r}"
            )
        least = {
            task_kinds.BINARY: 2,
            task_kinds.MULTICLASS: 2,
            task_kinds.MULTI_LABEL: 1,
            task_kinds.REGRESSION: 0,
        }[self.task]
        if len(self.classes) < least or (
            self.task in (task_kinds.BINARY, task_kinds.REGRESSION)
            and len(self.classes) != least
        ):
            raise ValueError(f"{self.task} with {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("two classes have the same name")
        if not all(name.strip() for name in self.classes):
            raise ValueError("a class has no name")
        if self.positive and (
            self.task != task_kinds.BINARY or self.positive not in self.classes
        ):
            raise ValueError(
                f"positive={self.positive!r} is none of two classes:"
                f" {', '.join(self.classes)}"
            )
        if self.over_windows not in OVER_WINDOWS:
            raise ValueError(
                f"over_windows must be one of {', '.join(OVER_WINDOWS)}, got"
                f" {self.over_windows!r}"
            )
        if len(set(self.readout)) != len(self.readout):
            raise ValueError(f"readout names one twice: {', '.join(self.readout)}")
        if self.strands not in ("", *STRANDS):
            raise ValueError(
                f"strands must be one of {', '.join(STRANDS)}, got {self.strands!r}"
            )
        if self.strands and self.both_strands != (self.strands == BOTH):
            raise ValueError(
                f"strands={self.strands!r} with both_strands={self.both_strands}"
            )
        if self.strands == FORWARD and self.augment:
            raise ValueError("augment reads both strands, strands='forward' does not")
        if readout.ONE_HOT in self.readout and self.length != self.window:
            raise ValueError(
                f"readout {readout.ONE_HOT} needs sequences of one length, read at"
                f" once, got window={self.window} and length={self.length}"
            )
        if self.members < 1 or self.encoders not in (1, self.members):
            raise ValueError(
                f"members={self.members} have encoders=1 or {self.members}, got"
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
        """Of two classes the one that numbers are about, else empty."""
        return (
            (self.positive or self.classes[1]) if self.task == task_kinds.BINARY else ""
        )

    @property
    def encoder_readouts(self) -> tuple[str, ...]:
        """What is read of the encoder; of the rest, the bases themselves are."""
        names = self.readout or (self.pool,)
        return tuple(name for name in names if name not in readout.OF_BASES)

    @property
    def num_outputs(self) -> int:
        """Width of the logits: 1 for two classes and for regression."""
        return (
            1
            if self.task in (task_kinds.BINARY, task_kinds.REGRESSION)
            else len(self.classes)
        )


def check(family: str, encoder: Mapping[str, Any], config: ClassifierConfig) -> None:
    """Refuses what an encoder cannot do.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Raises:
        ValueError: If the family has no such pool, or cannot read such a window.
    """
    members = models.get_family(family)
    fields = members.from_dict(encoder)
    pools = tuple(p for p in members.POOLS if p != "none")
    if config.pool not in pools:
        raise ValueError(
            f"{family} has no pool {config.pool!r}; it has {', '.join(pools)}"
        )
    known = (*pools, *members.READOUTS, *readout.OF_BASES)
    for name in config.readout:
        if name not in known:
            raise ValueError(
                f"{family} has no readout {name!r}; it has {', '.join(known)}"
            )
    shortest = members.shortest(fields)
    if not shortest <= config.window <= fields.max_length:
        raise ValueError(
            f"a window of {config.window} bases is out of range: the model reads"
            f" {shortest} to {fields.max_length} bases at once"
        )


def num_parameters(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the numbers in all weights of a classifier.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Returns:
        Their count.
    """
    members = models.get_family(family)
    fields = members.from_dict(encoder)
    width = vector_width(family, encoder, config)
    outputs = config.members * config.num_outputs
    outputs += config.over_windows == "attention"
    constants = 2 * width if config.readout else 0
    head = (width + 1) * outputs + constants
    return config.encoders * members.num_parameters(fields, head=False) + head


def readout_widths(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> list[int]:
    """Returns the channels of each readout of a classifier.

    Args:
        family: Of the encoder, a key of `genomenet.models.FAMILIES`.
        encoder: Fields of the family's config.
        config: What is predicted.

    Returns:
        In the order of `config.readout`; of its pool where there is none.
    """
    members = models.get_family(family)
    width = members.width(members.from_dict(encoder))

    def of(name: str) -> int:
        if name in readout.OF_BASES:
            canonical = config.strands == BOTH
            return readout.bases_width(name, config.window, canonical=canonical)
        return width * (readout.NUM_BINS if name.endswith("bins") else 1)

    return [of(name) for name in config.readout or (config.pool,)]


def vector_width(
    family: str, encoder: Mapping[str, Any], config: ClassifierConfig
) -> int:
    """Returns the channels of all that a classifier reads of a window."""
    return sum(readout_widths(family, encoder, config))


def to_dict(config: ClassifierConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    return family_lib.config_to_dict(config)


def from_dict(values: Mapping[str, Any]) -> ClassifierConfig:
    """Returns the config of JSON values, or raises ValueError."""
    return family_lib.config_from_dict(ClassifierConfig, values)
