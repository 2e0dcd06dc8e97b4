"""The steps, devices and checkpoints of a run on JAX."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import sharding

from genomenet.models import family as family_lib
from genomenet.training import fallback, loop, npz_file, schedule
from genomenet.training import gradients as gradients_lib
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

State = dict[str, list[jax.Array]]

_ROWS: Final = "rows"  # the axis of the devices, over which rows are divided
_WHOLE: Final = sharding.PartitionSpec()
_DEALT: Final = sharding.PartitionSpec(_ROWS)  # (B, ...)
_STACKED: Final = sharding.PartitionSpec(None, _ROWS)  # (micro-batches, B, ...)
_ADDRESS: Final = "JAX_COORDINATOR_ADDRESS"


class Devices:
    """The devices of a run; implements `loop.Devices`.

    Args:
        distribute: As for `engines.devices`.
    """

    def __init__(self, distribute: str):
        if distribute == "multi_worker" or (
            distribute == "auto" and os.environ.get(_ADDRESS)
        ):
            _connect()
        is_alone = jax.process_count() == 1
        devices = jax.devices()
        if distribute == "none" or (
            distribute == "auto" and is_alone and devices[0].platform == "cpu"
        ):
            devices = jax.local_devices()[:1]
        if not is_alone and len(devices) != len(jax.devices()):
            raise ValueError(
                f"distribute=none needs one process, got {jax.process_count()}"
            )
        self.mesh = sharding.Mesh(np.array(devices), (_ROWS,))
        self.is_chief = jax.process_index() == 0
        self.num_replicas = len(devices)
        self.is_cpu = devices[0].platform == "cpu"

    def check(self, settings: settings_lib.Settings) -> None:
        """Raises a ValueError if the devices do not support the settings."""
        loop.check_batch_size(settings, self.num_replicas)
        if settings.precision == "mixed_float16":
            raise ValueError("precision mixed_float16 needs KERAS_BACKEND=tensorflow")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which models are built."""
        return contextlib.nullcontext()

    def engine(
        self,
        job: loop.Job,
        settings: settings_lib.Settings,
        folder: workdir_lib.Workdir,
    ) -> loop.Engine:
        """Makes the engine of a run."""
        return _Engine(self.mesh, job, settings, folder)


class _Engine:
    """One process's part of a run; implements `loop.Engine`.

    A checkpoint does not hold the position in the data, which follows from the step. On
    a GPU a resumed run is bit-identical only if XLA adds in a fixed order, with
    XLA_FLAGS=--xla_gpu_deterministic_ops=true.
    """

    def __init__(
        self,
        mesh: sharding.Mesh,
        job: loop.Job,
        settings: settings_lib.Settings,
        folder: workdir_lib.Workdir,
    ):
        self.is_alone = jax.process_count() == 1
        self.model = job.make_model()
        self.optimizer = schedule.make_optimizer(settings, self.model)
        self._job = job
        self._accumulate = settings.accumulate
        self._steps = Steps(job.objective, self.model, self.optimizer, settings, mesh)
        self._folder = folder
        self._keep = settings.keep
        self._batches = self._from(0)
        self.evaluate = self._steps.evaluate
        self.write_back = self._steps.write_back

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint on disk, or None."""
        paths = npz_file.checkpoints(self._folder.checkpoints)
        return None if not paths else npz_file.step_of(paths[-1])

    def restore(self) -> tuple[int, dict[str, float]]:
        """Restores the newest checkpoint."""
        paths = npz_file.checkpoints(self._folder.checkpoints)
        if not paths:
            return 0, {}
        wanted = {name: x.shape for name, x in self._steps.named().items()}
        totals: dict[str, float] = {}

        def read(path: pathlib.Path) -> None:
            arrays = npz_file.load(path)
            npz_file.check(arrays, {**wanted, "totals": ()}, path)
            totals.update(json.loads(arrays.pop("totals").item()))
            self._steps.assign(arrays)

        is_kept = self._folder.read_only
        discard = (lambda path: None) if is_kept else pathlib.Path.unlink
        step = npz_file.step_of(fallback.newest(paths, read, discard=discard))
        self.close()
        self._batches = self._from(step * self._accumulate)
        return step, totals

    def save(self, step: int, totals: Mapping[str, float]) -> None:
        """Saves a checkpoint and removes those beyond the newest `keep`."""
        if self._folder.read_only or self.latest_step == step:
            return
        arrays = {name: np.asarray(x) for name, x in self._steps.named().items()}
        path = self._folder.checkpoints / f"step-{step}.npz"
        text = np.array(json.dumps(dict(totals)))
        npz_file.save(path, {**arrays, "totals": text})
        for old in npz_file.checkpoints(self._folder.checkpoints)[: -self._keep]:
            old.unlink()

    def close(self) -> None:
        """Ends the prefetching of batches."""
        self._batches.close()

    def train(self, stop: bool) -> Mapping[str, Any]:
        batches = [next(self._batches) for _ in range(self._accumulate)]
        return self._steps.train(batches, stop)

    def _from(self, first: int) -> Any:
        """Returns this process's rows of the batches from index `first` on."""
        return self._job.batches(first, jax.process_index(), jax.process_count())


class Steps:
    """The compiled steps of a run, and the state that they change.

    Args:
        objective: As in `loop.Job`.
        model: The model.
        optimizer: Its optimizer, built.
        settings: Settings of the run. XLA compiles every step, `jit_compile` or not.
        mesh: Mesh of the devices; each computes its rows of a batch.
    """

    def __init__(
        self,
        objective: Any,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        settings: settings_lib.Settings,
        mesh: sharding.Mesh,
    ):
        self._objective = objective
        self._model = model
        self._optimizer = optimizer
        self._settings = settings
        self._variables: dict[str, Sequence[Any]] = {
            "trainable": model.trainable_variables,
            "other": model.non_trainable_variables,  # of dropout, its generators
            "optimizer": optimizer.variables,
        }
        self._mesh = mesh
        self._num_local = len(mesh.local_devices)
        # Copies, because a step donates its arrays and the model keeps its own.
        self._state: State = {
            part: [self._replicated(v.value) for v in variables]
            for part, variables in self._variables.items()
        }
        self._gather = family_lib.keep_local if mesh.size == 1 else self._gather_rows
        # Each device computes with the same weights on its own rows.
        spread = functools.partial(
            jax.shard_map, mesh=mesh, out_specs=_WHOLE, check_vma=False
        )
        step = spread(self._step, in_specs=(_WHOLE, _STACKED, _DEALT))
        self._train = jax.jit(step, donate_argnums=0)
        self._evaluate = jax.jit(spread(self._score, in_specs=(_WHOLE, _DEALT)))

    def train(
        self, batches: Sequence[Mapping[str, Any]], stop: bool = False
    ) -> dict[str, jax.Array]:
        """Makes one optimizer step.

        Args:
            batches: This process's rows of micro-batches of one shape.
            stop: Whether this process has been asked to stop.

        Returns:
            Sums over all rows, as `loop.Engine.train`; they may still be computed.
        """
        from_local = jax.make_array_from_process_local_data
        stacked = {
            name: from_local(self._over(_STACKED), np.stack([b[name] for b in batches]))
            for name in batches[0]
        }
        asked = from_local(
            self._over(_DEALT), np.full(self._num_local, stop, np.float32)
        )
        self._state, sums = self._train(self._state, stacked, asked)
        return sums

    def evaluate(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Scores one global batch; returns sums as `train` does."""
        state = {part: self._state[part] for part in ("trainable", "other")}
        rows = {name: self._placed(x, _DEALT) for name, x in batch.items()}
        return self._evaluate(state, rows)

    def named(self) -> dict[str, jax.Array]:
        """Returns the state by name: the path of a weight, else an index."""
        return {
            f"{part}/{variable.path if part == 'trainable' else index}": value
            for part, values in self._state.items()
            for index, (variable, value) in enumerate(
                zip(self._variables[part], values, strict=True)
            )
        }

    def assign(self, arrays: Mapping[str, Any]) -> None:
        """Sets the state from a result of `named`."""
        values_in_order = iter(arrays[name] for name in self.named())
        self._state = {
            part: [self._replicated(next(values_in_order), v.dtype) for v in values]
            for part, values in self._state.items()
        }

    def write_back(self) -> None:
        """Copies the state into model and optimizer."""
        for part, variables in self._variables.items():
            for variable, value in zip(variables, self._state[part], strict=True):
                variable.assign(np.asarray(value))

    def _over(self, spec: sharding.PartitionSpec) -> sharding.NamedSharding:
        return sharding.NamedSharding(self._mesh, spec)

    def _placed(self, x: Any, spec: sharding.PartitionSpec) -> jax.Array:
        """Places an array of which every process has all rows."""
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, self._over(spec), lambda i: x[i])

    def _replicated(self, x: Any, dtype: Any = None) -> jax.Array:
        """Returns a copy on every device."""
        return self._placed(np.array(x, dtype), _WHOLE)

    def _gather_rows(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Concatenates over devices; implements `family.Gather`."""
        everything = jax.lax.all_gather(x, _ROWS, tiled=True)
        return everything, jax.lax.axis_index(_ROWS) * x.shape[0]

    def _step(
        self, state: State, stacked: Mapping[str, jax.Array], stop: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        differentiate = jax.value_and_grad(self._sums, has_aux=True)

        def add(carry: Any, rows: Mapping[str, jax.Array]) -> tuple[Any, Any]:
            others, total = carry
            (_, (sums, others)), gradients = differentiate(
                state["trainable"], others, rows, training=True
            )
            return (others, jax.tree.map(jnp.add, total, gradients)), sums

        zeros = jax.tree.map(jnp.zeros_like, state["trainable"])
        carry = (state["other"], zeros)
        if len(stacked["bases"]) == 1:  # XLA compiles a loop to slower code on a CPU
            rows = {name: x[0] for name, x in stacked.items()}
            (others, gradients), sums = add(carry, rows)
        else:
            (others, gradients), stacked_sums = jax.lax.scan(add, carry, stacked)
            sums = {name: jnp.sum(x) for name, x in stacked_sums.items()}
        sums = {**sums, "stop": jnp.sum(stop)}
        gradients, sums = jax.lax.psum((gradients, sums), _ROWS)
        factor = gradients_lib.factor(
            gradients, sums["weight"], clip_norm=self._settings.clip_norm
        )
        trainable, optimizer = self._optimizer.stateless_apply(
            state["optimizer"], [g * factor for g in gradients], state["trainable"]
        )
        new = {"trainable": trainable, "other": others, "optimizer": optimizer}
        return {part: list(values) for part, values in new.items()}, sums

    def _score(self, state: State, rows: Mapping[str, jax.Array]) -> dict[str, Any]:
        _, (sums, _) = self._sums(
            state["trainable"], state["other"], rows, training=False
        )
        return jax.lax.psum(sums, _ROWS)

    def _sums(
        self,
        trainable: list[jax.Array],
        others: list[jax.Array],
        rows: Mapping[str, jax.Array],
        *,
        training: bool,
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], list[jax.Array]]]:
        """Returns the summed loss, all sums, and the next state of the generators."""
        values = zip(self._variables["trainable"], trainable, strict=True)
        state = zip(self._variables["other"], others, strict=True)
        with keras.StatelessScope(state_mapping=[*values, *state]) as scope:
            output = self._objective.loss(
                self._model, rows, training=training, gather=self._gather
            )
            sums = gradients_lib.sums(output)
        left: Any = [scope.get_current_value(v) for v in self._variables["other"]]
        return sums["loss"], (sums, left)


def _connect() -> None:
    """Connects the processes of a run, once."""
    if jax.distributed.is_initialized():
        return
    names = ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    num_processes, index = (
        int(os.environ[n]) if n in os.environ else None for n in names
    )
    try:
        jax.distributed.initialize(num_processes=num_processes, process_id=index)
    except ValueError as e:
        raise ValueError(
            "distribute=multi_worker needs the environment variables"
            f" {_ADDRESS}, {' and '.join(names)}, or a cluster that JAX detects: {e}"
        ) from e
