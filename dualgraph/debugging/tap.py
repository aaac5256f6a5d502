"""Taps: read an intermediate value of a compiled program on each call, without a new capture."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..core.constant import exact
from ..core.errors import DualgraphError, describe
from ..eager.tensor import Tensor
from ..effects import Pending
from ..jit.dynamic import Template
from ..jit.program import MISMATCH, Program
from ..jit.slots import as_array, fetch
from ..jit.stages import number
from ..static.graph import Graph
from .observed import observed, watching
from .places import Named, find, opened

FOREVER = 1 << 30  # looks at whether a program pays after which it is not asked again
FAILURES = (DualgraphError, ValueError, IndexError, TypeError, ZeroDivisionError)


class Tap:
    """Reads one value of a program: `values` has it for each call since (the last `keep`), `value` the last one.

    Of a place in the body of a loop `values` has one for each turn, of one in a branch one for each time that it was
    taken; `turns` has those of the last call.

    While a program is tapped it runs as another executable, which gives that value, too; the bits are the
    same. ``remove()`` (or leaving a ``with`` block) puts the former one back: a tap that is gone costs nothing.

    >>> import dualgraph as dg
    >>> f = dg.compile(lambda x: (x * 2 + 1).sum(), wait=True)
    >>> _ = f(dg.ones(3))
    >>> with f.programs[0].tap("%1") as t:
    ...     _ = f(dg.ones(3)), f(dg.asarray([1.0, 2.0, 3.0]))
    >>> [v.tolist() for v in t.values]
    [[2.0, 2.0, 2.0], [2.0, 4.0, 6.0]]
    """

    def __init__(self, program: Program, name: str, place: Named, keep: int | None) -> None:
        self.program = program
        self.name = name
        self.place = place
        self.values: deque[Tensor] = deque(maxlen=keep)
        self.turns: list[Tensor] = []

    def place_in(self, program: Program) -> Named:
        """Where the value is in a program: this one, or one of its sizes."""
        return self.place if program is self.program else find(program, self.name)[-1]

    def note(self, arrays: list[Any]) -> None:
        """The values in a call that has ended."""
        type = self.place.var.type
        self.turns = [Tensor(a, type.dtype, type.device) for a in arrays]
        self.values.extend(self.turns)

    @property
    def value(self) -> Tensor:
        """The value in the last call."""
        if not self.values:
            raise DualgraphError(
                describe("tap", self.name, "the program has not run since", "call the function")
            )
        return self.values[-1]

    def remove(self) -> None:
        """Stops reading; without any tap the program runs as it did before."""
        taps: Tapped | AllSizes | None = self.program.taps
        if taps is not None and self in taps.taps:
            taps.change([t for t in taps.taps if t is not self])

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<tap of {self.name} ({self.place.var.type}): {len(self.values)} value(s)>"


def tap(program: Program, place: str | int, keep: int | None = None) -> Tap:
    """`Program.tap`: reads an intermediate value on each call from now on.

    `place`: see `places.find`; where it names several values (a line, a module called twice), the last one.
    `keep`: how many values are kept (None: all).
    """
    made = Tap(program, str(place), find(program, place)[-1], keep)
    if program.taps is None:
        program.taps = AllSizes(program) if isinstance(program, Template) else Tapped(program)
    try:
        program.taps.change([*program.taps.taps, made])
    except BaseException:
        if not program.taps.taps:
            program.taps = None
        raise
    return made


class AllSizes:
    """A program of symbolic sizes that is tapped: so is it at each size, when that comes."""

    def __init__(self, program: Template) -> None:
        self.program = program
        self.taps: list[Tap] = []

    def change(self, taps: list[Tap]) -> None:
        """Makes the program give what these taps read, at all sizes."""
        self.taps = taps
        for sized in list(self.program.made.values()):
            self.join(sized)
        if not taps:
            self.program.taps = None

    def join(self, sized: Program) -> None:
        """Taps the program at some sizes as it is tapped itself."""
        if sized.taps is None and self.taps:
            sized.taps = Tapped(sized)
        if sized.taps is not None:
            sized.taps.change(self.taps)


class Tapped:
    """A program that runs as an executable of its own, whose further outputs are what the taps read."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.taps: list[Tap] = []
        # An executable, the taps that it serves, and those of what is in no body.
        self.running: Any = None
        # Whether the program pays when it is not tapped: what its meter said.
        self.answer: tuple[bool, bool, int] | None = None

    def change(self, taps: list[Tap]) -> None:
        """Makes the program give what these taps read: nothing more, if there are none."""
        if taps:
            self.running = self.build(taps)
        self.taps = taps
        self.hold(bool(taps))
        for p in self.sharing():
            p.__dict__.pop("start", None)
            if taps:
                p.__dict__["start"] = lambda leaves, p=p: self.start(p, leaves)
        if not taps:
            self.program.taps = None
        for tell in self.program.changed:
            tell()

    def hold(self, tapped: bool) -> None:
        """Lets every call be a compiled one while the program is tapped, whether or not that pays."""
        meter = self.program.meter
        if meter is None:
            return
        if self.answer is None:
            self.answer = meter.settled, meter.used, meter.looks
        if tapped:
            meter.settled, meter.used, meter.looks = True, True, FOREVER
        else:
            (meter.settled, meter.used, meter.looks), self.answer = self.answer, None

    def build(self, taps: list[Tap]) -> tuple[Any, list[Tap], list[Tap]]:
        """The program with the values that are read: as outputs, and shown by ops in bodies."""
        program, graph = self.program, self.program.captured
        places = [t.place_in(program) for t in taps]
        outside = [t for t in taps if not t.place.path]
        inside = [(i, place) for i, place in enumerate(places) if place.path]
        if inside or not {place.var for place in places} <= set(graph.all_vars()):
            graph = opened(graph)  # one of them is inside of a composite, or of a body
        outputs = (*graph.outputs, *(place.var for place in places if not place.path))
        more = range(len(graph.outputs), len(outputs))
        borrowed = program._borrowed | program._taken | frozenset(more)
        whole = Graph(graph.inputs, graph.nodes, outputs)
        return program._compile(observed(whole, inside), borrowed, ()), taps, outside

    def sharing(self) -> list[Program]:
        """The programs whose calls may end as this one: those of its tree."""
        path = self.program.path
        if path is None or not path.stages:
            return [self.program]
        found = [p for ps in path.stages[0].followers.values() for p in ps]
        return list({id(p): p for p in (*found, self.program)}.values())

    def start(self, started: Program, leaves: list[Any]) -> Any:
        """A call: as the tapped program where it takes that path, else as it would have been."""
        result: Any = MISMATCH
        if started is self.program or self.program.broken(leaves) is None:
            result = self.call(leaves)
        if type(result) is Pending:
            return result.finish()
        return type(started).start(started, leaves) if result is MISMATCH else result

    def call(self, leaves: list[Any]) -> Any:
        """A call of the tapped program, whose taps note what they read; MISMATCH where it is no call for it."""
        program = self.program
        if program.trace.draws:  # calls draw these number by number
            return MISMATCH
        tensors = [fetch(s, leaves) for s in program.trace.slots]
        if any(t is None for t in tensors):
            return MISMATCH
        arrays = list(map(as_array, program.trace.slots, tensors))
        if program._unfit(arrays):
            return MISMATCH
        executable, taps, outside = self.running

        def commit(outs: list[Any]) -> Any:
            result, seen = self.commit(outs, tensors, leaves)
            if result is not MISMATCH:
                shown.update((taps.index(t), [a]) for t, a in zip(outside, seen, strict=True))
                for i, t in enumerate(taps):
                    t.note(shown.get(i, []))
            return result

        try:
            with watching() as shown:
                return executable.run(arrays, commit)
        except FAILURES:
            return MISMATCH  # the program itself says what is wrong

    def commit(self, outs: list[Any], tensors: list[Any], leaves: list[Any]) -> tuple[Any, Any]:
        """The call's result, and copies of the further outputs."""
        program = self.program
        outputs = program.captured.outputs
        for index, expected in program._checked:
            if exact(number(outs[index], outputs[index])) != expected:
                return MISMATCH, ()
        seen = [a.copy() for a in outs[len(outputs) :]]
        return program._commit(outs[: len(outputs)], tensors, leaves), seen


Program.tap = tap
