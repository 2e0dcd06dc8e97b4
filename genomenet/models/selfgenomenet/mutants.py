"""Reads mutants of a sequence without recomputing states before the mutation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keras import ops

from genomenet.layers import readout
from genomenet.models.selfgenomenet import backbone

_MAX: Final = "max"


def prepare(model: backbone.SelfGenomeNet, bases: Any) -> dict[str, Any]:
    """Computes the states that mutants of a sequence share with it.

    Args:
        model: Self-GenomeNet.
        bases: Codes of `dna.alphabet`, (1, L), padded on the right.

    Returns:
        "gates", (P, 4H): contributions of its patches to the gates; "states",
        (P + 1, 2H): hidden and cell state before each patch and after the last;
        "kernel", (4·kernel_size, 4H), and "bias", (4H,): map from a patch to the gates.
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
        is_next = ops.one_hot(step + 1, count + 1, dtype=gates.dtype)[:, None]
        states = states + is_next * ops.concatenate([hidden, cell], axis=1)
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
    """Returns the result of `selfgenomenet.read_out` for mutants of one sequence.

    The recurrence runs once over the sequence. A mutant joins it, with the state of
    the sequence, at the first patch that contains its mutation. Patches that begin
    after the mutation are those of the sequence. The number of rows in a step depends
    on the values of `first`, which a compiler of static shapes (JAX) does not allow.

    Args:
        model: Self-GenomeNet.
        kept: Result of `prepare` for the sequence.
        bases: Mutants, (M, L), padded like the sequence.
        names: As for `selfgenomenet.read_out`, but not "none".
        first: Index of the first base in which each differs, int32, (M,), ascending.
        stop: One past the last such base, int32, (M,), ascending.

    Returns:
        For each name float, (M, H), or for bins (M, 8·H).
    """
    config, net = model.config, model.context_net
    gates, width = kept["gates"], config.units
    rows, total = ops.shape(bases)[0], ops.shape(gates)[0]
    count = backbone.count_patches(bases[:1], config)[0]
    begin = ops.clip((first - config.kernel_size) // config.stride + 1, 0, count)
    end = ops.clip((stop - 1) // config.stride + 1, begin, count)
    shares = _shares(names, (ops.arange(total, dtype="int32") < count)[None])  # (J, P)
    hidden = kept["states"][1:, :width]  # (P, H), after each patch
    weighted = ops.transpose(shares)[..., None] * ops.cast(hidden, "float32")[:, None]
    linear = ops.pad(ops.cumsum(weighted, axis=0), ((1, 0), (0, 0), (0, 0)))
    lowest = ops.full((1, width), -1.0, hidden.dtype)
    highest = ops.concatenate([lowest, ops.associative_scan(ops.maximum, hidden)])

    def advance(step: Any, *carried: Any) -> tuple[Any, ...]:
        active = ops.sum(ops.cast(begin <= step, "int32"))
        done = ops.sum(ops.cast(end <= step, "int32"))  # with patches of the sequence
        origin = ops.stack([done, step * config.stride])
        patch = ops.slice(bases, origin, (active - done, config.kernel_size))
        gate = ops.matmul(net.encoder.patches(patch)[:, 0], kept["kernel"])
        unchanged = ops.broadcast_to(ops.take(gates, step, axis=0), (done, 4 * width))
        gate = ops.concatenate([unchanged, gate + kept["bias"]])
        hidden, cell, linear, highest = (x[:active] for x in carried)
        _, (hidden, cell) = net.cell(gate, [hidden, cell])
        share = ops.take(shares, step, axis=1)[None, :, None]
        linear = linear + share * ops.cast(hidden, "float32")[:, None]
        changed = hidden, cell, linear, ops.maximum(highest, hidden)
        pairs = zip(changed, carried, strict=True)
        joined = (ops.concatenate([new, old[active:]]) for new, old in pairs)
        shapes = ((rows, *old.shape[1:]) for old in carried)
        return step + 1, *map(ops.reshape, joined, shapes)

    states = ops.take(kept["states"], begin, axis=0)
    sums, maxima = (ops.take(x, begin, axis=0) for x in (linear, highest))
    carried = begin[0], states[:, :width], states[:, width:], sums, maxima
    looped: Any = ops.while_loop(lambda step, *_: step < count, advance, carried)
    *_, linear, highest = looped
    results, start = [], 0
    for name in names:
        if name == _MAX:
            results.append(highest)
            continue
        size = _width(name)
        part = ops.reshape(linear[:, start : start + size], (rows, size * width))
        results.append(ops.cast(part, hidden.dtype))
        start += size
    return results


def _width(name: str) -> int:
    """Returns the number of weighted means of states in a readout."""
    return readout.NUM_BINS if name == "bins" else 1


def _shares(names: Sequence[str], is_real: Any) -> Any:
    """Returns the weights of the states in all readouts but the maximum, (J, P)."""
    real = ops.cast(is_real, "float32")  # (1, P)
    count = ops.sum(real, axis=1, keepdims=True)
    shares = [real[:0]]
    for name in names:
        if name == "bins":
            shares.append(readout.bin_shares(is_real)[0])
        elif name == "mean":
            shares.append(real / count)
        elif name == "last":
            last = ops.cast(count[:, 0], "int32") - 1
            shares.append(ops.one_hot(last, ops.shape(is_real)[1], dtype="float32"))
    return ops.concatenate(shares, axis=0)
