"""Fuzzed graphs: a capture means the same to the parser, the interpreter, every pass and the compiled program."""

from __future__ import annotations

from typing import Any

import pytest

import dualgraph as dg
from dualgraph.core.trees import flatten
from tests.fuzz.random_programs import random_program
from tests.fuzz.test_programs import World
from tests.side_by_side import frozen


def check(seed: int) -> bool:
    """Asserts that the graph of a random program is what the program does; False if it cannot be captured."""
    source = random_program(seed)

    def fresh() -> tuple[Any, Any]:
        dg.manual_seed(seed)
        world = World(source, seed)
        return world.names["f"], world.next_call(0)

    f, args = fresh()
    try:
        graph = dg.capture(f, *args)
    except dg.DualgraphError:
        return False
    assert dg.parse(str(graph)) == graph
    f, args = fresh()
    verified = dg.verify(f, *args)
    assert verified, f"seed {seed}: {verified}\n{source}"
    f, args = fresh()
    comparison = dg.compare(f, *args, seconds=0.0)
    assert comparison.bitwise_equal, f"seed {seed}: {comparison}\n{source}"
    free = all(name not in source for name in "WVSCDN") and "rand" not in source
    if free:  # the arguments are all that the graph reads
        f, args = fresh()
        expected = [t for t in flatten(f(*args))[0] if isinstance(t, dg.Tensor)]
        found = graph.run(*[a for a in args if isinstance(a, dg.Tensor)])
        assert [frozen(t.detach()) for t in expected] == [frozen(t) for t in found[: len(expected)]]
    return True


def test_captured_graphs_mean_what_the_programs_do() -> None:
    assert sum(map(check, range(2000, 2012))) > 6


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_many_captured_graphs_mean_what_the_programs_do(block: int) -> None:
    assert sum(map(check, range(20_000 + 50 * block, 20_050 + 50 * block))) > 10
