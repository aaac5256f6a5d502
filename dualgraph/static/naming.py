"""Naming: what tensors from outside are called - parameters by their module paths, state by its owner."""

from __future__ import annotations

import re
from typing import Any

from .checks import Check
from .footprint import Footprint


def tensor_names(footprint: Footprint) -> dict[int, str]:
    """A name for each tensor and array that a footprint found, by identity: as a user would write it.

    Parameters and buffers of the modules found have their paths (``net.0.weight``; without the first part
    where the module itself is what was captured), what an optimiser keeps for a parameter the name of that.
    """
    names = {key: plain(where) for key, where in footprint.tensors.items()}
    names |= {key: plain(where) for key, (_, where) in footprint.arrays.items()}
    for prefix, module in root_modules(footprint):
        for path, t in (*module.named_parameters(), *module.named_buffers()):
            names[id(t)] = f"{prefix}.{path}" if prefix else path
    for check in footprint.checks:
        owner = check.key
        if id(owner) in names and isinstance(check.expected, dict):  # kept for a tensor
            for key, t in check.expected.items():
                if id(t) in footprint.tensors:
                    place = check.name.partition("[")[0]
                    names[id(t)] = f"{plain(place)}.{names[id(owner)]}.{key}"
    return names


def root_modules(footprint: Footprint) -> list[tuple[str, Any]]:
    """The modules among what a footprint found that are in no other, with the names they are reached by."""
    found = [
        m for m in footprint.found() if hasattr(m, "named_parameters") and not isinstance(m, type)
    ]
    inner = {id(c) for m in found for _, c in m.named_modules() if c is not m}
    held = {id(c.expected): _module_name(c) for c in reversed(footprint.checks)}
    return [(held.get(id(m), ""), m) for m in found if id(m) not in inner]


def _module_name(check: Check) -> str:
    return plain(check.name)


def plain(name: str) -> str:
    """A place in Python state as one would write it: ``net._modules['0']._parameters['w']`` is net.0.w."""
    name = re.sub(r"\._(modules|parameters|buffers)\['([^']*)'\]", r".\2", name)
    return re.sub(r"[^\w.\[\]'-]+", "_", name).strip("_")
