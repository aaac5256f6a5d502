"""Signatures: which arguments a saved program takes, and what is wrong with others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.constant import exact
from ..core.context import state
from ..core.dtypes import BY_NAME, from_numpy
from ..core.errors import CaptureError, problem_of
from ..core.trees import TreeDef
from ..core.types import TensorType, parse_type
from ..eager.tensor import Tensor
from ..jit.program import Program
from ..static.checks import ATOMS
from . import forms
from .numbers import KINDS


class Leaf(NamedTuple):
    """One leaf of the arguments.

    ``kind``: "tensor" or "array" (`value` is the type), "value" (`value` is the Python value), or "number" (any one
    of the type whose name is `value`).
    ``same``: the earlier leaf that is the same object, if there is one.
    """

    kind: str
    value: Any
    requires_grad: bool = False
    same: int | None = None

    def misfit(self, given: Any) -> str | None:
        """What is wrong with `given` in this place, or None."""
        if self.kind == "value":
            fits = type(given) is type(self.value) and exact(given) == exact(self.value)
            return (
                None
                if fits
                else f"is {_short(given)}, the program was captured with {self.value!r}"
            )
        if self.kind == "number":
            fits = type(given).__name__ == self.value
            return None if fits else f"is {_short(given)}, the program takes any {self.value}"
        wanted = Tensor if self.kind == "tensor" else np.ndarray
        if not isinstance(given, wanted):
            return f"is {_short(given)}, not a {self.kind} {self.value}"
        if type_of(given) != self.value:
            return f"is {type_of(given)}, the program takes {self.value}"
        if self.kind == "tensor" and given.requires_grad and not self.requires_grad and state.grad:
            return "requires gradients, which the program was captured without; detach() it"
        return None


class Signature(NamedTuple):
    """The structure of ``(args, kwargs)`` as JSON, its leaves, and those of the capture where they are known."""

    form: Any
    kinds: tuple[Leaf, ...]
    leaves: tuple[Any, ...] = ()

    def misfit(self, leaves: list[Any], structure: TreeDef) -> str | None:
        """Why these arguments are not what the program takes, or None."""
        try:
            form = forms.encode(structure)
        except CaptureError as problem:
            return problem_of(problem)
        if form != self.form:
            return f"arguments of structure {_form_text(form)}, not {_form_text(self.form)}"
        for i, (kind, given) in enumerate(zip(self.kinds, leaves, strict=True)):
            problem = kind.misfit(given)
            if problem is None and kind.same is not None and given is not leaves[kind.same]:
                problem = f"is not the same object as leaf {kind.same}, as it was when captured"
            if problem is not None:
                return f"argument leaf {i} {problem}"
        return None

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        listed = []
        for k in self.kinds:
            value = forms.text_of(k.value) if k.kind == "value" else str(k.value)
            listed.append([k.kind, value, k.requires_grad, k.same])
        return {"arguments": self.form, "leaves": listed}


def from_json(record: dict[str, Any]) -> Signature:
    """What `Signature.as_json` wrote; ValueError (or another of its kind) where that is damaged."""
    kinds = []
    for i, (kind, value, requires_grad, same) in enumerate(record["leaves"]):
        if kind not in ("tensor", "array", "value", "number"):
            raise ValueError(f"an argument is no {kind!r}")
        if kind == "number" and value not in KINDS:
            raise ValueError(f"a number is no {value!r}")
        if same is not None and not (type(same) is int and 0 <= same < i):
            raise ValueError(f"leaf {i} cannot be the same as {same!r}")
        read = forms.value_of(value) if kind == "value" else value
        read = read if kind in ("value", "number") else parse_type(value)
        kinds.append(Leaf(kind, read, bool(requires_grad), same))
    if forms.decode(record["arguments"]).num_leaves != len(kinds):
        raise ValueError("the arguments have another number of leaves")
    return Signature(record["arguments"], tuple(kinds))


def signature_of(program: Program) -> Signature:
    """The signature of a captured program; CaptureError where an argument cannot be in a file."""
    if program.given is None:
        raise CaptureError("its arguments are not known")
    structure, leaves = program.given
    if len(leaves) > structure.num_leaves:
        raise CaptureError(
            "what it keeps has other sizes after each call; pass that as an argument, and return it"
        )
    first: dict[int, int] = {}
    kinds = []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, (Tensor, np.ndarray)):
            kind = "tensor" if isinstance(leaf, Tensor) else "array"
            same = first.get(id(leaf))
            grad = kind == "tensor" and _slot_grad(program, i, leaf)
            kinds.append(Leaf(kind, type_of(leaf), grad, same))
            first.setdefault(id(leaf), i)
        elif program.is_free(i) and type(leaf).__name__ in KINDS:
            kinds.append(Leaf("number", type(leaf).__name__))
        elif isinstance(leaf, ATOMS):
            forms.text_of(leaf)
            kinds.append(Leaf("value", leaf))
        else:
            raise CaptureError(
                f"argument leaf {i} is a {type(leaf).__name__}, which a file cannot hold; let the "
                "function close over it (its tensors become the program's state)"
            )
    return Signature(forms.encode(structure), tuple(kinds), leaves)


def _slot_grad(program: Program, i: int, leaf: Tensor) -> bool:
    """Whether the leaf required gradients when it was captured."""
    found = (s.requires_grad for s in program.trace.slots if s.kind == "leaf" and s.key[0] == i)
    return next(found, leaf.requires_grad)


def type_of(value: Any) -> TensorType:
    """The type of a tensor or an array."""
    if isinstance(value, Tensor):
        return value.tensor_type
    if value.dtype.name not in BY_NAME or not value.dtype.isnative:
        raise CaptureError(f"an array of {value.dtype} cannot be saved")
    return TensorType(from_numpy(value.dtype), value.shape)


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {value.tensor_type}"
    text = repr(value) if isinstance(value, ATOMS) else f"a {type(value).__name__}"
    return text if len(text) < 60 else text[:57] + "..."


def _form_text(form: Any) -> str:
    """``(*, {x: *})``."""
    if form == "*":
        return "*"
    kind, *rest = form
    inner = [_form_text(c) for c in rest[-1]]
    if kind in ("tuple", "list"):
        opening, closing = ("(", ")") if kind == "tuple" else ("[", "]")
        return opening + ", ".join(inner) + closing
    keys = rest[0] if kind != "record" else rest[1]
    pairs = ", ".join(f"{k}: {v}" for k, v in zip(keys, inner, strict=True))
    return f"{rest[0] if kind == 'record' else ''}{{{pairs}}}"
