"""Divides sequences into windows."""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

CUTS: Final = ("tile", "crop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """How training sequences are divided into rows.

    Attributes:
        length: Bases of a row.
        stride: Bases between the starts of neighbouring windows.
        cut: "tile" cuts at multiples of the stride; "crop" shifts each window by a
            random phase below the stride, redrawn in every epoch.
        max_n: Largest share of N in a window that is used, in [0, 1].
        shortest_cut: Bases of the shortest segment, if rows are divided into segments
            of mixed lengths, as in GeneMask; 0 if a row is one window.
        both_strands: Whether a window is read from either strand, redrawn in every
            epoch. Tiled windows are always read from the given strand.

    Raises:
        ValueError: If a value is out of range.
    """

    length: int
    stride: int
    cut: str = "crop"
    max_n: float = 0.1
    shortest_cut: int = 0
    both_strands: bool = False

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
        """Bases of the genome in one row."""
        return self.length - 1 if self.shortest_cut else self.length


def starts(length: int, *, window: int, stride: int) -> list[int]:
    """Returns the starts of windows, so that every base lies in a window.

    Args:
        length: Bases of the record.
        window: Bases of a window.
        stride: Bases between neighbouring starts.

    Returns:
        Multiples of the stride and, if these leave bases at the end, the start of one
        more window that ends with the record. [0] if the record is no longer than a
        window.
    """
    if length <= window:
        return [0]
    positions = list(range(0, length - window + 1, stride))
    if positions[-1] + window < length:
        positions.append(length - window)
    return positions


def starts_without_n(
    codes: npt.NDArray[np.uint8], length: int
) -> npt.NDArray[np.int64]:
    """Returns the starts of all windows of A, C, G and T only, ascending.

    Args:
        codes: Codes of `dna.alphabet`, uint8, (L,).
        length: Bases of a window.
    """
    before = np.cumsum(np.append(0, codes >= alphabet.NUM_BASES))
    return np.flatnonzero(before[length:] == before[: max(len(before) - length, 0)])
