"""Recurrent layers in eager mode: their step is written down once, and serves whatever it is given later."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.control import scan_pure


def grads(module: Any, x: Any) -> list[bytes]:
    for p in module.parameters():
        p.grad = None
    y = module(x)[0]
    (y**2).mean().backward()
    return [y.detach().numpy().tobytes(), *(p.grad.numpy().tobytes() for p in module.parameters())]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}])
def test_later_calls_have_the_bits_of_the_first(kind: str, options: dict[str, Any]) -> None:
    dg.manual_seed(0)
    module = getattr(dg.nn, kind)(5, 6, **options)
    x, other = dg.randn(7, 3, 5), dg.randn(7, 3, 5)
    first = grads(module, x)
    again, another, last = grads(module, x), grads(module, other), grads(module, x)
    assert first == again == last != another
    short = dg.randn(4, 2, 5)
    assert grads(module, short) == grads(module, short)
    compiled = dg.compile(lambda x: module(x)[0], wait=True)
    compiled(x)
    assert compiled(x).detach().numpy().tobytes() == first[0]


def test_modules_of_one_shape_read_their_own_weights() -> None:
    dg.manual_seed(0)
    one, two = dg.nn.LSTM(4, 4), dg.nn.LSTM(4, 4)
    x = dg.randn(6, 2, 4)

    def both() -> list[list[bytes]]:
        return [grads(m, x) for m in (one, two)]

    assert both() == both()
    assert both()[0] != both()[1]
    two.load_state_dict(one.state_dict())
    assert both()[0] == both()[1]


def test_activations_are_told_apart() -> None:
    dg.manual_seed(0)
    one = dg.nn.RNN(4, 4)
    two = dg.nn.RNN(4, 4, nonlinearity="relu")
    two.load_state_dict(one.state_dict())
    x = dg.randn(6, 2, 4)
    for _ in range(2):
        assert grads(one, x) != grads(two, x)
    two.nonlinearity = "tanh"
    assert grads(one, x) == grads(two, x)


def test_with_and_without_gradients() -> None:
    dg.manual_seed(0)
    module, x = dg.nn.GRU(4, 4), dg.randn(6, 2, 4)
    for _ in range(2):
        with dg.no_grad():
            plain = module(x)[0]
        assert not plain.requires_grad
        y = module(x)[0]
        assert y.requires_grad
        assert plain.numpy().tobytes() == y.detach().numpy().tobytes()
    for p in module.parameters():
        p.requires_grad_(False)
    assert not module(x)[0].requires_grad


def test_what_reads_other_tensors_is_written_anew() -> None:
    scale = [dg.tensor(2.0)]

    def run() -> float:
        def step(carry: Any, x: Any) -> tuple[Any, Any]:
            return carry + x * scale[0], carry

        return float(scan_pure(step, dg.tensor(0.0), dg.ones(5), key="test", closes=())[0])

    assert [run(), run()] == [10.0, 10.0]
    scale[0] = dg.tensor(3.0)
    assert [run(), run()] == [15.0, 15.0]


def test_no_weights_are_kept() -> None:
    module = dg.nn.LSTM(3, 3)
    grads(module, dg.randn(5, 2, 3))
    seen = weakref.ref(module.weight_hh_l0)
    del module
    gc.collect()
    assert seen() is None
