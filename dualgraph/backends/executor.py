"""The planned executor: a schedule's steps run in order over one arena, most of them by native programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..core.backend import ArrayBackend, backend_for
from ..core.node import Literal, Node, Var
from ..core.numbers.worked import Unfollowed, Working, plainly
from ..core.process import forks
from ..core.process.silence import quietly
from ..core.types import TensorType
from ..passes.inplace import donate, inplace, same_index
from ..passes.layout import fills
from ..passes.memory import MemoryPlan, Stacks, aligned, plan_memory
from ..passes.schedule import OUTPUT, TEMPORARY, Schedule, Step, schedule, schedule_like
from ..static.constants import is_constant
from ..static.control import is_control
from ..static.graph import Graph
from ..static.interpreter import literal_array
from ..static.region import bodies, is_region
from .actions import Action, Env, computed, native_call, written
from .bodies import compiled_bodies, control_action
from .ground import Ground
from .native import api as native
from .native import claims
from .native.addresses import DIRECT, address_of
from .refilled import at_numbers, numbers_of

# bytes from which the memory of an array is kept for later ones, in the context of kernels
RECYCLED = 1 << 16


def as_they_are(outs: list[Any]) -> list[Any]:
    """The outputs of a call that is done when they are there."""
    return outs


class Executable:
    """A graph made ready to run on one backend.

    `borrowed` are positions of outputs that the caller only reads before the next run: they stay in the
    arena. All other outputs are fresh arrays of their own. `stores` are pairs (input, output): the caller
    puts the output into the input's memory. Those in `donated` are written there straight away, once
    nothing can fail any more; these inputs have to be row-major. The bodies of loops and branches are
    executables, too; where their `native` lists all their steps they are written into the native
    program around them. `kernel_of` gives the kernels of regions that are compiled already (and None
    for the others). With `work` the graph's sizes are numbers worked out there (see `resizing`). `like` is an
    executable of the same graph at other sizes, whose decisions are taken over, `ground` memory that it has in
    common with such.
    """

    def __init__(
        self,
        graph: Graph,
        backend: ArrayBackend,
        borrowed: frozenset[int] = frozenset(),
        stores: tuple[tuple[int, int], ...] = (),
        kernel_of: Callable[[Node], Any] | None = None,
        like: Executable | None = None,
        ground: Ground | None = None,
        work: Working | None = None,
    ) -> None:
        self.ground, self.work = ground, work
        self.graph = graph
        self.backend = backend
        self.plan: Schedule
        self.borrowed = borrowed
        self.donated: tuple[tuple[int, int], ...] = ()
        self.memory: MemoryPlan
        follows = self._plan_like(like)
        if not follows:
            self._plan_afresh(stores)
        if native.available() and kernel_of is None:
            native.begin(s.node.params["body"] for s in self.plan.steps if is_region(s.node))
        self.kernels = _kernels(self.plan.steps, kernel_of or native_kernel)
        self.bodies = {
            i: _body_programs(s.node, backend, kernel_of, like and like.bodies.get(i), work)
            for i, s in enumerate(self.plan.steps) if is_control(s.node)
        }  # fmt: skip
        inside = sum(_body_bytes(self.plan.steps[i].node, p) for i, p in self.bodies.items())
        self.memory = self.memory._replace(bodies_bytes=inside)
        if like is not None and follows and all(t.size for t in graph.all_types()):
            self.native = like.native
        else:
            self.native = native.native_steps(self) if _is_native(backend) else frozenset()
        self._direct: Direct | None = None
        self._lock = forks.lock()
        self._size = 1 + max((v.id for v in graph.all_vars()), default=-1)
        # popped and pushed whole, which the interpreter makes atomic
        self._free: list[_Instance] = []

    def _plan_like(self, like: Executable | None) -> bool:
        """Takes over the schedule and memory plan of `like`; False where that is not possible."""
        again = None if like is None else schedule_like(self.graph, like.plan)
        if like is None or again is None:
            return False
        self.plan, self.donated = again, like.donated
        self.memory = like.stacks.plan_memory(again)
        return True

    def _plan_afresh(self, stores: tuple[tuple[int, int], ...]) -> None:
        """Decides on the order of the steps, what is written in place, and where values lie."""
        plan = schedule(self.graph, self.borrowed)
        if self.backend.xp is np:
            plan, self.donated = donate(plan, _safe_stores(self.graph, stores), _may_overwrite)
        self.plan = inplace(plan, _may_overwrite)
        self.memory = plan_memory(self.plan)

    @cached_property
    def stacks(self) -> Stacks:
        """How its buffers lie, for the plans of other sizes."""
        return Stacks(self.memory)

    def warm(self) -> None:
        """Makes ready all that the first run would."""
        self._free.append(self.instance())

    def instance(self) -> _Instance:
        """The program made ready for one run at a time."""
        return _Instance(self, self.ground)

    def run(self, inputs: list[Any], commit: Callable[[list[Any]], Any]) -> Any:
        """Runs the program on arrays and hands its outputs to `commit`, whose result is given back."""
        try:
            instance = self._free.pop()
        except IndexError:
            instance = _Instance(self)
        ground = instance.ground
        if ground is not None and not ground.take():
            self._free.append(instance)
            instance, ground = _Instance(self), None
        try:
            return commit(quietly(instance.run, inputs) if instance.loud else instance.run(inputs))
        finally:
            if ground is not None:
                ground.give()
            self._free.append(instance)

    def direct(
        self, checked: bool = False, several: bool = False, anywhere: bool = False
    ) -> Direct | None:
        """How the program is run without Python; None where it is more than one native segment, or gives something
        else than one new array (or `several`; or arrays that lie `anywhere`), or looks at something when it has run
        (unless `checked`). `run` no longer uses its instance.
        """
        with self._lock:
            if self._direct is None:
                instance = self._free.pop() if self._free else _Instance(self)
                if instance.ground is not None:
                    self._free.append(instance)
                    instance = _Instance(self)
                self._direct = instance.direct(checked, several, anywhere)
                if self._direct is None:
                    self._free.append(instance)
            return self._direct


class Direct(NamedTuple):
    """A program as one call of native code.

    ``place``: where it is (see `team.Program.place`); ``brief``: whether it is over in some microseconds;
    ``operands``: for each its input (-1: the first new array, -2: the second, ...); ``types`` are those of the new
    arrays; ``outputs``: for each output of the graph which of these it is, or the array that it always lies in, or
    None where that is an input's; ``busy``: a word that is 1 while a call runs; ``checks``: cells that are 0 after a
    run that failed; and what has to stay alive.
    """

    place: tuple[int, ...]
    brief: bool
    operands: tuple[int, ...]
    types: tuple[TensorType, ...]
    outputs: tuple[Any, ...]
    busy: Any
    checks: tuple[Any, ...]
    extra_bytes: int  # that it keeps besides the arena
    keep: _Instance


def _is_native(backend: ArrayBackend) -> bool:
    return backend.xp is np and native.available()


def _body_programs(
    node: Node, backend: ArrayBackend, kernel_of: Any, like: Any = None, work: Working | None = None
) -> dict[str, Executable]:
    """Executables of the bodies of a loop or condition, whose results are read before they run again.

    Those that can be written into the native program around them put results where these are wanted.
    """
    if _is_native(backend):
        found = {
            k: Executable(body, backend, kernel_of=kernel_of, like=like and like.get(k), work=work)
            for k, body in bodies(node).items()
        }
        if work is not None or all(native.all_native(p) for p in found.values()):
            return found
    return compiled_bodies(
        node, lambda body, read: Executable(body, backend, read, kernel_of=kernel_of)
    )


def _body_bytes(node: Node, programs: dict[str, Executable]) -> int:
    """What the bodies of a loop or condition take: an arena each, and the carry twice."""
    arenas = sum(p.memory.arena_bytes + p.memory.bodies_bytes for p in programs.values())
    carry = node.inputs[: node.params.get("carries", 0)]
    return arenas + 2 * sum(aligned(v.type.nbytes) for v in carry)


def _read_in_python(program: Executable, homes: dict[int, Var] | None = None) -> set[Var]:
    """Values that something in Python reads: steps that are not native, outputs, and views that these read.

    The values of `homes` have arrays of their own (see `_homes`): nothing makes them out of others.
    """
    own = set((homes or {}).values())
    read = {v for v in program.graph.outputs if isinstance(v, Var) and v not in own}
    for i, step in reversed(list(enumerate(program.plan.steps))):
        own = step.view and not read.isdisjoint(step.node.outputs)
        if own or (not step.view and i not in program.native):
            read.update(v for v in step.node.inputs if isinstance(v, Var))
    return read


def _homes(program: Executable) -> dict[int, Var]:
    """Buffers that leave the program in another shape than they are written in, and the output that each is.

    They are written by native code, which asks for an address only; so the array has the output's shape from the start.
    """
    plan = program.plan
    leaving = [v for v in program.graph.outputs if isinstance(v, Var)]
    buffers = [plan.places[v].buffer for v in leaving]
    made = {v: (i, s.view) for i, s in enumerate(plan.steps) for v in s.node.outputs}
    found = {
        b: v
        for b, v in zip(buffers, leaving, strict=True)
        if buffers.count(b) == 1 and plan.buffers[b].role == OUTPUT and made[v][1]
        and plan.buffers[b].nbytes == v.type.nbytes and fills(v.type, plan.places[v].layout)
    }  # fmt: skip
    read = _read_in_python(program, found)
    for v, (i, view) in made.items():
        if v in read or not (view or i in program.native):
            found.pop(plan.places[v].buffer, None)
    return found


def _safe_stores(graph: Graph, stores: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The stores whose value is computed after the last op that can fail: a failed call must change nothing."""
    last = max((i for i, n in enumerate(graph.nodes) if _can_fail(n)), default=-1)
    made = {v: i for i, n in enumerate(graph.nodes) for v in n.outputs}
    return [(i, o) for i, o in stores if made.get(graph.outputs[o], -1) > last]  # type: ignore[arg-type]


def _may_overwrite(node: Node, result: int, operand: int) -> bool:
    """Whether the node's kernel allows a result in the memory of an operand."""
    if is_region(node) and native.available():
        return native.may_overwrite(node, result, operand)
    return same_index(node, result, operand) or claims.may_overwrite(node, operand)


def _can_fail(node: Node) -> bool:
    return bool(
        node.prim.can_fail or any(_can_fail(n) for b in bodies(node).values() for n in b.nodes)
    )


def _kernels(steps: Sequence[Step], compiled: Callable[[Node], Any]) -> dict[int, Any]:
    """The kernel of each step, or None; steps with one body have one kernel."""
    made: dict[int, Any] = {}  # by identity of the body
    for node in (s.node for s in steps if is_region(s.node)):
        if id(node.params["body"]) not in made:
            made[id(node.params["body"])] = compiled(node)
    return {i: made.get(id(s.node.params.get("body"))) for i, s in enumerate(steps)}


def native_kernel(node: Node) -> Any:
    """The compiled kernel of a region; None for other nodes, and where there is none."""
    if not is_region(node) or not native.available():
        return None
    try:
        return native.compile_group(node.params["body"])
    except native.Unsupported:
        return None


class _Instance:
    """One arena and the actions over it; used by one call at a time."""

    def __init__(self, program: Executable, ground: Ground | None = None) -> None:
        self.program, self.ground = program, ground
        self.on_cpu = program.backend.xp is np
        self._ground = ground or Ground()
        self.arena: Any = None
        self.base: int = 0
        start, nbytes = 0, program.memory.arena_bytes
        if self.on_cpu:
            work = program.work
            found = self._found(nbytes) if work is None else work.call(self._found, nbytes)
            start, self.base = found
        self.env: Env = [None] * (program._size + 1)  # the last: the operands of native programs
        self.fresh: list[tuple[int, Any, Any]] = []  # outputs to allocate on each call
        # values in the memory of another one, of another dtype or shape (None: the same)
        self.shared: list[tuple[int, int, tuple[Any, Any] | None]] = []
        self.actions: list[Action] = []
        self.refilled: list[tuple[int, Node, Any]] = []  # actions that worked numbers take part in
        # Whether NumPy functions that may warn are among the actions, or outputs so large that memory is used again.
        self.loud = False
        self.places = [v.id for v in program.graph.inputs]
        self.homes = _homes(program) if self.on_cpu else {}
        self.seen = _read_in_python(program, self.homes)
        # values in the arena that Python meets: place and dtype; shape, place in the arena and strides
        self.met: list[tuple[int, Any]] = []
        self.lying: list[Any] = []
        self._place_values()
        self._write_actions(start + self.base)
        self.outputs = self._output_getters()

    def _found(self, nbytes: int) -> tuple[int, int]:
        """Takes memory for the arena; says where it lies, and after how many bytes the arena begins."""
        self.arena = self._ground.memory("arena", nbytes + 64)
        at = address_of(self.arena)
        return at, -at % 64

    def _place_values(self) -> None:
        """Finds memory for all values that steps make."""
        plan, homes = self.program.plan, self.homes
        owners = {plan.places[v].buffer: v.id for v in self.program.graph.inputs}
        types = {v.id: v.type for v in self.program.graph.all_vars()}
        for i, step in enumerate(plan.steps):
            node = step.node
            # Python meets its results if it reads them
            quiet = step.view or i in self.program.native
            if is_constant(node):
                device = node.outputs[0].type.device
                self.env[node.outputs[0].id] = backend_for(device).asarray(
                    node.params["data"].array
                )
                continue
            for v in node.outputs if self.on_cpu else ():
                place, buffer = plan.places[v], plan.buffer_of(v)
                if buffer.role == TEMPORARY:
                    if not quiet or v in self.seen:
                        self._in_arena(v)
                elif step.view:
                    if homes.get(place.buffer) == v:
                        self.shared.append((v.id, owners[place.buffer], None))
                elif place.buffer in owners:
                    source = owners[place.buffer]
                    view = None if v.type == types[source] else (v.type.dtype.numpy, v.type.shape)
                    self.shared.append((v.id, source, view))
                else:
                    owners[place.buffer] = v.id
                    type = homes.get(place.buffer, v).type
                    self.fresh.append((v.id, type.shape, type.dtype.numpy))
                    self.loud = self.loud or plainly(type.nbytes) > RECYCLED

    def _in_arena(self, v: Var) -> None:
        place = self.program.plan.places[v]
        at = self.base + self.program.memory.offsets[place.buffer] + place.layout.offset
        self.met.append((v.id, v.type.dtype.numpy))
        self.lying.append((v.type.shape, at, place.layout.strides))
        if self.program.work is None:
            self.meet(self.lying[-1:], self.met[-1:])

    def meet(self, lying: Sequence[Any], met: Sequence[tuple[int, Any]]) -> None:
        """Makes the arrays of values in the arena, by their shapes, places and strides."""
        for (place, dtype), (shape, at, strides) in zip(met, lying, strict=True):
            self.env[place] = np.ndarray(shape, dtype, self.arena, at, strides)

    def _write_actions(self, start: int) -> None:
        """Makes native programs of steps that follow each other, and actions of the others."""
        program, read = self.program, self.seen
        self.operands: Any = None
        segment: Any = None
        if program.native:
            self.operands = native.Operands(program)

        for i, step in enumerate(program.plan.steps):
            node = step.node
            if i in program.native:
                if segment is None:
                    segment = native.Segment(program, start, self.operands, ground=self.ground)
                segment.add(i, step)
                continue
            in_arena = self.on_cpu and all(self.env[v.id] is not None for v in node.outputs)
            if is_constant(node) or (step.view and (in_arena or read.isdisjoint(node.outputs))):
                continue
            if segment is not None:
                self.actions.append(segment.action())
                segment = None
            self.actions.append(self._action(i, step))
        if segment is not None:
            self.actions.append(segment.action())

    def _action(self, i: int, step: Step) -> Action:
        """A step that Python sees to."""
        node, backend = step.node, self.program.backend
        make = computed if step.view or not self.on_cpu else written
        kernel = self.program.kernels[i]
        if self.program.work is not None:
            if kernel is not None or i in self.program.bodies:
                raise Unfollowed("a kernel or a loop that Python sees to")
            self.refilled.append((len(self.actions), node, make))
            node = at_numbers(node, map(plainly, numbers_of(node)))
        if make is computed:
            return computed(node, backend)
        if kernel is not None and all(isinstance(v, Var) for v in node.inputs):
            return native_call(node, kernel, self.env)
        if i in self.program.bodies:
            return control_action(node, self.program.bodies[i], backend)
        self.loud = True
        return written(node, backend)

    def run(self, inputs: list[Any]) -> list[Any]:
        """Runs all steps on arrays; gives the outputs."""
        env = self.env.copy()
        for place, array in zip(self.places, inputs, strict=True):
            env[place] = array
        if self.operands is not None:
            for place, array in zip(self.places, inputs, strict=True):
                if not array.flags.c_contiguous:
                    env[place] = np.ascontiguousarray(array)
        for index, shape, dtype in self.fresh:
            env[index] = np.empty(shape, dtype)
        for index, source, view in self.shared:
            env[index] = env[source] if view is None else env[source].view(view[0]).reshape(view[1])
        if self.operands is not None:
            env[-1] = self.operands.of(env)
        for action in self.actions:
            action(env)
        return [env[place] if copy is None else copy(env) for place, copy in self.outputs]

    def direct(self, checked: bool, several: bool, anywhere: bool) -> Direct | None:
        """The instance as one call of native code, where it is one."""
        if not DIRECT or len(self.actions) != 1 or (len(self.outputs) != 1 and not several):
            return None
        action: Any = self.actions[0]
        if getattr(action, "brief", None) is None or any(copy for _, copy in self.outputs):
            return None
        program = action.program
        if program.checks and not checked:
            return None
        # Native code is told where values lie, not of what type they are
        made = {i: i for i, _, _ in self.fresh}
        made |= {i: source for i, source, _ in self.shared if source in made}
        sources = [made.get(place) for place, _ in self.outputs]
        new = [i for i in sources if i is not None]
        if len(new) != len(self.fresh) or {*new} != {*made.values()}:
            return None
        if not anywhere and len(new) != len(sources):
            return None
        numbers = {i: -1 - new.index(source) for i, source in made.items()}
        numbers |= {p: i for i, p in enumerate(self.places)}
        order = tuple(numbers[p] for p in self.operands.places if p in numbers)
        if len(order) != len(self.operands.places):
            return None
        busy = np.zeros(1, dtype=np.int64)
        cells = tuple(check.cell for check in program.checks)
        outputs = self.program.graph.outputs
        types = tuple(v.type for v, i in zip(outputs, sources, strict=True) if i is not None)
        lying = tuple(
            self.env[place] if i is None else new.index(i)
            for (place, _), i in zip(self.outputs, sources, strict=True)
        )
        return Direct(
            program.place, action.brief, order, types, lying, busy, cells, program.extra_bytes, self
        )

    def _output_getters(self) -> list[tuple[int, Any]]:
        """For each output its place, or a function that makes the copy the caller gets."""
        program = self.program
        given: set[int] = set()
        out: list[tuple[int, Any]] = []
        for i, v in enumerate(program.graph.outputs):
            if isinstance(v, Literal):
                out.append((-1, lambda env, v=v: literal_array(v, program.backend)))
                continue
            buffer, copy = program.plan.buffer_of(v), None
            if i not in program.borrowed:
                if buffer.role != OUTPUT or buffer.id in given:
                    copy = _copy_of(v)
                given.add(buffer.id)
            out.append((v.id, copy))
        return out


def _copy_of(v: Var) -> Callable[[Env], Any]:
    """Makes the array that the caller gets where the value itself stays with the program."""
    xp = backend_for(v.type.device).xp
    return lambda env: xp.array(env[v.id], order="C")
