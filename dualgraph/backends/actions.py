"""Actions: what one step of a program does with the arrays in its environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, in_float32
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node, Var
from ..static.interpreter import as_scalar, literal_array, run_node
from .native.addresses import address_of
from .native.claims import claimed
from .ufuncs import ufunc_of

Env = list[Any]
Action = Callable[[Env], None]


def computed(node: Node, backend: ArrayBackend) -> Action:
    """Runs the op and keeps what it gives."""
    getters = _getters(node)
    places = [v.id for v in node.outputs]

    def act(env: Env) -> None:
        operands = [env[i] if i >= 0 else v for i, v in getters]
        for place, result in zip(places, run_node(node, operands, backend), strict=True):
            env[place] = result

    return act


def written(node: Node, backend: ArrayBackend) -> Action:
    """Runs the op and leaves its results in the memory planned for them."""
    copy, writer = _copied(node, backend), _writer(node)
    if writer is None:
        return copy
    number = as_scalar if node.prim.kind is ELEMENTWISE else partial(literal_array, backend=backend)
    values = [(-1, number(v)) if isinstance(v, Literal) else (v.id, None) for v in node.inputs]
    params, places = node.params, [v.id for v in node.outputs]
    alone, multiple = places[0], node.prim.multiple

    def act(env: Env) -> None:
        out = tuple(env[p] for p in places) if multiple else env[alone]
        operands = [env[i] if i >= 0 else v for i, v in values]
        if writer(*operands, out=out, **params) is None:
            copy(env)

    return act


def _writer(node: Node) -> Any:
    """``writer(*operands, out, **params)`` computes into given memory; it gives None if it cannot for these
    operands. None where the op makes its own memory."""
    types = tuple(v.type for v in (*node.inputs, *node.outputs))
    if any(in_float32(node.prim, t.dtype) for t in types) or not node.outputs:
        return None
    operands = types[: len(node.inputs)]
    if node.prim.kind is ELEMENTWISE:
        return ufunc_of(node.prim, operands)
    kernel, into = claimed(node.prim.name, *[t.dtype.numpy for t in operands]), node.prim.into
    if kernel is not None or into is None:
        return kernel

    def writer(*arrays: Any, out: Any, **params: Any) -> Any:
        into(out, *arrays, **params)
        return out

    return writer


def _copied(node: Node, backend: ArrayBackend) -> Action:
    """Runs the op and copies what it gives to the memory planned for it."""
    getters = _getters(node)
    places = [v.id for v in node.outputs]

    def act(env: Env) -> None:
        operands = [env[i] if i >= 0 else v for i, v in getters]
        for place, result in zip(places, run_node(node, operands, backend), strict=True):
            if env[place] is None:
                env[place] = result
            else:
                np.copyto(env[place], result)

    return act


def _getters(node: Node) -> Sequence[tuple[int, Any]]:
    """For each operand its place in the environment, or -1 and the literal."""
    return [(v.id, None) if isinstance(v, Var) else (-1, v) for v in node.inputs]


def native_call(node: Node, kernel: Any, env: Env) -> Action:
    """Runs a native kernel; the addresses of memory that stays in `env` are filled in once."""
    places = [v.id for v in (*node.inputs, *node.outputs)]
    inputs = len(node.inputs)
    bound = kernel.bind_pointers([0 if env[p] is None else address_of(env[p]) for p in places])
    moving = [
        (i, p, i < inputs) for i, p in enumerate(places) if env[p] is None or not _fixed(env[p])
    ]
    block = bound.block

    def act(env: Env) -> None:
        held = []
        for i, place, is_input in moving:
            array = env[place]
            if is_input and not array.flags.c_contiguous:
                array = np.ascontiguousarray(array)
                held.append(array)
            block[i] = address_of(array)
        bound()

    return act


def _fixed(array: Any) -> bool:
    return bool(array.flags.c_contiguous)
