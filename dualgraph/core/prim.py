"""Prim: one op - its kernel, its type rule, its derivative and its traits, all in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .errors import GraphError
from .node import TapeOp
from .types import TensorType

if TYPE_CHECKING:
    from .kinds import Kind

REGISTRY: dict[str, Prim] = {}


def _unbound(prim: Prim, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    raise RuntimeError("no dispatcher is registered: import dualgraph, not one of its parts")


def _nothing(*_: Any) -> Any:
    return None


class Dispatch:
    """Hooks between op definitions and what runs them: the eager layer installs `bind` here."""

    bind: Callable[[Prim, tuple[Any, ...], dict[str, Any]], Any] = staticmethod(_unbound)
    # What a native quick path wants to know; and what makes one, once ops were called often enough.
    store: Callable[[Any, Any], bool] = staticmethod(_nothing)
    overwrite: Callable[..., bool] = staticmethod(_nothing)
    planned: Callable[[Prim, int, Any], None] = staticmethod(_nothing)
    forgot: Callable[[], None] = staticmethod(_nothing)
    quicken: Callable[[], None] = staticmethod(_nothing)
    large: Callable[[], None] = staticmethod(_nothing)  # told of each large result until then
    # Whether an operand of a contraction is a matrix that lies column by column, where no layout changes bits.
    lies_turned: Callable[[Any, Any], bool] = staticmethod(_nothing)


class Prim(TapeOp):
    """An op. Calling it runs it: at once, on the tape, and into the capture in progress.

    Traits that passes and backends ask for:

    * ``commutative``: ``op(x, y)`` has the bits of ``op(y, x)``; "real": of real operands (ask `commutes`)
    * ``aliases``: the result may share memory with the first operand (a view)
    * ``can_fail``: values, not types, can make the kernel raise (an index out of range)
    * ``inexpensive``: recomputing costs no more than reading the result back (set by kinds)
    """

    # At fixed places, where native code finds them: plans of elementwise calls, recipes of other calls.
    __slots__ = ("__dict__", "__weakref__", "recipes", "table")

    def __init__(
        self,
        name: str,
        kind: Kind,
        kernel: Callable[..., Any],
        *,
        doc: str = "",
        commutative: bool | str = False,
        aliases: bool = False,
        can_fail: bool = False,
        multiple: bool = False,
        samples: Any = None,
        **details: Any,
    ) -> None:
        if name in REGISTRY:
            raise GraphError(f"an op named {name!r} exists already; names of ops are unique")
        self.name = name
        self.kind = kind
        self.kernel = kernel
        self.commutative = commutative
        self.aliases = aliases
        self.can_fail = can_fail
        self.multiple = multiple
        self.sample_rule = samples
        self.details = details  # what only the kind understands
        self.type_rule: Callable[..., Any] | None = None
        self.vjp_rule: Callable[..., Any] | None = None
        self.batch_rule: Callable[..., Any] | None = None
        self.put_rule: Callable[..., Any] | None = None
        self.into: Callable[..., None] | None = None
        self.oracle: Callable[..., Any] | None = None
        self.reads_out = True
        self.reads: tuple[bool, ...] = ()
        self.reads_rest = True
        self.cache: dict[Any, Any] = {}
        self.recipes: dict[Any, Any] = {}
        self.plans: dict[int, Any] = {}  # of the eager quick path
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc or kernel.__doc__
        self.__module__ = kernel.__module__
        self.__wrapped__ = kernel
        REGISTRY[name] = self

    def __call__(self, *args: Any, **params: Any) -> Any:
        return Dispatch.bind(self, args, params)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __getattr__(self, name: str) -> Any:
        if name != "__signature__":
            raise AttributeError(f"op {self.__dict__.get('name')} has no attribute {name!r}")
        self.__signature__ = _public_signature(self.kernel)  # takes long: worked out when asked for
        return self.__signature__

    def __reduce__(self) -> tuple[Any, ...]:
        return lookup, (self.name,)

    def infer(
        self, types: tuple[TensorType, ...], params: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        """Result types for operand types; raises the error a user sees for operands that do not fit."""
        return self.kind.infer(self, types, params)

    def type(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the type rule ``(*types, **params) -> TensorType``."""
        self.type_rule = rule
        return rule

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``rule(ct, out, *operands, **params)`` gives one cotangent an operand.

        It is written in public ops. An entry is a tensor, None (no gradient), or a function of no
        arguments that is only called when that gradient is wanted. An operand whose name starts
        with ``_`` is not kept: the rule sees its type (shape, dtype) in its place.
        """
        self.vjp_rule = rule
        code = rule.__code__
        _, *read = (not name.startswith("_") for name in code.co_varnames[: code.co_argcount])
        self.reads_out, self.reads = read[0], tuple(read[1:])
        if code.co_flags & inspect.CO_VARARGS:
            variadic = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
            self.reads_rest = not variadic.startswith("_")
        return rule

    def saves(self, i: int) -> bool:
        """Whether the vjp rule reads the values of operand `i`."""
        return self.reads[i] if i < len(self.reads) else self.reads_rest

    def commutes(self, operands: Iterable[Any]) -> bool:
        """Whether these operands of a node give the same bits in either order."""
        if self.commutative == "real":
            return not any(x.type.dtype.is_complex for x in operands)
        return bool(self.commutative)

    def batch(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: ``rule(lift, args, batched, **params)`` runs the op with the batch as axis 0 of operands.

        ``batched`` says of which; ``lift`` brings the others to where the op can take them (`eager.lift.Lift`).
        """
        self.batch_rule = rule
        return rule

    def put(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator, for views: ``rule(base, new, **params)`` is `base` with the viewed part replaced."""
        self.put_rule = rule
        return rule

    def writes(self, rule: Callable[..., None]) -> Callable[..., None]:
        """Decorator: ``rule(out, *arrays, **params)`` computes into memory that is there, on NumPy arrays."""
        self.into = rule
        return rule

    def reference(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: an independent NumPy or mpmath oracle for the generated tests."""
        self.oracle = rule
        return rule


# Each call defines further ops: those of parts that are imported when needed.
LATE: list[Callable[[], Any]] = []


def lookup(name: str) -> Prim:
    """The op of this name."""
    while name not in REGISTRY and LATE:
        LATE.pop()()
    try:
        return REGISTRY[name]
    except KeyError:
        raise GraphError(f"there is no op named {name!r}") from None


def _public_signature(kernel: Callable[..., Any]) -> inspect.Signature:
    """The kernel's signature without its machine argument (`s` or `xp`)."""
    parameters = list(inspect.signature(kernel).parameters.values())[1:]
    return inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
