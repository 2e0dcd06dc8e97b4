"""Rows of a pretraining step of BERT, and what it must compute."""

import numpy as np

from genomenet.data import rows as rows_lib
from genomenet.models import bert


def mixed_rows(config: bert.Config, size: int, seed: int) -> rows_lib.Batch:
    """Returns a batch of random bases, divided into cuts of GeneMask's lengths.

    Args:
        config: The numbers of the model.
        size: Rows of the batch.
        seed: Of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    window = bert.window(config)
    bases = rng.integers(0, 4, (size, window.bases)).astype("uint8")
    key = rng.integers(0, 2**32, (size, 2), dtype=np.uint32)
    draws = rng.integers(0, sum(rows_lib._weights(window)), size)
    return {"key": key, **rows_lib.cuts(bases, draws, window)}


def flop(config: bert.Config, rows: int) -> float:
    """Counts the matrix products of a step of BERT: 2 a multiply-add, thrice in all.

    Args:
        config: The numbers of the model.
        rows: Of the batch.

    Returns:
        Floating-point operations of a model that computes every token in every block,
        and the head at targets; ours leaves out more of the last block.
    """
    tokens, width = rows * config.length, config.hidden_size
    block = 4 * width**2 + 2 * width * config.intermediate_size
    attention = 2 * config.length * width
    targets = rows * min(config.num_targets, config.length)
    head = targets * (width**2 + width * config.vocab_size)
    body = tokens * config.num_hidden_layers * (block + attention)
    return 6.0 * (body + head)
