"""Spec: what a workload is, and the contestants that may run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OURS = ("dualgraph", "dualgraph-eager")
PEERS = ("numpy", "numexpr", "numba", "torch", "torch.compile", "jax")

Call = Callable[[], Any]  # one measured call; it waits for its result
Build = Callable[[str], Call]  # given the contestant's name


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    ``build`` makes the measured call for each contestant that takes part. ``against`` names the peers
    that the ratio is taken over, ``mine`` which of our modes is held against them; ``nbytes`` and ``flops``
    are the least memory traffic and arithmetic of one call, for the distance to the machine's limit.
    ``measure``: the time of a "call" in the long run; or, in a fresh process each time, that of the "first" two
    calls, the second of which runs what was compiled, with nothing kept from earlier runs; the same with our
    kernels kept from a run before ("warm"); or the bytes by which resident memory has grown after building
    and three calls, at its highest ("memory"); or what the first call takes to return while compilation goes on
    beside it ("start": kernels are kept, the code has run eagerly, and eager mode is the peer).
    """

    name: str
    build: dict[str, Build]
    must: float
    aim: float
    mine: str = "dualgraph"
    against: tuple[str, ...] = PEERS
    nbytes: float = 0.0
    flops: float = 0.0
    measure: str = "call"
    quick: bool = True


def torch_like(make: Callable[[Any, str], Call], *extra: str) -> dict[str, Build]:
    """Builds for dualgraph and torch from one function written against the API they share.

    ``make(ns, mode)`` gets the namespace and "eager" or "compiled".
    """

    def build(contestant: str) -> Call:
        if contestant.startswith("dualgraph"):
            import dualgraph as ns

            return make(ns, "eager" if contestant.endswith("eager") else "compiled")
        import torch as ns  # type: ignore[no-redef]

        return make(ns, "compiled" if contestant == "torch.compile" else "eager")

    return dict.fromkeys(("dualgraph", "dualgraph-eager", "torch", "torch.compile", *extra), build)


def compiled(ns: Any, fn: Any, mode: str) -> Any:
    """`fn` as the mode wants it: as it is, or through the namespace's compile ("beside": which does not wait)."""
    if mode == "eager":
        return fn
    if mode == "beside":
        return ns.compile(fn)
    return ns.compile(fn, wait=True) if ns.__name__ == "dualgraph" else ns.compile(fn)


def jax_build(make: Callable[[], Call]) -> dict[str, Build]:
    """A build for JAX; `make` does the imports."""
    return {"jax": lambda _: make()}
