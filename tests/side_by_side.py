"""Both modes side by side: a program runs eagerly and compiled, and all that it shows must have the same bits.

A program is a generator function of ``wrap``: it wraps the functions to compile and yields what it
sees (trees of tensors, arrays and Python values). ``wrap`` does nothing in the eager run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import dualgraph as dg

Wrap = Callable[..., Any]
Program = Callable[[Wrap], Iterator[Any]]

MODES: dict[str, dict[str, Any]] = {
    "compiled, waiting": {"wait": True},
    "compiled beside": {},
    "compiled on numpy": {"wait": True, "backend": "numpy"},
}


class Bits(NamedTuple):
    """An array's type, shape and bytes, shown as the array."""

    dtype: str
    shape: tuple[int, ...]
    bytes: bytes

    def __repr__(self) -> str:
        return f"{self.dtype} {np.frombuffer(self.bytes, self.dtype).reshape(self.shape)}"


def frozen(value: Any) -> Any:
    """A value with its types and bits, comparable with ``==``; any NaN equals any NaN."""
    if isinstance(value, dg.Tensor):
        return "tensor", value.dtype.name, value.requires_grad, frozen(value.detach().numpy())
    if isinstance(value, np.ndarray):
        plain = np.array(value)
        if plain.dtype.kind in "fc":
            plain[plain != plain] = np.nan
        return Bits(plain.dtype.str, plain.shape, plain.tobytes())
    if isinstance(value, dict):
        return type(value).__name__, tuple((k, frozen(v)) for k, v in value.items())
    if isinstance(value, (tuple, list)):
        return type(value).__name__, tuple(map(frozen, value))
    if isinstance(value, BaseException):
        return type(value).__name__, str(value).partition("\n")[0]
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else value.hex()
    if dataclasses.is_dataclass(value):
        return type(value).__name__, frozen(vars(value))
    if type(value).__eq__ is object.__eq__ and hasattr(value, "__dict__"):
        return type(value).__name__, frozen(vars(value))
    return type(value).__name__, value


def watch(program: Program, wrap: Wrap) -> list[Any]:
    """All that a program shows, then the state of the random numbers."""
    dg.manual_seed(0)
    shown = [frozen(v) for v in program(wrap)]
    return [*shown, frozen(dg.get_rng_state())]


def same(program: Program, at_least: int = 1) -> None:
    """Asserts that a program shows the same in every mode, and that `at_least` calls ran compiled."""
    expected = watch(program, lambda fn, **_: fn)
    for mode, options in MODES.items():
        made: list[Any] = []

        def wrap(
            fn: Any, options: dict[str, Any] = options, made: list[Any] = made, **more: Any
        ) -> Any:
            made.append(dg.compile(fn, **options, **more))
            return made[-1]

        found = watch(program, wrap)
        for i, (a, b) in enumerate(zip(expected, found, strict=True)):
            assert a == b, f"{mode}: value {i} is\n  {b}\nand eagerly\n  {a}\n{reasons(made)}"
        for f in made:
            f.wait()
            failures = [p.failure for p in f.programs if p.failure is not None]
            assert not failures, f"{mode}: not compiled: {failures!r}"
        used = sum(p.calls for f in made for p in f.programs)
        if options.get("wait"):
            assert used >= at_least, f"{mode}: only {used} call(s) ran compiled\n{reasons(made)}"


def reasons(made: list[Any]) -> str:
    return "\n".join(f.explain() for f in made)


def both_modes(at_least: int = 1) -> Callable[[Program], Callable[[], None]]:
    """Turns a program into a test: `same` on it."""

    def decorate(program: Program) -> Callable[[], None]:
        def test() -> None:
            same(program, at_least)

        test.__name__ = program.__name__
        test.__doc__ = program.__doc__
        test.__module__ = program.__module__
        return test

    return decorate


def attempt(call: Callable[[], Any]) -> Any:
    """The result of a call, or the error that it raised."""
    try:
        return call()
    except (
        dg.DualgraphError,
        ArithmeticError,
        LookupError,
        ValueError,
        AssertionError,
        RuntimeError,
        TypeError,
    ) as problem:
        return problem
