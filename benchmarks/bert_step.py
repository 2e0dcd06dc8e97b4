"""Random rows for a pretraining step of BERT, and the operations of a step."""

import numpy as np

from genomenet.data import rows as rows_lib
from genomenet.models import bert


def mixed_rows(config: bert.Config, size: int, seed: int) -> rows_lib.Batch:
    """Returns a batch of random bases in segments with the lengths of GeneMask.

    Args:
        config: Hyperparameters of the model.
        size: Rows of the batch.
        seed: Seed of all random draws.
    """
    rng = np.random.default_rng(seed)
    window = bert.window(config)
    bases = rng.integers(0, 4, (size, window.bases)).astype("uint8")
    key = rng.integers(0, 2**32, (size, 2), dtype=np.uint32)
    draws = rng.integers(0, sum(rows_lib._weights(window)), size)
    return {"key": key, **rows_lib.cuts(bases, draws, window)}


def flop(config: bert.Config, rows: int) -> float:
    """Counts the floating-point operations of the matrix products of a step of BERT.

    A multiply-add counts as 2 operations. The backward pass takes twice the operations
    of the forward pass.

    Args:
        config: Hyperparameters of the model.
        rows: Rows of the batch.

    Returns:
        Floating-point operations of a model that computes every token in every block
        and the head at targets. The model of genomenet computes less of the last block.
    """
    tokens, width = rows * config.length, config.hidden_size
    block = 4 * width**2 + 2 * width * config.intermediate_size
    attention = 2 * config.length * width
    targets = rows * min(config.num_targets, config.length)
    head = targets * (width**2 + width * config.vocab_size)
    body = tokens * config.num_hidden_layers * (block + attention)
    return 6.0 * (body + head)
