"""Working: what a traced call has NumPy make of its arrays, and of those that it draws, as inputs that each call works
out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core import recipes
from ..core.context import state
from ..core.devices import CPU
from ..core.errors import user_location
from ..core.node import Var
from ..core.numbers.draws import Reading, Whole
from ..core.numbers.live import LIVE_OF
from ..core.watch import Seen, Watched
from ..eager.dispatch import from_array
from ..eager.tensor import Tensor
from ..static.capture import Tracer
from ..static.checks import Check
from ..static.code.flow import flow_here
from ..static.holders import MAX_ARRAY_BYTES
from ..static.trace import Concrete, Slot

UNFIT: Any = np.empty(0, object)  # what no program takes
WORKED = "worked"
MAX_LISTED = 8  # numbers in a list that is followed
MAX_NUMBERS = 24  # of arguments' arrays that a path is cut at; more are compared


class Worked:
    """What a slot is read from: a recipe. Some of its arrays may not be drawn yet when a call begins."""

    __slots__ = ("last", "recipe")

    def __init__(self, recipe: Any) -> None:
        self.recipe = recipe
        self.last = recipes.latest(recipe)

    def same(self, other: Worked) -> bool:
        """Whether another gives the same in each call."""
        return recipes.same(self.recipe, other.recipe)

    def value(self, known: Sequence[Any], memo: dict[int, Any]) -> Any:
        """The array in a call; None where it is not known yet, `UNFIT` where NumPy refuses."""
        if self.last >= len(known):
            return None
        try:
            return recipes.value(self.recipe, known, memo)
        except Exception:  # eager mode will say which
            return UNFIT


class Drawn(Seen):
    """Whether an array of random numbers, or of a tensor, was looked at, and where."""

    __slots__ = ("of", "where")

    def __init__(self, of: str) -> None:
        super().__init__()
        self.of = of

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "was_read" and value and not self.was_read:
            self.where = user_location()
        super().__setattr__(name, value)


class Working:
    """The arrays of one traced call that have recipes; numbers taken out stand behind its leaves."""

    def __init__(
        self, tracer: Tracer, leaves: Sequence[Any], takes: bool, of_tensors: Callable[[], bool]
    ) -> None:
        self._takes = takes  # numbers of arguments, too, as if they were taken out of tensors
        self._takes_tensors = of_tensors  # and their arrays, too
        self._tracer, self._first = tracer, len(leaves)
        self._given = frozenset(map(id, leaves))
        self._thread = threading.get_ident()
        self._made: list[Watched] = []
        self._drawn: list[Drawn] = []
        self._arrays: dict[int, Any] = {}  # what tensors may be made of, by identity
        self._found: frozenset[int] = frozenset()
        self._changed: set[int] = set()  # those that were changed in place
        self._of_tensors: dict[int, tuple[Tensor, Any]] = {}  # whose arrays were taken, with these
        self._over = False

    def sees(self) -> bool:
        """Whether what is done now is a part of the call: not so in other threads, which find stand-ins as well."""
        return not self._over and threading.get_ident() == self._thread

    def holding(self, checks: Sequence[Check]) -> Iterator[tuple[Check, Any]]:
        """For places in Python state that hold arrays, what is to be there. The arrays are compared on each call."""
        made: dict[int, Watched] = {}
        for check in checks:
            array = check.expected
            if id(array) not in self._given and not array.dtype.hasobject:
                if id(array) not in made:
                    made[id(array)] = Watched(array, (Seen(),), None, recipes.Held(array), self)
                yield check, made[id(array)]
        self._made += made.values()
        self._found = frozenset(made)

    def drawn(self, array: Any, index: int, of: str = "it draws") -> Any:
        """What the code gets for an array that it draws, which is number `index` of those taken out."""
        self._drawn.append(seen := Drawn(of))
        return self._keep(array, recipes.Given(self._first + index), (seen,))

    def taken(self, t: Tensor, listed: bool = False) -> Any:
        """What the code gets for the array of a tensor, or for the list of its numbers: each call takes them out of its
        own. None where that goes into the result alone, or is not followed."""
        array, tracer = t._data, self._tracer
        follows = self.sees() and state.batching is None and self._takes_tensors()
        plain = type(array) is np.ndarray and t.device is CPU and t.dtype is not dt.bfloat16
        follows = follows and state.tracer is tracer
        if not (follows and plain and array.flags.c_contiguous and array.nbytes <= MAX_ARRAY_BYTES):
            return None
        flow = None if listed else flow_here(tracer.root, tracer.apart)
        operand = tracer.var_of(t)
        if (
            (flow and not flow.reads)
            or (listed and array.size > MAX_LISTED)
            or type(operand) is not Var
        ):
            return None
        known = next((w for w in self._made if w._origin is array and w._recipe is not None), None)
        if known is None:
            at, where = len(tracer.nodes), user_location()
            tracer.concrete.append(Concrete(operand, array.copy(), where, at, None, Whole()))
            known = self.drawn(array, len(tracer.concrete) - 1, "is a tensor's,")
            self._of_tensors[id(array)] = t, array
        return _listed(known, ()) if listed else known

    def tensor_of(self, array: Any) -> Tensor:
        """The tensor that an array is to stand for in what a call gives."""
        known = self._of_tensors.get(id(array))
        return from_array(array) if known is None else known[0]

    def _shares(self, array: Any) -> bool:
        """Whether memory may be that of a tensor whose array was taken."""
        return any(np.may_share_memory(array, taken) for _, taken in self._of_tensors.values())

    def gives(self, out: Any, recipe: Any, of: list[Watched]) -> Any:
        """What the code gets in the place of `out`, which NumPy made of some arrays by a recipe."""
        known = next((w for w in of if w._origin is out), None)
        if known is not None:
            return known
        seen = tuple({id(s): s for w in of for s in w._seen}.values())
        kind = type(out)
        several = kind is tuple or kind is list
        arrays = out if several else (out,)
        if all(type(v) is np.ndarray and not v.dtype.hasobject for v in arrays):
            sized = all(w._sized for w in of) and not recipes.sizes_vary(recipe, of)
            if several:
                get = recipes.operator.getitem
                made = [(v, recipes.Made(get, (recipe, i))) for i, v in enumerate(out)]
                return kind([self._keep(v, r, seen, sized) for v, r in made])
            if out.nbytes <= MAX_ARRAY_BYTES:
                return self._keep(out, recipe, seen, sized)
        changing = recipes.latest(recipe) >= 0
        few = self._takes and len(self._tracer.concrete) < MAX_NUMBERS
        taken = any(type(s) is Drawn for s in seen) or (few and changing)
        if taken and type(out) in LIVE_OF and state.tracer is self._tracer:
            return self._tracer.drawn(Reading(recipe), out)
        for s in seen:
            s.was_read = True
        return out

    def has(self, array: Any, at_end: bool) -> bool:
        """Whether each call works out this array, which is needed as it is `at_end`, or as it was at some time."""
        if id(array) not in self._of_tensors and type(array) is np.ndarray and self._shares(array):
            return False
        return id(array) in self._arrays and (at_end or id(array) not in self._changed)

    def changes(self, array: Watched, recipe: Any, of: list[Watched]) -> bool:
        """Takes down that a recipe gives what an array will be, unless it was there before; whether that can be."""
        given = type(array._recipe) is recipes.Given and type(array._seen[0]) is not Drawn
        if given or id(array._origin) in self._found or self._shares(array._origin):
            return False
        seen = tuple({id(s): s for w in of for s in w._seen}.values())
        self.spoil(array._origin)
        self._changed.add(id(array._origin))
        object.__setattr__(array, "_recipe", recipe)
        object.__setattr__(array, "_seen", seen)
        self._know(array._origin, recipe)
        return True

    def _keep(self, array: Any, recipe: Any, seen: tuple[Seen, ...], sized: bool = True) -> Watched:
        changing = recipes.latest(recipe) >= 0
        held = recipe if changing else recipes.Held(array.copy())
        self._made.append(out := Watched(array, seen, None, held, self))
        object.__setattr__(out, "_sized", sized)
        if changing:
            self._know(array, recipe)
        return out

    def _know(self, array: Any, recipe: Any) -> None:
        """A tensor of this array is an input from now on."""
        if array.dtype.isnative and array.dtype.name in dt.BY_NAME:
            type = Tensor(array, dt.from_numpy(array.dtype)).tensor_type
            self._arrays[id(array)] = array
            self._tracer.know_array(array, Slot(WORKED, Worked(recipe), type))

    def spoil(self, array: Any) -> None:
        """Someone may write the memory of an array: what has it is worked out in no way known from now on."""
        for w in self._made:
            if w._recipe is not None and np.may_share_memory(w._origin, array):
                object.__setattr__(w, "_recipe", None)
                self._tracer.forget_array(self._arrays.pop(id(w._origin), None))
        for root in self._tracer.roots:
            if root.slot.kind == WORKED and np.may_share_memory(root.tensor._data, array):
                self._tracer.refusals.append(
                    f"an array that tensors share is looked into at {user_location()}"
                )

    def end(self) -> list[Any]:
        """No more is taken down; what stood for arrays."""
        stands, self._made, self._over = self._made, [], True
        return stands

    def refusals(self, leaves: Sequence[Any]) -> list[str]:
        """Why no program can do the same, which gives these leaves."""
        tensors = [v for v in leaves if isinstance(v, Tensor)] if self._of_tensors else []
        own = {id(t) for t, _ in self._of_tensors.values()}
        shared = [
            r
            for r in self._tracer.roots
            if r.slot.kind == WORKED and id(r.tensor) not in own and self._shares(r.tensor._data)
        ]
        shown = any(np.may_share_memory(v._data, r.tensor._data) for v in tensors for r in shared)
        written = any(r.slot.kind == WORKED and self._tracer.written(r) for r in self._tracer.roots)
        return [
            *(f"it looks into an array that {s.of} at {s.where}" for s in self._drawn if s.was_read),
            *(["it writes a tensor in memory that NumPy made"] if written else []),
            *(["it gives a tensor in memory of another's array"] if shown else []),
        ]  # fmt: skip


def _listed(array: Any, at: tuple[int, ...]) -> Any:
    """The numbers of an array in lists in lists, each taken by itself."""
    if len(at) == array.ndim:
        return array.item(*at)
    return [_listed(array, (*at, i)) for i in range(array._origin.shape[len(at)])]
