"""Printing of modules: one line a submodule, indented, as PyTorch prints them."""

from __future__ import annotations

from typing import Any


def show_module(module: Any) -> str:
    """``Name(extra)`` for a module without submodules, a block of lines otherwise."""
    extra = module.extra_repr().split("\n") if module.extra_repr() else []
    children = [f"({name}): {_indent(repr(child))}" for name, child in module._modules.items()]
    return _block(type(module).__name__, extra, children)


def show_list(module: Any) -> str:
    """Like `show_module`, with runs of submodules that print alike folded into one line."""
    runs: list[tuple[int, int, str]] = []
    for i, child in enumerate(module):
        text = repr(child)
        if runs and runs[-1][2] == text:
            runs[-1] = (runs[-1][0], i, text)
        else:
            runs.append((i, i, text))
    lines = [
        f"({i}): {_indent(text)}" if i == j else f"({i}-{j}): {j - i + 1} x {_indent(text)}"
        for i, j, text in runs
    ]
    return _block(type(module).__name__, [], lines)


def _block(name: str, extra: list[str], children: list[str]) -> str:
    if len(extra) == 1 and not children:
        return f"{name}({extra[0]})"
    lines = extra + children
    return f"{name}(" + "".join(f"\n  {line}" for line in lines) + ("\n)" if lines else ")")


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")
