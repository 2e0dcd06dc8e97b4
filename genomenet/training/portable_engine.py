"""The steps, rows and checkpoints of a run on JAX, on one device."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from genomenet.training import fallback, loop, portable_arrays, schedule
from genomenet.training import settings as settings_lib
from genomenet.training import workdir as workdir_lib

State = dict[str, list[jax.Array]]


class JaxEngine:
    """Computes a run; follows `loop.Engine`.

    A step is that of `training.step`: gradients of the sum of weighted losses are
    summed over micro-batches, divided by the summed weights, clipped and applied.
    What a checkpoint need not hold is the place in the data: the step tells it. On a
    GPU a run that goes on is the same to the last bit only where XLA adds in a fixed
    order, with XLA_FLAGS=--xla_gpu_deterministic_ops=true.

    Args:
        job: What is trained.
        settings: Of the run. XLA compiles every step, whatever `jit_compile` says.
        folder: Of the run.
    """

    def __init__(
        self,
        job: loop.Job,
        settings: settings_lib.Settings,
        folder: workdir_lib.Workdir,
    ):
        self.is_alone = True
        self.model = job.make_model()
        self.optimizer = schedule.make_optimizer(settings, self.model)
        self._job = job
        self._accumulate = settings.accumulate
        self._batches = job.batches(0, 0, 1)
        self._steps = Steps(job.objective, self.model, self.optimizer, settings)
        self._directory = folder.checkpoints
        self._keep = settings.keep

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint on disk, or None."""
        paths = self._checkpoints()
        return None if not paths else portable_arrays.step_of(paths[-1])

    def restore(self) -> tuple[int, dict[str, float]]:
        """Restores the newest checkpoint."""
        paths = self._checkpoints()
        if not paths:
            return 0, {}
        wanted = {name: x.shape for name, x in self._steps.named().items()}
        totals: dict[str, float] = {}

        def read(path: pathlib.Path) -> None:
            found = portable_arrays.load(path)
            portable_arrays.check(found, {**wanted, "totals": ()}, path)
            totals.update(json.loads(found.pop("totals").item()))
            self._steps.assign(found)

        path = fallback.newest(paths, read, discard=pathlib.Path.unlink)
        step = portable_arrays.step_of(path)
        self.close()
        self._batches = self._job.batches(step * self._accumulate, 0, 1)
        return step, totals

    def save(self, step: int, totals: Mapping[str, float]) -> None:
        """Saves a checkpoint and removes those beyond the newest `keep`."""
        if self.latest_step == step:
            return
        arrays = {name: np.asarray(x) for name, x in self._steps.named().items()}
        path = self._directory / f"step-{step}.npz"
        text = np.array(json.dumps(dict(totals)))
        portable_arrays.save(path, {**arrays, "totals": text})
        for old in self._checkpoints()[: -self._keep]:
            old.unlink()

    def train(self, stop: bool) -> Mapping[str, Any]:
        """Makes one optimizer step."""
        batches = [next(self._batches) for _ in range(self._accumulate)]
        return {**self._steps.train(batches), "stop": float(stop)}

    def evaluate(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Scores one batch."""
        return self._steps.evaluate(batch)

    def write_back(self) -> None:
        """Brings the trained weights into the model."""
        self._steps.write_back()

    def close(self) -> None:
        """Ends what computes batches ahead."""
        self._batches.close()

    def _checkpoints(self) -> list[pathlib.Path]:
        """Returns the files, the newest last."""
        return sorted(self._directory.glob("step-*.npz"), key=portable_arrays.step_of)


class Steps:
    """The compiled steps of a run, and the state that they change.

    Args:
        objective: The family of the model.
        model: The model.
        optimizer: Its optimizer, built.
        settings: Of the run.
    """

    def __init__(
        self,
        objective: Any,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        settings: settings_lib.Settings,
    ):
        self._objective = objective
        self._model = model
        self._optimizer = optimizer
        self._clip_norm = settings.clip_norm
        self._variables: dict[str, Sequence[Any]] = {
            "trainable": model.trainable_variables,
            "other": model.non_trainable_variables,  # of dropout, its generators
            "optimizer": optimizer.variables,
        }
        # Copies: a step gives its arrays away, and the model keeps its own.
        self._state: State = {
            part: [jnp.array(v.value, copy=True) for v in variables]
            for part, variables in self._variables.items()
        }
        self._train = jax.jit(self._step, donate_argnums=0)
        self._evaluate = jax.jit(self._score)

    def train(self, batches: Sequence[Mapping[str, Any]]) -> dict[str, jax.Array]:
        """Makes one optimizer step.

        Args:
            batches: Micro-batches of one shape.

        Returns:
            Sums over all rows, as of `training.step`, still being computed.
        """
        stacked = {name: np.stack([b[name] for b in batches]) for name in batches[0]}
        self._state, sums = self._train(self._state, stacked)
        return sums

    def evaluate(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Scores one batch; returns sums as `train` does."""
        state = {part: self._state[part] for part in ("trainable", "other")}
        return self._evaluate(state, dict(batch))

    def named(self) -> dict[str, jax.Array]:
        """Returns the state by names: paths of weights, else numbers."""
        return {
            f"{part}/{variable.path if part == 'trainable' else number}": value
            for part, values in self._state.items()
            for number, (variable, value) in enumerate(
                zip(self._variables[part], values, strict=True)
            )
        }

    def assign(self, arrays: Mapping[str, Any]) -> None:
        """Takes a state that `named` gave."""
        found = iter(arrays[name] for name in self.named())
        self._state = {
            part: [jnp.asarray(next(found), v.dtype) for v in values]
            for part, values in self._state.items()
        }

    def write_back(self) -> None:
        """Brings the state into model and optimizer."""
        for part, variables in self._variables.items():
            for variable, value in zip(variables, self._state[part], strict=True):
                variable.assign(jnp.array(value, copy=True))

    def _step(
        self, state: State, stacked: Mapping[str, jax.Array]
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
        if len(stacked["bases"]) == 1:  # XLA compiles a loop to less on a CPU
            rows = {name: x[0] for name, x in stacked.items()}
            (others, gradients), sums = add(carry, rows)
        else:
            (others, gradients), each = jax.lax.scan(add, carry, stacked)
            sums = {name: jnp.sum(x) for name, x in each.items()}
        trainable, optimizer = self._optimizer.stateless_apply(
            state["optimizer"],
            self._mean(gradients, sums["weight"]),
            state["trainable"],
        )
        new = {"trainable": trainable, "other": others, "optimizer": optimizer}
        return {part: list(values) for part, values in new.items()}, sums

    def _mean(self, gradients: list[jax.Array], weight: jax.Array) -> list[jax.Array]:
        """Returns gradients divided by the weight of the rows, and clipped."""
        factor = jnp.where(weight > 0, 1.0 / jnp.where(weight > 0, weight, 1.0), 0.0)
        if self._clip_norm:
            squares = sum(jnp.sum(jnp.square(g)) for g in gradients)
            norm = jnp.sqrt(squares) * factor
            factor = factor * self._clip_norm / jnp.maximum(norm, self._clip_norm)
        return [g * factor for g in gradients]

    def _score(self, state: State, rows: Mapping[str, jax.Array]) -> dict[str, Any]:
        _, (sums, _) = self._sums(
            state["trainable"], state["other"], rows, training=False
        )
        return sums

    def _sums(
        self,
        trainable: list[jax.Array],
        others: list[jax.Array],
        rows: Mapping[str, jax.Array],
        *,
        training: bool,
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], list[jax.Array]]]:
        """Returns the summed loss; weight, loss and metrics; what dropout drew from."""
        values = zip(self._variables["trainable"], trainable, strict=True)
        state = zip(self._variables["other"], others, strict=True)
        with keras.StatelessScope(state_mapping=[*values, *state]) as scope:
            output = self._objective.loss(self._model, rows, training=training)
            weight = jnp.sum(output.weight)
            sums = {
                "weight": weight,
                "loss": jnp.sum(output.per_example * output.weight),
            }
            for name, value in output.metrics.items():
                sums[name] = jnp.asarray(value, jnp.float32) * weight
        left: Any = [scope.get_current_value(v) for v in self._variables["other"]]
        return sums["loss"], (sums, left)
