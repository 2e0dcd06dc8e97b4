"""Audits of tasks: copies between splits, and shortcuts to the labels.

Most checks are those of seqleak, the extra `audit`. This package words their verdicts
and adds checks that seqleak lacks.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from genomenet import html_page
from genomenet.data import examples
from genomenet.evaluation import audit_checks as checks_lib

MISSING: Final = 'an audit needs seqleak: pip install "genomenet[audit]"'

_FEWEST: Final = 50  # sequences below which `warn` yields nothing
_MOST: Final = (5_000, 1_000_000)  # sequences and bases that `warn` reads, at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """Verdicts on a task, which a notebook shows as a table.

    Attributes:
        name: Name of the task.
        sizes: Split → number of sequences.
        checks: The checks, in a fixed order.
    """

    name: str
    sizes: Mapping[str, int]
    checks: Sequence[checks_lib.Check]

    @property
    def verdict(self) -> str:
        """The worst verdict of all checks; "SKIP" if all were skipped."""
        return max(
            (c.verdict for c in self.checks),
            key=checks_lib.ORDER.index,
            default=checks_lib.PASS,
        )

    def of(self, verdict: str) -> list[str]:
        """Returns the names of the checks with a verdict."""
        return [check.name for check in self.checks if check.verdict == verdict]

    def to_json(self) -> dict[str, Any]:
        """Returns the audit as JSON values."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        sizes = dict(self.sizes)
        return {
            "name": self.name,
            "verdict": self.verdict,
            "sizes": sizes,
            "checks": checks,
        }

    def to_tsv(self) -> str:
        """Returns a header and one row per check."""
        head = [field.name for field in dataclasses.fields(checks_lib.Check)]
        rows = [[_cell(getattr(c, name)) for name in head] for c in self.checks]
        return "".join("\t".join(row) + "\n" for row in [head, *rows])

    def __str__(self) -> str:
        lines = [f"{c.verdict:<5}{c.name:<23}{c.text}" for c in self._worst_first()]
        return "\n".join([self._title(), *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(c.verdict, c.name, c.text) for c in self._worst_first()]
        return html_page.render("table.html", above=self._title(), rows=rows)

    def _worst_first(self) -> list[checks_lib.Check]:
        return sorted(self.checks, key=lambda c: -checks_lib.ORDER.index(c.verdict))

    def _title(self) -> str:
        sizes = ", ".join(f"{count:,} {name}" for name, count in self.sizes.items())
        return f"{self.verdict}: {self.name} ({sizes})"


def is_installed() -> bool:
    """Returns whether seqleak is installed."""
    return importlib.util.find_spec("seqleak") is not None


def audit(
    data: examples.Data,
    *,
    spelled: Mapping[bytes, str] | None = None,
    genome: Sequence[str | os.PathLike[str]] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> Audit:
    """Looks for properties that make a task easier than it seems.

    Without a test split, the validation split is audited as the test split. With a
    training split alone, checks between splits are skipped, and rules are scored on
    folds of it.

    Args:
        data: The splits.
        spelled: Codes of a sequence → its original text, for letter case and
            ambiguous letters. Other sequences are taken as upper-case `ACGTN`.
        genome: FASTA files, plain or gzip, of all genomes that sequences come from.
        resamples: Number of bootstrap resamples. A rule counts only if the chance
            level is outside of its 95 % interval.
        seed: Seed of folds, samples and the bootstrap.

    Returns:
        The verdicts.

    Raises:
        ImportError: If seqleak is not installed.
        ValueError: If there are fewer than two classes.
    """
    if not is_installed():
        raise ImportError(MISSING)
    of_seqleak = checks_lib.of_seqleak(
        data, spelled=spelled or {}, genome=genome, resamples=resamples, seed=seed
    )
    return Audit(
        name=data.name,
        sizes={split: len(part) for split, part in data.splits.items()},
        checks=[*of_seqleak, *checks_lib.of_ours(data)],
    )


def warn(data: examples.Data) -> Iterator[str]:
    """Audits a task quickly, for commands.

    Args:
        data: The splits. Large ones are sampled.

    Yields:
        One line if the verdict is WARN or FAIL. Nothing if seqleak is not installed or
        there are fewer than 50 sequences.
    """
    total = sum(map(len, data.splits.values()))
    if total < _FEWEST or not is_installed():
        return
    bases = sum(len(part.codes) for part in data.splits.values())
    share = min(_MOST[0] / total, _MOST[1] / bases)
    if share < 1:
        rng = np.random.default_rng(0)
        splits = {
            split: part.take(
                np.sort(rng.permutation(len(part))[: max(20, int(share * len(part)))])
            )
            for split, part in data.splits.items()
        }
        data = dataclasses.replace(data, splits=splits)
    try:
        result = audit(data, resamples=200)
    except Exception as e:  # advice must not end a training run
        yield f"the audit failed: {e}"
        return
    if result.verdict in (checks_lib.WARN, checks_lib.FAIL):
        names = ", ".join([*result.of(checks_lib.FAIL), *result.of(checks_lib.WARN)])
        drawn = sum(result.sizes.values())
        sample = f" of {drawn:,} sampled sequences" if drawn < total else ""
        yield f"WARNING: audit{sample}: {result.verdict}: {names} (see genomenet.audit)"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
