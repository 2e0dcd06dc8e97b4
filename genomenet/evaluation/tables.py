"""Results of many runs: a CSV of tidy rows, means over seeds, paired tests.

A tidy row is a dict with "model", "seed", a setting (shots, share of the labels) and
one entry per metric.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import stats

from genomenet import atomic

MODEL: Final = "model"
SEED: Final = "seed"
SETTING: Final = "setting"

Row = Mapping[str, Any]

_CONFIDENCE: Final = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A metric over seeds.

    Attributes:
        count: Number of seeds that have the metric.
        mean: Mean over seeds.
        sd: Sample standard deviation; None for one seed.
        low: Lower end of the 95 % interval of the mean (Student's t), or None.
        high: Upper end.
    """

    count: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A paired test of two models under one setting, on the same seeds.

    Attributes:
        setting: The setting; None if all settings are pooled.
        first: Name of the first model.
        second: Name of the second model.
        count: Number of pairs of runs.
        difference: Mean of the first minus the second.
        low: Lower end of its 95 % interval (Student's t), or None.
        high: Upper end.
        p: p-value of the two-sided paired t-test; None if there are fewer than two
            pairs, or all differences are the same.
        p_holm: The p-value with Holm's correction for all tests of the call.
    """

    setting: Any
    first: str
    second: str
    count: int
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None


def summarise(
    rows: Sequence[Row], metric: str, *, setting: str = SETTING
) -> dict[str, dict[Any, Mean]]:
    """Computes means over seeds.

    Args:
        rows: Tidy rows.
        metric: Column of the metric. Rows without it, or with NaN, are ignored.
        setting: Column of the setting.

    Returns:
        Model → setting → mean. Models are in the order of the rows; settings are
        sorted, numbers before words.

    Raises:
        ValueError: If a column is missing, or two rows have the same model, setting
            and seed.
    """
    runs = _runs(rows, metric, setting)
    values: dict[str, dict[Any, list[float]]] = {}
    for (model, at, _), value in runs.items():
        values.setdefault(model, collections.defaultdict(list))[at].append(value)
    return {
        model: {at: _mean(by_setting[at]) for at in sorted(by_setting, key=order)}
        for model, by_setting in values.items()
    }


def markdown(
    rows: Sequence[Row], metric: str, *, setting: str = SETTING, digits: int = 3
) -> str:
    """Returns a table of mean ± standard deviation over seeds.

    Args:
        rows: Tidy rows.
        metric: Column of the metric.
        setting: Column of the setting.
        digits: Digits after the decimal point.

    Returns:
        Markdown with a row per model and a column per setting; "–" without a run.

    Raises:
        ValueError: As `summarise`.
    """
    means = summarise(rows, metric, setting=setting)
    settings = sorted(
        {at for by_setting in means.values() for at in by_setting}, key=order
    )
    lines = [
        [f"{metric} by {setting}", *map(str, settings)],
        ["---", *["---:"] * len(settings)],
    ]
    for model, by_setting in means.items():
        lines.append([model, *(_cell(by_setting.get(at), digits) for at in settings)])
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def paired_tests(
    rows: Sequence[Row], metric: str, *, setting: str = SETTING, pooled: bool = False
) -> list[PairedTest]:
    """Compares each pair of models on the same settings and seeds.

    Args:
        rows: Tidy rows.
        metric: Column of the metric.
        setting: Column of the setting.
        pooled: Whether the pairs of all settings are tested together; else each
            setting has its own test.

    Returns:
        The tests, by setting, then in the order of the models. Pairs of models
        without a common run are left out.

    Raises:
        ValueError: As `summarise`.
    """
    runs = _runs(rows, metric, setting)
    models = list(dict.fromkeys(model for model, _, _ in runs))
    settings = sorted({at for _, at, _ in runs}, key=order)
    seeds = {(at, seed): None for _, at, seed in runs}
    tests = []
    for group in [settings] if pooled else [[at] for at in settings]:
        for first, second in itertools.combinations(models, 2):
            differences = [
                runs[first, *key] - runs[second, *key]
                for key in seeds
                if key[0] in group and (first, *key) in runs and (second, *key) in runs
            ]
            if differences:
                at = None if pooled else group[0]
                tests.append(_test(at, first, second, differences))
    return _corrected(tests)


def read_csv(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads tidy rows.

    Args:
        path: The file.

    Returns:
        The rows; none if there is no file. Numbers are parsed, except in the names
        of models. Empty entries are left out.

    Raises:
        ValueError: If the number of entries of a row differs from that of the header.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    for row, line in enumerate(lines, start=2):
        if len(line) != len(header):
            raise ValueError(
                f"{path}: row {row} has {len(line)} entries, the header {len(header)}"
            )
    return [
        {
            name: value if name == MODEL else _read(value)
            for name, value in zip(header, line, strict=True)
            if value != ""
        }
        for line in lines
    ]


def append_row(path: str | os.PathLike[str], row: Row) -> None:
    """Adds a tidy row to a CSV file, which is replaced atomically.

    Columns that the file lacks are added. Only one process may write at a time.

    Args:
        path: The file; it and its folder are made if missing.
        row: The row. Values are written as Python prints them; None and missing values
            are written as empty entries.

    Raises:
        ValueError: If the existing file is not a table.
    """
    rows = [*read_csv(path), row]
    columns = list(dict.fromkeys(name for each in rows for name in each))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic.replacing(path) as partial:  # as bytes: the text has its own newlines
        partial.write_bytes(text.getvalue().encode())


def order(value: Any) -> tuple[bool, float, str]:
    """Returns the key that sorts settings: numbers by value, then words."""
    is_word = isinstance(value, str)
    return is_word, 0.0 if is_word else float(value), str(value)


def _runs(
    rows: Sequence[Row], metric: str, setting: str
) -> dict[tuple[str, Any, Any], float]:
    """Returns (model, setting, seed) → metric, for the rows that have it."""
    runs: dict[tuple[str, Any, Any], float] = {}
    for row in rows:
        for name in (MODEL, setting, SEED):
            if name not in row:
                raise ValueError(f"a row has no {name!r}, only {', '.join(row)}")
        key = (row[MODEL], row[setting], row[SEED])
        if key in runs:
            raise ValueError(
                f"two rows have model {key[0]}, {setting} {key[1]}, seed {key[2]}"
            )
        value = row.get(metric)
        runs[key] = math.nan if value is None else float(value)
    known = {key: value for key, value in runs.items() if not math.isnan(value)}
    if rows and not known:
        raise ValueError(f"no row has a number for {metric!r}")
    return known


def _mean(values: Sequence[float]) -> Mean:
    """Returns the mean of values with its interval."""
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Mean(count=count, mean=mean)
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1)) * sd / math.sqrt(count)
    return Mean(count=count, mean=mean, sd=sd, low=mean - half, high=mean + half)


def _test(
    setting: Any, first: str, second: str, differences: Sequence[float]
) -> PairedTest:
    """Returns the paired t-test of differences."""
    mean = _mean(differences)
    p = None
    # Equal differences vary by rounding, which would give a p-value of nearly 0.
    if mean.sd is not None and np.ptp(differences) > 1e-12 * np.abs(differences).max():
        result: Any = stats.ttest_1samp(differences, 0.0)
        p = float(result.pvalue)
    return PairedTest(
        setting=setting,
        first=first,
        second=second,
        count=mean.count,
        difference=mean.mean,
        low=mean.low,
        high=mean.high,
        p=p,
    )


def _corrected(tests: list[PairedTest]) -> list[PairedTest]:
    """Returns the tests with Holm's correction."""
    known = sorted((test.p, n) for n, test in enumerate(tests) if test.p is not None)
    corrected, largest = list(tests), 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[index] = dataclasses.replace(tests[index], p_holm=largest)
    return corrected


def _cell(mean: Mean | None, digits: int) -> str:
    """Formats a mean with its standard deviation."""
    if mean is None:
        return "–"
    text = f"{mean.mean:.{digits}f}"
    return text if mean.sd is None else f"{text} ± {mean.sd:.{digits}f}"


def _read(text: str) -> Any:
    """Parses a number, or returns the text."""
    if "_" in text:  # Python would parse 1_000
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
