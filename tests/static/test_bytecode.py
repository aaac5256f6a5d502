"""Bytecode is read as the standard library's disassembler reads it."""

from __future__ import annotations

import argparse
import ast
import dis
import functools
import tarfile
import types
from typing import Any

import pytest

from dualgraph import nn
from dualgraph.static.code import bytecode


def functions(module: Any) -> list[types.CodeType]:
    owners = [module, *(v for v in vars(module).values() if isinstance(v, type))]
    found = {
        v.__code__ for o in owners for v in vars(o).values() if isinstance(v, types.FunctionType)
    }
    return [inner for code in found for inner in bytecode.codes(code)]


@pytest.mark.parametrize("module", [argparse, ast, dis, functools, tarfile, nn])
def test_names_are_those_that_the_disassembler_tells(module: Any) -> None:
    found = functions(module)
    assert found
    for code in found:
        assert bytecode._uses(code) == bytecode._told(code)


def test_an_argument_beyond_one_byte_is_put_together() -> None:
    names = [f"name{i}" for i in range(700)]
    scope: dict[str, Any] = {}
    exec(f"def f(x):\n  return {'+'.join(names)}\n", scope)
    assert bytecode.global_names(scope["f"].__code__) == set(names)
    scope = {}
    body = "".join(f"  x.{n} = 1\n" for n in names)
    exec(f"def f(x):\n{body}", scope)
    assert bytecode.code_names(scope["f"].__code__)[1] == set(names)
