"""Parametrizations: modules that a parameter goes through each time it is read.

The parameter moves to ``module.parametrizations.<name>.original``, which is trained in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, no_grad
from .. import computed
from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

# By the id of a module, which is held with what it gave: another one may have the id of one that is gone.
_cache: dict[tuple[int, str], tuple[Module, Tensor]] | None = None


@dataclass(frozen=True)
class _Through:
    """The attribute is what the parametrizations of that name make of their originals."""

    name: str

    def __call__(self, module: Module) -> Tensor:
        chain: ParametrizationList = module.parametrizations[self.name]
        if _cache is None:
            return chain()
        key = id(module), self.name
        if key not in _cache:
            _cache[key] = module, chain()
        return _cache[key][1]

    def assign(self, module: Module, value: Tensor) -> None:
        module.parametrizations[self.name].right_inverse(value)


class ParametrizationList(ModuleList):
    """The parametrizations of one parameter, in order, and the originals: ``original``, or ``original0`` and so on.

    >>> class Positive(dg.nn.Module):
    ...     def forward(self, w):
    ...         return w.exp()
    >>> layer = dg.nn.Linear(2, 1)
    >>> _ = dg.nn.utils.parametrize.register_parametrization(layer, "weight", Positive())
    >>> found = layer.parametrizations["weight"]
    >>> len(found), bool((layer.weight == found.original.exp()).all())
    (1, True)
    """

    def __init__(self, module: Module, original: Tensor) -> None:
        super().__init__([module])
        self.trained = isinstance(original, Parameter)
        with no_grad():
            parts = _inverse(module, original)
        self.is_tensor = isinstance(parts, Tensor)
        self.ntensors = 1 if self.is_tensor else len(parts)
        for name, part in zip(self._names(), [parts] if self.is_tensor else parts, strict=True):
            self._hold(name, part, original)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _hold(self, name: str, part: Tensor, original: Tensor) -> None:
        if part is original:
            kept: Tensor = original
        else:
            kept = part.detach().clone()
            kept = Parameter(kept, original.requires_grad) if self.trained else kept
        if self.trained:
            self.register_parameter(name, kept)  # type: ignore[arg-type]
        else:
            self.register_buffer(name, kept)

    def forward(self) -> Tensor:  # type: ignore[override]
        parts = [getattr(self, name) for name in self._names()]
        first, *rest = self
        out: Tensor = first(*parts)
        for module in rest:
            out = module(out)
        return out

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals so that the parametrized tensor becomes `value`, as far as the modules can."""
        with no_grad():
            parts: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise ArgumentError(
                        f"{type(module).__name__} has no right_inverse, so nothing can be assigned through it"
                    )
                parts = _inverse(module, parts)
            for name, part in zip(self._names(), [parts] if self.is_tensor else parts, strict=True):
                getattr(self, name).copy_(part)


def _inverse(module: Module, value: Any) -> Any:
    inverse = getattr(module, "right_inverse", None)
    return value if inverse is None else inverse(value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Has ``module.<tensor_name>`` go through `parametrization`; further ones are applied to the result.

    The result must have the shape and dtype of the tensor, unless `unsafe`. A method ``right_inverse`` of the
    parametrization, where there is one, makes the first original of the tensor; it may give several tensors, which
    ``forward`` then takes.

    >>> from dualgraph import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = nn.Linear(3, 3)
    >>> _ = nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            with no_grad():
                before = getattr(module, tensor_name)
                _check(tensor_name, before, parametrization(before))
        module.parametrizations[tensor_name].append(parametrization)
        return module
    original = computed.take(module, tensor_name, "register_parametrization")
    try:
        chain = ParametrizationList(parametrization, original)
        if not unsafe:
            with no_grad():
                _check(tensor_name, original, chain())
    except BaseException:
        put = (
            module.register_parameter if isinstance(original, Parameter) else module.register_buffer
        )
        put(tensor_name, original)  # type: ignore[arg-type]
        raise
    if "parametrizations" not in module._modules:
        module.register_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = chain
    computed.compute(module, tensor_name, _Through(tensor_name))
    return module


def _check(name: str, before: Tensor, after: Any) -> None:
    if not isinstance(after, Tensor) or (after.shape, after.dtype) != (before.shape, before.dtype):
        got = str(after.tensor_type) if isinstance(after, Tensor) else type(after).__name__
        raise ShapeError(
            f"register_parametrization: {name!r} is {before.tensor_type}, the parametrization makes it {got}; "
            "pass unsafe=True if that is meant"
        )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module (any, without a name) goes through parametrizations.

    >>> dg.nn.utils.parametrize.is_parametrized(dg.nn.Linear(2, 2))
    False
    """
    chains = module._modules.get("parametrizations")
    if not isinstance(chains, ModuleDict) or not len(chains):
        return False
    return tensor_name is None or tensor_name in chains


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes the tensor a plain parameter again: with its parametrized value, or the original one.

    >>> from dualgraph.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.orthogonal(dg.nn.Linear(2, 2))
    >>> parametrize.is_parametrized(parametrize.remove_parametrizations(layer, "weight"))
    False
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not parametrized"
        )
    chain = module.parametrizations[tensor_name]
    if not leave_parametrized and not chain.is_tensor:
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name!r} has {chain.ntensors} originals; "
            "only leave_parametrized=True can make one tensor of them"
        )
    value = chain.original if chain.is_tensor else None
    if leave_parametrized and chain.is_tensor:
        with no_grad():
            value.copy_(chain())
    computed.settle(module, tensor_name, value, chain.trained)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    return module


@contextmanager
def cached() -> Iterator[None]:
    """Within the block each parametrized tensor is made once.

    >>> from dualgraph.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.orthogonal(dg.nn.Linear(2, 2))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before
