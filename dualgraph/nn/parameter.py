"""Parameters and buffers: tensors that a module trains, and those that are its state besides."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..eager import Tensor, asarray, empty


class Parameter(Tensor):
    """A leaf tensor that registers itself when it is assigned to a module's attribute.

    It shares the memory of `data` and requires gradients unless told otherwise.

    >>> dg.nn.Parameter(dg.zeros(2)).requires_grad
    True
    """

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        source = data if isinstance(data, Tensor) else asarray(data)
        super().__init__(source._data, source.dtype, source.device)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameter, (self.detach(), self.requires_grad)


class Buffer(Tensor):
    """A tensor that becomes a buffer of the module to an attribute of which it is assigned.

    It shares the memory of `data`. With ``persistent=False`` it is left out of ``state_dict``.

    >>> layer = dg.nn.Module()
    >>> layer.steps = dg.nn.Buffer(dg.zeros(1))
    >>> list(layer.state_dict())
    ['steps']
    """

    def __init__(self, data: Any = (), *, persistent: bool = True) -> None:
        source = data if isinstance(data, Tensor) else asarray(data)
        super().__init__(source._data, source.dtype, source.device)
        self.persistent = persistent

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Buffer, persistent=self.persistent), (self.detach(),)


class Uninitialized:
    """A tensor of a lazy layer whose shape is not known yet; until then it has no elements."""

    __slots__ = ()
    becomes: type

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Makes it a plain parameter (or buffer) of a shape; its values are not set."""
        made = empty(shape, dtype=dtype or self.dtype, device=device or self.device)
        self.data = made
        self.__class__ = self.becomes

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape is not known yet.

    >>> p = dg.nn.UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> p.shape, type(p).__name__
    ((2, 3), 'Parameter')
    """

    becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        Parameter.__init__(self, empty(0, device=device, dtype=dtype), requires_grad)

    def __reduce__(self) -> tuple[Any, ...]:
        return UninitializedParameter, (self.requires_grad, str(self.device), self.dtype)


class UninitializedBuffer(Uninitialized, Tensor):
    """A buffer whose shape is not known yet.

    >>> b = dg.nn.UninitializedBuffer()
    >>> b.materialize((2,))
    >>> b.shape, type(b).__name__
    ((2,), 'Tensor')
    """

    becomes = Tensor

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        source = empty(0, device=device, dtype=dtype)
        Tensor.__init__(self, source._data, source.dtype, source.device)

    def __reduce__(self) -> tuple[Any, ...]:
        return UninitializedBuffer, (False, str(self.device), self.dtype)
