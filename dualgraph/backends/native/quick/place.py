"""Glue: the user's code and instruction now, as `core.errors.user_place` finds them."""

from __future__ import annotations

from ..glue.capi import c, o, ptr
from .objects import held, pair


def user_place() -> ptr:
    """``(code, instruction)`` of the innermost frame outside the package, or None; owned."""
    frame = c.PyEval_GetFrame()
    if frame is None:
        return held(o.NONE)
    c.Py_IncRef(frame)
    while frame:
        code = c.PyFrame_GetCode(frame)
        name = c.PyObject_GetAttr(code, o.S_FILENAME)
        if name is None:
            c.Py_DecRef(code)
            c.Py_DecRef(frame)
            return None
        inside = c.PyDict_GetItemWithError(o.INSIDE, name)
        c.Py_DecRef(name)
        if inside == o.FALSE:
            instruction = c.PyLong_FromSsize_t(c.PyFrame_GetLasti(frame))
            c.Py_DecRef(frame)
            return pair(code, instruction)
        c.Py_DecRef(code)
        if inside is None:  # a file that was not seen before
            c.Py_DecRef(frame)
            return c.PyObject_CallObject(o.USER_PLACE, None)
        outer = c.PyFrame_GetBack(frame)
        c.Py_DecRef(frame)
        frame = outer
    return held(o.NONE)
