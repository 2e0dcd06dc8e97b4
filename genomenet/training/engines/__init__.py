"""What computes the steps of a run: one module for each backend of Keras."""

from __future__ import annotations

from typing import Final

import keras

from genomenet.training import loop

DISTRIBUTIONS: Final = ("auto", "none", "mirrored", "multi_worker")


def devices(distribute: str = "none") -> loop.Devices:
    """Returns the devices of a run, under Keras's backend.

    Args:
        distribute: "none" is one device; "mirrored" all local GPUs (without one: all
            local CPU devices); "multi_worker" those of all processes; "auto" is
            multi_worker where several processes are configured, mirrored where there
            are several GPUs, else none. Processes are configured by TF_CONFIG, on
            JAX by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or
            by a cluster that JAX knows.

    Returns:
        The devices. Make them before any tensor: several processes have to meet
        first.

    Raises:
        ValueError: If the name is none of these, or does not fit what is there.
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
        raise ValueError(f"Keras runs on {backend}: take tensorflow or jax")
    return module.Devices(distribute)
