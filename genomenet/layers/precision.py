"""Keras' dtype policy, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def policy(name: Any) -> Iterator[None]:
    """Makes the policy of the layers that are made inside, and puts the old one back.

    Args:
        name: Of the policy, such as "mixed_bfloat16", or a policy.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
