"""Glue: how Python comes in - calls of ops, and operators. What is out of the ordinary goes to Python's path."""

from __future__ import annotations

from ..glue.capi import c, i64, load_ptr, n, o, ptr, stack, store_ptr
from .apply import apply
from .follow import bind, follow


def call_op(self: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """``op(*args, **params)``."""
    if names is None and load_ptr(self, n.P_TABLE):
        done = apply(self, args, count)
        if done != o.DECLINE:
            return done
        return bind(self, args, count, names)
    recipes = load_ptr(self, n.P_RECIPES)
    if recipes:
        return follow(self, recipes, args, count, names)
    return bind(self, args, count, names)


def operate(prim: ptr, x: ptr, y: ptr, fallback: ptr, self: ptr, other: ptr) -> ptr:
    """An op of two operands, or what the operator's Python function says of (self, other)."""
    given = stack(16)
    store_ptr(given, 0, x)
    store_ptr(given, 8, y)
    done = apply(prim, given, 2)
    if done != o.DECLINE:
        return done
    store_ptr(given, 0, self)
    store_ptr(given, 8, other)
    return c.PyObject_Vectorcall(fallback, given, 2, None)


def operate_alone(prim: ptr, x: ptr, fallback: ptr) -> ptr:
    """An op of one operand, or what the operator's Python function says."""
    given = stack(8)
    store_ptr(given, 0, x)
    done = apply(prim, given, 1)
    if done != o.DECLINE:
        return done
    return c.PyObject_Vectorcall(fallback, given, 1, None)
