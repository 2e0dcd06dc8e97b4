"""How to search for motifs; nothing else is imported, so that --help is quick."""

from __future__ import annotations

import dataclasses
from typing import Final

SMALLEST_WIDTH: Final = 6  # bases
LARGEST_WIDTH: Final = 20
LARGEST_ORDER: Final = 5  # of the Markov chain of the background


@dataclasses.dataclass(frozen=True)
class Options:
    """How to search.

    Attributes:
        min_width: Bases of the narrowest motif, 6 or more.
        max_width: Bases of the widest motif, 20 or less.
        num_motifs: Motifs to look for at most; None for as many as there are.
        threshold: Hold-out p-value above which a motif is taken for chance. A motif
            is significant if its E-value does not exceed this either, so that of the
            data sets without a motif no larger share yields a significant one.
        patience: Motifs above the threshold, one after the other, that end the search.
        both_strands: Whether motifs lie on either strand.
        holdout: Share of the sequences held out for testing, below 1; 0 for none.
        order: Order of the Markov chain of the background, and of the shuffled
            controls, 0 to 5.
        seed: Fixes hold-out and shuffling, and so the result.

    Raises:
        ValueError: If a value is out of its range.
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
                f"widths must be {low} to {high} bases, the smallest first, got "
                f"{self.min_width} and {self.max_width}"
            )
        if self.num_motifs is not None and self.num_motifs < 1:
            raise ValueError(f"num_motifs must be 1 or more, got {self.num_motifs}")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be above 0, 1 at most: {self.threshold}")
        if self.patience < 1:
            raise ValueError(f"patience must be 1 or more, got {self.patience}")
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be 0 or more, below 1: {self.holdout}")
        if not 0 <= self.order <= LARGEST_ORDER:
            raise ValueError(f"order must be 0 to {LARGEST_ORDER}, got {self.order}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")
