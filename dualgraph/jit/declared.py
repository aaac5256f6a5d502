"""Declared sizes: what ``dynamic=`` says of a compiled function's arguments ahead of its calls."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import ArgumentError, describe
from ..core.trees import flatten

Axis = tuple[int, int]  # argument leaf, axis


@dataclass(frozen=True, slots=True)
class Dim:
    """A size that changes from call to call: its name, and the least and the largest that it may be.

    A call with another size is an ArgumentError. With `max`, memory for temporaries is planned for that size:
    ``p.memory`` tells of it, and no later call needs more.

    >>> import dualgraph as dg
    >>> f = dg.compile(lambda x: x * 2, dynamic={"x": {0: dg.Dim("batch", min=1, max=64)}})
    >>> f(dg.ones(3)).tolist()
    [2.0, 2.0, 2.0]
    """

    name: str
    min: int = 0
    max: int | None = None

    def __post_init__(self) -> None:
        name = self.name
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ArgumentError(describe("Dim", repr(name), f"{name!r} is not a name"))
        ends = (self.min,) if self.max is None else (self.min, self.max)
        if not all(type(n) is int for n in ends) or not 0 <= self.min <= ends[-1]:
            raise ArgumentError(describe("Dim", str(self), "min and max are ints, 0 <= min <= max"))

    def __contains__(self, size: int) -> bool:
        return self.min <= size and (self.max is None or size <= self.max)

    def __str__(self) -> str:
        """Its name and limits: ``batch from 1 to 64``."""
        if self.max is None:
            return f"{self.name} from {self.min} on" if self.min else self.name
        return f"{self.name} from {self.min} to {self.max}"


class Declared:
    """The sizes that a declaration names, for each argument by axis. Raises ArgumentError if it is none."""

    def __init__(self, fn: Any, dynamic: Any) -> None:
        if not isinstance(dynamic, dict):
            raise _wrong(dynamic, "dynamic is True, or a dict such as {'x': {0: 'batch'}}")
        self._name = getattr(fn, "__name__", type(fn).__name__)
        self._parameters = inspect.signature(getattr(fn, "forward", fn)).parameters
        self.limits: dict[str, Dim] = {}  # by name, those that have some
        self._axes: dict[str, dict[int, Dim]] = {}
        for argument, axes in dynamic.items():
            if argument not in self._parameters:
                known = ", ".join(self._parameters)
                raise _wrong(dynamic, f"there is no argument {argument!r}; there are {known}")
            if not isinstance(axes, dict):
                axes = {a: f"{argument}_{a}" for a in ((axes,) if isinstance(axes, int) else axes)}
            for axis, name in axes.items():
                if not isinstance(axis, int) or not isinstance(name, (str, Dim)):
                    raise _wrong(
                        dynamic, f"the axes of {argument!r} are numbers, with names or dg.Dim"
                    )
                dim = self._dim(dynamic, name)
                self._axes.setdefault(argument, {})[axis] = dim

    def _dim(self, dynamic: Any, name: str | Dim) -> Dim:
        if isinstance(name, str):
            if not name.isidentifier() or keyword.iskeyword(name):
                raise _wrong(dynamic, f"{name!r} is not a name")
            return Dim(name)
        if (name.min or name.max is not None) and self.limits.setdefault(name.name, name) != name:
            raise _wrong(dynamic, f"{name.name!r} has two kinds of limits")
        return name

    def places(self, args: Any, kwargs: Any) -> Iterator[tuple[Axis, Dim, str]]:
        """The places that are named in a call, and their arguments; axes count for all tensors in an argument."""
        leaf = 0
        parameters = list(self._parameters.values())
        rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
        by_place = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        named = [(by_place[i] if i < len(by_place) else rest, v) for i, v in enumerate(args)]
        for argument, value in [*named, *kwargs.items()]:
            for item in flatten(value)[0]:
                rank = getattr(item, "ndim", 0)
                for axis, dim in self._axes.get(argument, {}).items():
                    if -rank <= axis < rank:
                        yield (leaf, axis % rank), dim, argument
                leaf += 1

    def check(self, args: Any, kwargs: Any, leaves: Sequence[Any]) -> None:
        """ArgumentError where a size of a call is beyond its limits."""
        for (leaf, axis), dim, argument in self.places(args, kwargs) if self.limits else ():
            size, limits = leaves[leaf].shape[axis], self.limits.get(dim.name, dim)
            if size not in limits:
                problem = f"axis {axis} of {argument!r} is {size}, and is declared as {limits}"
                remedy = "give it such a size, or declare other limits in dynamic="
                raise ArgumentError(describe(self._name, f"{leaves[leaf].shape}", problem, remedy))


def _wrong(dynamic: Any, problem: str) -> ArgumentError:
    return ArgumentError(describe("compile", f"dynamic={dynamic!r}", problem))
