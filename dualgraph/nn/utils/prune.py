"""Pruning: parameters with a mask of zeros and ones upon them.

The parameter becomes ``<name>_orig``, the mask is the buffer ``<name>_mask``, and the attribute is their product
each time it is read. Masks multiply when a parameter is pruned again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from ...core.errors import ArgumentError
from ...eager import Tensor, concat, no_grad, ones_like, randperm
from ...ops.composites import norm
from .. import computed
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity",
    "is_pruned", "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def _count(amount: float, size: int, what: str = "elements") -> int:
    """How many of `size` an amount is: a number of them, or a share."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount < 0:
        raise ArgumentError(f"prune: the amount is a number or a share of {what}, not {amount!r}")
    if isinstance(amount, float) and amount > 1:
        raise ArgumentError(f"prune: the share {amount} is above 1")
    found = round(amount * size) if isinstance(amount, float) else amount
    if found > size:
        raise ArgumentError(f"prune: there are {size} {what}, not {found}")
    return found


class BasePruningMethod(ABC):
    """A way to prune; subclasses say in ``compute_mask(t, default_mask)`` which elements stay.

    ``PRUNING_TYPE`` tells what a further pruning looks at: "unstructured" at the elements that are left, "structured"
    at the slices that are left along ``dim``, "global" at everything.

    >>> class Smallest(dg.nn.utils.prune.BasePruningMethod):
    ...     def compute_mask(self, t, default_mask):
    ...         return default_mask * (t.abs() > 0.5)
    >>> layer = dg.nn.Linear(2, 1)
    >>> with dg.no_grad():
    ...     _ = layer.weight.copy_(dg.tensor([[0.1, 0.9]]))
    >>> _ = Smallest.apply(layer, "weight")
    >>> layer.weight_mask.tolist()
    [[0.0, 1.0]]
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for importances `t`, no wider than `default_mask`."""

    def __call__(self, module: Module) -> Tensor:
        return self.apply_mask(module)

    def apply_mask(self, module: Module) -> Tensor:
        """The masked tensor."""
        name = self._tensor_name
        original: Tensor = getattr(module, f"{name}_orig")
        return original * getattr(module, f"{name}_mask").to(original.dtype)

    def prune(
        self,
        t: Tensor,
        default_mask: Tensor | None = None,
        importance_scores: Tensor | None = None,
    ) -> Tensor:
        """A tensor with this pruning upon it."""
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, mask)

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prunes ``module.<name>``, which may be pruned already."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        found = computed.computed(module).get(name)
        old = found if isinstance(found, BasePruningMethod) else None
        original: Tensor = getattr(module, name if old is None else f"{name}_orig")
        if importance_scores is not None and importance_scores.shape != original.shape:
            raise ArgumentError(
                f"prune: importance_scores have shape {importance_scores.shape}, {name!r} has {original.shape}"
            )
        scores = getattr(module, name) if importance_scores is None else importance_scores
        before = ones_like(original) if old is None else getattr(module, f"{name}_mask")
        with no_grad():
            if old is None:
                mask, how = method.compute_mask(scores, before), method
            else:
                how = PruningContainer(*(old if isinstance(old, PruningContainer) else [old]))
                how._tensor_name = name
                how.add_pruning_method(method)
                mask = how.compute_mask(scores.detach(), before)
        if old is None:
            computed.take(module, name, "prune")
            module.register_parameter(f"{name}_orig", original)  # type: ignore[arg-type]
        module.register_buffer(f"{name}_mask", mask.detach().to(original.dtype))
        computed.compute(module, name, how)
        return method

    def remove(self, module: Module) -> None:
        """Makes the tensor a plain parameter again, with zeros where the mask has them."""
        name = self._tensor_name
        original = module._parameters.pop(f"{name}_orig")
        assert isinstance(original, Parameter)
        with no_grad():
            original.copy_(original * module._buffers.pop(f"{name}_mask"))  # type: ignore[operator]
        computed.settle(module, name, original, True)


class PruningContainer(BasePruningMethod):
    """Several prunings of one tensor, one after the other.

    >>> prune = dg.nn.utils.prune
    >>> layer = prune.l1_unstructured(dg.nn.Linear(4, 1), "weight", 1)
    >>> layer = prune.random_unstructured(layer, "weight", 1)  # one of the three that are left
    >>> layer.weight_mask.sum().item()
    2.0
    """

    def __init__(self, *methods: BasePruningMethod) -> None:
        self._methods: list[BasePruningMethod] = list(methods)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Adds one at the end."""
        self._methods.append(method)

    def __len__(self) -> int:
        return len(self._methods)

    def __iter__(self) -> Any:
        return iter(self._methods)

    def __getitem__(self, at: int) -> BasePruningMethod:
        return self._methods[at]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method = self._methods[-1]
        mask = default_mask
        if method.PRUNING_TYPE == "unstructured":
            left = (mask == 1).reshape(-1)
            at = left.nonzero().reshape(-1)
            part = method.compute_mask(t.reshape(-1)[at], mask.reshape(-1)[at])
            return mask.reshape(-1).index_put((at,), part.to(mask.dtype)).reshape(mask.shape)
        if method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim  # type: ignore[attr-defined]
            axes = tuple(i for i in range(t.ndim) if i != dim)
            at = (mask.abs().sum(axes) != 0).nonzero().reshape(-1)
            part = method.compute_mask(t.index_select(dim, at), mask.index_select(dim, at))
            return mask.index_copy(dim, at, part.to(mask.dtype))
        return method.compute_mask(t, mask)


class Identity(BasePruningMethod):
    """Prunes nothing, and makes the mask.

    >>> layer = dg.nn.Linear(2, 1)
    >>> _ = dg.nn.utils.prune.Identity.apply(layer, "weight")
    >>> layer.weight_mask.tolist()
    [[1.0, 1.0]]
    """

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _OfElements(BasePruningMethod):
    """Drops an amount of the elements."""

    def __init__(self, amount: float) -> None:
        _count(amount, 1 << 62)
        self.amount = amount

    def chosen(self, t: Tensor, n: int) -> Tensor:
        """Places, in the flattened tensor, of the n elements to drop."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        n = _count(self.amount, t.numel())
        if not n:
            return default_mask.clone()
        at = self.chosen(t.detach(), n)
        return default_mask.reshape(-1).index_fill(0, at, 0).reshape(default_mask.shape)


class RandomUnstructured(_OfElements):
    """Drops elements at random.

    >>> x = dg.ones(4)
    >>> dg.nn.utils.prune.RandomUnstructured(0.5).prune(x).sum().item()
    2.0
    """

    def chosen(self, t: Tensor, n: int) -> Tensor:
        return randperm(t.numel(), device=t.device)[:n]


class L1Unstructured(_OfElements):
    """Drops the elements of least absolute value.

    >>> dg.nn.utils.prune.L1Unstructured(1).prune(dg.tensor([3.0, -1.0, 2.0])).tolist()
    [3.0, -0.0, 2.0]
    """

    def chosen(self, t: Tensor, n: int) -> Tensor:
        found: Tensor = t.reshape(-1).abs().topk(n, largest=False).indices
        return found


class _OfSlices(BasePruningMethod):
    """Drops an amount of the slices along an axis."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _count(amount, 1 << 62)
        self.amount, self.dim = amount, dim

    def chosen(self, t: Tensor, n: int) -> Tensor:
        """The n slices to drop."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        n = _count(self.amount, t.shape[self.dim], "slices")
        if not n:
            return default_mask.clone()
        return default_mask.index_fill(self.dim, self.chosen(t.detach(), n), 0)


class RandomStructured(_OfSlices):
    """Drops slices at random.

    >>> x = dg.ones(2, 4)
    >>> dg.nn.utils.prune.RandomStructured(1, dim=1).prune(x).sum(0).sum().item()
    6.0
    """

    def chosen(self, t: Tensor, n: int) -> Tensor:
        return randperm(t.shape[self.dim], device=t.device)[:n]


class LnStructured(_OfSlices):
    """Drops the slices of least norm.

    >>> x = dg.tensor([[3.0, 1.0], [4.0, 1.0]])
    >>> dg.nn.utils.prune.LnStructured(1, n=2, dim=1).prune(x).tolist()
    [[3.0, 0.0], [4.0, 0.0]]
    """

    def __init__(self, amount: float, n: float, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = float(n)

    def chosen(self, t: Tensor, n: int) -> Tensor:
        axes = tuple(i for i in range(t.ndim) if i != self.dim % t.ndim)
        found: Tensor = norm(t, self.n, axis=axes).topk(n, largest=False).indices
        return found


class CustomFromMask(BasePruningMethod):
    """Multiplies by a given mask.

    >>> mask = dg.tensor([1.0, 0.0])
    >>> dg.nn.utils.prune.CustomFromMask(mask).prune(dg.tensor([3.0, 4.0])).tolist()
    [3.0, 0.0]
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if self.mask.shape != default_mask.shape:
            raise ArgumentError(
                f"prune: the mask has shape {self.mask.shape}, the tensor {default_mask.shape}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Puts a mask of ones upon a tensor.

    >>> layer = dg.nn.utils.prune.identity(dg.nn.Linear(2, 2), "weight")
    >>> dg.nn.utils.prune.is_pruned(layer)
    True
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Drops an amount (a number, or a share up to 1.0) of elements at random.

    >>> layer = dg.nn.utils.prune.random_unstructured(dg.nn.Linear(2, 2), "weight", amount=0.5)
    >>> (layer.weight == 0).sum()
    tensor(2)
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Drops the elements of least absolute value (or least importance).

    >>> layer = dg.nn.Linear(4, 2)
    >>> _ = dg.nn.utils.prune.l1_unstructured(layer, "weight", amount=0.5)
    >>> int((layer.weight == 0).sum())
    4
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Drops slices along `dim` at random.

    >>> layer = dg.nn.utils.prune.random_structured(dg.nn.Linear(2, 4), "weight", amount=1, dim=0)
    >>> (layer.weight == 0).sum()
    tensor(2)
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: float,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Drops the slices along `dim` of least norm of order n.

    >>> layer = dg.nn.utils.prune.ln_structured(dg.nn.Linear(2, 4), "weight", amount=1, n=2, dim=0)
    >>> (layer.weight == 0).sum()
    tensor(2)
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Puts a mask of one's own upon a tensor.

    >>> layer = dg.nn.utils.prune.custom_from_mask(dg.nn.Linear(2, 1), "weight", dg.asarray([[1.0, 0.0]]))
    >>> (layer.weight == 0).sum()
    tensor(1)
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Drops elements of several tensors, (module, name) each, taken as one.

    >>> a, b = dg.nn.Linear(2, 2), dg.nn.Linear(2, 2)
    >>> pairs = [(a, "weight"), (b, "weight")]
    >>> dg.nn.utils.prune.global_unstructured(pairs, dg.nn.utils.prune.L1Unstructured, amount=0.5)
    >>> (a.weight == 0).sum() + (b.weight == 0).sum()
    tensor(4)
    """
    pairs, given = list(parameters), importance_scores or {}
    with no_grad():
        masks = [m._buffers.get(f"{n}_mask", ones_like(t)) for m, n, t in _tensors(pairs)]
        scores = [given.get((m, n), t).detach() for m, n, t in _tensors(pairs)]
        method = PruningContainer(pruning_method(**kwargs))
        if method[0].PRUNING_TYPE != "unstructured":
            raise ArgumentError("global_unstructured: takes a method that prunes single elements")
        mask = method.compute_mask(
            concat([s.reshape(-1) for s in scores]), concat([m.reshape(-1) for m in masks])
        )
        start = 0
        for (module, name), old in zip(pairs, masks, strict=True):
            part = mask[start : start + old.numel()].reshape(old.shape)
            start += old.numel()
            custom_from_mask(module, name, part)


def _tensors(pairs: list[tuple[Module, str]]) -> Any:
    for module, name in pairs:
        pruned = isinstance(computed.computed(module).get(name), BasePruningMethod)
        yield module, name, getattr(module, f"{name}_orig" if pruned else name)


def remove(module: Module, name: str) -> Module:
    """Makes a pruned tensor a plain parameter again; what was pruned stays zero.

    >>> layer = dg.nn.utils.prune.l1_unstructured(dg.nn.Linear(2, 2), "weight", amount=0.5)
    >>> dg.nn.utils.prune.remove(layer, "weight")
    Linear(in_features=2, out_features=2, bias=True)
    >>> dg.nn.utils.prune.is_pruned(layer)
    False
    """
    method = computed.computed(module).get(name)
    if not isinstance(method, BasePruningMethod):
        raise ArgumentError(f"prune.remove: {name!r} of {type(module).__name__} is not pruned")
    method.remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a tensor of the module, or of one below it, is pruned.

    >>> dg.nn.utils.prune.is_pruned(dg.nn.Linear(2, 2))
    False
    """
    return any(
        isinstance(how, BasePruningMethod)
        for m in module.modules()
        for how in computed.computed(m).values()
    )
