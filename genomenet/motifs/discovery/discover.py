"""Discovery of motifs that distinguish primary sequences from controls.

The seeds are words that occur in more primary sequences than controls. The best seeds
become matrices. Each matrix is refined with its own sites until its separation of the
two sets stops improving. Held-out sequences determine the significance of the result.
Then the sites of the motif are erased, and the search is repeated.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tqdm.auto as tqdm

from genomenet.dna import encode, shuffle
from genomenet.motifs import pwm
from genomenet.motifs.discovery import background as background_lib
from genomenet.motifs.discovery import options as options_lib
from genomenet.motifs.discovery import refine, repeats, scan, significance

Named = tuple[str, npt.NDArray[np.uint8]]

_LEAST_HOLDOUT: Final = 5  # sequences
# Minimum number of shuffled controls, for more power with few sequences.
_LEAST_CONTROLS: Final = 500
_NUM_NULLS: Final = 24  # searches in permuted sequences, if none can be held out


@dataclasses.dataclass(frozen=True)
class Discovery:
    """Result of a search.

    Attributes:
        motifs: Significant motifs first, then by p-value. Their `scores` hold
            "significant" (1 or 0), "pvalue" in the held-out sequences, "evalue" (this
            p-value times the number of motifs tested), "train_pvalue", the decimal
            logarithms "log10_pvalue" and "log10_train_pvalue" (a p-value below 1e-308
            is 0), "positives" of "num_positives" held-out primary sequences and
            "negatives" of "num_negatives" held-out controls with a site,
            "positive_share" and "negative_share" of all sequences with a site,
            "enrichment" (ratio of these shares, one sequence added to each),
            "threshold" (bits), "threshold_pvalue" (at a random position),
            "information" (bits), "holdout" (share held out; 0 if p-values come from
            permuted sequences).
        background: Frequencies of A, C, G, T in the controls.
        num_sequences: Number of primary sequences searched.
        num_controls: Number of controls.
        controls: "given" or "shuffled".
        warnings: Warnings for the user, one line each.
    """

    motifs: tuple[pwm.Motif, ...]
    background: tuple[float, float, float, float]
    num_sequences: int
    num_controls: int
    controls: str
    warnings: tuple[str, ...]


class _Tested(NamedTuple):
    """A motif without a name, and the logarithm of its p-value."""

    motif: pwm.Motif
    log_pvalue: float


def discover(
    sequences: Sequence[Named],
    controls: Sequence[Named] | None = None,
    options: options_lib.Options | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> Discovery:
    """Finds motifs in sequences.

    Repeated sequences, and segments that overlap other sequences, are used once: see
    `repeats.unique`.

    The matrix of a motif is the one that was tested: its counts are those of its sites
    in the training sequences. The sites of a motif are erased before the next search,
    so the sites of two motifs do not overlap.

    If fewer than 5 sequences can be held out, all are used for training. The p-value
    then compares the training p-value with the best ones of searches in the same
    sequences, permuted between primary and control, by an extreme value distribution.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each.
        controls: Sequences without the motifs, in the same form; None to shuffle the
            primary sequences and keep their (order + 1)-mers.
        options: Options of the search; None for the defaults.
        progress: Called with progress messages of one line. If given, a bar shows the
            progress of searches in permuted sequences.

    Returns:
        The motifs. They depend only on the sequences and options, not on threads.

    Raises:
        ValueError: If there are fewer than two usable sequences, or no usable control.

    Source:
        Bailey, STREME (2021). Differences: no suffix tree; widths between those of
        the seeds are reached by adding and removing columns; thresholds are chosen by
        a likelihood ratio instead of the test itself; the p-value without hold-out.
    """
    options = options or options_lib.Options()
    task = _prepare(sequences, controls, options, progress or _silent)
    tested = task.run()
    tested.sort(key=lambda t: (not t.motif.scores["significant"], t.log_pvalue))
    motifs = (
        dataclasses.replace(t.motif, name=f"{rank}-{t.motif.consensus}")
        for rank, t in enumerate(tested, 1)
    )
    return Discovery(
        motifs=tuple(motifs),
        background=task.background.frequencies,
        num_sequences=len(task.names),
        num_controls=task.train.num_control + task.test.num_control,
        controls="shuffled" if controls is None else "given",
        warnings=tuple(task.warnings),
    )


def _prepare(
    sequences: Sequence[Named],
    controls: Sequence[Named] | None,
    options: options_lib.Options,
    progress: Callable[[str], None],
) -> _Search:
    """Checks, shuffles and splits the sequences."""
    warnings: list[str] = []
    named = _unique_names(sequences, warnings)
    primary = repeats.usable(named, "primary sequence", options, warnings)
    if len(primary) < 2:
        raise ValueError(
            f"{len(primary)} usable primary sequence(s) of {len(sequences)}: at least"
            f" 2 are needed{''.join(f'; {line}' for line in warnings)}"
        )
    texts = [codes for _, codes in primary]
    if controls is None:
        copies = max(1, math.ceil(_LEAST_CONTROLS / len(texts)))
        progress(f"shuffling {len(texts)} sequences")
        control = shuffle.shuffle(
            texts * copies, order=options.order, seed=options.seed
        )
    else:
        kept = repeats.usable(controls, "control", options, warnings)
        control = [codes for _, codes in kept]
        copies = 1
        if not control:
            reasons = "".join(f"; {line}" for line in warnings)
            raise ValueError(f"no usable control of {len(controls)}{reasons}")
        both = repeats.unique([*primary, *kept], both_strands=options.both_strands)
        if both.repeats + both.overlaps:
            warnings.append(
                f"{both.repeats + both.overlaps} of {len(kept)} controls are also"
                " primary sequences, completely or in part"
            )
    is_test = _drawn(len(texts), options.holdout, options.seed, stream=0)
    # Shuffled copies are held out together with their sequence.
    is_control_test = (
        np.tile(is_test, copies)
        if controls is None
        else _drawn(len(control), options.holdout, options.seed, stream=1)
    )
    if min(is_test.sum(), is_control_test.sum()) < _LEAST_HOLDOUT:
        if options.holdout:
            warnings.append(
                f"too few sequences to hold out {options.holdout:.0%} for testing "
                f"({len(texts)} primary, {len(control)} controls): p-values come "
                "from searches in permuted sequences"
            )
        is_test[:] = is_control_test[:] = False
    return _Search(
        options=options,
        background=background_lib.fit(
            control, order=options.order, both_strands=options.both_strands
        ),
        names=[name for name, _ in primary],
        is_test=is_test,
        train=_split(texts, ~is_test, control, ~is_control_test, options),
        test=_split(texts, is_test, control, is_control_test, options),
        warnings=warnings,
        progress=progress,
    )


def _unique_names(sequences: Sequence[Named], warnings: list[str]) -> list[Named]:
    """Adds their positions in the input to names that several sequences share."""
    counts = collections.Counter(name for name, _ in sequences)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        warnings.append(
            f"{len(repeated)} name(s) such as {repeated[0]!r} belong to several "
            "primary sequences: '#' and their positions in the input are added"
        )
    return [
        (f"{name}#{position}" if counts[name] > 1 else name, codes)
        for position, (name, codes) in enumerate(sequences, 1)
    ]


def _drawn(
    count: int, share: float, seed: int, *, stream: int
) -> npt.NDArray[np.bool_]:
    """Draws a share of the sequences at random, rounded down."""
    order = np.random.default_rng((seed, stream)).permutation(count)
    drawn = np.zeros(count, bool)
    drawn[order[: int(count * share)]] = True
    return drawn


def _split(
    primary: list[npt.NDArray[np.uint8]],
    is_primary: npt.NDArray[np.bool_],
    control: list[npt.NDArray[np.uint8]],
    is_control: npt.NDArray[np.bool_],
    options: options_lib.Options,
) -> scan.SequenceSet:
    """Returns the selected primary and control sequences."""
    return scan.SequenceSet(
        [primary[i] for i in np.flatnonzero(is_primary)],
        [control[i] for i in np.flatnonzero(is_control)],
        both_strands=options.both_strands,
    )


@dataclasses.dataclass
class _Search:
    """State of a search; the sites of each motif are erased from the sequences.

    Attributes:
        options: Options of the search.
        background: Background of the controls.
        names: Names of all primary sequences.
        is_test: Which primary sequences are held out.
        train: Sequences in which motifs are searched.
        test: Held-out sequences; empty if p-values come from permutations.
        warnings: Warnings for the user, one line each.
        progress: Called with progress messages of one line.
    """

    options: options_lib.Options
    background: background_lib.Background
    names: list[str]
    is_test: npt.NDArray[np.bool_]
    train: scan.SequenceSet
    test: scan.SequenceSet
    warnings: list[str]
    progress: Callable[[str], None]

    def run(self) -> list[_Tested]:
        """Finds motifs one after the other."""
        options = self.options
        tested: list[_Tested] = []
        misses = 0
        with concurrent.futures.ThreadPoolExecutor(_num_threads()) as pool:
            fit = refine.Fit(
                min_width=options.min_width,
                max_width=options.max_width,
                background=self.background.frequencies,
                map=pool.map,
            )
            null_pvalues = None if self.test.num_primary else self._null(fit)
            limit = math.inf if options.num_motifs is None else options.num_motifs
            while len(tested) < limit and misses < options.patience:
                model = fit.search(self.train)
                if model is None:
                    break
                tested.append(self._test_model(fit, model, null_pvalues))
                is_miss = tested[-1].log_pvalue > math.log(options.threshold)
                misses = misses + 1 if is_miss else 0
                self.progress(
                    f"motif {len(tested)}: {tested[-1].motif.consensus}, p = "
                    f"{_power(tested[-1].log_pvalue)}"
                )
        return [self._with_evalue(motif, len(tested)) for motif in tested]

    def _null(self, fit: refine.Fit) -> npt.NDArray[np.float64]:
        """Returns the best log p-values of searches in permuted sequences."""
        num_sequences = len(self.train.starts)
        best = []
        self.progress(
            "no sequences are held out: p-values come from searches in"
            f" {_NUM_NULLS} permutations of the sequences"
        )
        bar = tqdm.tqdm(
            range(_NUM_NULLS),
            desc="permutations",
            leave=False,
            disable=self.progress is _silent,
        )
        for index in bar:
            rng = np.random.default_rng((self.options.seed, 2, index))
            chosen = rng.permutation(num_sequences) < self.train.num_primary
            permuted = self.train.select(chosen)
            model = fit.search(permuted)
            best.append(0.0 if model is None else fit.log_pvalue(model, permuted))
        return np.array(best)

    def _test_model(
        self, fit: refine.Fit, model: refine.Model, null: npt.NDArray[np.float64] | None
    ) -> _Tested:
        """Tests a model, collects its sites and erases them."""
        train_pvalue = fit.log_pvalue(model, self.train)
        motif = pwm.Motif("", model.counts, self.background.frequencies)
        log_odds = motif.log_odds()
        distribution = significance.score_distribution(log_odds, self.background)
        sites: list[tuple[int, pwm.Site]] = []
        tables = []
        parts = [(self.train, ~self.is_test), (self.test, self.is_test)]
        for part, chosen in parts:
            if not part.num_primary:
                tables.append((0, 0))
                continue
            scores = part.score(log_odds)
            tables.append(refine.table(part, scores, model.threshold))
            hits = part.hits(scores, model.threshold)
            sites += self._sites(
                part, hits, np.flatnonzero(chosen), log_odds, distribution
            )
            part.erase(scores, model.threshold)
        if null is None:
            tested_set, (held, held_control) = self.test, tables[1]
            log_pvalue = fit.log_test(held, held_control, tested_set, motif.width)
        else:
            tested_set, (held, held_control) = self.train, tables[0]
            log_pvalue = significance.gumbel(train_pvalue, null)
        positives, negatives = np.sum(tables, axis=0).tolist()
        num_controls = self.train.num_control + self.test.num_control
        scores = {
            "log10_pvalue": log_pvalue / math.log(10),
            "pvalue": math.exp(log_pvalue),
            "train_pvalue": math.exp(train_pvalue),
            "log10_train_pvalue": train_pvalue / math.log(10),
            "positives": held,
            "num_positives": tested_set.num_primary,
            "negatives": held_control,
            "num_negatives": tested_set.num_control,
            "positive_share": positives / len(self.names),
            "negative_share": negatives / num_controls,
            "enrichment": (positives + 1)
            / (len(self.names) + 1)
            * (num_controls + 1)
            / (negatives + 1),
            "threshold": model.threshold,
            "threshold_pvalue": distribution.pvalue(model.threshold),
            "information": float(motif.information().sum()),
            "holdout": self.options.holdout if null is None else 0.0,
        }
        sites.sort(key=lambda pair: pair[0])
        motif = dataclasses.replace(
            motif, sites=tuple(site for _, site in sites), scores=scores
        )
        return _Tested(motif, log_pvalue)

    def _sites(
        self,
        part: scan.SequenceSet,
        hits: scan.Hits,
        indices: npt.NDArray[np.intp],
        log_odds: npt.NDArray[np.float64],
        distribution: significance.ScoreDistribution,
    ) -> list[tuple[int, pwm.Site]]:
        """Returns the sites, each with the index of its sequence."""
        pvalues = distribution.pvalues(hits.words)
        scores = log_odds[np.arange(len(log_odds)), hits.words].sum(-1)
        starts = hits.places - part.starts[hits.sequences]
        return [
            (
                int(indices[sequence]),
                pwm.Site(
                    sequence=self.names[indices[sequence]],
                    start=start,
                    strand="-" if is_reverse else "+",
                    word=encode.decode(word).decode(),
                    score=score,
                    pvalue=pvalue,
                ),
            )
            for sequence, start, is_reverse, word, score, pvalue in zip(
                hits.sequences.tolist(),
                starts.tolist(),
                hits.is_reverse.tolist(),
                hits.words,
                scores.tolist(),
                pvalues.tolist(),
                strict=True,
            )
        ]

    def _with_evalue(self, tested: _Tested, num_tested: int) -> _Tested:
        """Adds the scores that depend on the number of motifs, and selects a strand."""
        evalue = tested.motif.scores["pvalue"] * num_tested
        threshold = self.options.threshold
        is_significant = evalue <= threshold
        motif = tested.motif
        if self.options.both_strands:
            motif = min(
                motif, motif.reverse_complement, key=lambda m: (m.consensus, m.name)
            )
        scores = {
            **motif.scores,
            "evalue": evalue,
            "significant": float(is_significant),
        }
        return _Tested(dataclasses.replace(motif, scores=scores), tested.log_pvalue)


def _silent(line: str) -> None:
    """Drops a progress message."""


def _num_threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _power(log_pvalue: float) -> str:
    """Formats a p-value given by its logarithm; it may be arbitrarily small."""
    exponent = math.floor(log_pvalue / math.log(10))
    digits = f"{math.exp(log_pvalue - exponent * math.log(10)):.1f}"
    if digits == "10.0":
        digits, exponent = "1.0", exponent + 1
    return f"{digits}e{exponent:+03d}"
