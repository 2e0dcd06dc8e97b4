"""The numbers that define a Self-GenomeNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from genomenet.models import family

OBJECTIVES: Final = (
    "reverse_complement",  # the method
    "reverse_complement_fixed",  # the ablations, see pretrain.py
    "reverse",
    "reverse_fixed",
    "forward",
    "forward_fixed",
    "cpc",
)
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
        gaps: Patches left out between what has been read and what is predicted,
            one projection each.
        objective: One of `OBJECTIVES`.
        negatives: "global" takes the rows of all replicas as negatives, so that
            the loss does not depend on their number; "local" a replica's own.
        max_length: Bases of the longest sequence read at once at inference.

    Raises:
        ValueError: If a number makes no sense, or a gap would let the prediction
            and its target share bases.

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
        if not isinstance(self.gaps, tuple) or not all(map(_is_integer, self.gaps)):
            raise ValueError(f"gaps must be a list of integers, got {self.gaps!r}")
        if not self.gaps or len(set(self.gaps)) != len(self.gaps):
            raise ValueError(f"gaps must be different and at least one: {self.gaps}")
        if len(self.gaps) > _MOST_GAPS:
            raise ValueError(f"there may be {_MOST_GAPS} gaps, not {len(self.gaps)}")
        family.check_size(self.num_parameters())
        for gap in self.gaps:
            self._check_gap(gap)

    @property
    def num_patches(self) -> int:
        """P, the patches of a training window."""
        return (self.length - self.kernel_size) // self.stride + 1

    def num_parameters(self, *, head: bool = True) -> int:
        """Returns the numbers in all weights, with the projections if `head`."""
        gates = 4 * self.units
        encoder = 4 * self.kernel_size * self.filters + self.filters
        context = (self.filters + self.units + 1) * gates
        width = self.filters if self.objective == "cpc" else self.units
        return encoder + context + head * len(self.gaps) * (self.units + 1) * width

    def _check_gap(self, gap: int) -> None:
        least = -(-self.kernel_size // self.stride) - 1
        if gap < least:
            raise ValueError(
                f"gap {gap} would let a prediction share bases with its target: with"
                f" kernel_size={self.kernel_size} and stride={self.stride} a gap must"
                f" be at least ceil({self.kernel_size}/{self.stride}) - 1 = {least}"
            )
        if gap > self.num_patches - 2:
            raise ValueError(
                f"gap {gap} leaves nothing to predict: a window of {self.length} bases"
                f" has {self.num_patches} patches, so a gap is at most"
                f" {self.num_patches - 2}"
            )


def to_dict(config: SelfGenomeNetConfig) -> dict[str, Any]:
    """Returns the JSON values of a config."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config).items()
    }


def from_dict(values: Mapping[str, Any]) -> SelfGenomeNetConfig:
    """Returns the config of JSON values; ValueError on an unknown key."""
    return family.config_from_dict(SelfGenomeNetConfig, values)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
