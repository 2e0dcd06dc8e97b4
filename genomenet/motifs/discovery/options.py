"""Options of the motif search, without imports of the package: --help stays fast."""

from __future__ import annotations

import dataclasses
from typing import Final

SMALLEST_WIDTH: Final = 6  # bases
LARGEST_WIDTH: Final = 20
LARGEST_ORDER: Final = 5  # order of the Markov chain of the background


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the motif search.

    Attributes:
        min_width: Minimum width of a motif in bases, at least 6.
        max_width: Maximum width of a motif in bases, at most 20.
        num_motifs: Maximum number of motifs; None for no limit.
        threshold: p-value above which a motif is attributed to chance. A motif is
            significant if its E-value does not exceed the threshold either, so that at
            most this share of data sets without a motif yields a significant one.
        patience: Number of consecutive motifs above the threshold that ends the search.
        both_strands: Whether to search both strands.
        holdout: Share of the sequences held out for testing, below 1; 0 for none.
        order: Order of the Markov chain of the background, and of the shuffled
            controls, 0 to 5.
        seed: Seed of the hold-out and of shuffling; it determines the result.

    Raises:
        ValueError: If a value is out of range.
    """

    min_width: int = 8
    max_width: int = 15
    num_motifs: int | None = 5
    threshold: float = 0.05
    patience: int = 3
    both_strands: bool = True
    holdout: float = 0.1
    order: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        low, high = SMALLEST_WIDTH, LARGEST_WIDTH
        if not low <= self.min_width <= self.max_width <= high:
            raise ValueError(
                f"widths must be {low} to {high} bases, the smaller one first, got "
                f"{self.min_width} and {self.max_width}"
            )
        if self.num_motifs is not None and self.num_motifs < 1:
            raise ValueError(f"num_motifs must be 1 or more, got {self.num_motifs}")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}")
        if self.patience < 1:
            raise ValueError(f"patience must be 1 or more, got {self.patience}")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be in [0, 1), got {self.holdout}")
        if not 0 <= self.order <= LARGEST_ORDER:
            raise ValueError(f"order must be 0 to {LARGEST_ORDER}, got {self.order}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
