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

    The recurrence runs once over the sequence. A mutant joins it at the first patch
    that reads its mutation, with the state of the sequence; patches that begin after
    its mutation are those of the sequence. The rows of a step follow from the values
    of `first`, which a compiler of fixed shapes (JAX) does not take.

    Args:
        model: Self-GenomeNet.
        kept: What `keep` returns for the sequence.
        bases: Mutants, (M, L), padded as the sequence is.
        names: As for `selfgenomenet.read_out`, but not "none".
        first: The first base in which each differs, int32, (M,), ascending.
        stop: One past the last such base, int32, (M,), ascending.

    Returns:
        For each name float, (M, H), or of bins (M, 8·H).
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
        start = ops.stack([done, step * config.stride])
        patch = ops.slice(bases, start, (active - done, config.kernel_size))
        gate = ops.matmul(net.encoder.patches(patch)[:, 0], kept["kernel"])
        same = ops.broadcast_to(ops.take(gates, step, axis=0), (done, 4 * width))
        gate = ops.concatenate([same, gate + kept["bias"]])
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
            found.append(ops.one_hot(last, ops.shape(is_real)[1], dtype="float32"))
    return ops.concatenate(found, axis=0)
