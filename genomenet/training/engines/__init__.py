"""Engines that compute the steps of a run, one module per backend of Keras."""

from __future__ import annotations

from typing import Final

import keras

from genomenet.training import loop

DISTRIBUTIONS: Final = ("auto", "none", "mirrored", "multi_worker")


def devices(distribute: str = "none") -> loop.Devices:
    """Returns the devices of a run, under Keras's backend.

    Args:
        distribute: "none" for one device; "mirrored" for all local GPUs, or all local
            CPU devices if there is no GPU; "multi_worker" for the devices of all
            processes; "auto" for multi_worker if several processes are configured,
            mirrored if there are several GPUs, else none. Processes are configured by
            TF_CONFIG, on JAX by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
            JAX_PROCESS_ID, or by a cluster that JAX detects.

    Returns:
        The devices. Call this before any tensor is made: several processes have to
        connect first.

    Raises:
        ValueError: If the name is unknown, or does not fit the devices and processes.
    """
    if distribute not in DISTRIBUTIONS:
        raise ValueError(
            f"distribute must be one of {', '.join(DISTRIBUTIONS)}, got {distribute!r}"
        )
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from genomenet.training.engines import tensorflow as module
    elif backend == "jax":
        from genomenet.training.engines import jax as module
    else:
        raise ValueError(f"Keras runs on {backend}: use tensorflow or jax")
    return module.Devices(distribute)
