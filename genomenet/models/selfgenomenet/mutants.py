"""Mutants of one sequence: states before a mutation are not computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keras import ops

from genomenet.layers import readout
from genomenet.models.selfgenomenet import backbone

_MAX: Final = "max"


def keep(model: backbone.SelfGenomeNet, bases: Any) -> dict[str, Any]:
    """Returns what mutants of a sequence share with it.

    Args:
        model: Self-GenomeNet.
        bases: Codes of `dna.alphabet`, (1, L), padded on the right.

    Returns:
        "gates", (P, 4H): what its patches add to the gates; "states", (P + 1, 2H):
        hidden and cell state before each patch and after the last; "kernel",
        (4·kernel_size, 4H), and "bias", (4H,): from a patch to the gates.
    """
    net = model.context_net
    dtype = net.compute_dtype
    kernel, bias = net.encoder.fold(
        ops.cast(net.kernel, dtype), ops.cast(net.bias, dtype)
    )
    gates = ops.matmul(net.encoder.patches(bases)[0], kernel) + bias
    count = gates.shape[0]
    zeros = ops.zeros((1, net.units), gates.dtype)

    def run(step: Any, hidden: Any, cell: Any, states: Any) -> tuple[Any, ...]:
        gate = ops.take(gates, step, axis=0)[None]
        _, (hidden, cell) = net.cell(gate, [hidden, cell])
        here = ops.one_hot(step + 1, count + 1, dtype=gates.dtype)[:, None]
        states = states + here * ops.concatenate([hidden, cell], axis=1)
        return step + 1, hidden, cell, states

    looped: Any = ops.while_loop(
        lambda step, *_: step < count,
        run,
        (
            ops.convert_to_tensor(0, dtype="int32"),
            *(zeros, zeros, ops.zeros((count + 1, 2 * net.units), gates.dtype)),
        ),
    )
    return {"gates": gates, "states": looped[-1], "kernel": kernel, "bias": bias}


def read_out(
    model: backbone.SelfGenomeNet,
    kept: Mapping[str, Any],
    bases: Any,
    names: Sequence[str],
    first: Any,
    stop: Any,
) -> list[Any]:
    """Returns what `selfgenomenet.read_out` does, of mutants of one sequence.

    Patches that end before the mutations are not read, and those that begin after
    them are taken from the sequence: of these only the recurrence is computed.

    Args:
        model: Self-GenomeNet.
        kept: What `keep` returns for the sequence.
        bases: Mutants, (M, L), padded as the sequence is.
        names: As for `selfgenomenet.read_out`, but not "none".
        first: The first base in which any of them differs, int32 scalar.
        stop: One past the last such base.

    Returns:
        For each name float, (M, H), or of bins (M, 8·H).
    """
    config, net = model.config, model.context_net
    gates, width = kept["gates"], config.units
    rows, total = ops.shape(bases)[0], gates.shape[0]
    count = backbone.count_patches(bases[:1], config)[0]
    begin = ops.clip((first - config.kernel_size) // config.stride + 1, 0, count)
    end = ops.clip((stop - 1) // config.stride + 1, begin, count)
    positions = ops.arange(total, dtype="int32")
    is_before = positions < begin
    shares = _shares(names, (positions < count)[None])  # (J, P), float32
    hidden = kept["states"][1:, :width]  # (P, H), after each patch
    lowest = ops.where(is_before[:, None], hidden, ops.cast(-1.0, hidden.dtype))
    before = ops.cast(is_before, "float32") * shares
    linear = ops.matmul(before, ops.cast(hidden, "float32"))  # (J, H)
    state = ops.take(kept["states"], begin, axis=0)

    def over_rows(x: Any) -> Any:
        return ops.broadcast_to(x[None], (rows, *x.shape))

    def advance(step: Any, carried: tuple[Any, ...], gate: Any) -> tuple[Any, ...]:
        hidden, cell, linear, highest = carried
        _, (hidden, cell) = net.cell(gate, [hidden, cell])
        share = ops.take(shares, step, axis=1)[None, :, None]
        linear = linear + share * ops.cast(hidden, "float32")[:, None]
        return step + 1, hidden, cell, linear, ops.maximum(highest, hidden)

    def changed(step: Any, *carried: Any) -> tuple[Any, ...]:
        start = ops.stack([0, step * config.stride])
        patch = ops.slice(bases, start, (rows, config.kernel_size))
        patch = net.encoder.patches(patch)[:, 0]  # (M, 4·kernel_size)
        gate = ops.matmul(patch, kept["kernel"]) + kept["bias"]
        return advance(step, carried, gate)

    def same(step: Any, *carried: Any) -> tuple[Any, ...]:
        return advance(step, carried, ops.take(gates, step, axis=0)[None])

    carried = (
        *(begin, over_rows(state[:width]), over_rows(state[width:])),
        *(over_rows(linear), over_rows(ops.max(lowest, axis=0))),
    )
    looped: Any = ops.while_loop(lambda step, *_: step < end, changed, carried)
    looped = ops.while_loop(lambda step, *_: step < count, same, looped)
    *_, linear, highest = looped
    found, at = [], 0
    for name in names:
        if name == _MAX:
            found.append(highest)
            continue
        size = _width(name)
        part = ops.reshape(linear[:, at : at + size], (rows, size * width))
        found.append(ops.cast(part, hidden.dtype))
        at += size
    return found


def _width(name: str) -> int:
    """Returns how many weighted means of the states a readout is."""
    return readout.NUM_BINS if name == "bins" else 1


def _shares(names: Sequence[str], is_real: Any) -> Any:
    """Returns the weights of the states in all readouts but the maximum, (J, P)."""
    real = ops.cast(is_real, "float32")  # (1, P)
    count = ops.sum(real, axis=1, keepdims=True)
    found = [real[:0]]
    for name in names:
        if name == "bins":
            found.append(readout.bin_shares(is_real)[0])
        elif name == "mean":
            found.append(real / count)
        elif name == "last":
            last = ops.cast(count[:, 0], "int32") - 1
            found.append(ops.one_hot(last, is_real.shape[1], dtype="float32"))
    return ops.concatenate(found, axis=0)
