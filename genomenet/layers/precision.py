"""Temporary dtype policies of Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def policy(name: Any) -> Iterator[None]:
    """Sets the dtype policy of layers made inside, and restores it afterwards.

    Args:
        name: Name of the policy, such as "mixed_bfloat16", or a policy.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
