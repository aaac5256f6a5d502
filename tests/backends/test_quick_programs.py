"""Programs of single eager ops: what is called often runs as one native segment, to the same bits."""

import os
import threading

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.prim import REGISTRY
from dualgraph.eager.dispatch import bind

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

from dualgraph.backends.native.quick import plans, programs, recipes
from dualgraph.backends.native.quick.recipe import PROGRAM, SAME

SAMPLED = sorted(
    n for n, p in REGISTRY.items()
    if p.sample_rule and p.kind is not ELEMENTWISE and not p.kind.has_bodies
)  # fmt: skip


@pytest.fixture(autouse=True)
def early(monkeypatch):
    """Programs are begun as if all arrays were large."""
    monkeypatch.setattr(recipes, "LARGE", 0)


def warmed(call):
    """The result of a call that a program makes by now, if one ever will."""
    for _ in range(plans.HOT + 2):
        call()
    programs.wait()
    return call()


def has_program(op):
    return any(r is not None and r.kind == PROGRAM for r in op.recipes.values())


@pytest.mark.parametrize("name", SAMPLED)
def test_programs_have_the_bits_of_their_ops(name):
    op = REGISTRY[name]
    for arrays, params in op.sample_rule(np.random.default_rng(1)):
        args = tuple(map(dg.asarray, arrays))
        expected = bind(op, args, params)
        got = warmed(lambda args=args, params=params: op(*args, **params))
        assert type(got) is type(expected)
        results = zip(got, expected, strict=True) if op.multiple else [(got, expected)]
        for a, b in results:
            assert a.tensor_type == b.tensor_type and a._data.tobytes() == b._data.tobytes()


def test_common_ops_get_programs():
    x, k = dg.randn(5, 7), dg.asarray([1, 0, 4])
    for call, op in (
        (lambda: x.cumsum(0), "cumsum_along"), (lambda: x @ x.T.contiguous(), "matmul"),
        (lambda: x[k], "index"), (lambda: x.long(), "cast"), (lambda: x.clone(), "copy"),
        (lambda: dg.concat([x, x]), "concat_along"), (lambda: x.argmax(0), "reduce_argmax"),
    ):  # fmt: skip
        warmed(call)
        assert has_program(REGISTRY[op]), op


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_of_narrow_floats_are_widened_in_programs(dtype):
    op = REGISTRY["matmul"]
    x, y = (dg.randn(*s).to(dtype=dtype).requires_grad_() for s in ((5, 7), (7, 3)))
    expected = bind(op, (x, y), {})
    op.recipes.clear()
    got = warmed(lambda: op(x, y))
    assert has_program(op) and got.tensor_type == expected.tensor_type
    assert got._data.tobytes() == expected._data.tobytes()
    assert got.grad_fn.prim is op and got.grad_fn.next_functions == expected.grad_fn.next_functions
    turned = y.detach().mT.clone().mT  # a recipe of its own, and one call of it
    assert op(x, turned)._data.tobytes() == expected._data.tobytes()


def test_several_results_are_on_the_tape_where_a_gradient_is_wanted():
    x, sort = (
        dg.asarray(np.array([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]], np.float32)),
        REGISTRY["sort_along"],
    )
    warmed(lambda: x.sort(1))
    assert has_program(sort) and not x.sort(1)[0].requires_grad
    w = x.clone().requires_grad_()
    for _ in range(3):
        values, places = w.sort(1)
        assert values.requires_grad and not places.requires_grad
        w.grad = None
        (values * dg.asarray([1.0, 2.0, 3.0])).sum().backward()
        assert w.grad.tolist() == [[3, 1, 2], [2, 3, 1]]
        with dg.no_grad():
            assert not w.topk(2)[0].requires_grad
    values, _ = x.sort(1)
    values.add_(1)  # each call has memory of its own
    assert x.sort(1)[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert dg.vmap(lambda r: r.sort(0)[1])(x).tolist() == x.argsort(1).tolist()


def test_an_index_out_of_range_is_the_error_it_was():
    x, k = dg.randn(9), dg.asarray([1, 0, 8])
    warmed(lambda: x[k])
    for _ in range(3):
        with pytest.raises(dg.BoundsError, match="index"):
            x[dg.asarray([1, 0, 9])]
        assert x[k].tolist() == [x.tolist()[i] for i in (1, 0, 8)]


def test_zeros_of_both_signs_keep_apart():
    x = dg.ones(3, 3)
    pad = REGISTRY["pad"]
    how = {"widths": ((1, 0), (0, 1))}
    warmed(lambda: pad(x, value=0.0, **how))
    assert has_program(pad)
    assert np.signbit(pad(x, value=-0.0, **how)._data).sum() == 16 - 9
    assert not np.signbit(pad(x, value=0.0, **how)._data).any()


def test_other_layouts_and_gradients():
    x = dg.randn(6, 4, requires_grad=True)
    y = dg.randn(4, 3)
    warmed(lambda: x @ y)
    out = x @ y
    out.sum().backward()
    assert out._node.prim is REGISTRY["matmul"]
    assert np.array_equal(x.grad.numpy(), np.tile(y.numpy().sum(1, dtype=np.float32), (6, 1)))
    turned = dg.asarray(np.asfortranarray(y.numpy()))
    assert (x @ turned)._data.tobytes() == out._data.tobytes()


LAYOUTS = {
    "turned": lambda x: x.permute(0, 2, 1, 3), "part": lambda x: x[1:, 1:3, :, 2:7].transpose(1, 2),
    "steps": lambda x: x[:, :, ::2], "columns": lambda x: x[..., ::3], "one": lambda x: x[..., 2],
    "short axes": lambda x: x[:1, :, 2:3], "backwards": lambda x: x.flip(1),
    "all turned": lambda x: x.permute(3, 2, 1, 0),
    "repeated": lambda x: x.expand(2, 3, 4, 6, 10)[:, 0],
}  # fmt: skip
OPS = {
    "sum": lambda x: x.sum(-1), "matmul": lambda x: x @ x.transpose(-1, -2), "copy": lambda x: x.clone(),
    "reshape": lambda x: x.reshape(-1), "concat": lambda x: dg.concat([x, x], 1), "view": lambda x: x.transpose(0, 1),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_programs_of_arrays_that_do_not_lie_row_by_row(layout):
    base = dg.asarray(np.random.default_rng(0).standard_normal((3, 4, 6, 10), dtype=np.float32))
    x = LAYOUTS[layout](base)
    for name, op in OPS.items():
        expected = op(dg.asarray(x.numpy().copy()))
        got = warmed(lambda op=op: op(x))
        assert got.shape == expected.shape, name
        assert got.numpy().tobytes() == expected.numpy().tobytes(), name
        if got._parent is not None and layout != "repeated":
            got[...] = 0
            assert not op(x).numpy().any(), name
            base.copy_(
                dg.asarray(np.random.default_rng(1).standard_normal(base.shape, dtype=np.float32))
            )
    assert has_program(REGISTRY["matmul"])


def test_views_of_what_may_not_be_written_may_not_be_either():
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    fixed = x.copy()
    fixed.flags.writeable = False
    for array in (fixed, x, fixed.T, x.T):
        t = dg.asarray(array)
        view = warmed(lambda t=t: t.permute(1, 0))
        assert view._data.flags.writeable == array.flags.writeable


def test_large_programs_in_several_threads_at_once():
    x = dg.asarray(np.arange(2_000_000, dtype=np.float32))
    expected = warmed(lambda: x.long()).numpy()
    faults = []

    def work():
        for _ in range(10):
            if not np.array_equal(x.long().numpy(), expected):
                faults.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults


def test_another_default_dtype_forgets_programs():
    x = dg.ones(4)
    warmed(lambda: x.cumsum(0))
    dg.set_default_dtype(dg.float64)
    try:
        assert not REGISTRY["cumsum_along"].recipes
    finally:
        dg.set_default_dtype(dg.float32)


def test_results_without_operands_are_copied():
    full = REGISTRY["full"]
    for call, expected in (
        (lambda: dg.zeros(2, 3), np.zeros((2, 3), np.float32)), (lambda: dg.full((2,), 7), np.array([7, 7])),
        (lambda: dg.arange(1.0, 4.0), np.arange(1, 4, dtype=np.float32)), (lambda: dg.ones(()), np.float32(1)),
        (lambda: dg.full((2,), -0.0), np.array([-0.0, -0.0], np.float32)), (lambda: dg.zeros(3, 0), np.zeros((3, 0))),
    ):  # fmt: skip
        for _ in range(4):
            made = call()
            assert made.numpy().tobytes() == expected.astype(made.dtype.numpy).tobytes()
            assert made.shape == expected.shape
            made.add_(1)
    assert any(r is not None and r.kind == SAME for r in full.recipes.values())
