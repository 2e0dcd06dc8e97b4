"""How a stretch of a genome becomes windows."""

import dataclasses
from typing import Final

CUTS: Final = ("tile", "crop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """How a model wants its training sequences.

    Attributes:
        length: Bases of a row.
        stride: Bases between the starts of neighbouring windows.
        cut: "tile" cuts at multiples of the stride; "crop" shifts each window by a
            random phase below the stride, drawn anew in every epoch.
        max_n: Largest share of N in a window that is used, in [0, 1].
        shortest_cut: Bases of the shortest segment, where a row is cut into segments
            of mixed lengths, as GeneMask does; 0 where a row is one window.

    Raises:
        ValueError: If a value is not possible.
    """

    length: int
    stride: int
    cut: str = "crop"
    max_n: float = 0.1
    shortest_cut: int = 0

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ValueError(
                f"length and stride must be >= 1 base, got {self.length} and"
                f" {self.stride}"
            )
        if self.cut not in CUTS:
            raise ValueError(f"cut must be one of {', '.join(CUTS)}, got {self.cut!r}")
        if not 0 <= self.max_n <= 1:
            raise ValueError(f"max_n is a share in [0, 1], got {self.max_n}")
        if self.shortest_cut and not 1 <= self.shortest_cut <= (self.length - 1) // 2:
            raise ValueError(
                f"shortest_cut must be 1 to {(self.length - 1) // 2} bases, half a"
                f" row, got {self.shortest_cut}"
            )

    @property
    def bases(self) -> int:
        """Bases of a stretch of the genome that makes one row."""
        return self.length - 1 if self.shortest_cut else self.length
