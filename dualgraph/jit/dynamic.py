"""Programs of symbolic sizes: captured and compiled once, made ready for a size when it first comes.

A `Template` is the program; ``at(values)`` is it at some sizes. Nothing is compiled for that: types, parameters
and the memory plan are worked out anew, and kernels take the sizes as numbers. A template holds

* where its capture would be the same: the guards, conditions on sizes that the engine relied on. Where the user's
  code looked at sizes, these do not tell; then an eager run at the new size is captured, and must give the same;
* where its kernels and passes are right: their guards.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..backends.executor import Executable, native_kernel
from ..backends.ground import Ground
from ..backends.hooks import hooks_for
from ..backends.native.team.spots import NotNative
from ..backends.resizing import AtSizes, Resizing
from ..core.backend import backend_for
from ..core.context import as_before
from ..core.dtypes import as_scalar
from ..core.errors import NOWHERE, ArgumentError, describe
from ..core.node import Literal, Node
from ..core.numbers.guards import guarded
from ..core.numbers.polynomial import evaluator
from ..core.numbers.symbolic import SymInt, plain, source
from ..core.numbers.symbols import atom_of, readable, shown
from ..core.numbers.worked import Unfollowed, Worked
from ..core.process.forks import records
from ..core.process.spared import spared, survived
from ..core.trees import flatten
from ..passes.pipeline import optimise
from ..static.checks import Assumption
from ..static.filling import Filled, Filler, Following, hoisted
from ..static.graph import Graph, renumber
from ..static.region import bodies, is_region
from .declared import Dim
from .program import Program
from .promoted import Leaf, Source
from .results import Result

MAX_SIZES = 64  # sizes of one template that are kept ready


class Template(Program):
    """A program whose sizes are symbolic; calls run through its `Sized` ones."""

    def __init__(
        self, *description: Any, symbols: tuple[SymInt, ...], limits: tuple[Dim | None, ...] = (),
        numbers: tuple[tuple[Source, SymInt], ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(*description)
        self._description = description
        self.fresh = Program(*description)  # what programs at some sizes start from
        self.symbols = symbols
        self.as_sizes: Any = numbers
        self.atoms = tuple(map(atom_of, symbols))
        self.limits = limits or (None,) * len(symbols)
        self.confirmed = False  # whether it has been of use at other sizes
        self.made: OrderedDict[tuple[int, ...], Sized] = OrderedDict()
        self._past_calls = 0  # of those that were forgotten
        self.kernels: dict[int, Any] = {}  # by identity of the body
        self.numbers: dict[int, tuple[Any, ...]] = {}  # of kernels, by identity, that sizes change
        self.literals: list[Literal] = []
        self.changing: tuple[list[int], ...] = ()  # slots, types of outputs, and results
        self.model: Executable | None = None  # at the first sizes
        self.resizing: Resizing | None = None  # the native program of all sizes
        self.ground = Ground()
        self.turning: Any = None  # itself as a program for calls at any number
        self._guards_of_code: Callable[..., tuple[bool, ...]] | None = None
        self._guards_of_capture: Callable[..., tuple[bool, ...]] | None = None

    # --- making it ready ---

    def build(self) -> None:
        """Runs the passes, and compiles kernels that take sizes."""
        try:
            self._prepare()
            self.ready = True
            for sized in list(self.made.values()):
                sized.build()
        except Exception as problem:
            self.failure = survived(problem)

    def _prepare(self) -> None:
        """Optimises the graph, compiles its kernels, and notes all that depends on sizes."""
        hooks = hooks_for(self._device, self._use)
        with guarded(proving=True, known=self.guards) as found:
            graph, self.literals = hoisted(self.captured)
            graph, self._passes = optimise(graph, hooks, self._fast_math)
            self._optimised = renumber(graph)
            for node in _nodes(self._optimised):
                if is_region(node):
                    kernel = native_kernel(node)
                    if kernel is not None:
                        self.kernels[id(node.params["body"])] = kernel
        conditions = dict.fromkeys(found)
        for kernel in self.kernels.values():
            conditions.update(dict.fromkeys(_guards(kernel)))
        self._guards_of_code = evaluator(self.atoms, list(conditions))
        self._guards_of_capture = evaluator(self.atoms, list(self.guards))
        self.conditions = tuple(dict.fromkeys((*self.guards, *conditions)))
        self.filler = Filler(self.atoms)
        self.filler.note_graph(self._optimised, self.kernels)
        for kernel in self.kernels.values():
            if self.filler.note(_numbers(kernel)):
                self.numbers[id(kernel)] = _numbers(kernel)
        self.filler.note([v.value for v in self.literals])
        slots, results = enumerate(self.trace.slots), enumerate(self.results)
        self.changing = (
            [i for i, s in slots if self.filler.note(s.type)],
            [i for i, type in enumerate(self._out_types) if self.filler.note(type)],
            [i for i, r in results if self.filler.note(_numbers_of(r))],
        )

    def same_capture(self, values: Sequence[int]) -> bool:
        """Whether the engine's own decisions would be the same at these sizes."""
        if self._guards_of_capture is None:
            self._guards_of_capture = evaluator(self.atoms, list(self.guards))
        return _hold(self._guards_of_capture, values)

    def compiled_for(self, values: Sequence[int]) -> bool:
        """Whether passes and kernels are right for these sizes."""
        assert self._guards_of_code is not None
        return _hold(self._guards_of_code, values)

    def at(self, values: tuple[int, ...]) -> Sized:
        """The program at these sizes."""
        with records:
            found = self.made.get(values)
            if found is None:
                found = self.made[values] = Sized.of(self, values, self.ground)
                if self.taps is not None:
                    self.taps.join(found)
                if len(self.made) > MAX_SIZES:
                    _, oldest = self.made.popitem(last=False)
                    oldest.forget()
            return found

    def follow(self) -> None:
        """Writes the native program of all sizes, where there is one."""
        model, values = self.model, plain(self.symbols)
        if not self.ready or model is None or self.resizing is not None or min(values) < 2:
            return

        def at(sizes: Sequence[Worked]) -> tuple[Graph, Callable[[Node], Any]]:
            there = Following(self.filler, dict(zip(self.atoms, sizes, strict=True)))
            graph = there.graph(self._optimised, self.kernels)
            return graph, lambda node: self.kernel_at(node, there)

        with spared(Unfollowed):  # some part cannot be told in formulas: each size has its own
            self.resizing = Resizing(
                at, values, model, backend_for(self._device), self._borrowed | self._taken,
                Ground() if self.turns else self.ground,
            )  # fmt: skip

    @property
    def turns(self) -> bool:
        """Whether there are numbers among the sizes, and nothing that calls take or give changes with any size."""
        return bool(self.as_sizes) and not (any(self.changing) or self.literals or self.read_at)

    def place_of(self, size: SymInt) -> int:
        """Which symbol a number is, or the negative of."""
        return self.atoms.index(atom_of(abs(size)))

    def kernel_at(self, node: Node, there: Filled) -> Any:
        """The kernel of a region at some sizes."""
        if not is_region(node):
            return None
        kernel = self.kernels.get(id(node.params["body"]))
        if kernel is None:
            return native_kernel(node)
        numbers = self.numbers.get(id(kernel))
        return kernel if numbers is None else kernel.resized(there(numbers))

    def sized(self, values: tuple[int, ...], ground: Ground) -> Sized:
        """A program at these sizes that is not kept, with its memory there."""
        return Sized.of(self, values, ground)

    def captured_at(self, values: Sequence[int]) -> Graph:
        """The captured graph at these sizes."""
        filler = Filler(self.atoms)
        filler.note_graph(self.captured)
        return filler.at(values).graph(self.captured)

    def sizes_in(self, leaves: Sequence[Any]) -> tuple[int, ...]:
        """What the symbols stand for in a call with these leaves; where they do not tell, what they were when captured.

        ArgumentError where the capture would be another one there.
        """
        found: dict[str, int] = {}
        for s in self.trace.slots:
            if s.kind == "leaf" and s.key[0] < len(leaves):
                shape = getattr(leaves[s.key[0]], "shape", ())
                for have, size in zip(shape, s.type.shape, strict=False):
                    found.setdefault(source(size), have)
        for number, size in self.as_sizes:
            found.setdefault(source(abs(size)), abs(number.read(leaves)))
        pairs = zip(self.atoms, plain(self.symbols), strict=True)
        values = tuple(found.get(atom, value) for atom, value in pairs)
        if not self.same_capture(values):
            broken = [c for c in self.guards if not _hold(evaluator(self.atoms, [c]), values)]
            sizes = zip(self.symbols, values, strict=True)
            problem = f"it was captured where {' and '.join(map(readable, broken))}"
            told = ", ".join(f"{shown(s)}={v}" for s, v in sizes)
            raise ArgumentError(describe(self.name, told, problem))
        return values

    def replay(self, *args: Any, **kwargs: Any) -> Any:
        """`Program.replay`, with the sizes of the call."""
        given = args or kwargs
        values = self.sizes_in(flatten((args, kwargs))[0]) if given else plain(self.symbols)
        return Program.replay(self.fixed_at(values), *args, **kwargs)

    def fixed(self) -> Program:
        return self.fixed_at(plain(self.symbols))

    def fixed_at(self, values: Sequence[int]) -> Program:
        """The program at some sizes, as if these were all it is for."""
        filler = Filler(self.atoms)
        filler.note_trace(self.trace)
        filler.note([_numbers_of(r) for r in self.results])
        there = filler.at(values)
        name, trace, results, *rest = self._description
        out = Program(name, there.trace(trace), tuple(_result_at(r, there) for r in results), *rest)
        out.given, out.budget, out.marks = self.given, self.budget, self.marks
        out.promoted = self.promoted
        out.effects, out.moves, out.places = self.effects, self.moves, self.places
        out.as_sizes = self.numbers_at(values)
        return out

    def numbers_at(self, values: Sequence[int]) -> tuple[tuple[Source, int], ...]:
        """What the numbers that are sizes are where the symbols have these values."""
        signs = ((s, n, -1 if n.value < 0 else 1) for s, n in self.as_sizes)
        return tuple((s, sign * values[self.place_of(n)]) for s, n, sign in signs)

    # --- what users ask ---

    @property
    def calls(self) -> int:
        turning = 0 if self.turning is None else self.turning.calls
        return sum(p.calls for p in list(self.made.values())) + self._past_calls + turning

    @property
    def graph(self) -> Graph:
        self._wait_for_it()
        return self._optimised

    @property
    def passes(self) -> list[Any]:
        self._wait_for_it()
        return self._passes

    @property
    def memory(self) -> Any:
        """The plan of the arena at the largest sizes that were declared, and else at those of the capture."""
        self._wait_for_it()
        most = self.sized(self.most, Ground())
        most.build()
        return (most if most.failure is None else self.at(plain(self.symbols))).memory

    @property
    def most(self) -> tuple[int, ...]:
        """The largest sizes that were declared, and those of the capture where none were."""
        pairs = zip(plain(self.symbols), self.limits, strict=True)
        return tuple(n if d is None or d.max is None else d.max for n, d in pairs)

    def _wait_for_it(self) -> None:
        if not self.ready:
            self.build()
        if not self.ready:
            raise self.failure  # type: ignore[misc]

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the capture relied on; sizes that may change go by name."""
        types = {s.key[0]: s.type for s in self.trace.slots if s.kind == "leaf"}
        types |= {s.index: shown(n) for s, n in self.as_sizes if isinstance(s, Leaf)}
        given = [a for a in super().assumptions if a.kind != "argument"]
        arguments = [
            a if i not in types else a._replace(value=str(types[i]))
            for i, a in enumerate(self._arguments)
        ]
        how = "tried with an eager run first" if self.read_at else "any"
        where = self.read_at or NOWHERE
        hows = [how if d is None else str(d).replace(d.name, how, 1) for d in self.limits]
        pairs = zip(self.symbols, hows, strict=True)
        sizes = [Assumption("symbolic size", shown(s), own, where) for s, own in pairs]
        conditions = getattr(self, "conditions", self.guards)
        limits = [Assumption("sizes", readable(c), True, NOWHERE) for c in conditions]
        return (*arguments, *sizes, *limits, *given)


def _hold(conditions: Callable[..., tuple[bool, ...]], values: Sequence[int]) -> bool:
    """Whether conditions hold at some sizes; not where one of them has no value there."""
    try:
        return all(conditions(*values))
    except (ArithmeticError, ValueError):
        return False


def _nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the bodies in it, but for those inside regions."""
    for node in graph.nodes:
        yield node
        if not is_region(node):
            for body in bodies(node).values():
                yield from _nodes(body)


def _guards(kernel: Any) -> tuple[str, ...]:
    return kernel.kernel.guards if hasattr(kernel, "resized") else ()


def _numbers(kernel: Any) -> tuple[Any, ...]:
    """The numbers of a kernel that other sizes change."""
    return kernel.symbolic if hasattr(kernel, "resized") else ()


class Sized(Program):
    """A template at some sizes."""

    template: Template
    values: tuple[int, ...]
    ground: Ground

    @classmethod
    def of(cls, template: Template, values: tuple[int, ...], ground: Ground) -> Sized:
        """The program of a template at the sizes that its symbols stand for."""
        out = cls.__new__(cls)
        out.__dict__.update(
            {
                k: v
                for k, v in vars(template.fresh).items()
                if k not in ("ready", "failure", "captured")
            }
        )
        out.template, out.values, out.ground = template, values, ground
        out.as_sizes = template.numbers_at(values)
        out.changed, out.given, out.budget = template.changed, template.given, template.budget
        out.marks, out.guards, out.read_at = template.marks, template.guards, template.read_at
        out.promoted, out.owner = template.promoted, template.owner
        out.effects, out.moves, out.places = template.effects, template.moves, template.places
        out.tally = np.zeros(1, dtype=np.int64)
        out.failure = out._captured = None
        return out

    @property
    def captured(self) -> Graph:  # type: ignore[override]
        """The captured graph at these sizes."""
        if self._captured is None:
            self._captured = self.template.captured_at(self.values)
        return self._captured

    @property
    def ready(self) -> bool:  # type: ignore[override]
        return self.template.ready

    @property
    def failure(self) -> Exception | None:
        return self._failure or self.template.failure

    @failure.setter
    def failure(self, problem: Exception | None) -> None:
        self._failure = problem

    @property
    def passes(self) -> list[Any]:
        return self.template.passes

    def broken(self, leaves: list[Any]) -> str | None:
        if self.template.ready and not self.made_ready():
            return "the compiled program is not made for such sizes"
        return super().broken(leaves)

    def made_ready(self) -> bool:
        """Makes it ready to run unless it is; whether the compiled program is made for such sizes."""
        if self._executable is None:
            if not self.template.compiled_for(self.values):
                return False
            with as_before():
                self.build()
        return True

    def build(self) -> None:
        """Works out types, parameters and memory for the sizes."""
        t = self.template
        if not t.compiled_for(self.values):
            return
        try:
            there = t.filler.at(self.values)
            self._fill(there)
            if t.resizing is not None and t.resizing.fits(self.values):
                self._take(AtSizes(t.resizing, self.values, lambda: self._written(there)))  # type: ignore[arg-type]
                return
            made = self._written(there)
            self._take(made)
            if t.model is None:
                t.model = made
        except Exception as problem:
            self.failure = survived(problem)

    def _written(self, there: Filled) -> Executable:
        """A native program for these sizes alone."""
        t = self.template
        return self._executable_of(there.graph(t._optimised, t.kernels), there, t.model)

    def _executable_of(self, graph: Graph, there: Filled, like: Executable | None) -> Executable:
        """A graph compiled for these sizes, after the `like` of another size where that can be followed."""
        try:
            # numbers taken out are looked at when all is computed, and nothing may have been written by then
            stores = () if self._checked else self._direct_stores()
            found = Executable(
                graph, backend_for(self._device), self._borrowed | self._taken, stores,
                lambda node: self.template.kernel_at(node, there), like, self.ground,
            )  # fmt: skip
            found.warm()
            return found
        except NotNative:  # what is native at the other size may be Python's at this one
            if like is None:
                raise
        except Exception as problem:
            if like is None:
                raise
            survived(problem)
        return self._executable_of(graph, there, None)

    def _fill(self, there: Filled) -> None:
        t = self.template
        slots, types, results = t.changing
        own = _changed(t.trace.slots, slots, lambda s: s._replace(type=there(s.type)))
        self.trace = t.trace._replace(slots=own)
        self._out_types = _changed(t._out_types, types, there)
        self.results = _changed(t.results, results, lambda r: _result_at(r, there))
        self.extra = tuple(np.asarray(as_scalar(there(v.value), v.dtype)) for v in t.literals)

    def fixed(self) -> Program:
        return self.template.fixed_at(self.values)

    def forget(self) -> None:
        """Gives back what takes room; the next call works it out again."""
        self.template._past_calls += self.calls
        self._calls = self.tally[0] = 0
        self._executable = self._captured = None


def _changed(items: Sequence[Any], places: Sequence[int], new: Callable[[Any], Any]) -> Any:
    """The items, with new ones at some places."""
    out = list(items)
    for i in places:
        out[i] = new(out[i])
    return tuple(out)


def _numbers_of(r: Result) -> list[Any]:
    """Where symbolic numbers may be in a result."""
    return [r.key if r.kind == "value" else None, *(p for _, p in r.chain)]


def _result_at(r: Result, there: Filled) -> Result:
    if r.kind == "value":
        return r._replace(key=there(r.key))
    if r.chain:
        return r._replace(chain=tuple((prim, there(params)) for prim, params in r.chain))
    return r
