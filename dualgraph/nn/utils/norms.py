"""Weight norm and spectral norm under PyTorch's older names: the tensors they keep stand in the module itself.

`parametrizations` has the same with the tensors in modules of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from ...core.errors import ArgumentError
from ...eager import Tensor, no_grad
from .. import computed
from ..functional.normalisation import normalize
from ..module import Module
from ..parameter import Parameter
from .parametrizations import Spectral, default_dim, norm_except_dim

M = TypeVar("M", bound=Module)


@dataclass(frozen=True)
class _WeightNorm:
    """Makes a weight of its size and its direction."""

    name: str
    dim: int | None

    def __call__(self, module: Module) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        out: Tensor = v * (g / norm_except_dim(v, self.dim))
        return out


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Trains size (``weight_g``) and direction (``weight_v``) of the slices of a weight along `dim` apart.

    >>> layer = dg.nn.utils.weight_norm(dg.nn.Linear(3, 2))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight_g', 'weight_v']
    """
    weight = computed.take(module, name, "weight_norm")
    with no_grad():
        size = norm_except_dim(weight, dim)
    module.register_parameter(f"{name}_g", Parameter(size))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    computed.compute(module, name, _WeightNorm(name, dim))
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Makes the weight a plain parameter again, of the value it has.

    >>> from dualgraph.nn.utils import remove_weight_norm, weight_norm
    >>> layer = remove_weight_norm(weight_norm(dg.nn.Linear(2, 3)))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight']
    """
    _demand(module, name, _WeightNorm)
    computed.settle(module, name, None, True)
    del module._parameters[f"{name}_g"], module._parameters[f"{name}_v"]
    return module


class _SpectralNorm(Spectral):
    """Keeps its vectors in the module that has the weight: one step of the power iteration a call of that module."""

    number: int  # of the hook that takes the step

    def __init__(self, weight: Tensor, name: str, *how: Any) -> None:
        super().__init__(weight, *how)
        self.name = name

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._v.copy_(normalize(matrix.T @ self._u, dim=0, eps=self.eps))
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))

    def lend(self, module: Module) -> None:
        for own in ("_u", "_v"):
            module.register_buffer(f"{self.name}{own}", self._buffers[own])

    def __call__(self, module: Module, *args: Any) -> Any:
        """As what makes the attribute: the weight; as a hook before the module runs: a step."""
        weight = getattr(module, f"{self.name}_orig")
        self._buffers["_u"] = getattr(module, f"{self.name}_u")
        self._buffers["_v"] = getattr(module, f"{self.name}_v")
        matrix = self._matrix(weight)
        if args:
            if module.training:
                self._iterate(matrix.detach(), self.n_power_iterations)
            return None
        return weight / (self._u.clone() @ (matrix @ self._v.clone()))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divides a weight by its largest singular value; each call of the module while training takes a step towards it.

    The weight itself is ``weight_orig``, the vectors are the buffers ``weight_u`` and ``weight_v``.

        >>> dg.nn.utils.spectral_norm(dg.nn.Linear(2, 3))(dg.ones(2)).shape
        (3,)
    """
    weight = computed.take(module, name, "spectral_norm")
    axis = default_dim(module) if dim is None else dim
    how = _SpectralNorm(weight, name, n_power_iterations, axis, eps)
    module.register_parameter(f"{name}_orig", weight)  # type: ignore[arg-type]
    how.lend(module)
    computed.compute(module, name, how)
    how.number = module.register_forward_pre_hook(how).id
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Makes the weight a plain parameter again, of the value it has.

    >>> from dualgraph.nn.utils import remove_spectral_norm, spectral_norm
    >>> layer = remove_spectral_norm(spectral_norm(dg.nn.Linear(2, 3)))
    >>> sorted(name for name, _ in layer.named_parameters())
    ['bias', 'weight']
    """
    how = _demand(module, name, _SpectralNorm)
    module._pre_hooks.pop(how.number)
    computed.settle(module, name, None, True)
    for table, end in ((module._parameters, "_orig"), (module._buffers, "_u"), (module._buffers, "_v")):  # fmt: skip
        del table[name + end]  # type: ignore[attr-defined]
    return module


def _demand(module: Module, name: str, kind: type) -> Any:
    found = computed.computed(module).get(name)
    if not isinstance(found, kind):
        raise ArgumentError(f"{type(module).__name__} has no such norm on {name!r}")
    return found
