"""Artefact: saved programs as a function again, with the state they read and write, and their test vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..core.constant import exact
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.errors import ArgumentError, DualgraphError, describe
from ..core.trees import flatten
from ..core.ulp import ulp_of
from ..eager.tensor import Tensor
from ..jit.dynamic import MAX_SIZES, Template
from ..jit.program import MISMATCH, Program
from ..static.checks import Assumption
from ..static.graph import Graph
from .bounds import machine_bytes
from .signature import Signature
from .sizes import AtSizes, at_sizes


class Vector(NamedTuple):
    """Arrays for inputs of a graph, by number, and all its outputs from the state in the file."""

    program: int
    inputs: dict[int, Any]
    outputs: tuple[Any, ...]


class Mismatch(NamedTuple):
    """An output of a test vector that has other bits than recorded."""

    program: int
    vector: int
    output: int
    ulp: float

    def __str__(self) -> str:
        return (
            f"program {self.program}, vector {self.vector}: output {self.output} "
            f"is off by {self.ulp:g} ulp"
        )


class Report(NamedTuple):
    """What running the test vectors again gave; true when every bit was as recorded."""

    vectors: int
    outputs: int
    mismatches: tuple[Mismatch, ...]

    def __bool__(self) -> bool:
        return not self.mismatches

    @property
    def ok(self) -> bool:
        """Whether every output had the bits recorded."""
        return not self.mismatches

    @property
    def max_ulp(self) -> float:
        """The largest distance, in units in the last place."""
        return max((m.ulp for m in self.mismatches), default=0.0)

    def __str__(self) -> str:
        head = f"{self.outputs} outputs of {self.vectors} vectors: "
        if self.ok:
            return head + "all bits as recorded"
        return head + "\n  ".join(["", *map(str, self.mismatches)])


class Artefact:
    """A saved function: call it with the arguments of the original.

    ``state``: the tensors it reads from outside, by name; calls update them as the original did.
    ``numbers``: Python numbers that are read afresh on each call, such as a learning rate.
    ``programs``: one `Program` a specialisation; ``assumptions``: what they rely on.

    >>> import dualgraph as dg
    >>> f = dg.compile(lambda x: {"twice": x * 2}, wait=True)
    >>> f(dg.ones(2))["twice"].tolist()
    [2.0, 2.0]
    >>> dg.save(f, "/tmp/doc.dg")
    >>> g = dg.load("/tmp/doc.dg")
    >>> g(dg.asarray([3.0, 4.0]))["twice"].tolist(), bool(g.verify())
    ([6.0, 8.0], True)
    """

    def __init__(
        self,
        name: str,
        programs: list[Program],
        signatures: list[Signature],
        state: dict[str, Any],
        numbers: dict[str, float],
        vectors: list[Vector],
        limit: int | None = None,
    ) -> None:
        self.name = name
        self.programs = programs
        self.signatures = signatures
        self.state = state
        self.numbers = numbers
        self.vectors = vectors
        self._start = {k: _copy(v) for k, v in state.items()} if vectors else {}
        self._numbers = dict(numbers)
        self._limit = machine_bytes() if limit is None else limit
        self._at_sizes: dict[tuple[int, tuple[int, ...]], AtSizes] = {}

    @property
    def graph(self) -> Graph:
        """The captured graph of the first program."""
        return self.programs[0].captured

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What the captures relied on, which a file cannot check: it is frozen in the programs."""
        found = (a for p in self.programs for a in p.assumptions)
        return tuple({(*a[:2], repr(a.value), a.where): a for a in found}.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        problems: list[str] = []
        for number in range(len(self.programs)):
            program, signature = self._program(number, leaves)
            problem = signature.misfit(leaves, structure)
            if problem is not None:
                problems.append(problem)
                continue
            with _named(self.name, ""):
                program._built()
                broken = program.broken(leaves)
                result = MISMATCH if broken else program.call(leaves)
            if result is not MISMATCH:
                return result
            problems.append(broken or program.mismatch)
        listed = "; ".join(dict.fromkeys(problems))
        remedy = "call it as it was captured, or save a program captured with such arguments"
        raise ArgumentError(describe(self.name, "", listed, remedy))

    def _program(self, number: int, leaves: list[Any]) -> AtSizes:
        """A program for such leaves, with its signature."""
        program, signature = self.programs[number], self.signatures[number]
        if not isinstance(program, Template):
            return AtSizes(program, signature)
        key = number, program.sizes_in(leaves)
        found = self._at_sizes.get(key)
        if found is None:
            found = at_sizes(program, signature, key[1], self._limit)
            if len(self._at_sizes) >= MAX_SIZES:
                self._at_sizes.clear()
            self._at_sizes[key] = found
        return found

    def verify(self) -> Report:
        """Runs the recorded test vectors through the compiled programs, from the state in the file.

        The bits are those recorded on every machine that has the backend they were recorded with (native
        code or plain NumPy); on the other one, and with ``fast_math``, some may be a few ulp off. The
        state stays as it is now.
        """
        found: list[Mismatch] = []
        checked = 0
        for number, vector in enumerate(self.vectors):
            program, _ = self._program(vector.program, [])
            arrays = [self._array(program, i, vector) for i in range(len(program.trace.slots))]
            with _named(self.name, f"vector {number}"):
                runs = program._built()
                outs = runs.run([*arrays, *program.extra], lambda outs: [np.array(a) for a in outs])
            types = program.captured.out_types
            for i, (out, wanted, type) in enumerate(zip(outs, vector.outputs, types, strict=True)):
                checked += 1
                ulp = ulp_of(out, wanted, type.dtype)
                if ulp:
                    found.append(Mismatch(vector.program, number, i, ulp))
        return Report(len(self.vectors), checked, tuple(found))

    def _array(self, program: Program, i: int, vector: Vector) -> Any:
        """Input `i` for a vector: its own, or the state as it was in the file. A copy, as it may be written."""
        slot = program.trace.slots[i]
        if i in vector.inputs:
            return vector.inputs[i].copy()
        if slot.kind == "number":
            return np.asarray(self._numbers[slot.key[1]], slot.type.dtype.numpy)
        grad = slot.kind == "grad"
        if slot.kind == "place":
            name = slot.key.place.name
        else:
            name = next(k for k, v in self.state.items() if v is slot.key)
        before = self._start[name]
        return (before[1] if grad else before[0]).copy()

    def __repr__(self) -> str:
        inner = f"{len(self.programs)} program(s), {len(self.state)} tensor(s) of state"
        return f"<artefact {self.name}: {inner}, {len(self.vectors)} vector(s)>"


@contextmanager
def _named(name: str, what: str) -> Iterator[None]:
    """What a file's ops raise for its values, as an error that says whose they are."""
    try:
        yield
    except DualgraphError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise ArgumentError(describe(name, what, f"an op failed: {problem}")) from problem


def _copy(held: Any) -> tuple[Any, Any]:
    """The values of a tensor or array, and of its gradient."""
    if not isinstance(held, Tensor):
        return held.copy(), None
    return held._data.copy(), None if held._grad is None else held._grad._data.copy()


def off_path(program: Program, outs: list[Any]) -> bool:
    """Whether the numbers that Python took out of tensors are others than when the program was captured."""
    for index, expected in program._checked:
        value = np.asarray(outs[index])
        if program.captured.outputs[index].type.dtype is bfloat16:
            value = from_bfloat16(value)
        if exact(value.item()) != expected:
            return True
    return False
