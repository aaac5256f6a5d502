"""Happenings: one run of a statement that is set apart, what it read and wrote, and what speaks against it."""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

from ..core.context import state
from ..core.errors import user_frame
from ..core.numbers.draws import Draw
from ..core.numbers.live import LIVE, holds_live, settled
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..static.capture import Tracer
from ..static.checks import Check
from ..static.code.changes import names_read
from ..static.code.statements import Statement
from .standing import Standing

MAX_OPS = 24  # ops that one statement may run beside the program


class Write(NamedTuple):
    """A place that a statement writes: an object, and the attribute or variable there (None: all of it)."""

    holder: Any
    name: Any
    kind: str  # "change", "item", "attr", "global" or "free", as of a target


class Happening:
    """One run of a statement that is set apart: the values it read, where it wrote, what speaks against it.

    `serial` is the call that it is a part of; `numbers` counts those taken out before it, of those that go nowhere but
    into the result or into such statements; `leaves` are those of `values`; `touched` has tensors with their versions;
    `uses` says which of the leaves are numbers that the program takes as inputs, or made of such.
    """

    def __init__(
        self, statement: Statement, run: FunctionType, serial: int, values: dict[str, Any], numbers: int,
        stands: Standing,
    ) -> None:  # fmt: skip
        self.statement = statement
        self.run = run
        self.serial = serial
        self.values = values
        self.numbers = numbers
        self.stands = stands
        self.grad: bool = state.grad
        self.writes: list[Write] = []
        self.names = names_read(statement)  # that it, and what it calls, mentions
        self.uses: dict[int, Any] = {}
        self.leaves: list[Any] = []
        for n, v in values.items():
            if type(v) in LIVE:
                self.uses[len(self.leaves)] = v._live_formulas.use(v)
                values[n] = v._live_value
            elif holds_live(v):
                values[n] = settled(v)
            self.leaves += flatten(values[n])[0]
        self.touched = [(t, t._version) for t in self.leaves if isinstance(t, Tensor)]
        self.made: dict[int, Any] = {}  # tensors that it made
        self.grads: list[tuple[Tensor, Any]] = []  # gradients that it read
        self.at: dict[Any, int] = {}  # the ids of what was at places where calls exchange things
        self.changed: list[tuple[Check, Any]] = []  # what the call had changed by then
        self.by_size = False  # whether it may fail at other sizes, and tensors are written later
        self.problem = ""
        self.clock_at = -1  # the ops that came before it looked at a clock, if it did
        self.raises = False  # it calls code that raises errors of its own
        self.writes_before = 0  # writes of tensors that came before it
        self.raising = False  # an error goes through it
        self.diverted = False  # an error was handled in it

    def receive(self, name: str, t: Any, tracer: Any) -> None:
        """A cut statement takes numbers out of the tensor that a variable stands for, to which no gradient flows."""
        caller = user_frame()
        if type(t) is not Tensor or caller is None or caller.f_code != self.statement.code:
            self.problem = self.problem or "it takes a number out in a way that is not followed"
        alone = Tensor(t._data, t.dtype, t.device)
        tracer.name(alone, t)
        self.values[name] = alone
        self.leaves.append(alone)


class Aside(Tracer):
    """Looks on while a statement runs beside the capture."""

    def __init__(self, happening: Happening) -> None:
        super().__init__()
        self.happening = happening
        self.ops = 0

    def trouble(self, what: str) -> None:
        self.happening.problem = self.happening.problem or what

    def touch(self, t: Any) -> None:
        if isinstance(t, Tensor):
            self.happening.touched.append((t, t._version))

    def record(self, prim: Any, args: list[Any], params: Any, outs: Any, where: Any) -> None:
        self.ops += 1
        self.happening.made.update({id(t): t for t in outs})
        if self.ops > MAX_OPS:
            self.trouble("it computes much")
        for a in args:
            self.touch(a)

    def concretize(self, t: Any, value: Any) -> Any:
        self._take(t)
        return value

    def drawn(self, draw: Draw, value: Any) -> Any:
        if draw.of_clock:
            self.happening.clock_at = len(self._outer.nodes)
        return value

    def escape(self, t: Any, what: str, array: Any = None) -> None:
        if what == "tolist()":
            self._take(t)
        self.touch(t)

    def _take(self, t: Any) -> None:
        """Numbers are taken out of a tensor: the first are those that a cut statement begins with."""
        name = self.happening.statement.stand_in
        if name and name not in self.happening.values:
            self.happening.receive(name, t, self._outer)
        self.touch(t)

    def name(self, t: Any, known: Any) -> None:
        self.touch(known)

    def before_write(self, op: str, t: Any) -> None:
        self.trouble("it writes a tensor")

    def assign(self, t: Any, new: Any, taped: bool = True) -> None:
        self.trouble("it writes a tensor")

    def constant(self, t: Any) -> None:
        pass

    def external_array(self, t: Any, array: Any) -> None:
        pass

    def number(self, holder: Any, key: str, dtype: Any, make: Any) -> Any:
        self.trouble("it runs an optimiser")
        return make()

    def failed(self) -> None:
        self.trouble("an op failed in it")

    def foreign(self, kind: str) -> None:
        if kind == "source of random seeds":
            self.trouble("it draws random numbers")

    def mark(self, owner: Any, result: Any) -> None:
        self.trouble("it runs a module")

    def read_grad(self, t: Any) -> None:
        self.happening.grads.append((t, t._grad))
        self.touch(t._grad)

    def write_grad(self, t: Any, value: Any) -> None:
        self.trouble("it writes a gradient")
