"""Mixed precision under the names of ``torch.amp``: `autocast`, and `GradScaler`, which keeps small gradients alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from typing import Any, TypeVar

from .core.dtypes import as_dtype, bfloat16, float16
from .core.errors import ArgumentError, StateError
from .eager import Tensor, full, no_grad, zeros
from .eager.functions import all as all_true
from .ops import arithmetic as ar
from .ops import comparison as cp

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

F = TypeVar("F", bound=Callable[..., Any])


class autocast(ContextDecorator):
    """A region that may compute in a narrower dtype: a context, or a decorator. Here it computes in the dtypes given.

    PyTorch computes products in `dtype` there, for speed on hardware that has it, and gives up digits; what runs
    inside of it runs here, with results at least as exact. To compute in bfloat16, convert: ``model.bfloat16()``.

        >>> with dg.autocast("cpu", dtype=dg.bfloat16):
        ...     y = dg.ones(2, 2) @ dg.ones(2, 2)
        >>> y.dtype
        dualgraph.float32
    """

    def __init__(
        self, device_type: str = "cuda", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(device_type, str):
            raise ArgumentError(f"autocast: device_type is 'cpu' or 'cuda', not {device_type!r}")
        self.device = device_type
        usual = float16 if device_type == "cuda" else bfloat16
        self.fast_dtype = usual if dtype is None else as_dtype(dtype)
        self.enabled = enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *error: Any) -> None:
        return None


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` takes this type of device.

    >>> dg.amp.is_autocast_available("cpu"), dg.amp.is_autocast_available("abacus")
    (True, False)
    """
    return device_type in ("cpu", "cuda")


def custom_fwd(
    fwd: F | None = None, *, device_type: str = "cuda", cast_inputs: Any = None
) -> F | Callable[[F], F]:
    """Decorator for ``forward`` of an `autograd.Function`: `autocast` changes no dtype, so that it is as it is.

    >>> from dualgraph.amp import custom_fwd
    >>> custom_fwd(device_type="cpu")(len)([1, 2])
    2
    """
    return (lambda given: given) if fwd is None else fwd


def custom_bwd(bwd: F | None = None, *, device_type: str = "cuda") -> F | Callable[[F], F]:
    """Decorator for ``backward`` of an `autograd.Function`, which is as it is.

    >>> from dualgraph.amp import custom_bwd
    >>> custom_bwd(device_type="cpu")(len)([1, 2])
    2
    """
    return (lambda given: given) if bwd is None else bwd


class GradScaler:
    """Multiplies losses by a scale, so that small gradients do not vanish, and divides gradients by it.

    A step whose gradients are not finite is left out, and the scale made smaller; after `growth_interval` steps in a
    row without such it is made larger. Works in compiled steps: the scale is a tensor.

        >>> p = dg.nn.Parameter(dg.ones(2))
        >>> optimizer, scaler = dg.optim.SGD([p], lr=0.5), dg.amp.GradScaler()
        >>> scaler.scale(p.sum()).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> p.tolist(), scaler.get_scale()
        ([0.5, 0.5], 65536.0)
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 65536.0, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if growth_factor <= 1 or not 0 < backoff_factor < 1:
            problem = f"growth_factor is above 1 and backoff_factor in (0, 1), not {growth_factor} and {backoff_factor}"
            raise ArgumentError(f"GradScaler: {problem}")
        self._enabled = enabled
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale = full((), float(init_scale), dtype="float32")
        self._steps = zeros((), dtype="int32")  # in a row whose gradients were finite
        self._found: dict[int, Tensor] = {}  # by optimiser: whether a gradient is not finite

    def scale(self, outputs: Any) -> Any:
        """A loss, or all losses of an iterable, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return ar.multiply(outputs, self._scale.to(outputs.device, outputs.dtype))  # type: ignore[attr-defined]
        if not isinstance(outputs, Iterable):
            kind = type(outputs).__name__
            raise ArgumentError(f"GradScaler.scale: takes tensors or iterables of them, not {kind}")
        scaled = [self.scale(o) for o in outputs]
        return tuple(scaled) if isinstance(outputs, tuple) else scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients by the scale, in place: before they are clipped, say. `step` does it otherwise."""
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            raise StateError("GradScaler.unscale_: done already since the last update()")
        finite = cp.equal(self._scale, self._scale)
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        grad = p.grad
                        whole = all_true(cp.isfinite(grad))
                        finite = cp.logical_and(finite, whole.to(finite.device))  # type: ignore[attr-defined]
                        grad.copy_(ar.divide(grad, self._scale.to(grad.device, grad.dtype)))
        self._found[id(optimizer)] = cp.logical_not(finite)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()`` with gradients divided by the scale; nothing where one of them is not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        return None if bool(self._found[id(optimizer)]) else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """The scale for the next step, after all optimisers have stepped; or a given one."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale.copy_(new_scale)  # type: ignore[attr-defined]
        elif not self._found:
            raise StateError("GradScaler.update: no optimizer has stepped since the last one")
        else:
            failed = [f.to(self._scale.device) for f in self._found.values()]  # type: ignore[attr-defined]
            bad = failed[0]
            for other in failed[1:]:
                bad = cp.logical_or(bad, other)
            steps = ar.where(bad, 0, self._steps + 1)
            grown = cp.equal(steps, self._growth_interval)
            larger = ar.where(grown, self._scale * self._growth_factor, self._scale)
            larger = ar.where(cp.isfinite(larger), larger, self._scale)
            self._scale.copy_(ar.where(bad, self._scale * self._backoff_factor, larger))  # type: ignore[attr-defined]
            self._steps.copy_(ar.where(grown, 0, steps))  # type: ignore[attr-defined]
        self._found.clear()

    def get_scale(self) -> float:
        """The scale as a number; 1 where the scaler is not enabled."""
        return float(self._scale.item()) if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by to grow."""
        return self._growth_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after gradients that are not finite."""
        return self._backoff_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row let the scale grow."""
        return self._growth_interval

    def state_dict(self) -> dict[str, Any]:
        """The scale and its rules, under PyTorch's names; empty where the scaler is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(), "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
            "_growth_tracker": int(self._steps.item()),
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise StateError("GradScaler: the state is empty; was it of one that is not enabled?")
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._scale.copy_(state_dict["scale"])  # type: ignore[attr-defined]
        self._steps.copy_(state_dict["_growth_tracker"])  # type: ignore[attr-defined]
