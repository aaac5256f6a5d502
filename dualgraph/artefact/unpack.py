"""Unpacking: a file's arrays and text as programs, every part checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..container import Array
from ..core.constant import ConstArray
from ..core.devices import CPU
from ..core.errors import NOWHERE, DualgraphError, FileFormatError, Location, problem_of
from ..core.numbers.formulas import Use
from ..core.numbers.symbolic import plain
from ..core.prim import lookup
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..jit.dynamic import Template
from ..jit.program import Program
from ..jit.promoted import Leaf
from ..jit.rebound import Move
from ..jit.results import Result
from ..static.checks import Assumption
from ..static.constants import constant_node
from ..static.footprint import Footprint
from ..static.graph import Graph
from ..static.parser import parse
from ..static.trace import Concrete, GradEffect, Slot, Store, Trace
from . import forms
from .bounds import check_graph, machine_bytes
from .call import Artefact, Vector
from .moves import entry, forms_of, moved_to, read_at
from .numbers import KINDS, Loaded, LoadedNumbers, calls_of
from .pack import GIVEN, KEY, VERSION
from .signature import Signature, from_json
from .sizes import condition_from, symbols_of

DAMAGE = (
    DualgraphError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError,
    RecursionError, SyntaxError, ZeroDivisionError, AssertionError, MemoryError,
)  # fmt: skip
NUMBERS = {"item", "float", "int", "bool"}  # what takes a number out of a tensor
RESULTS = {"value", "computed", "leaf", "input", "view", "output", "same", *NUMBERS}


def holds_program(metadata: Mapping[str, str]) -> bool:
    """Whether a file's metadata are those of a saved program."""
    return KEY in metadata


def unpack(
    arrays: dict[str, Array], metadata: Mapping[str, str], path: str, limit: int | None = None
) -> Artefact:
    """The saved programs; FileFormatError where anything in the file does not fit, or a call would take
    more than `limit` bytes (None: the memory of this machine)."""
    try:
        return _Reader(arrays, metadata, machine_bytes() if limit is None else limit).artefact()
    except DAMAGE as problem:
        text = problem_of(problem) or type(problem).__name__
        raise FileFormatError(f"{path}: the program in it is damaged: {text}") from None


class _Reader:
    """Makes programs of the records of a file, over one set of state tensors."""

    def __init__(self, arrays: dict[str, Array], metadata: Mapping[str, str], limit: int) -> None:
        self.limit = limit
        self.arrays = arrays
        self.metadata = metadata
        self.record = json.loads(metadata[KEY])
        if self.record["version"] not in range(1, VERSION + 1):
            raise ValueError(
                f"it has version {self.record['version']!r}, this reader knows 1 to {VERSION}"
            )
        self.numbers: dict[str, Any] = {}
        self.state = {
            name: held
            for name, kind in self.record["state"].items()
            if (held := self.held(name, kind)) is not None
        }
        self.moved: set[str] = set()  # the names of what calls exchange
        self.vectors: list[Vector] = []

    def artefact(self) -> Artefact:
        records = self.record["programs"]
        if not isinstance(records, list) or not records:
            raise ValueError("there is no program in it")
        self.moved = {name for r in records for _, name in r.get("moves", ())}
        signatures = [from_json(r) for r in records]
        programs = [
            self.program(i, r, s) for i, (r, s) in enumerate(zip(records, signatures, strict=True))
        ]
        return Artefact(
            str(self.record["name"]), programs, signatures, self.state, self.numbers, self.vectors,
            self.limit,
        )  # fmt: skip

    def held(self, name: str, kind: dict[str, Any]) -> Any:
        """A tensor or array of the state; None for a number, which is noted."""
        if "value" in kind:
            self.numbers[name] = forms.value_of(kind["value"])
            if type(self.numbers[name]) not in KINDS.values():
                raise ValueError(f"{name} is no number")
            return None
        array = self.arrays[f"state.{name}"]
        if "array" in kind:
            return array.data
        held = self.tensor(array)
        held._requires_grad = bool(kind["gradient"])
        if f"gradient.{name}" in self.arrays:
            held._grad = self.tensor(self.arrays[f"gradient.{name}"])
            if held._grad.tensor_type != held.tensor_type:
                raise ValueError(
                    f"the gradient of {name} is {held._grad.tensor_type}, not {held.tensor_type}"
                )
        return held

    @staticmethod
    def tensor(array: Array) -> Tensor:
        return Tensor(array.data, array.dtype)

    # --- one program

    def program(self, number: int, record: dict[str, Any], signature: Signature) -> Program:
        graph = parse(self.metadata[f"dualgraph.graph.{number}"])
        check_graph(graph, self.limit)
        program = self.made(Program, graph, record, record["results"], signature)
        for vector in _list(record["vectors"]):
            self.vectors.append(self.vector(number, vector, program.trace))
        symbolic = record.get("symbolic")
        return program if symbolic is None else self.of_all_sizes(number, program, signature)

    def of_all_sizes(self, number: int, captured: Program, signature: Signature) -> Program:
        """A program of symbolic sizes, which is `captured` at those of its capture."""
        record = self.record["programs"][number]
        own = record["symbolic"]
        graph = parse(self.metadata[f"dualgraph.symbolic.{number}"])
        symbols = symbols_of(own["sizes"])
        make = partial(Template, symbols=symbols)
        program: Any = self.made(make, graph, record, own["results"], signature, own["sizes"])
        program.guards = tuple(condition_from(c, own["sizes"]) for c in _list(own["conditions"]))
        values = plain(symbols)
        if not program.same_capture(values) or program.captured_at(values) != captured.captured:
            raise ValueError("its program of all sizes is another one")
        return program  # type: ignore[no-any-return]

    def made(
        self, make: Callable[..., Program], graph: Graph, record: dict[str, Any], listed: Any, signature: Signature,
        sizes: Mapping[str, int] | None = None,
    ) -> Program:  # fmt: skip
        """The program that a graph, a record and its results are; `sizes`: what symbols in them are now."""
        sources, formulas = _list(record["inputs"]), self.formulas(record, signature)
        if len(sources) != len(graph.inputs):
            raise ValueError(
                f"{len(sources)} inputs are described, the graph has {len(graph.inputs)}"
            )
        graph = self.with_constants(graph, sources)
        blanks = self.blanks(signature)
        slots = tuple(
            self.slot(s, v.type, blanks, signature, formulas)
            for s, v in zip(sources[: len(graph.inputs)], graph.inputs, strict=True)
        )
        trace = self.trace(record, graph, slots, blanks)
        form = forms.decode(record["form"])
        given = 0 if formulas is None else len(formulas.gives)
        results = tuple(
            self.result(r, graph, len(slots), signature, sizes or {}, given) for r in _list(listed)
        )
        _check_results(results, form.num_leaves)
        contents = tuple(
            (_index(i, len(blanks), "leaf"), self.arrays[name].data)
            for i, name in _list(record["contents"])
        )
        said = tuple(_assumption(a) for a in _list(record["assumptions"]))
        name, footprint, places = str(record["name"]), Footprint([]), forms_of(slots)
        footprint.checks = list(places)
        program = make(
            name, trace, results, form, footprint, said, contents, bool(record["swept"]),
            bool(record["fast_math"]), CPU, None,
        )  # fmt: skip
        program.places, program.moves = places, self.moves(record, len(results))
        program.given = forms.decode(signature.form), tuple(blanks)
        if formulas is not None:
            numbers = record["numbers"]
            values = list(map(forms.value_of, _list(numbers["values"])))
            for i in _list(numbers["free"]):
                _index(i, len(formulas.sources), "number")
            program.promoted = LoadedNumbers(numbers, values, formulas)
            if len(values) != len(formulas.sources):
                raise ValueError("numbers have a value each")
        return program

    def moves(self, record: dict[str, Any], results: int) -> list[Move]:
        """What calls of a program leave in the state and among the numbers."""
        return [
            moved_to(
                self.state if name in self.state else self.numbers,
                name,
                _index(r, results, "result"),
            )
            for r, name in record.get("moves", ())
        ]

    def formulas(self, record: dict[str, Any], signature: Signature) -> Loaded | None:
        """What a program makes of Python numbers that may change; None where there are none."""
        numbers = record.get("numbers")
        if numbers is None:
            return None
        sources: list[Any] = []
        for kind, key in _list(numbers["sources"]):
            if kind == "leaf":
                i = _index(key, len(signature.kinds), "leaf")
                if signature.kinds[i].kind not in ("number", "value"):
                    raise ValueError(f"argument leaf {i} is no number")
                sources.append(Leaf(i, f"argument leaf {i}"))
            elif kind == "number" and key in self.numbers:
                sources.append(entry(self.numbers, key))
            else:
                raise ValueError(f"{key!r} is no number")
        kinds = _list(numbers["kinds"])
        if len(kinds) != len(sources) or not KINDS.keys() >= set(kinds):
            raise ValueError("numbers have a kind each")
        calls, gives = numbers.get("calls"), _list(numbers["gives"])
        if "steps" in numbers:  # a file of version 1 or 2
            calls, gives = calls_of(len(kinds), _list(numbers.pop("steps")), gives, {})
            numbers |= {"calls": calls, "gives": gives}
        return Loaded(sources, kinds, _list(calls), gives)

    def with_constants(self, graph: Graph, sources: list[Any]) -> Graph:
        """The graph with the constants that the file holds as arrays put back as nodes."""
        count = sum(s[0] == "constant" for s in sources)
        keep = len(sources) - count
        nodes = []
        for v, (kind, name) in zip(graph.inputs[keep:], sources[keep:], strict=True):
            if kind != "constant":
                raise ValueError("constants are the last inputs")
            data = ConstArray(self.arrays[name].data, self.arrays[name].dtype)
            if data.type != v.type:
                raise ValueError(f"{name} is {data.type}, the graph takes {v.type}")
            nodes.append(constant_node(data, v))
        return Graph(graph.inputs[:keep], (*nodes, *graph.nodes), graph.outputs)

    def blanks(self, signature: Signature) -> list[Any]:
        """For each argument leaf what stands for it: a tensor or array whose memory is never touched."""
        out: list[Any] = []
        for k in signature.kinds:
            if k.kind in ("value", "number"):
                out.append(k.value if k.kind == "value" else KINDS[k.value]())
            elif k.same is not None:
                out.append(out[k.same])
            else:
                if k.value.nbytes > self.limit:
                    raise ValueError(f"an argument {k.value} takes more memory than it may")
                data = np.empty(k.value.shape, k.value.dtype.numpy)
                out.append(Tensor(data, k.value.dtype) if k.kind == "tensor" else data)
                if k.kind == "tensor":
                    out[-1]._requires_grad = k.requires_grad
        return out

    def slot(
        self, source: Any, type: TensorType, blanks: list[Any], signature: Signature, formulas: Loaded | None
    ) -> Slot:  # fmt: skip
        kind, key = source
        if kind == "computed":
            count = 0 if formulas is None else len(formulas.gives)
            if type.shape:
                raise ValueError("a number has no axes")
            use: Any = Use(formulas, _index(key, count, "number"), f"number {key}", frozenset())  # type: ignore[arg-type]
            return Slot("computed", use, type)
        if kind == "leaf":
            i = _index(key, len(blanks), "leaf")
            leaf = signature.kinds[i]
            self.expect(
                type, leaf.value if leaf.kind in ("tensor", "array") else None, f"argument leaf {i}"
            )
            return Slot("leaf", (i, blanks[i]), type, leaf.requires_grad)
        if kind == "state":
            held = self.state[key]
            if isinstance(held, Tensor):
                self.expect(type, held.tensor_type, key)
                if key in self.moved:
                    return read_at(self.state, key)
                return Slot("tensor", held, type, held._requires_grad)
            self.expect(type._replace(dtype=type.dtype), type_of_array(held), key)
            return Slot("array", held, type)
        if kind == "number":
            if not isinstance(self.numbers.get(key), float) or type.shape:
                raise ValueError(f"{key!r} is no number")
            return Slot("number", (self.numbers, key), type)
        if kind == "gradient":
            owner = self.owner(key, blanks)
            self.expect(type, owner.tensor_type, "a gradient")
            if key[0] == "leaf":
                return Slot("leaf grad", key[1], type)
            if owner._grad is None:
                raise ValueError(f"the gradient of {key[1]} is missing")
            return Slot("grad", owner, type)
        raise ValueError(f"an input does not come from {kind!r}")

    @staticmethod
    def expect(type: TensorType, found: Any, what: str) -> None:
        if found != type:
            raise ValueError(f"{what} is {found}, the graph takes {type}")

    def owner(self, key: Any, blanks: list[Any]) -> Tensor:
        kind, name = key
        held = blanks[_index(name, len(blanks), "leaf")] if kind == "leaf" else self.state[name]
        if not isinstance(held, Tensor) or (kind != "leaf" and name in self.moved):
            raise ValueError(f"{name!r} has no gradient")
        return held

    def trace(
        self, record: dict[str, Any], graph: Graph, slots: tuple[Slot, ...], blanks: list[Any]
    ) -> Trace:
        outputs = graph.outputs
        given = _index(record["given"], len(outputs) + 1, "output")
        stores = []
        for i, o in _list(record["stores"]):
            store = Store(_index(i, len(slots), "input"), _index(o, len(outputs), "output"))
            self.expect(outputs[store.output].type, slots[store.input].type, "what is stored")
            if slots[store.input].kind in ("number", "grad", "leaf grad"):
                raise ValueError(f"a {slots[store.input].kind} is not written")
            stores.append(store)
        grads = []
        for key, o in _list(record["gradients"]):
            owner = self.owner(key, blanks)
            if o is not None:
                self.expect(
                    outputs[_index(o, len(outputs), "output")].type, owner.tensor_type, "a gradient"
                )
            grads.append(GradEffect(owner, o))
        entry = tuple((self.owner(key, blanks), bool(had)) for key, had in _list(record["entry"]))
        values = _list(record["values"])
        taken = outputs[len(outputs) - len(values) :]
        concrete = []
        for operand, (text, where) in zip(taken, values, strict=True):
            if operand.type.size != 1:
                raise ValueError("a value that was taken out has one element")
            concrete.append(Concrete(operand, forms.value_of(text), _location(where)))
        return Trace(graph, slots, tuple(stores), tuple(grads), entry, tuple(concrete), given)

    def result(
        self, r: dict[str, Any], graph: Graph, inputs: int, signature: Signature, sizes: Mapping[str, int], given: int
    ) -> Result:  # fmt: skip
        kind, key = r["kind"], r["key"]
        if kind not in RESULTS:
            raise ValueError(f"a result is no {kind!r}")
        if kind == "value":
            key = forms.value_of(key, sizes)
        else:
            lengths = {k: len(graph.outputs) for k in ("output", *NUMBERS)}
            lengths |= {"leaf": len(signature.kinds), "computed": given}
            _index(key, lengths.get(kind, inputs) if kind != "same" else 1 << 30, kind)
            if kind in NUMBERS and graph.outputs[key].type.size != 1:
                raise ValueError("a number is taken out of one element")
        chain = tuple(
            (lookup(n), {k: forms.value_of(v, sizes) for k, v in p.items()}) for n, p in r["chain"]
        )
        if not all(prim.aliases for prim, _ in chain):
            raise ValueError("a view is made by view ops")
        if kind == "view":
            self.view_type(graph.inputs[key].type, chain)
        if r["output"] is not None:
            _index(r["output"], len(graph.outputs), "output")
        return Result(
            kind, key, chain, bool(r["requires_grad"]), bool(r["released"]), r["base"], r["output"],
            array=bool(r.get("array")), op=str(r.get("op", "compiled")),
        )  # fmt: skip

    @staticmethod
    def view_type(type: TensorType, chain: Any) -> TensorType:
        """The type that view ops give; raises where they do not fit."""
        for prim, params in chain:
            (type,) = prim.infer((type,), params)
        return type

    def vector(self, number: int, record: dict[str, Any], trace: Trace) -> Vector:
        inputs = {}
        for place, name in record["inputs"].items():
            i = _index(int(place), len(trace.slots), "input")
            self.expect(trace.slots[i].type, _type(self.arrays[name]), name)
            inputs[i] = self.arrays[name].data
        own = {i for i, s in enumerate(trace.slots) if s.kind in GIVEN}
        if own != inputs.keys():
            raise ValueError("a vector lacks inputs")
        names = _list(record["outputs"])
        for name, v in zip(names, trace.graph.outputs, strict=True):
            self.expect(v.type, _type(self.arrays[name]), name)
        return Vector(number, inputs, tuple(self.arrays[n].data for n in names))


def _check_results(results: Sequence[Result], wanted: int) -> None:
    """ValueError where results are missing, or one is made of another that is not made by then."""
    if len(results) < wanted:
        raise ValueError("results are missing")
    for i, r in enumerate(results):
        for earlier in (r.base, r.key if r.kind == "same" else None):
            if earlier is None:
                continue
            other = results[_index(earlier, len(results), "result")]
            if other.kind == "same" or other.base is not None or earlier == i:
                raise ValueError(f"result {i} hangs on one that is not there yet")


def _type(array: Array) -> TensorType:
    return TensorType(array.dtype, array.data.shape)


def type_of_array(array: Any) -> TensorType:
    """The type of a NumPy array."""
    return Tensor(array).tensor_type


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a list is missing, there is {type(value).__name__}")
    return value


def _index(value: Any, length: int, what: str) -> int:
    if type(value) is not int or not 0 <= value < length:
        raise ValueError(f"there is no {what} {value!r}")
    return value


def _location(text: Any) -> Location:
    file, _, line = str(text).rpartition(":")
    return Location(file, int(line)) if line.isdigit() else NOWHERE


def _assumption(record: Any) -> Assumption:
    kind, name, value, where = map(str, record)
    return Assumption(kind, name, value, _location(where))
