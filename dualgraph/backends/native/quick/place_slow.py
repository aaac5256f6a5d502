"""Glue for interpreters whose C API does not tell a frame's instruction: Python is asked."""

from __future__ import annotations

from ..glue.capi import c, o, ptr


def user_place() -> ptr:
    """``(code, instruction)`` of the innermost frame outside the package, or None; owned."""
    return c.PyObject_CallObject(o.USER_PLACE, None)
