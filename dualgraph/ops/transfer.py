"""Transfer: a tensor's values on another device."""

from __future__ import annotations

from typing import Any

from ..core.backend import backend_for
from ..core.devices import as_device
from ..core.kinds import movement
from ..core.types import TensorType


@movement(
    name="transfer",
    samples=lambda rng: [((rng.standard_normal((2, 3)),), {"source": "cpu", "device": "cpu"})],
)
def transfer_op(xp, x, source, device):
    """The same values in memory of another device."""
    host = backend_for(as_device(source)).to_numpy(x)
    return backend_for(as_device(device)).asarray(host.copy() if device == "cpu" else host)


@transfer_op.type
def _(x, source, device):
    return TensorType(x.dtype, x.shape, as_device(device))


@transfer_op.vjp
def _(ct, _out, _x, source, device):
    return (transfer_op(ct, source=device, device=source),)


@transfer_op.batch
def _(lift, args, batched, source, device):
    return transfer_op(args[0], source=source, device=device)


def transfer(x: Any, device: str) -> Any:
    """x in memory of `device`."""
    return transfer_op(x, source=str(x.device), device=device)
