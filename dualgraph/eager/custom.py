"""User-defined functions: forward and backward written by hand, one entry on the tape."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.context import grad_mode, state
from ..core.errors import AutogradError, describe, user_place
from ..core.node import TapeNode, TapeOp
from ..ops.creation import full
from ..ops.movement import alias
from .tensor import Tensor


class FunctionContext:
    """What forward leaves for backward: saved tensors and any attributes, which ``grad_fn`` of the results has, too.

    >>> class Double(dg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, factor):
    ...         ctx.factor = factor
    ...         return x * factor
    ...     @staticmethod
    ...     def backward(ctx, ct):
    ...         return ct * ctx.factor, None
    >>> x = dg.tensor(1.0, requires_grad=True)
    >>> Double.apply(x, 3.0).backward()
    >>> x.grad.item()
    3.0
    """

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        # By hooks on saved tensors, in place of the above
        self._packed: tuple[Any, ...] | None = None
        self.needs_input_grad: tuple[bool, ...] = ()
        self._non_differentiable: set[int] = set()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward; writing them in place later is noticed."""
        packed = getattr(state.batching, "packed", None)  # hooks on saved tensors are on
        if packed is None:
            self._saved = tuple((t, None if t is None else t._version) for t in tensors)
        else:
            self._packed = tuple(None if t is None else packed(t, t._edge()) for t in tensors)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says that no gradient flows to these results."""
        self._non_differentiable = {id(t) for t in tensors}

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors where nothing was kept for backward: tangents are made of gradients."""
        if not self._saved and self._packed is None:
            self.save_for_backward(*tensors)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Accepted for compatibility: in-place writes are tracked without it."""

    def set_materialize_grads(self, value: bool) -> None:
        """Whether results without a gradient get zeros (True) or None in backward."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept."""
        if self._packed is not None:
            return tuple(p and p.restored("saved_tensors") for p in self._packed)
        for t, version in self._saved:
            if t is not None and t._version != version:
                raise AutogradError(
                    describe(
                        "saved_tensors",
                        str(t.tensor_type),
                        "a saved tensor was changed in place",
                        "save a .clone()",
                    )
                )
        return tuple(t for t, _ in self._saved)


class _FunctionOp(TapeOp):
    """A user's function as the op of a tape node."""

    multiple = True
    reads_out = False

    def __init__(self, cls: type[Function], ctx: FunctionContext, edges: tuple[Any, ...]) -> None:
        self.name = cls.__name__
        self.cls = cls
        self.context = ctx
        self.edges = edges

    def saves(self, i: int) -> bool:
        return False

    def vjp_rule(self, cts: tuple[Any, ...], outs: Any, *operands: Any) -> tuple[Any, ...]:
        if self.context.materialize_grads:
            cts = tuple(
                full(shape=t.shape, value=0, dtype=t.dtype.name, device=str(t.device))
                if c is None
                else c
                for c, t in zip(cts, outs, strict=True)
            )
        given = self.cls.backward(self.context, *cts)
        given = given if isinstance(given, tuple) else (given,)
        if len(given) < len(operands):
            raise AutogradError(
                describe(
                    self.name,
                    "",
                    f"backward gave {len(given)} gradients for {len(operands)} inputs",
                )
            )
        return given[: len(operands)]


class VmapInfo(NamedTuple):
    """What `Function.vmap` is told: how many examples there are, and how random numbers are drawn for them."""

    batch_size: int
    randomness: str


class Function:
    """Base of user-defined differentiable functions: static `forward(ctx, ...)` and `backward(ctx, *cts)`.

    >>> import dualgraph as dg
    >>> class Cube(dg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, ct):
    ...         (x,) = ctx.saved_tensors
    ...         return ct * 3 * x * x
    >>> x = dg.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward(); x.grad.item()
    12.0
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the result; whatever backward needs is kept on `ctx`."""
        raise AutogradError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Gives one gradient (or None) for each argument of forward."""
        raise AutogradError("a Function needs a static method backward(ctx, ...)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keeps what backward needs; where it is defined, forward takes no `ctx`."""

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        """Gives the results for all examples, and which axis has the examples in each; where it is defined, it runs
        in the place of `forward` inside of a `vmap`.

        `in_dims` says which axis has the examples in each argument (None: it is the same for all). Needs
        `setup_context`.
        """
        raise AutogradError("this Function has no static method vmap(info, in_dims, ...)")

    @classmethod
    def run(cls, ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Forward in either of its forms."""
        if cls.setup_context is Function.setup_context:
            return cls.forward(ctx, *args, **kwargs)
        result = cls.forward(*args, **kwargs)  # type: ignore[call-arg]
        cls.setup_context(ctx, args, result)
        return result

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward without the tape and puts the whole function on it as one entry."""
        ctx = FunctionContext()
        edges = tuple(a._edge() if isinstance(a, Tensor) else None for a in args)
        tracked = state.grad and any(e is not None for e in edges)
        ctx.needs_input_grad = tuple(e is not None for e in edges)
        batching = state.batching
        if batching is not None and cls.vmap is not Function.vmap and batching.applies(args):
            result = batching.by_hand(cls, args)
            cls.setup_context(ctx, args, result)
        elif batching is not None and batching.lifts(args):
            result = batching.custom(cls, ctx, args, kwargs)
        else:
            with grad_mode(False):
                result = cls.run(ctx, *args, **kwargs)
        if not tracked:
            return result
        several = isinstance(result, tuple)
        outs = [
            alias(o) if any(o is a for a in args) else o for o in (result if several else (result,))
        ]
        op = _FunctionOp(cls, ctx, edges)
        node = TapeNode(op, edges, {}, tuple(o.tensor_type for o in outs), user_place())
        node.saved = (tuple(a.tensor_type if isinstance(a, Tensor) else None for a in args), None)
        for i, out in enumerate(outs):
            if out.dtype.is_inexact and id(out) not in ctx._non_differentiable:
                out._node, out._index = node, i
        return tuple(outs) if several else outs[0]
