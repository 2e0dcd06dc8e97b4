"""Baselines that a pretrained model must beat: k-mer counts and a small network."""

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
"""Largest number of rows on which `select` compares candidates."""

_FILTERS: Final = (16, 8, 4)
_KERNEL: Final = 8
_POOL: Final = 2
_EMBEDDING: Final = 100
_HIDDEN: Final = 512
SHORTEST: Final = 57
"""Bases from which the three poolings of `small_cnn` leave one position."""


class KmerLogisticRegression:
    """Predicts labels from the counts of k-mers on both strands.

    A k-mer and its reverse complement are one feature: the square root of their count
    over both strands, so that the prediction does not depend on the strand. The model
    is a logistic regression, one per label for several labels, or a ridge regression
    for regression tasks. All are deterministic.

    Args:
        task: The task to learn.
        k: Bases of a k-mer, 1 to 8.
        c: Inverse of the strength of the L2 penalty, > 0.
        both_strands: Whether k-mers are counted on both strands, else on the given
            strand only.

    Raises:
        ValueError: If an argument is out of range.
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
            raise ValueError(
                f"task must be one of {', '.join(task_kinds.KINDS)}, got {task.kind!r}"
            )
        if c <= 0:
            raise ValueError(f"c must be > 0, got {c}")
        kmer.vocabulary_size(k)  # raises if k is out of range
        self.task, self.k, self.c, self.both_strands = task, k, c, both_strands
        self._models: list[Any] = []

    def fit(
        self, codes: Sequence[npt.NDArray[np.uint8]], truth: npt.NDArray[Any]
    ) -> KmerLogisticRegression:
        """Fits the model to sequences.

        Args:
            codes: Codes of `dna.alphabet`, one array per sequence, of any lengths.
            truth: Index of the class, (N,); for several labels 0 or 1, (N, C); for
                regression numbers, (N,).

        Returns:
            The model itself. It never predicts a class without a sequence.

        Raises:
            ValueError: If there are no sequences, or not as many labels.
        """
        truth = np.asarray(truth)
        if len(codes) != len(truth) or not len(codes):
            raise ValueError(
                f"got {len(codes)} sequences and {len(truth)} labels: give one label"
                " for each sequence, and at least one sequence"
            )
        counts = self._read(codes)
        columns = truth.T if self.task.kind == task_kinds.MULTI_LABEL else [truth]
        self._models = [self._fit(counts, column) for column in columns]
        return self

    def predict(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """Predicts the labels of sequences, in the layout that `metrics.score` takes.

        Args:
            codes: As for `fit`.

        Returns:
            Float64. Probabilities of the classes, (N, C), which are independent for
            several labels; for regression numbers, (N,).

        Raises:
            ValueError: If the model is not fitted, or there is no sequence.
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
        """Returns a model of one column of labels, or the index of the only class."""
        from sklearn import linear_model as linear

        if self.task.kind == task_kinds.REGRESSION:
            return linear.Ridge(alpha=1 / self.c).fit(counts, truth)
        if (truth == truth[0]).all():
            return int(truth[0])
        return linear.LogisticRegression(C=self.c, max_iter=2000).fit(counts, truth)

    def _spread(self, model: Any, counts: Any, classes: int) -> npt.NDArray[Any]:
        """Returns probabilities with a column for each class of the task."""
        probabilities = np.zeros((counts.shape[0], classes))
        if isinstance(model, int):
            probabilities[:, model] = 1.0
        else:
            probabilities[:, model.classes_] = model.predict_proba(counts)
        return probabilities


class OneHotRegression(KmerLogisticRegression):
    """Predicts labels from the base at each position of the given strand.

    Args:
        task: The task to learn.
        length: Positions that are read; later bases are ignored.
        c: Inverse of the strength of the L2 penalty, > 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, task: tasks.Task, *, length: int, c: float = 0.05):
        super().__init__(task, c=c)
        if length < 1:
            raise ValueError(f"length must be >= 1 base, got {length}")
        self.length = length

    def _read(self, codes: Sequence[npt.NDArray[np.uint8]]) -> Any:
        rows = encode.pad([row[: self.length] for row in codes], self.length)
        return encode.one_hot(rows, np.float64).reshape(len(codes), -1)


def select(
    candidates: Sequence[KmerLogisticRegression],
    codes: Sequence[npt.NDArray[np.uint8]],
    truth: npt.NDArray[Any],
    *,
    seed: int = 0,
) -> KmerLogisticRegression:
    """Selects the candidate that predicts held-out folds best, and fits it.

    Args:
        candidates: Models of one task.
        codes: As for `KmerLogisticRegression.fit`.
        truth: As for `KmerLogisticRegression.fit`.
        seed: Seed of the folds, and of the `SELECT_ROWS` rows that are drawn if there
            are more.

    Returns:
        The candidate with the lowest loss over 5 folds, fitted to all rows. Repeats of
        a sequence, on either strand, are in one fold. If a class has a single sequence,
        the first candidate.
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
        # In problems this small, threads only wait for each other.
        with threadpoolctl.threadpool_limits(1):
            losses = [
                _held_out_loss(model, codes, truth, parts) for model in candidates
            ]
        best = candidates[int(np.argmin(losses))]
    return best.fit(codes, truth)


def kmer_candidates(task: tasks.Task) -> list[KmerLogisticRegression]:
    """Returns k-mer regressions for k from 3 to 6, both strands or one, 3 penalties."""
    return [
        KmerLogisticRegression(task, k=k, c=c, both_strands=both)
        for both in (True, False)
        for k in range(3, 7)
        for c in (0.01, 0.1, 1.0)
    ]


def one_hot_candidates(task: tasks.Task, length: int) -> list[KmerLogisticRegression]:
    """Returns regressions on the bases of the first positions, for 3 penalties."""
    return [OneHotRegression(task, length=length, c=c) for c in (0.003, 0.03, 0.3)]


class MarkovRule:
    """Predicts the class whose Markov chain makes a sequence most probable.

    The chain of a class gives the probability of a base after the three bases before
    it, from counts on the given strand plus one.

    Args:
        task: A task whose classes exclude each other.

    Raises:
        ValueError: If the task is of another kind.
    """

    ORDER: Final = 3

    def __init__(self, task: tasks.Task):
        if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
            raise ValueError(
                f"a Markov rule needs classes that exclude each other, not {task.kind}"
            )
        self.task = task
        self._log: npt.NDArray[Any] = np.zeros(0)
        self._prior: npt.NDArray[Any] = np.zeros(0)

    def fit(
        self, codes: Sequence[npt.NDArray[np.uint8]], truth: npt.NDArray[Any]
    ) -> MarkovRule:
        """Fits the chains to sequences; see `KmerLogisticRegression.fit`."""
        words = count_kmers(codes, self.ORDER + 1, both_strands=False)
        truth = np.asarray(truth)
        count = len(self.task.classes)
        sums = [words[truth == n].sum(axis=0) for n in range(count)]
        counts = np.asarray(sums, np.float64).reshape(count, -1, alphabet.NUM_BASES) + 1
        self._log = np.log(counts / counts.sum(-1, keepdims=True)).reshape(count, -1)
        sizes = np.bincount(truth, minlength=count) + 1
        self._prior = np.log(sizes / sizes.sum())
        return self

    def predict(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """Returns the probabilities of the classes, float64, (N, C)."""
        if not len(self._log):
            raise ValueError("call fit before predict")
        words = count_kmers(codes, self.ORDER + 1, both_strands=False)
        return special.softmax(words @ self._log.T + self._prior, axis=1)


def count_kmers(
    codes: Sequence[npt.NDArray[np.uint8]], k: int, *, both_strands: bool = True
) -> Any:
    """Counts k-mers on both strands, each together with its reverse complement.

    Every position of a sequence counts twice, also that of a palindrome. K-mers that
    hold anything but A, C, G and T are ignored; a sequence shorter than k has none.

    Args:
        codes: Codes of `dna.alphabet`, one array per sequence, of any lengths.
        k: Bases of a k-mer, 1 to 8.
        both_strands: Whether both strands are counted. Else each k-mer is a feature of
            its own, ordered by its id in `dna.kmer`, and every position counts once.

    Returns:
        `scipy.sparse.csr_matrix`, float64, (N, F). F is 4^k / 2 plus half the number
        of palindromes. Features are ordered by the smaller of the ids of a k-mer and
        its reverse complement in `dna.kmer`.

    Raises:
        ValueError: If k is out of range, or a code is not in the alphabet.
    """
    from scipy import sparse

    feature = kmer.canonical_features(k)
    if not both_strands:
        feature = np.arange(len(feature))
    width = int(feature.max()) + 1
    parts: list[Any] = [sparse.csr_matrix((0, width))]
    for block in _blocks(codes):
        lengths = [len(row) + 1 for row in block]
        joined = np.full(sum(lengths), alphabet.PAD, np.uint8)  # one PAD after each row
        ends = np.cumsum(lengths)
        for end, row in zip(ends, block, strict=True):
            joined[end - 1 - len(row) : end - 1] = row
        ids = kmer.tokenize(joined, k)
        positions = np.flatnonzero(ids != kmer.UNK_ID)
        column = feature[ids[positions] - kmer.NUM_SPECIAL]
        row_of = np.repeat(np.arange(len(block)), lengths)[positions]
        values = np.full(
            len(positions), 2.0 if both_strands else 1.0
        )  # once per strand
        shape = (len(block), width)
        parts.append(sparse.coo_matrix((values, (row_of, column)), shape).tocsr())
    return sparse.vstack(parts, format="csr")


def small_cnn(length: int, task: tasks.Task) -> Any:
    """Builds the small network of Genomic Benchmarks, untrained.

    Args:
        length: Bases of a row.
        task: The task to learn.

    Returns:
        A functional `keras.Model` from {"bases": uint8, (B, length)}, codes of
        `dna.alphabet` padded on the right, to {"logits": float32, (B, outputs)}: one
        output for two classes (that of the second) and for regression, else one per
        class.

    Raises:
        ValueError: If `length` < 1.

    Source:
        Grešová et al., Genomic benchmarks (BMC Genomic Data 2023): class `CNN` of
        `genomic_benchmarks/models/torch.py` in ML-Bioinfo-CEITEC/genomic_benchmarks,
        with embeddings of 100 channels as in their notebooks, which train it with
        Adam at PyTorch's defaults. Differences: it also learns more than two classes,
        several labels and regression; it returns logits, where theirs pass a sigmoid
        and then a loss that applies a sigmoid again; it has no tokens for the begin and
        end of a sequence, but codes for N and padding; rows shorter than `SHORTEST` are
        padded to it; biases are initialised with 0.
    """
    import keras  # slow to import, and only needed here
    from keras import layers, ops

    if length < 1:
        raise ValueError(f"length must be >= 1 base, got {length}")
    # The distribution of PyTorch's initial weights of convolutions and dense layers.
    initializer: Any = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    bases = keras.Input((length,), dtype="uint8", name="bases")
    x = bases
    if length < SHORTEST:
        padding = ((0, 0), (0, SHORTEST - length))
        x = ops.pad(x, padding, constant_values=alphabet.PAD)
    normal: Any = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.Embedding(
        alphabet.PAD + 1, _EMBEDDING, embeddings_initializer=normal, name="embedding"
    )(x)  # (B, L, 100)
    for index, filters in enumerate(_FILTERS):
        x = layers.Conv1D(
            filters,
            _KERNEL,
            kernel_initializer=initializer.clone(),
            name=f"conv_{index}",
        )(x)
        # Keras' momentum is one minus PyTorch's.
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm_{index}")(
            x
        )
        x = layers.ReLU(name=f"relu_{index}")(x)
        x = layers.MaxPooling1D(_POOL, name=f"pool_{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    # As in the original, there is no activation between the dense layers.
    x = layers.Dense(_HIDDEN, kernel_initializer=initializer.clone(), name="hidden")(x)
    is_single = task.kind in (task_kinds.BINARY, task_kinds.REGRESSION)
    outputs = 1 if is_single else len(task.classes)
    x = layers.Dense(
        outputs, kernel_initializer=initializer.clone(), dtype="float32", name="output"
    )(x)
    return keras.Model({"bases": bases}, {"logits": x}, name="small_cnn")


def _blocks(
    codes: Sequence[npt.NDArray[np.uint8]],
) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """Yields rows in blocks of at least `_BLOCK` bases."""
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
    parts: Sequence[tuple[Any, Any]],
) -> float:
    """Returns the mean loss of held-out rows: in nats, or the squared error."""
    losses = []
    for train, held_out in parts:
        model.fit([codes[n] for n in train], truth[train])
        predicted, label = model.predict([codes[n] for n in held_out]), truth[held_out]
        if model.task.kind == task_kinds.REGRESSION:
            losses.append(np.square(predicted - label))
            continue
        predicted = np.clip(predicted, 1e-6, 1 - 1e-6)
        if model.task.kind == task_kinds.MULTI_LABEL:
            loss = -np.where(label, np.log(predicted), np.log1p(-predicted)).mean(1)
        else:
            loss = -np.log(predicted[np.arange(len(label)), label])
        losses.append(loss)
    return float(np.concatenate(losses).mean())
