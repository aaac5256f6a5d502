"""Packing: a program, what it reads from outside, what it assumes and its test vectors, as arrays and text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..container import Array
from ..core.backend import backend_for
from ..core.constant import ConstArray
from ..core.devices import CPU
from ..core.dtypes import from_numpy
from ..core.errors import ArgumentError, CaptureError, StateError, describe, problem_of
from ..core.node import Node, Var
from ..core.trees import TreeDef, flatten
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..jit.dynamic import Template
from ..jit.program import Program
from ..jit.promoted import Leaf, Place
from ..jit.rebound import FormCheck
from ..jit.results import Result
from ..jit.slots import arrays_of
from ..static.checks import ATOMS, MISSING, Assumption, NumberCheck
from ..static.constants import is_constant
from ..static.footprint import Footprint
from ..static.graph import Graph
from ..static.interpreter import interpret
from ..static.naming import plain, tensor_names
from ..static.text import to_text
from ..static.trace import Slot, Trace
from . import forms
from .call import Artefact, off_path
from .moves import entry, key_of, lasting, left_by, name_of
from .numbers import written
from .portable import Writer
from .signature import Signature, signature_of
from .sizes import conditions_of, sizes_of

KEY = "dualgraph.program"
VERSION = 3  # of files with numbers that may change; of files with `moves` it is 2, of others 1
GIVEN = ("leaf", "leaf grad", "computed")  # inputs that a vector has
INLINE = 16  # constants of up to this many elements stay in the text

Packed = tuple[dict[str, Array], dict[str, str], bool]


def pack(obj: Any, vectors: Iterable[Any] | None = None) -> Packed:
    """What `container.write` takes: arrays, metadata, and that the file is sealed.

    `obj` is a compiled function (all its programs go into one file), a Program, a Graph or an Artefact.
    Raises CaptureError for what cannot be saved.
    """
    programs = lasting(_programs(obj))
    writer = _Writer(programs[0].name, recorded=not isinstance(obj, (Graph, Artefact)))
    if isinstance(obj, Artefact):
        writer.recall(obj)
    wanted = [_as_call(v) for v in vectors or ()]
    used = [False] * len(wanted)
    for program in programs:
        writer.add(program, wanted, used)
    if not all(used):
        bad = wanted[used.index(False)]
        problem = writer.signatures[0].misfit(*_flat(bad)) or "they take another path"
        raise ArgumentError(describe("save", f"vector {used.index(False)}", problem))
    return writer.arrays, writer.metadata(), True


def _programs(obj: Any) -> list[Program]:
    """The programs that are to be saved; CaptureError where there is none, or one that a file cannot hold."""
    if isinstance(obj, Graph):
        return [program_of(obj)]
    programs = [obj] if isinstance(obj, Program) else list(obj.programs)
    for program in programs:
        found = _obstacle(program)
        if found is not None:
            raise CaptureError(describe("save", program.name, *found))
    if not programs:
        because = [w for e in obj._entries.values() for w in e.eager_because]
        why = "; ".join(because or obj._log[-1:])
        raise CaptureError(
            describe(
                "save", repr(obj), why or "it was not called yet, so there is no program",
                "" if why else "call it once with such arguments",
            )
        )  # fmt: skip
    return programs


def _obstacle(program: Program) -> tuple[str, str] | None:
    """Why a program cannot be in a file, and what to do about it."""
    if program.trace.draws:
        problem = (
            f"it calls {program.trace.draws[0][0].name}, whose numbers are another generator's"
        )
        return problem, "use dg.rand and the like, or give it the numbers"
    if program.works:
        return "NumPy works out arrays in each call", "give it these arrays, or use tensors"
    shown = [g.result for g in program.trace.grads if g.result is not None]
    if any(i >= program._size or program.results[i].requires_grad for i in shown):
        return "it leaves a gradient that has a history or a view", "give that as a result"
    if program._required:
        remedy = "do that outside of the function, or on a .detach() of it"
        return "it makes an argument require gradients", remedy
    acting = [e for e in program.effects if not e.assigns]
    if acting:
        problem = f"it runs Python code at the end of each call, at {acting[0].where}"
        remedy = "give what it needs as results, and do that outside of the function"
        return problem, f"{remedy}; tensors that it puts somewhere, compute in a line before"
    return None


def _fixed(program: Program) -> Program:
    """The program at the sizes of its capture, and at its numbers where a file cannot say what follows from them."""
    promoted = program.promoted
    if promoted is None or promoted.formulas is None or written(promoted) is not None:
        return program.fixed()
    return program.at_its_numbers(promoted.formulas.at(promoted.values))


def _as_call(vector: Any) -> tuple[Any, dict[str, Any]]:
    return (vector if isinstance(vector, tuple) else (vector,)), {}


def _flat(call: Any) -> tuple[list[Any], TreeDef]:
    return flatten(call)


def program_of(graph: Graph, name: str = "graph") -> Program:
    """A graph as a program: tensors in, a tuple of tensors out."""
    given = [_blank(t, False) for t in graph.in_types]
    slots = tuple(
        Slot("leaf", (i, x), t) for i, (x, t) in enumerate(zip(given, graph.in_types, strict=True))
    )
    outputs = graph.outputs
    trace = Trace(graph, slots, (), (), (), (), len(outputs))
    results = tuple(Result("output", i) for i in range(len(outputs)))
    tree = flatten((None,) * len(outputs))[1]
    program = Program(
        name, trace, results, tree, Footprint([]), (), (), False, False, CPU, None
    )  # fmt: skip
    leaves, structure = flatten((tuple(given), {}))
    program.given = structure, tuple(leaves)
    return program


def _blank(type: TensorType, requires_grad: bool) -> Tensor:
    """A tensor that stands for an argument; its memory is never touched."""
    out = Tensor(np.empty(type.shape, type.dtype.numpy), type.dtype)
    out._requires_grad = requires_grad
    return out


class _Writer:
    """Collects programs, with the tensors they share stored once."""

    def __init__(self, name: str, recorded: bool) -> None:
        self.name = name
        self.recorded = recorded  # whether the arguments of the captures are there to be vectors
        self.names: dict[int, str] = {}  # wishes, by identity
        self.arrays: dict[str, Array] = {}
        self.texts: dict[str, str] = {}  # of graphs, by the names of their entries
        self.records: list[dict[str, Any]] = []
        self.signatures: list[Signature] = []
        self.state: dict[str, dict[str, Any]] = {}
        # By identity: the name, and the object, which has to stay alive.
        self.known: dict[Any, tuple[str, Any]] = {}
        self.version = 1

    def recall(self, artefact: Artefact) -> None:
        """Lets the state of a loaded program keep its names."""
        self.names = {id(v): k for k, v in artefact.state.items()}

    def metadata(self) -> dict[str, str]:
        record = {
            "version": self.version, "name": self.name, "state": self.state, "programs": self.records
        }  # fmt: skip
        return {"format": "dualgraph", KEY: json.dumps(record, separators=(",", ":")), **self.texts}

    def add(self, given: Program, vectors: Sequence[Any], used: list[bool]) -> None:
        """Takes a program in, with vectors that its signature fits; marks these in `used`."""
        program = _fixed(given)
        if program._device is not CPU:
            raise CaptureError(
                describe(
                    "save", program.name, f"it runs on {program._device}", "capture it on the CPU"
                )
            )
        number = len(self.records)
        self.names = {**tensor_names(program.footprint), **self.names}
        try:
            signature = signature_of(program)
            graph, record = self.described(program, signature, number)
            self.add_moves(record, given, program)
        except CaptureError as problem:
            raise CaptureError(describe("save", program.name, problem_of(problem))) from None
        self.texts[f"dualgraph.graph.{number}"] = to_text(graph)
        self.texts[f"dualgraph.calls.{number}"] = self.portable(graph, program, number)
        numbers = given.promoted is not None and written(given.promoted) is None
        plain = not (numbers or given.as_sizes)  # but for the sizes of arguments
        if isinstance(given, Template) and plain and given.read_at is None:
            graph, _ = self.lift(given.trace.graph, number)
            self.texts[f"dualgraph.symbolic.{number}"] = to_text(graph)
            record["symbolic"] = {
                "sizes": sizes_of(given),
                "conditions": conditions_of(given),
                "results": _results(given),
            }
        self.records.append(record)
        self.signatures.append(signature)
        record["vectors"] = list(self.vectors(program, signature, number, vectors, used))

    def described(
        self, program: Program, signature: Signature, number: int
    ) -> tuple[Graph, dict[str, Any]]:
        """The graph of a program with its large constants as inputs, and the program's record but for its vectors."""
        trace = program.trace
        leaf_of = {id(s.key[1]): s.key[0] for s in trace.slots if s.kind == "leaf"}
        owner = lambda t: self.owner(t, leaf_of, program)  # noqa: E731
        inputs = [self.source(s, leaf_of, program) for s in trace.slots]
        graph, lifted = self.lift(trace.graph, number)
        numbers = self.numbers(program)
        return graph, {
            **({} if numbers is None else {"numbers": numbers}),
            "name": program.name,
            **signature.as_json(),
            "inputs": [*inputs, *(["constant", name] for name in lifted)],
            "results": _results(program),
            "form": forms.encode(program.tree),
            "given": trace.results,
            "stores": [list(s) for s in trace.stores],
            "gradients": [[owner(g.owner), g.output] for g in trace.grads],
            "entry": [[owner(t), had] for t, had in trace.entry_grads],
            "values": [[forms.text_of(c.value), str(c.where)] for c in trace.concrete],
            "contents": [
                [i, self.array(f"contents.{number}.{i}", a)] for i, a in program._contents
            ],
            "assumptions": list(dict.fromkeys(map(_assumption, _stated(program)))),
            "swept": bool(program._unhooked),
            "fast_math": program._fast_math,
        }

    def add_moves(self, record: dict[str, Any], given: Program, program: Program) -> None:
        """Adds to a record which results a call leaves in the state."""
        moves = []
        for left in left_by(given, program):
            if isinstance(left.held, Tensor):
                moves.append([left.result, self.placed(left.place, left.index)])
            else:
                moves.append([left.result, self.number(left.place)])
        if moves:
            record["moves"], self.version = moves, max(self.version, 2)

    # --- what is read from outside

    def source(self, slot: Slot, leaf_of: dict[int, int], program: Program) -> list[Any]:
        """Where an input comes from, as JSON."""
        if slot.kind == "leaf":
            if id(slot.key[1]) in program.footprint.tensors:
                raise CaptureError(
                    f"argument leaf {slot.key[0]} is a tensor that the code reads elsewhere, too; "
                    "pass a tensor of its own"
                )
            return ["leaf", slot.key[0]]
        if slot.kind == "computed":
            return ["computed", slot.key.place]
        if slot.kind == "number":
            return ["number", self.number(entry(*slot.key))]
        if slot.kind == "grad":
            return ["gradient", self.owner(slot.key, leaf_of, program)]
        if slot.kind == "leaf grad":
            return ["gradient", ["leaf", slot.key]]
        if slot.kind == "place":
            return ["state", self.placed(slot.key.place, slot.key.index)]
        return ["state", self.tensor(slot.key, program)]

    def numbers(self, program: Program) -> dict[str, Any] | None:
        """What the program makes of Python numbers that may change, and where these come from, as JSON."""
        promoted, record = program.promoted, written(program.promoted)
        if promoted is None or record is None:
            return None
        sources: list[Any] = []
        for s in promoted.sources:
            if isinstance(s, Leaf):
                sources.append(["leaf", s.index])
                continue
            sources.append(["number", self.number(s)])
        self.version = VERSION
        return {"sources": sources, **record}

    def owner(self, t: Any, leaf_of: dict[int, int], program: Program) -> list[Any]:
        """A tensor whose gradient is meant, as JSON."""
        if id(t) in leaf_of:
            return ["leaf", leaf_of[id(t)]]
        return ["state", self.tensor(t, program)]

    def number(self, place: Place) -> str:
        """The name of a Python number at a place, whose value now goes into the file."""
        record = {"value": forms.text_of(place.read(()))}
        return self.named(key_of(place), plain(place.name), place, record)

    def placed(self, place: Place, index: int) -> str:
        """The name of whatever tensor is at a place."""
        held = flatten(place.read(()))[0][index]
        wish = self.names.get(id(held)) or name_of(place, index)
        return self.kept(key_of(place, index), wish, held, place)

    def tensor(self, held: Any, program: Program) -> str:
        """The name of a tensor or array from outside, whose values now (and gradient) go into the file."""
        return self.kept(id(held), self.names.get(id(held), "state"), held, held)

    def kept(self, key: Any, wish: str, held: Any, owner: Any) -> str:
        """The name of a tensor or array; `owner` has to stay alive for the key to tell it."""
        known = key in self.known
        kind = (
            {"gradient": held._requires_grad} if isinstance(held, Tensor) else {"array": True}
        )  # fmt: skip
        name = self.named(key, wish, owner, kind)
        if not known:
            self.array(f"state.{name}", held)
            grad = getattr(held, "_grad", None)
            if grad is not None:
                self.array(f"gradient.{name}", grad)
        return name

    def named(self, key: Any, wish: str, held: Any, record: dict[str, Any]) -> str:
        """The name that an object from outside has in the file: the one wished for, if that is free."""
        if key not in self.known:
            name, n = wish, 1
            while name in self.state:
                n += 1
                name = f"{wish}.{n}"
            self.known[key] = name, held
            self.state[name] = record
        return self.known[key][0]

    def array(self, name: str, held: Any) -> str:
        if isinstance(held, Tensor):
            self.arrays[name] = Array(backend_for(held.device).to_numpy(held._data), held.dtype)
        else:
            self.arrays[name] = Array(held, from_numpy(held.dtype))
        return name

    def lift(self, graph: Graph, number: int) -> tuple[Graph, list[str]]:
        """The graph with its large constants as further inputs, and their names."""
        nodes: list[Node] = []
        extra: list[Var] = []
        names: list[str] = []
        for node in graph.nodes:
            if not is_constant(node) or node.outputs[0].type.size <= INLINE:
                nodes.append(node)
                continue
            names.append(f"constant.{number}.{len(names)}")
            data = node.params["data"]
            self.arrays[names[-1]] = Array(data.array, data.dtype)
            extra.append(node.outputs[0])
        return Graph((*graph.inputs, *extra), tuple(nodes), graph.outputs), names

    def portable(self, graph: Graph, program: Program, number: int) -> str:
        """The graph as calls of NumPy; constants in it get names of their own."""
        names = dict[int, str]()

        def array(data: ConstArray) -> str:
            name = names.setdefault(id(data), f"call.{number}.{len(names)}")
            self.arrays[name] = Array(data.array, data.dtype)
            return name

        views = [r for r in program.results if r.kind == "view"]
        return Writer(array).text(graph, views, {s.input: s.output for s in program.trace.stores})

    # --- vectors

    def vectors(
        self, program: Program, signature: Signature, number: int, given: Sequence[Any], used: list[bool]
    ) -> Iterable[dict[str, Any]]:  # fmt: skip
        """Test vectors: the captured arguments where they are still there, and those given."""
        calls: list[tuple[list[Any], int]] = []
        if self.recorded:
            calls.append((list(signature.leaves), -1))
        for i, call in enumerate(given):
            leaves, structure = _flat(call)
            if signature.misfit(leaves, structure) is None:
                calls.append((leaves, i))
        for n, (leaves, i) in enumerate(calls):
            arrays = _arrays(program, leaves)
            with np.errstate(all="ignore"):
                outputs = interpret(program.captured, arrays, backend_for(CPU))
            if off_path(program, outputs):
                continue
            if i >= 0:
                used[i] = True
            inputs = {
                str(j): self.keep(f"vector.{number}.{n}.input.{j}", arrays[j], s.type)
                for j, s in enumerate(program.trace.slots) if s.kind in GIVEN
            }  # fmt: skip
            names = [
                self.keep(f"vector.{number}.{n}.output.{k}", out, v.type)
                for k, (out, v) in enumerate(zip(outputs, program.captured.outputs, strict=True))
            ]
            yield {"inputs": inputs, "outputs": names}

    def keep(self, name: str, array: Any, type: TensorType) -> str:
        self.arrays[name] = Array(np.array(array, order="C"), type.dtype)
        return name


def _arrays(program: Program, leaves: list[Any]) -> list[Any]:
    try:
        return arrays_of(program.trace.slots, leaves)
    except StateError as problem:
        raise CaptureError(
            describe("save", program.name, problem_of(problem), "save it before")
        ) from None


def _results(program: Program) -> list[dict[str, Any]]:
    """How results are made, as JSON; what statements that are left out take of Python is none of them."""
    kept = {
        *range(program._size),
        *(m.first + i for m in program.moves for i in range(m.tree.num_leaves)),
    }
    nothing = Result("value", None)
    return [
        _result(r if i in kept or r.kind != "value" else nothing)
        for i, r in enumerate(program.results)
    ]


def _result(r: Result) -> dict[str, Any]:
    chain = [[prim.name, {k: forms.text_of(v) for k, v in p.items()}] for prim, p in r.chain]
    key = forms.text_of(r.key) if r.kind == "value" else r.key
    record: dict[str, Any] = {"kind": r.kind, "key": key, "chain": chain}
    flags = {"requires_grad": r.requires_grad, "released": r.released, "array": r.array, "op": r.op}
    return {**record, **flags, "base": r.base, "output": r.output}


def _stated(program: Program) -> list[Assumption]:
    """What the program assumes of Python state and of its arguments."""
    checks = (c for c in program.footprint.checks if c.expected is not MISSING)
    places = (
        c.place if isinstance(c, NumberCheck) else c for c in checks if type(c) is not FormCheck
    )
    promoted = program.promoted
    given = program._arguments if promoted is None else promoted.assumed(program._arguments)
    assigned = (
        Assumption("statement", "what it assigns", "left out", e.where) for e in program.effects
    )
    return [*given, *(c.assumption() for c in places), *assigned]


def _assumption(a: Assumption) -> tuple[str, ...]:
    value = repr(a.value) if isinstance(a.value, ATOMS) else f"<{type(a.value).__name__}>"
    return a.kind, a.name, a.value if isinstance(a.value, str) else value, str(a.where)
