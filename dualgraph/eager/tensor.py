"""Tensor: an array, its device, and its place on the tape."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..core.backend import backend_for
from ..core.context import grad_mode, state, tell, told, untraced
from ..core.devices import CPU, Device
from ..core.dtypes import DType, bfloat16, from_bfloat16, from_numpy
from ..core.errors import AutogradError, DTypeError, describe
from ..core.node import TapeNode
from ..core.numbers.live import NUMBER_IN
from ..core.types import TensorType

Edge = tuple[TapeNode, int]


class Tensor:
    """A multi-dimensional array that can take part in differentiation and capture.

    Make one with ``dg.tensor`` (copies), ``dg.asarray`` (shares memory) or a creation function.

    Invariants: a view has a parent and shares its version cell; ``_node`` is None on leaves that no
    gradient has passed and on tensors that require none.

        >>> x = dg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([[2., 4.],
                [6., 8.]])
    """

    __array_priority__ = 1000
    # At fixed places, where native code finds them. Users may set attributes of their own.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_cell",
        "_data",
        "_grad",
        "_index",
        "_node",
        "_parent",
        "_requires_grad",
        "_stamp",
        "device",
        "dtype",
    )

    _cell: list[Any] | None  # [version, place of the last write]
    _grad: Tensor | None
    _node: TapeNode | None
    _parent: tuple[Tensor, Any, dict[str, Any]] | None
    _dims: tuple[int, ...] | None = None  # symbolic sizes, while a capture goes on that has some

    def __init__(self, data: Any, dtype: DType | None = None, device: Device = CPU) -> None:
        self._data = data
        if dtype is None:
            if isinstance(data, Tensor) or not hasattr(data, "dtype"):
                problem = "Tensor() is the wrapper of an array"
                remedy = "write dg.tensor(data), or dg.empty(sizes)"
                raise DTypeError(describe("Tensor", type(data).__name__, problem, remedy))
            dtype = from_numpy(data.dtype)
        self.dtype = dtype
        self.device = device
        self._requires_grad = False
        self._node = self._grad = self._cell = self._parent = None
        self._index = self._stamp = 0

    # --- what it is ---

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._data.shape
        return shape if self._dims is None else told(self._dims, shape)

    @property
    def ndim(self) -> int:
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def tensor_type(self) -> TensorType:
        """Dtype, shape and device as one record."""
        return TensorType(
            self.dtype, self._data.shape if self._dims is None else self.shape, self.device
        )

    # --- versions and views ---

    @property
    def _version(self) -> int:
        return 0 if self._cell is None else self._cell[0]

    def _version_cell(self) -> list[Any]:
        if self._cell is None:
            self._cell = [0, None]
        return self._cell

    def _another(self) -> Tensor:
        """Another tensor of the same memory, without a place on the tape."""
        out = Tensor(self._data, self.dtype, self.device)
        out._cell = self._version_cell()
        return out

    def _become_view_of(self, parent: Tensor, prim: Any, params: dict[str, Any]) -> None:
        self._parent = (parent, prim, params)
        self._cell = parent._version_cell()
        self._stamp = self._cell[0]

    def _root(self) -> Tensor:
        """The tensor whose memory this is a view of (itself when it is none)."""
        t = self
        while t._parent is not None:
            t = t._parent[0]
        return t

    def _is_stale(self) -> bool:
        """Whether this is a view whose memory was written since its place on the tape was set."""
        return self._parent is not None and self._stamp != self._cell[0]  # type: ignore[index]

    def _refresh(self) -> Tensor:
        """Gives a stale view the history of its written base: that of the view op taken again, which is the result."""
        parent, prim, params = self._parent  # type: ignore[misc]
        tracer = state.tracer
        outside = tracer is not None and tracer.is_root(self)  # a capture takes it as it is
        with grad_mode(True), untraced() if outside else nullcontext():
            again = prim(parent, **params)
        self._node, self._index = again._node, again._index
        self._stamp = self._version
        return again  # type: ignore[no-any-return]

    # --- the tape ---

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        if self._parent is not None and self._is_stale():
            self._refresh()
        return self._requires_grad or self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Asks for (or drops) gradients of this leaf, in place."""
        if requires_grad and not self.dtype.is_inexact:
            raise DTypeError(
                describe(
                    "requires_grad_",
                    str(self.tensor_type),
                    "only floating and complex tensors have gradients",
                    "cast with .float()",
                )
            )
        if not self.is_leaf and not requires_grad:
            raise AutogradError(
                describe(
                    "requires_grad_",
                    str(self.tensor_type),
                    "this tensor is the result of an op",
                    "use .detach() for a tensor without history",
                )
            )
        if self.is_leaf:
            if requires_grad and not self._requires_grad and state.tracer is not None:
                state.tracer.require(self)
            self._requires_grad = requires_grad
            if not requires_grad:
                self._node = None
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return self._node is None or self._node.prim is None

    @property
    def grad_fn(self) -> TapeNode | None:
        """The tape node that made this tensor; None on leaves."""
        return None if self.is_leaf or not self.requires_grad else self._node

    def _edge(self) -> Edge | None:
        """Where a cotangent of this tensor goes; None when no gradient is wanted."""
        if self._parent is not None and self._is_stale():
            self._refresh()
        if self._node is None:
            if not self._requires_grad:
                return None
            self._node = TapeNode(None, (), {}, (self.tensor_type,), saved=weakref.ref(self))
        return self._node, self._index

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None."""
        if state.tracer is not None:
            state.tracer.read_grad(self)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise DTypeError(f"a gradient is a tensor or None, not {type(value).__name__}")
            if value.shape != self.shape or value.dtype is not self.dtype:
                raise AutogradError(
                    describe(
                        "grad",
                        f"{self.tensor_type}, {value.tensor_type}",
                        "a gradient has the type of its tensor",
                    )
                )
        self._set_grad(value)

    def _set_grad(self, value: Tensor | None) -> None:
        if state.tracer is not None:
            state.tracer.write_grad(self, value)
        self._grad = value

    # --- values ---

    def _concrete(self, what: str) -> Any:
        """The NumPy array, for leaving the tensor world; a capture in progress is told."""
        if state.batching is not None:
            state.batching.refuse(self, what)
        array = backend_for(self.device).to_numpy(self._data)
        if self.dtype is bfloat16:
            array = from_bfloat16(array)
        if state.tracer is not None:
            state.tracer.escape(self, what, array)
        return array

    def item(self) -> Any:
        """The only element as a Python number."""
        if self._data.size != 1:
            raise ValueError(
                describe(
                    "item",
                    str(self.tensor_type),
                    f"a tensor of {self._data.size} elements is not one number",
                    "use .tolist()",
                )
            )
        if state.batching is not None:
            state.batching.refuse(self, "item()")
        array = backend_for(self.device).to_numpy(self._data)
        if self.dtype is bfloat16:
            array = from_bfloat16(array)
        value = array.item()
        if state.tracer is not None:
            value = state.tracer.concretize(self, value)
        return value

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                describe(
                    "bool",
                    str(self.tensor_type),
                    "the truth of several elements is ambiguous",
                    "use .any() or .all()",
                )
            )
        value = self.item()
        return bool(value)

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if not (self.dtype.is_integer or self.dtype.kind == "bool"):
            raise TypeError(
                describe(
                    "index",
                    str(self.tensor_type),
                    "only integer tensors can serve as an index",
                    "cast with .long()",
                )
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError(describe("len", str(self.tensor_type), "a 0-d tensor has no length"))
        if self._dims is not None:
            tell()
        return int(self._data.shape[0])

    __hash__ = object.__hash__  # by identity, without a frame of Python

    if TYPE_CHECKING:  # methods and operators built of ops are attached by modules above this one

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def __contains__(self, value: Any) -> bool: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __neg__(self) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...

        __pos__ = __abs__ = __invert__ = __neg__
        __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __matmul__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = (
            __add__
        )
        __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __rmatmul__ = __add__
        __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = __add__
        __lt__ = __le__ = __gt__ = __ge__ = __add__
        __eq__ = __ne__ = __add__  # type: ignore[assignment]


NUMBER_IN[Tensor] = Tensor.item
