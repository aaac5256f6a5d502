"""Statements of long functions: they are found in time that grows as the function does."""

from __future__ import annotations

import time
from types import CodeType

import pytest

from dualgraph.static.code.statements import SEEN, statements

LINES = 900
STATEMENTS = "".join(
    f"        y{i % 7} = x * 2.0\n"
    if i % 4
    else f"        if {i} < c:\n            self.log.append({i})\n"
    for i in range(LINES)
)
SHAPES = {
    "loop": f"for k in range(c):\n{STATEMENTS}",
    "with": f"with self.lock:\n{STATEMENTS}",
    "chain": "if c < 0:\n        self.n = 0\n"
    + "".join(f"    elif c == {i}:\n        self.log.append(x[{i}])\n" for i in range(LINES // 9)),
}


def code_of(body: str) -> CodeType:
    space: dict[str, object] = {}
    exec(f"def f(self, x, c):\n    {body}    return x", space)
    return space["f"].__code__  # type: ignore[attr-defined, no-any-return]


@pytest.mark.skipif(not SEEN, reason="statements are not set apart on this Python")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_long_function_is_read_in_a_moment(shape: str) -> None:
    code = code_of(SHAPES[shape])
    began = time.thread_time()
    found = statements(code)
    # Some tenths; 3.4 and more where all pairs are looked at
    assert time.thread_time() - began < 2.5
    assert found or shape != "loop"
