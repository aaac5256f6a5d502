"""Contractions with epilogues: one kernel, the bits of the ops one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.backends.native import api
from dualgraph.backends.resizing import AtSizes
from dualgraph.core.kinds import CONTRACTION

if not api.available():
    pytest.skip("no native code", allow_module_level=True)
from dualgraph.backends.native.contract import fused, product

if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = dg.get_num_threads()
    yield
    dg.set_num_threads(before)


def arrays(*shapes: tuple[int, ...], dtype: str = "float32") -> list[Any]:
    rng = np.random.default_rng(len(shapes))
    return [dg.asarray(rng.standard_normal(s).astype(dtype)) for s in shapes]


def leaves(tree: Any) -> list[bytes]:
    out = tree if isinstance(tree, tuple | list) else [tree]
    return [x.detach().numpy().tobytes() for x in out]


def alone(fn: Any) -> bool:
    """Whether the last program has no contraction outside of a region."""
    nodes = fn.programs[-1].graph.nodes
    return not any(n.prim.kind is CONTRACTION for n in nodes)


def both_kept(x: Any, w: Any, b: Any) -> Any:
    before = x @ w
    after = before + b
    return before, after, dg.tanh(after)


def gradient(x: Any, w: Any, b: Any) -> Any:
    return w - 0.1 * dg.grad(lambda w: (F.gelu(x @ w + b) ** 2).sum())(w)


def filter_gradient(x: Any, w: Any, b: Any) -> Any:
    return w - 0.1 * dg.grad(lambda w: (F.conv2d(x, w, b, padding=1) ** 2).sum())(w)


def depthwise_gradient(x: Any, w: Any) -> Any:
    return w - 0.1 * dg.grad(lambda w: (F.conv2d(x, w, padding=1, groups=6) ** 2).sum())(w)


def momentum(x: Any, w: Any, v: Any, rate: Any) -> Any:
    g = dg.grad(lambda w: ((x @ w) ** 2).sum())(w)
    after = v * 0.9 + g
    return after, w - after * rate, g


PRODUCTS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "activation": (lambda x, w: dg.relu(x @ w), [(33, 70), (70, 50)]),
    "linear": (lambda x, w, b: F.gelu(x @ w + b), [(33, 70), (70, 50), (50,)]),
    "several blocks": (lambda x, w, b: F.gelu(x @ w + b), [(129, 517), (517, 321), (321,)]),
    "a bias for each row": (lambda x, w, b: x @ w * b, [(33, 70), (70, 50), (33, 1)]),
    "a number for all": (lambda x, w, b: x @ w * b, [(33, 70), (70, 50), (1, 1)]),
    "alpha and beta": (lambda x, w, c: 2.5 * (x @ w) + 0.5 * c, [(33, 70), (70, 50), (33, 50)]),
    "both kept": (both_kept, [(33, 70), (70, 50), (50,)]),
    "a mask": (lambda x, w, b: x @ w + b > 0, [(33, 70), (70, 50), (50,)]),
    "rows of a batch": (lambda x, w, b: x @ w + b, [(4, 33, 70), (70, 50), (33, 50)]),
    "products of a batch": (lambda x, w, b: x @ w + b, [(3, 33, 70), (3, 70, 50), (3, 1, 50)]),
    "a broadcast batch": (lambda x, w, b: x @ w + b, [(2, 1, 9, 7), (3, 7, 50), (2, 3, 1, 50)]),
    "uneven rows": (lambda x, w, b: x @ w + b, [(2, 3, 9, 7), (7, 50), (3, 1, 1)]),
    "few columns": (lambda x, w, b: dg.relu(x @ w + b), [(133, 70), (70, 3), (3,)]),
    "one column": (lambda x, w, b: dg.relu(x @ w + b), [(133, 70), (70, 1), (1,)]),
    "one row": (lambda x, w, b: dg.relu(x @ w + b), [(1, 300), (300, 100), (100,)]),
    "one number": (lambda x, w, b: dg.relu(x @ w + b), [(1, 300), (300, 1), (1,)]),
    "a gate": (lambda x, w, v: F.silu(x @ w) * (x @ v), [(33, 70), (70, 50), (70, 50)]),
    "a weight's update": (gradient, [(33, 70), (70, 50), (50,)]),
    "momentum": (momentum, [(33, 70), (70, 50), (70, 50), ()]),
    "a filter's update": (filter_gradient, [(3, 6, 14, 14), (8, 6, 3, 3), (8,)]),
    "a depthwise filter's update": (depthwise_gradient, [(3, 6, 14, 14), (6, 1, 3, 3)]),
}
IMAGES: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "one image": ([(1, 6, 24, 24), (20, 6, 3, 3)], {"padding": 1}),
    "small images": ([(9, 6, 8, 8), (8, 6, 3, 3)], {"padding": 1}),
    "images apart": ([(9, 16, 30, 31), (24, 16, 3, 3)], {"padding": 1}),
    "strides": ([(3, 6, 15, 14), (8, 6, 3, 3)], {"padding": 1, "stride": 2}),
    "points": ([(3, 6, 24, 24), (8, 6, 1, 1)], {}),
    "groups": ([(3, 6, 15, 14), (8, 3, 3, 3)], {"groups": 2}),
    "depthwise": ([(5, 6, 15, 14), (6, 1, 3, 3)], {"groups": 6, "padding": 1}),
}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_with_epilogues_are_one_kernel(name: str, dtype: str, threads: int) -> None:
    fn, shapes = PRODUCTS[name]
    given = arrays(*shapes, dtype=dtype)
    want = leaves(fn(*given))
    dg.set_num_threads(threads)
    compiled = dg.compile(fn, wait=True)
    for _ in range(2):
        assert leaves(compiled(*given)) == want
    assert alone(compiled) or name in (
        "a gate",
        "a weight's update",
        "a filter's update",
        "a depthwise filter's update",
        "momentum",
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_with_epilogues_are_one_kernel(name: str, threads: int) -> None:
    shapes, how = IMAGES[name]
    x, w = arrays(*shapes)
    b, scale = arrays((shapes[1][0],), (shapes[1][0], 1, 1))
    rest = arrays(F.conv2d(x, w, **how).shape)[0]

    def fn(x: Any, w: Any, b: Any, scale: Any, rest: Any) -> Any:
        return dg.relu(F.conv2d(x, w, b, **how) * scale + rest)

    want = leaves(fn(x, w, b, scale, rest))
    dg.set_num_threads(threads)
    compiled = dg.compile(fn, wait=True)
    for _ in range(2):
        assert leaves(compiled(x, w, b, scale, rest)) == want
    assert alone(compiled)


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolutions_with_epilogues_are_one_kernel(stride: int) -> None:
    def fn(x: Any, w: Any, b: Any) -> Any:
        return dg.relu(F.conv_transpose2d(x, w, b, stride=stride))

    for samples in (1, 3, 9):
        given = arrays((samples, 6, 11, 12), (6, 5, 3, 3), (5,))
        want = leaves(fn(*given))
        compiled = dg.compile(fn, wait=True)
        for _ in range(2):
            assert leaves(compiled(*given)) == want
        assert alone(compiled)


def test_a_result_in_its_own_operand_s_memory() -> None:
    """The update of a weight goes into the weight's memory, which the epilogue still reads."""
    x, w, b = arrays((40, 30), (30, 20), (20,))
    own = [dg.asarray(w.numpy().copy()) for _ in range(2)]

    def step(w: Any) -> Any:
        w += 0.5 * (x.T @ (x @ w + b))
        return w.sum()

    compiled = dg.compile(step, wait=True)
    for _ in range(3):
        assert leaves(step(own[0])) == leaves(compiled(own[1]))
    assert leaves(own[0]) == leaves(own[1])


def test_what_is_read_in_another_order_stays_apart() -> None:
    x, w = arrays((33, 70), (70, 33))
    fn = dg.compile(lambda x, w: dg.relu((x @ w).T + 1) + x @ w, wait=True)
    assert leaves(fn(x, w)) == leaves(dg.relu((x @ w).T + 1) + x @ w)
    assert leaves(fn(x, w)) == leaves(dg.relu((x @ w).T + 1) + x @ w)


def test_nothing_multiplied_has_an_epilogue_too() -> None:
    x, w, b = arrays((3, 0), (0, 5), (5,))
    fn = dg.compile(lambda x, w, b: dg.relu(x @ w + b), wait=True)
    for _ in range(2):
        assert leaves(fn(x, w, b)) == leaves(dg.relu(x @ w + b))


def test_code_of_an_epilogue_is_begun_with_that_of_other_groups() -> None:
    f = dg.compile(lambda x, w, b: dg.tanh(x @ w + b), wait=True)
    f(*arrays((4, 3), (3, 5), (5,)))
    (node,) = f.programs[0].graph.nodes
    fused._made.clear()
    api.begin([node.params["body"]])
    known = vars(fused.epilogue_of(node.params["body"]))
    assert "begun" in known and "machine" not in known


def images(x: Any, w: Any, b: Any, rest: Any) -> Any:
    return dg.relu(F.conv2d(x, w, b, padding=1) + rest)


def strided(x: Any, w: Any, b: Any) -> Any:
    return dg.relu(F.conv2d(x, w, b, padding=1, stride=2))


def spread(x: Any, w: Any, b: Any) -> Any:
    return F.gelu(F.conv_transpose2d(x, w, b, stride=2))


def heads(x: Any, w: Any, b: Any) -> Any:
    return (x @ w).reshape(-1, 4, 2, 25).tanh() * b


SIZED: dict[str, tuple[Callable[..., Any], Callable[[int], list[tuple[int, ...]]]]] = {
    "rows": (lambda x, w, b: F.gelu(x @ w + b), lambda n: [(n, 70), (70, 50), (50,)]),
    "columns": (lambda x, w, b: F.gelu(x @ w + b), lambda n: [(33, 70), (70, n), (n,)]),
    "k": (lambda x, w, b: F.gelu(x @ w + b), lambda n: [(33, n), (n, 50), (50,)]),
    "all": (lambda x, w, b: x @ w + b, lambda n: [(n, n), (n, n), (n,)]),
    "a bias for each row": (lambda x, w, b: x @ w * b, lambda n: [(n, 70), (70, 50), (n, 1)]),
    "rows of a batch": (lambda x, w, b: x @ w + b, lambda n: [(n, 9, 7), (7, 50), (9, 50)]),
    "products of a batch": (
        lambda x, w, b: x @ w + b,
        lambda n: [(n, 9, 7), (n, 7, 50), (n, 1, 50)],
    ),
    "uneven rows": (lambda x, w, b: x @ w + b, lambda n: [(n, 3, 9, 7), (7, 50), (3, 1, 1)]),
    "several kept": (both_kept, lambda n: [(n, 70), (70, 50), (50,)]),
    "heads": (heads, lambda n: [(n, 4, 30), (30, 50), (2, 25)]),
    "images": (images, lambda n: [(n, 6, 9, 8), (8, 6, 3, 3), (8,), (n, 8, 9, 8)]),
    "large images": (images, lambda n: [(2, 6, n, 30), (8, 6, 3, 3), (8,), (2, 8, n, 30)]),
    "strides": (strided, lambda n: [(n, 6, 15, 14), (8, 6, 3, 3), (8,)]),
    "squares": (strided, lambda n: [(3, 6, n, n), (8, 6, 3, 3), (8,)]),
    "transposed": (spread, lambda n: [(n, 6, 11, 12), (6, 5, 3, 3), (5,)]),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SIZED)
def test_epilogues_at_all_sizes_are_of_one_program(name: str, threads: int) -> None:
    fn, shapes = SIZED[name]
    dg.set_num_threads(threads)
    compiled = dg.compile(fn, wait=True)
    for n in (8, 12, 5, 40, 3, 23, 5, 64):
        given = arrays(*shapes(n))
        assert leaves(compiled(*given)) == leaves(fn(*given))
        if n not in (8, 12):
            assert isinstance(compiled.programs[1].at((n,))._executable, AtSizes)
    assert len(compiled.programs) == 2 and alone(compiled)
