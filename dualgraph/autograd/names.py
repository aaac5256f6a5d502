"""PyTorch's other names: variables, and the search for NaN in gradients."""

from __future__ import annotations

from typing import Any

from ..debugging import debug_nans
from ..eager.creation import asarray
from ..eager.tensor import Tensor


def Variable(data: Any, requires_grad: bool = False) -> Tensor:
    """A tensor over the memory of `data`: variables and tensors are one thing.

    >>> dg.autograd.Variable(dg.ones(2), requires_grad=True).requires_grad
    True
    """
    out = asarray(data).detach()  # type: ignore[attr-defined]
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


def detect_anomaly(check_nan: bool = True) -> debug_nans:
    """A context in which the op that makes the first NaN raises, forward or backward (`dg.debug_nans`).

    >>> import dualgraph as dg
    >>> x = dg.tensor(0.0, requires_grad=True)
    >>> with dg.autograd.detect_anomaly():
    ...     (x * 2).backward()
    """
    return debug_nans(check_nan)


def set_detect_anomaly(mode: bool, check_nan: bool = True) -> debug_nans:
    """Switches `detect_anomaly` on or off; also a context.

    >>> with dg.autograd.set_detect_anomaly(True):
    ...     dg.log(dg.tensor(2.0)).item() > 0
    True
    """
    return debug_nans(mode and check_nan)
