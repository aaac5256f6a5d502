"""Glue: how Python comes in - calls of ops, and operators. What is out of the ordinary goes to Python's path."""

from __future__ import annotations

from ..glue.capi import c, i64, load_i8, load_ptr, n, o, ptr, stack, store_ptr
from .apply import apply, plan_for, tape_switch
from .follow import bind, follow
from .objects import held
from .runs import drop


def cast_to(x: ptr, name: ptr) -> ptr:
    """A tensor in the dtype of a name, owned; null with an error set."""
    given = stack(16)
    store_ptr(given, 0, x)
    store_ptr(given, 8, name)
    return follow(o.CAST, load_ptr(o.CAST, n.P_RECIPES), given, 1, o.CAST_NAMES)


def apply_any(prim: ptr, args: ptr, count: i64) -> ptr:
    """`apply`, after the casts that the plan names."""
    done = apply(prim, args, count)
    if done != o.DECLINE:
        return done
    plan = plan_for(prim, args, count)
    if plan is None or not load_i8(plan, n.PLAN_CASTS) or tape_switch() < 0:
        return o.DECLINE
    given = stack(24)
    for i in range(count):
        x = load_ptr(args, 8 * i)
        name = load_ptr(plan, n.PLAN_NAMES + 8 * i)
        made = cast_to(x, name) if name else held(x)
        if made is None:
            drop(given, i)
            return None
        store_ptr(given, 8 * i, made)
    done = apply(prim, given, count)
    drop(given, count)
    return done


def call_op(self: ptr, args: ptr, count: i64, names: ptr) -> ptr:
    """``op(*args, **params)``."""
    if names is None and load_ptr(self, n.P_TABLE):
        done = apply_any(self, args, count)
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
    done = apply_any(prim, given, 2)
    if done != o.DECLINE:
        return done
    store_ptr(given, 0, self)
    store_ptr(given, 8, other)
    return c.PyObject_VectorcallDict(fallback, given, 2, None)


def operate_alone(prim: ptr, x: ptr, fallback: ptr) -> ptr:
    """An op of one operand, or what the operator's Python function says."""
    given = stack(8)
    store_ptr(given, 0, x)
    done = apply_any(prim, given, 1)
    if done != o.DECLINE:
        return done
    return c.PyObject_VectorcallDict(fallback, given, 1, None)
