"""Long code that a module has once, as a function of its own: what seldom runs, and words of many instructions.

LLVM takes as long for code that never runs as for other code, so what only some values need is written for a few
lanes at a time, and all places of a module that need it call that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....core.scalar import State
from .. import ir

if TYPE_CHECKING:
    from .scalar import Lanes, LLVMScalar

AT_ONCE = 4  # lanes of a function for what is seldom needed
I64, PTR, VOID = ir.IntType(64), ir.PointerType(), ir.VoidType()


def called(s: LLVMScalar, name: str, body: Callable[..., Lanes], given: State) -> Lanes:
    """``body(s, *given)``, a value of the dtype of those given, by a function with vectors as arguments."""
    dtype = given[0].dtype
    kind = s.type_of(dtype)
    function = _function(s, f"{name}.{s.lanes}.{dtype}", ir.FunctionType(kind, [kind] * len(given)))
    if not function.blocks:
        inner = s.like(ir.IRBuilder(function.append_basic_block()))
        inner.builder.ret(body(inner, *(inner.wrap(x, dtype) for x in function.args)).ir)
    return s.wrap(s.builder.call(function, [x.ir for x in given]), dtype)


def rarely(
    s: LLVMScalar, condition: Lanes, slow: Callable[..., State], given: State, fast: State
) -> State:
    """``slow(s, *given)`` where the condition holds, `fast` in other lanes; a branch, as it seldom holds anywhere."""
    builder = s.builder
    before = builder.block
    rare, after = (builder.function.append_basic_block(name) for name in ("rare", "after"))
    builder.cbranch(s.any(condition), rare, after, weights=(1, 1000))
    builder.position_at_end(rare)
    dtypes = tuple(x.dtype for x in fast)
    found = _in_pieces(s, slow, given, dtypes) if s.lanes > AT_ONCE else slow(s, *given)
    mixed = [s.select(condition, a, b) for a, b in zip(found, fast, strict=True)]
    rare_end = builder.block
    builder.branch(after)
    builder.position_at_end(after)
    out = []
    for a, b in zip(mixed, fast, strict=True):
        phi = builder.phi(a.ir.type)
        phi.add_incoming(a.ir, rare_end)
        phi.add_incoming(b.ir, before)
        out.append(s.wrap(phi, a.dtype))
    return tuple(out)


def _in_pieces(
    s: LLVMScalar, slow: Callable[..., State], given: State, dtypes: tuple[str, ...]
) -> State:
    """``slow(s, *given)`` by a function of addresses, which takes a few lanes at a time. Bools cannot pass."""
    builder = s.builder
    names = [x.dtype for x in given]
    name = f"{slow.__module__}.{slow.__qualname__}.{s.lanes}.{'.'.join(names)}"
    function = _function(s, name, ir.FunctionType(VOID, [PTR] * (len(given) + len(dtypes))))
    if not function.blocks:
        _write_pieces(s, function, slow, names, dtypes)
    with builder.goto_entry_block():
        places = [builder.alloca(s.type_of(dtype)) for dtype in (*names, *dtypes)]
    for x, place in zip(given, places[: len(given)], strict=True):
        builder.store(x.ir, place)
    builder.call(function, places)
    results = zip(places[len(given) :], dtypes, strict=True)
    return tuple(s.wrap(builder.load(p, typ=s.type_of(d)), d) for p, d in results)


def _write_pieces(
    s: LLVMScalar,
    function: ir.Function,
    slow: Callable[..., State],
    given: list[str],
    results: tuple[str, ...],
) -> None:
    """The function that `_in_pieces` calls: a loop over pieces of the vectors at its arguments."""
    entry, head, body, after = (
        function.append_basic_block(n) for n in ("entry", "head", "body", "after")
    )
    builder = ir.IRBuilder(entry)
    inner = s.like(builder, AT_ONCE)
    builder.branch(head)
    builder.position_at_end(head)
    at = builder.phi(I64)
    builder.cbranch(builder.icmp_signed("<", at, ir.Constant(I64, s.lanes)), body, after)
    builder.position_at_end(body)
    kinds = [inner.type_of(dtype) for dtype in (*given, *results)]
    places = [
        builder.gep(start, [at], source_etype=kind.element)  # type: ignore[attr-defined]
        for start, kind in zip(function.args, kinds, strict=True)
    ]
    loads = zip(places[: len(given)], kinds[: len(given)], given, strict=True)
    xs = [inner.wrap(builder.load(p, typ=k), d) for p, k, d in loads]
    for x, place in zip(slow(inner, *xs), places[len(given) :], strict=True):
        builder.store(x.ir, place)
    at.add_incoming(ir.Constant(I64, 0), entry)
    at.add_incoming(builder.add(at, ir.Constant(I64, AT_ONCE)), builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    builder.ret_void()


def _function(s: LLVMScalar, name: str, kind: ir.FunctionType) -> ir.Function:
    """The module's function of a name, without blocks if it is new."""
    module = s.builder.module
    if name not in module.globals:
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
    found: ir.Function = module.globals[name]
    return found
