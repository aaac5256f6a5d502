"""Returned: what a traced call gave, as results that each call of its program makes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

import numpy as np

from ..core.constant import exact
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..effects import Happening
from ..static.capture import Tracer, finish, swept
from ..static.code.calls import TAKERS
from ..static.code.flow import Flow, places
from ..static.trace import Trace
from .arguments import Arguments
from .results import Result


def describe_results(
    tracer: Tracer, leaves: list[Any], arguments: Arguments, numbers: dict[int, Result],
    outside: Container[int],
) -> tuple[Trace, tuple[Result, ...]]:  # fmt: skip
    """The finished trace of a call, and how each of its result leaves is made again.

    `outside` has the ids of the tensors that were at known places before, the same on each call.
    """
    found = _Outputs(tracer, leaves, arguments, outside)
    results: list[Result] = []
    for i, leaf in enumerate(leaves):
        results.append(numbers[i] if i in numbers else found.result(leaf))
        found.first.setdefault(id(leaf), i)
    found.share_memory(leaves, results)
    finished = finish(tracer, found.tensors, [t for t in found.tensors if not swept(t)])
    start = len(finished.graph.outputs) - len(finished.concrete) - len(finished.numbers)
    for i, r in numbers.items():
        results[i] = r._replace(key=start + r.key)
    return finished, tuple(results)


class _Outputs:
    """The tensors that a graph has to give so that each result can be made again."""

    def __init__(
        self, tracer: Tracer, leaves: list[Any], arguments: Arguments, outside: Container[int]
    ) -> None:
        self.tensors: list[Tensor] = []
        self.first: dict[int, int] = {}  # where among the results a leaf is, by its id
        self._outside = outside
        self._roots = {id(r.tensor): i for i, r in enumerate(tracer.roots)}
        # Arrays that are inputs; each tensor that the code makes of one is such a one.
        self._given = {
            id(r.tensor._data): i
            for i, r in enumerate(tracer.roots)
            if r.slot.kind in ("array", "worked")
            or (r.slot.kind == "leaf" and r.slot.key[1] is not r.tensor)
        }
        given = enumerate(arguments.leaves)
        self._arrays = {id(v): i for i, v in given if isinstance(v, np.ndarray)}
        self._chains = {id(v): _chain(v, self._roots) for v in leaves if isinstance(v, Tensor)}

    def result(self, leaf: Any) -> Result:
        """How one leaf is made again: an argument, a constant, an earlier result, an input or an output."""
        if not isinstance(leaf, Tensor):
            at = self._arrays.get(id(leaf))
            return Result("value", leaf) if at is None else Result("leaf", at)
        if id(leaf) in self.first:
            return Result("same", self.first[id(leaf)])
        chain, base = self._chains[id(leaf)]
        root = self._roots.get(id(base), self._given.get(id(base._data)))
        if root is None:
            return self._output(leaf)
        if chain and id(leaf) in self._outside:
            return Result("view", root, chain, held=leaf)
        if chain and leaf.requires_grad:  # its place on the tape is among the other results
            tracked = self._output(leaf)
            return tracked._replace(kind="view", key=root, chain=chain, output=tracked.key)
        return Result("view" if chain else "input", root, chain)

    def _output(self, t: Tensor) -> Result:
        self.tensors.append(t)
        made = Result("output", len(self.tensors) - 1, (), t.requires_grad, swept(t), None)
        return made if t.grad_fn is None else made._replace(op=t.grad_fn.maker(t._index))

    def share_memory(self, leaves: list[Any], results: list[Result]) -> None:
        """Outputs that are views of one tensor become views of it again, which is a further result if need be."""
        sharing = Counter(id(base) for _, base in self._chains.values())
        for i, leaf in enumerate(leaves):
            chain, base = self._chains.get(id(leaf), ((), leaf))
            if results[i].kind == "output" and chain and sharing[id(base)] > 1:
                if id(base) not in self.first:
                    self.first[id(base)] = len(results)
                    results.append(self._output(base))
                results[i] = results[i]._replace(chain=chain, base=self.first[id(base)])


def place_numbers(tracer: Tracer, result: Any, happened: list[Happening]) -> dict[int, Result]:
    """For each leaf of the result, and of what statements set apart read, that is a number which goes nowhere
    else: which number, and as what."""
    found: dict[int, Result] = {}
    values = flatten(result)[0]
    size = len(values)
    values += [v for h in happened for v in h.leaves]
    for k, number in enumerate(tracer.numbers):
        assert number.flow is not None
        taker = number.flow.taker
        at = places(number.flow.form, result, _leaves)
        told = _places_told(number.flow, k, happened, size)
        value = TAKERS.get(taker, lambda v: v)(number.value)
        if at is None or told is None or any(i in found for i in at):
            break
        if any(exact(values[i]) != exact(value) for i in (*at, *told)):
            break
        found.update({i: Result(taker, k) for i in (*at, *told)})
    else:
        return found
    merged = [*tracer.concrete, *tracer.numbers]  # no proof after all
    tracer.concrete = sorted(merged, key=lambda c: c.at)
    tracer.numbers = []
    return {}


def _leaves(tree: Any) -> int:
    return len(flatten(tree)[0])


def _places_told(flow: Flow, k: int, happened: list[Happening], start: int) -> list[int] | None:
    """The leaves of what statements set apart have read that are number `k`; None if that does not fit."""
    found: list[int] = []
    for h in happened:
        for name, value in h.values.items():
            for serial, statement, variable, form in flow.reads if h.numbers > k else ():
                if (serial, variable) == (h.serial, name) and statement is h.statement:
                    at = places(form, value, _leaves)
                    if at is None:
                        return None
                    found += [start + i for i in at]
            start += _leaves(value)
    return found


def _chain(leaf: Tensor, roots: dict[int, int]) -> tuple[tuple[Any, ...], Tensor]:
    """The view ops that make `leaf` from an input, or else from the tensor whose memory it has; and that one."""
    chain: list[Any] = []
    t = leaf
    while t._parent is not None and id(t) not in roots:
        parent, prim, params = t._parent
        chain.append((prim, params))
        t = parent
    return tuple(reversed(chain)), t
