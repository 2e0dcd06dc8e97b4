"""Shuffles sequences and keeps the counts of all k-lets."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet

_LARGEST_ORDER: Final = 12


class _Graph(NamedTuple):
    """The disjoint de Bruijn graphs of all pieces.

    A vertex is a word of `order` bases of one piece, an edge is the base that follows.

    Attributes:
        tails: Vertex that each edge leaves, (E,).
        heads: Vertex that each edge reaches, (E,).
        roots: Last vertex of each piece, (P,).
        first_edges: First edge of each piece, (P,).
        num_edges: Number of edges of each piece, (P,).
    """

    tails: npt.NDArray[np.intp]
    heads: npt.NDArray[np.intp]
    roots: npt.NDArray[np.intp]
    first_edges: npt.NDArray[np.intp]
    num_edges: npt.NDArray[np.intp]


def shuffle(
    sequences: list[npt.NDArray[np.uint8]], *, order: int, seed: int
) -> list[npt.NDArray[np.uint8]]:
    """Shuffles each sequence and keeps its counts of (order + 1)-mers.

    All sequences with the same counts, the same first and the same last bases are
    equally likely. Pieces between runs of N are shuffled separately; N stay in place.

    Args:
        sequences: Codes of `dna.alphabet`, uint8, (L,) each.
        order: Order of the Markov chain whose counts are kept, 0 to 12: 2 keeps the
            counts of 3-mers, and so of 2-mers and bases.
        seed: Seed of the shuffle.

    Returns:
        New arrays of the same lengths.

    Raises:
        ValueError: If the order is out of range.

    Source:
        Altschul and Erickson 1985. Differences: the tree of last edges is drawn by
        popping cycles (Propp and Wilson 1998), without rejection, and all pieces
        walk at once.
    """
    if not 0 <= order <= _LARGEST_ORDER:
        raise ValueError(f"order must be 0 to {_LARGEST_ORDER}, got {order}")
    separator = np.full(1, alphabet.N, np.uint8)
    parts = [part for s in sequences for part in (s, separator)]
    text = np.concatenate([np.zeros(0, np.uint8), *parts])
    is_base = np.concatenate([[False], text < alphabet.NUM_BASES, [False]])
    bounds = np.flatnonzero(is_base[1:] != is_base[:-1]).reshape(-1, 2)
    # A piece with one edge has only one order.
    bounds = bounds[bounds[:, 1] - bounds[:, 0] > order + 1]
    if len(bounds):
        # The longest come first, so that the pieces still being walked are the first.
        bounds = bounds[np.argsort(bounds[:, 0] - bounds[:, 1], kind="stable")]
        graph = _graph(text, bounds, order)
        rng = np.random.default_rng(seed)
        edges = _walk(graph, _order_edges(graph, rng))
        positions = _ranges(bounds[:, 0] + order, graph.num_edges)
        text[positions] = text[positions[edges]]
    ends = np.cumsum([len(s) + 1 for s in sequences])
    return [
        text[end - len(s) - 1 : end - 1].copy()
        for s, end in zip(sequences, ends, strict=True)
    ]


def _ranges(
    starts: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Returns the integers of many ranges, concatenated."""
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum()), dtype=np.intp) + np.repeat(
        starts - before, lengths
    )


def _graph(
    text: npt.NDArray[np.uint8], bounds: npt.NDArray[np.intp], order: int
) -> _Graph:
    """Builds the graphs of pieces, given as (start, end)."""
    words = np.zeros(len(text) + 1, np.int64)
    for offset in range(order):
        shifted = np.concatenate([text[offset:], np.zeros(offset + 1, np.uint8)])
        words = words * alphabet.NUM_BASES + shifted % alphabet.NUM_BASES
    num_vertices = bounds[:, 1] - bounds[:, 0] - order + 1
    positions = _ranges(bounds[:, 0], num_vertices)
    pieces = np.repeat(np.arange(len(bounds)), num_vertices)
    _, vertices = np.unique(
        pieces * alphabet.NUM_BASES**order + words[positions], return_inverse=True
    )
    last = np.cumsum(num_vertices) - 1
    is_tail = np.ones(len(vertices), bool)
    is_tail[last] = False
    tails = np.flatnonzero(is_tail)
    num_edges = num_vertices - 1
    return _Graph(
        tails=vertices[tails],
        heads=vertices[tails + 1],
        roots=vertices[last],
        first_edges=np.cumsum(num_edges) - num_edges,
        num_edges=num_edges,
    )


def _order_edges(graph: _Graph, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Returns the edges sorted by vertex, in the order in which a walk takes them."""
    num_vertices = int(max(graph.tails.max(), graph.heads.max())) + 1
    num_leaving = np.bincount(graph.tails, minlength=num_vertices)
    first = np.cumsum(num_leaving) - num_leaving
    keys = rng.random(len(graph.tails))
    by_vertex = np.argsort(graph.tails, kind="stable")
    is_root = np.zeros(num_vertices, bool)
    is_root[graph.roots] = True
    last = np.zeros(num_vertices, np.intp)
    to_draw = np.flatnonzero(~is_root)
    following = np.arange(num_vertices)
    while len(to_draw):
        drawn = rng.integers(0, num_leaving[to_draw])
        last[to_draw] = by_vertex[first[to_draw] + drawn]
        following[to_draw] = graph.heads[last[to_draw]]
        ahead = following
        for _ in range(int(graph.num_edges[0]).bit_length()):
            ahead = ahead[ahead]
        # After as many steps as a piece has vertices, a walk is at its root or on a
        # cycle.
        is_on_cycle = np.zeros(num_vertices, bool)
        is_on_cycle[ahead] = True
        to_draw = np.flatnonzero(is_on_cycle & ~is_root)
    keys[last[~is_root]] = 2.0  # above all keys that are drawn
    return np.lexsort((keys, graph.tails))


def _walk(graph: _Graph, edges: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Walks all pieces and returns their edges in the order of the walk, (E,)."""
    num_vertices = int(max(graph.tails.max(), graph.heads.max())) + 1
    num_leaving = np.bincount(graph.tails, minlength=num_vertices)
    pointers = np.cumsum(num_leaving) - num_leaving
    vertices = graph.tails[graph.first_edges]
    passed = np.empty(len(edges), np.intp)
    # Number of pieces with more than `step` edges, for each step.
    steps = -np.arange(int(graph.num_edges[0]), dtype=np.intp)
    num_active: npt.NDArray[np.intp] = np.searchsorted(-graph.num_edges, steps)
    for step, active in enumerate(num_active.tolist()):
        here = vertices[:active]
        edge = edges[pointers[here]]
        pointers[here] += 1
        passed[graph.first_edges[:active] + step] = edge
        vertices[:active] = graph.heads[edge]
    return passed
