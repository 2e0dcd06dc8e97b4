"""Hyperparameters of a Self-GenomeNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from genomenet.models import config_fields


class Objective(NamedTuple):
    """The prediction target for the context of a window, gap + 1 patches ahead."""

    predicts: str
    """What is predicted: "strand": the state of the other strand after the rest of the
    window; "suffix": the state after the rest, read forward; "latent": the encoder
    output gap + 1 patches ahead."""
    is_fixed: bool = False
    """Whether only the position in the middle is scored."""
    is_complemented: bool = False
    """Whether the sequence that is read from the end is complemented."""


OBJECTIVES: Final = {
    "reverse_complement": Objective("strand", False, True),  # the method
    "reverse_complement_fixed": Objective("strand", True, True),  # and its ablations
    "reverse": Objective("strand"),
    "reverse_fixed": Objective("strand", True),
    "forward": Objective("suffix"),
    "forward_fixed": Objective("suffix", True),
    "cpc": Objective("latent"),
}
_COUNTS: Final = (
    "length",
    "kernel_size",
    "stride",
    "filters",
    "units",
    "max_length",
)
_MOST_GAPS: Final = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfGenomeNetConfig:
    """A Self-GenomeNet; the defaults are the published 150-nt virus model.

    Attributes:
        length: Bases of a training window.
        kernel_size: Bases of a patch.
        stride: Bases between the starts of neighbouring patches.
        filters: Channels of the encoder.
        units: Channels of the context network.
        gaps: Numbers of patches between context and target, with one projection each.
        objective: One of `OBJECTIVES`.
        negatives: "global" uses the rows of all replicas as negatives, so that the
            loss does not depend on the number of replicas; "local" those of the same
            replica.
        max_length: Bases of the longest sequence that is read at once at inference.
        temperature: If 0, logits are dot products, as published; if above 0, cosines
            divided by the temperature. Only for the objectives "reverse_complement"
            and "reverse".

    Raises:
        ValueError: If a value is out of range or unknown, or a gap would let the
            prediction and its target share bases.

    Source:
        Gündüz et al., Self-GenomeNet (2023), doi 10.1038/s42003-023-05310-2.
    """

    length: int = 150
    kernel_size: int = 24
    stride: int = 6
    filters: int = 1024
    units: int = 512
    gaps: tuple[int, ...] = (3,)
    objective: str = "reverse_complement"
    negatives: str = "global"
    max_length: int = 10_000
    temperature: float = dataclasses.field(default=0.0, metadata=config_fields.NEWER)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if not _is_integer(value) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
        if self.length < self.kernel_size:
            raise ValueError(
                f"length={self.length} is shorter than one patch of"
                f" {self.kernel_size} bases"
            )
        if self.max_length < self.length:
            raise ValueError(
                f"max_length={self.max_length} is below length={self.length}"
            )
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be one of {', '.join(OBJECTIVES)}, got"
                f" {self.objective!r}"
            )
        if self.negatives not in ("global", "local"):
            raise ValueError(
                f"negatives must be global or local, got {self.negatives!r}"
            )
        if self.temperature < 0:
            raise ValueError(f"temperature must be >= 0, got {self.temperature}")
        if self.temperature and (
            self.method.predicts != "strand" or self.method.is_fixed
        ):
            raise ValueError(
                f"temperature={self.temperature}: the objective {self.objective!r} has"
                " no temperature; leave it at 0"
            )
        if not isinstance(self.gaps, tuple) or not all(map(_is_integer, self.gaps)):
            raise ValueError(f"gaps must be a list of integers, got {self.gaps!r}")
        if not self.gaps or len(set(self.gaps)) != len(self.gaps):
            raise ValueError(f"gaps must be different and at least one: {self.gaps}")
        if len(self.gaps) > _MOST_GAPS:
            raise ValueError(f"gaps may be at most {_MOST_GAPS}, got {len(self.gaps)}")
        config_fields.check_size(self.num_parameters())
        for gap in self.gaps:
            self._check_gap(gap)

    @property
    def num_patches(self) -> int:
        """Number of patches of a training window, P."""
        return (self.length - self.kernel_size) // self.stride + 1

    def num_parameters(self, *, head: bool = True) -> int:
        """Returns the number of parameters, with the projections if `head`."""
        gates = 4 * self.units
        encoder = 4 * self.kernel_size * self.filters + self.filters
        context = (self.filters + self.units + 1) * gates
        projection = (self.units + 1) * self.prediction_width
        return encoder + context + head * len(self.gaps) * projection

    @property
    def method(self) -> Objective:
        """The entry of `OBJECTIVES` for `objective`."""
        return OBJECTIVES[self.objective]

    @property
    def prediction_width(self) -> int:
        """Number of channels that the objective predicts."""
        return self.filters if self.method.predicts == "latent" else self.units

    def _check_gap(self, gap: int) -> None:
        min_gap = -(-self.kernel_size // self.stride) - 1
        if gap < min_gap:
            raise ValueError(
                f"gap {gap} would let a prediction share bases with its target: with"
                f" kernel_size={self.kernel_size} and stride={self.stride} a gap must"
                f" be at least ceil({self.kernel_size}/{self.stride}) - 1 = {min_gap}"
            )
        if gap > self.num_patches - 2:
            raise ValueError(
                f"gap {gap} leaves nothing to predict: a window of {self.length} bases"
                f" has {self.num_patches} patches, so a gap is at most"
                f" {self.num_patches - 2}"
            )


def to_dict(config: SelfGenomeNetConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    return config_fields.config_to_dict(config)


def from_dict(values: Mapping[str, Any]) -> SelfGenomeNetConfig:
    """Builds a config from JSON values; raises ValueError on an unknown key."""
    return config_fields.config_from_dict(SelfGenomeNetConfig, values)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
