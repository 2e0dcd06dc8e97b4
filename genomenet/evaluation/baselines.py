"""What a pretrained model must beat: k-mer counts and a small network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import threadpoolctl
from scipy import special

from genomenet import task_kinds
from genomenet.data import folds, tasks
from genomenet.dna import alphabet, encode, kmer

_BLOCK: Final = 1 << 22  # bases whose k-mers are counted at once

SELECT_ROWS: Final = 1_000
"""Rows by which `select` compares candidates, at most."""

_FILTERS: Final = (16, 8, 4)
_KERNEL: Final = 8
_POOL: Final = 2
_EMBEDDING: Final = 100
_HIDDEN: Final = 512
SHORTEST: Final = 57
"""Bases that leave one position after the three poolings of `small_cnn`."""


class KmerLogisticRegression:
    """Predicts from how often each k-mer occurs, on both strands.

    A k-mer and its reverse complement are one feature: the square root of their count
    over both strands, so that the prediction does not depend on the strand. The model
    is a logistic regression; several labels have one each, and numbers a ridge
    regression. All are deterministic.

    Args:
        task: What is to be learnt.
        k: Bases of a k-mer, 1 to 8.
        c: Inverse of the strength of the L2 penalty, > 0.
        both_strands: Whether both strands are counted, else the one given.

    Raises:
        ValueError: If an argument makes no sense.
    """

    def __init__(
        self,
        task: tasks.Task,
        *,
        k: int = 6,
        c: float = 0.05,
        both_strands: bool = True,
    ):
        if task.kind not in tasks.TASKS or task.kind == tasks.AUTO:
            raise ValueError(f"no task {task.kind!r}")
        if c <= 0:
            raise ValueError(f"c must be > 0, got {c}")
        kmer.vocabulary_size(k)  # checks it
        self.task, self.k, self.c, self.both_strands = task, k, c, both_strands
        self._models: list[Any] = []

    def fit(
        self, codes: Sequence[npt.NDArray[np.uint8]], truth: npt.NDArray[Any]
    ) -> KmerLogisticRegression:
        """Learns from sequences.

        Args:
            codes: Codes of `dna.alphabet`, one row a sequence, of any lengths.
            truth: Number of the class, (N,); for several labels 0 or 1, (N, C); for
                regression numbers, (N,).

        Returns:
            Itself. A class without a sequence is never predicted.

        Raises:
            ValueError: If there are not as many labels as sequences, or none.
        """
        truth = np.asarray(truth)
        if len(codes) != len(truth) or not len(codes):
            raise ValueError(f"{len(codes)} sequences and {len(truth)} labels")
        counts = self._read(codes)
        columns = truth.T if self.task.kind == task_kinds.MULTI_LABEL else [truth]
        self._models = [self._fit(counts, column) for column in columns]
        return self

    def predict(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """Predicts sequences, in the layout that `metrics.score` takes.

        Args:
            codes: As for `fit`.

        Returns:
            Float64: probabilities of the classes, (N, C); for several labels each on
            its own; for regression numbers, (N,).

        Raises:
            ValueError: If nothing has been learnt yet, or there is no sequence.
        """
        if not self._models:
            raise ValueError("call fit before predict")
        if not len(codes):
            raise ValueError("there are no sequences to predict")
        counts = self._read(codes)
        if self.task.kind == task_kinds.REGRESSION:
            return self._models[0].predict(counts)
        if self.task.kind != task_kinds.MULTI_LABEL:
            return self._spread(self._models[0], counts, len(self.task.classes))
        return np.stack([self._spread(m, counts, 2)[:, 1] for m in self._models], 1)

    def _read(self, codes: Sequence[npt.NDArray[np.uint8]]) -> Any:
        """Returns the features of sequences, (N, F)."""
        return np.sqrt(count_kmers(codes, self.k, both_strands=self.both_strands))

    def _fit(self, counts: Any, truth: npt.NDArray[Any]) -> Any:
        """Returns a model of one column of labels, or the only class."""
        from sklearn import linear_model as linear

        if self.task.kind == task_kinds.REGRESSION:
            return linear.Ridge(alpha=1 / self.c).fit(counts, truth)
        if (truth == truth[0]).all():
            return int(truth[0])
        return linear.LogisticRegression(C=self.c, max_iter=2000).fit(counts, truth)

    def _spread(self, model: Any, counts: Any, classes: int) -> npt.NDArray[Any]:
        """Returns probabilities with a column for every class."""
        found = np.zeros((counts.shape[0], classes))
        if isinstance(model, int):
            found[:, model] = 1.0
        else:
            found[:, model.classes_] = model.predict_proba(counts)
        return found


class OneHotRegression(KmerLogisticRegression):
    """Predicts from the base at each position, of the strand that is given.

    Args:
        task: What is to be learnt.
        length: Positions that are read; bases past them are not.
        c: Inverse of the strength of the L2 penalty, > 0.

    Raises:
        ValueError: If an argument makes no sense.
    """

    def __init__(self, task: tasks.Task, *, length: int, c: float = 0.05):
        super().__init__(task, c=c)
        if length < 1:
            raise ValueError(f"length must be >= 1 base, got {length}")
        self.length = length

    def _read(self, codes: Sequence[npt.NDArray[np.uint8]]) -> Any:
        rows = encode.pad([each[: self.length] for each in codes], self.length)
        return encode.one_hot(rows, np.float64).reshape(len(codes), -1)


def select(
    candidates: Sequence[KmerLogisticRegression],
    codes: Sequence[npt.NDArray[np.uint8]],
    truth: npt.NDArray[Any],
    *,
    seed: int = 0,
) -> KmerLogisticRegression:
    """Fits the candidate that predicts held-out folds best.

    Args:
        candidates: Of one task.
        codes: As for `KmerLogisticRegression.fit`.
        truth: As for `KmerLogisticRegression.fit`.
        seed: Of the folds, and of the `SELECT_ROWS` that are compared where there are
            more.

    Returns:
        The candidate of the lowest loss over 5 folds, fitted to all rows; repeats of
        a sequence, on either strand, are in one fold. Where a class has a single
        sequence the first candidate.
    """
    if len(candidates) == 1:
        return candidates[0].fit(codes, truth)
    truth = np.asarray(truth)
    kind = candidates[0].task.kind
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:SELECT_ROWS])
    groups = [tasks.group(alphabet.LETTERS[codes[row]].tobytes()) for row in rows]
    is_class = kind in (task_kinds.BINARY, task_kinds.MULTICLASS)
    counts = np.unique(truth[rows], return_counts=True)[1] if is_class else [len(rows)]
    count = min(5, len(set(groups)), int(np.min(counts)))
    best = candidates[0]
    if count > 1:
        task = candidates[0].task
        fold = folds.assign(truth[rows], task, groups, count=count, seed=seed)
        parts = [(rows[fold != n], rows[fold == n]) for n in range(count)]
        # Threads only wait for each other in problems this small.
        with threadpoolctl.threadpool_limits(1):
            losses = [_held_out_loss(one, codes, truth, parts) for one in candidates]
        best = candidates[int(np.argmin(losses))]
    return best.fit(codes, truth)


def kmer_candidates(task: tasks.Task) -> list[KmerLogisticRegression]:
    """Returns k-mer regressions of 3 to 6 bases, both strands or one, by penalty."""
    return [
        KmerLogisticRegression(task, k=k, c=c, both_strands=both)
        for both in (True, False)
        for k in range(3, 7)
        for c in (0.01, 0.1, 1.0)
    ]


def one_hot_candidates(task: tasks.Task, length: int) -> list[KmerLogisticRegression]:
    """Returns regressions on the bases of some positions, by penalty."""
    return [OneHotRegression(task, length=length, c=c) for c in (0.003, 0.03, 0.3)]


class MarkovRule:
    """Predicts the class whose Markov chain makes a sequence most probable.

    A chain of each class gives the probability of a base after the three before it,
    from counts on the strand that is given, and one more of each.

    Args:
        task: Of classes that exclude each other.

    Raises:
        ValueError: If the task has no such classes.
    """

    ORDER: Final = 3

    def __init__(self, task: tasks.Task):
        if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
            raise ValueError(f"a Markov rule needs classes, not {task.kind}")
        self.task = task
        self._log: npt.NDArray[Any] = np.zeros(0)
        self._prior: npt.NDArray[Any] = np.zeros(0)

    def fit(
        self, codes: Sequence[npt.NDArray[np.uint8]], truth: npt.NDArray[Any]
    ) -> MarkovRule:
        """Learns from sequences; as `KmerLogisticRegression.fit`."""
        words = count_kmers(codes, self.ORDER + 1, both_strands=False)
        truth = np.asarray(truth)
        of = [words[truth == n].sum(axis=0) for n in range(len(self.task.classes))]
        counts = np.asarray(of, np.float64).reshape(len(of), -1, alphabet.NUM_BASES) + 1
        self._log = np.log(counts / counts.sum(-1, keepdims=True)).reshape(len(of), -1)
        number = np.bincount(truth, minlength=len(of)) + 1
        self._prior = np.log(number / number.sum())
        return self

    def predict(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """Returns probabilities of the classes: float64, (N, C)."""
        if not len(self._log):
            raise ValueError("call fit before predict")
        words = count_kmers(codes, self.ORDER + 1, both_strands=False)
        return special.softmax(words @ self._log.T + self._prior, axis=1)


def count_kmers(
    codes: Sequence[npt.NDArray[np.uint8]], k: int, *, both_strands: bool = True
) -> Any:
    """Counts k-mers on both strands, each together with its reverse complement.

    So every place of a sequence counts twice, also that of a palindrome. K-mers that
    hold anything but A, C, G and T are left out; a sequence shorter than k has none.

    Args:
        codes: Codes of `dna.alphabet`, one row a sequence, of any lengths.
        k: Bases of a k-mer, 1 to 8.
        both_strands: Whether both are counted; else each k-mer is a feature of its
            own, ordered by its id in `dna.kmer`, and every place counts once.

    Returns:
        `scipy.sparse.csr_matrix`, float64, (N, F); F is 4^k / 2, and half the number
        of palindromes more. Features are ordered by the smaller of both ids in
        `dna.kmer`.

    Raises:
        ValueError: If k is out of range, or a code is not one of the alphabet's.
    """
    from scipy import sparse

    feature = kmer.canonical_features(k)
    if not both_strands:
        feature = np.arange(len(feature))
    width = int(feature.max()) + 1
    parts: list[Any] = [sparse.csr_matrix((0, width))]
    for block in _blocks(codes):
        lengths = [len(row) + 1 for row in block]
        joined = np.full(sum(lengths), alphabet.PAD, np.uint8)  # one between rows
        ends = np.cumsum(lengths)
        for end, row in zip(ends, block, strict=True):
            joined[end - 1 - len(row) : end - 1] = row
        ids = kmer.tokenize(joined, k)
        at = np.flatnonzero(ids != kmer.UNK_ID)
        column = feature[ids[at] - kmer.NUM_SPECIAL]
        row_of = np.repeat(np.arange(len(block)), lengths)[at]
        each = np.full(len(at), 2.0 if both_strands else 1.0)  # one on either strand
        shape = (len(block), width)
        parts.append(sparse.coo_matrix((each, (row_of, column)), shape).tocsr())
    return sparse.vstack(parts, format="csr")


def small_cnn(length: int, task: tasks.Task) -> Any:
    """Builds the small network of Genomic Benchmarks, untrained.

    Args:
        length: Bases of a row.
        task: What is to be learnt.

    Returns:
        A functional `keras.Model` from {"bases": uint8, (B, length)}, codes of
        `dna.alphabet` padded on the right, to {"logits": float32, (B, outputs)}: one
        for two classes (of the second) and for regression, else one a class.

    Raises:
        ValueError: If `length` < 1.

    Source:
        Grešová et al., Genomic benchmarks (BMC Genomic Data 2023): class `CNN` of
        `genomic_benchmarks/models/torch.py` in ML-Bioinfo-CEITEC/genomic_benchmarks,
        with embeddings of 100 channels as in their notebooks, which train it with
        Adam at PyTorch's defaults. Differences: also more than two classes, several
        labels and numbers; logits, where theirs pass a sigmoid and then a loss that
        applies one again; no tokens for begin and end of a sequence, but codes for N
        and padding; rows shorter than `SHORTEST` are padded to it; biases begin at 0.
    """
    import keras  # slow to import, and only needed here
    from keras import layers, ops

    if length < 1:
        raise ValueError(f"length must be >= 1 base, got {length}")
    # As PyTorch draws the weights of convolutions and dense layers.
    start: Any = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    bases = keras.Input((length,), dtype="uint8", name="bases")
    x = bases
    if length < SHORTEST:
        rest = ((0, 0), (0, SHORTEST - length))
        x = ops.pad(x, rest, constant_values=alphabet.PAD)
    normal: Any = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.Embedding(
        alphabet.PAD + 1, _EMBEDDING, embeddings_initializer=normal, name="embedding"
    )(x)  # (B, L, 100)
    for number, filters in enumerate(_FILTERS):
        x = layers.Conv1D(
            filters, _KERNEL, kernel_initializer=start.clone(), name=f"conv_{number}"
        )(x)
        # Keras' momentum is one minus PyTorch's.
        x = layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=f"norm_{number}"
        )(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        x = layers.MaxPooling1D(_POOL, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    # There is no activation between both dense layers in the original either.
    x = layers.Dense(_HIDDEN, kernel_initializer=start.clone(), name="hidden")(x)
    is_single = task.kind in (task_kinds.BINARY, task_kinds.REGRESSION)
    outputs = 1 if is_single else len(task.classes)
    x = layers.Dense(
        outputs, kernel_initializer=start.clone(), dtype="float32", name="output"
    )(x)
    return keras.Model({"bases": bases}, {"logits": x}, name="small_cnn")


def _blocks(
    codes: Sequence[npt.NDArray[np.uint8]],
) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """Yields rows in blocks of some bases."""
    block, bases = [], 0
    for row in codes:
        block.append(row)
        bases += len(row)
        if bases >= _BLOCK:
            yield block
            block, bases = [], 0
    if block:
        yield block


def _held_out_loss(
    model: KmerLogisticRegression,
    codes: Sequence[npt.NDArray[np.uint8]],
    truth: npt.NDArray[Any],
    folds: Sequence[tuple[Any, Any]],
) -> float:
    """Returns the mean loss of held-out rows: in nats, or squared errors."""
    total = []
    for taught, held in folds:
        model.fit([codes[n] for n in taught], truth[taught])
        found, label = model.predict([codes[n] for n in held]), truth[held]
        if model.task.kind == task_kinds.REGRESSION:
            total.append(np.square(found - label))
            continue
        found = np.clip(found, 1e-6, 1 - 1e-6)
        if model.task.kind == task_kinds.MULTI_LABEL:
            each = -np.where(label, np.log(found), np.log1p(-found)).mean(1)
        else:
            each = -np.log(found[np.arange(len(label)), label])
        total.append(each)
    return float(np.concatenate(total).mean())
