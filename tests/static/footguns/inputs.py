"""Inputs that the footgun tests share."""

from __future__ import annotations

from typing import Any

import dualgraph as dg

X = [[0.5, -1.25, 3.0], [2.0, 0.1, -0.7]]


def x() -> Any:
    """A small matrix of both signs."""
    return dg.tensor(X)


def leaf(values: Any = X) -> Any:
    """A leaf that requires gradients."""
    return dg.tensor(values, requires_grad=True)
