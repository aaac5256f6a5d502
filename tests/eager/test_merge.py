"""Composites on large arrays: one kernel each way, with the bits, errors and hooks of their ops one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.core.composite import Merge
from dualgraph.merge import calls, entry, forms
from dualgraph.merge.calls import serve

F = dg.nn.functional
pytestmark = pytest.mark.skipif(not native.available(), reason="merged calls are native")
Values = list[np.ndarray[Any, Any] | None]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No forms of other tests, those for few ops, too, and afterwards what was there before."""
    monkeypatch.setattr(forms, "WORTH", 0)
    before = Merge.serve
    calls._forms.clear()
    Merge.serve = staticmethod(serve)
    yield
    Merge.serve = before
    calls._forms.clear()


def normal(*shape: int, dtype: str = "float32", grad: bool = True) -> dg.Tensor:
    """A tensor of normal numbers, the same for the same shape."""
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)
    return dg.tensor(values, requires_grad=grad)


def copied(args: list[dg.Tensor]) -> list[dg.Tensor]:
    return [dg.tensor(a.detach().numpy(), requires_grad=a.requires_grad) for a in args]


def run(fn: Callable[..., Any], args: list[dg.Tensor]) -> Values:
    """Result, operands afterwards, and gradients, for a cotangent that is the same each time."""
    own = copied(args)
    out = fn(*own)
    if out.requires_grad:
        ct = np.random.default_rng(7).standard_normal(out.shape).astype(out.dtype.name)
        out.backward(dg.tensor(ct))
    made: Values = [out.detach().numpy(), *(a.detach().numpy() for a in own)]
    return made + [None if a.grad is None else a.grad.numpy() for a in own]


def op_by_op(fn: Callable[[], Any]) -> Any:
    """What `fn` gives where composites are not merged."""
    before = Merge.serve, Merge.retell
    Merge.serve = Merge.retell = None
    try:
        return fn()
    finally:
        Merge.serve, Merge.retell = before


def same(a: Values, b: Values) -> bool:
    return all(
        x is y or (x is not None and y is not None and x.tobytes() == y.tobytes() and x.shape == y.shape)
        for x, y in zip(a, b, strict=True)
    )  # fmt: skip


def warm(fn: Callable[[], Any]) -> None:
    """Calls `fn` until what it calls is merged."""
    for _ in range(forms.PATIENCE + 1):
        fn()
    forms.wait()
    fn()  # asks for gradients of its kind
    forms.wait()


def labels(*shape: int, below: int) -> dg.Tensor:
    return dg.tensor(np.random.default_rng(1).integers(0, below, shape))


CASES: dict[str, tuple[Callable[..., Any], list[dg.Tensor]]] = {
    "softmax": (lambda x: F.softmax(x, -1), [normal(190, 101)]),
    "softmax over axis 0, double": (lambda x: F.softmax(x, 0), [normal(190, 101, dtype="float64")]),
    "log_softmax": (lambda x: F.log_softmax(x, 1), [normal(20, 101, 9)]),
    "logsumexp": (lambda x: x.logsumexp(1), [normal(190, 101)]),
    "mean": (lambda x: x.mean(), [normal(190, 101)]),
    "var": (lambda x: x.var(0), [normal(190, 101)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (101,), w, b), [normal(190, 101), normal(101), normal(101)]),
    "layer_norm beside other uses": (
        lambda x, w: x * 2 + F.layer_norm(x, (101,), w) + x.exp(), [normal(190, 101), normal(101)]
    ),
    "rms_norm": (lambda x, w: F.rms_norm(x, (101,), w), [normal(190, 101), normal(101)]),
    "batch_norm": (
        lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, True),
        [normal(12, 7, 15, 15), normal(7), normal(7), normal(7, grad=False), dg.ones(7)],
    ),
    "batch_norm outside training": (
        lambda x, m, v: F.batch_norm(x, m, v), [normal(12, 7, 15, 15), normal(7, grad=False), dg.ones(7)]
    ),
    "group_norm": (lambda x, w: F.group_norm(x, 4, w), [normal(10, 8, 15, 15), normal(8)]),
    "gelu": (F.gelu, [normal(190, 101)]),
    "silu, not row-major": (lambda x: F.silu(x.T), [normal(190, 101)]),
    "relu": (F.relu, [normal(190, 101)]),
    "clamp": (lambda x: x.clamp(-0.5, 0.7), [normal(190, 101)]),
    "normalize": (F.normalize, [normal(190, 101)]),
    "cosine_similarity": (F.cosine_similarity, [normal(190, 101), normal(190, 101)]),
    "cdist of few coordinates": (dg.cdist, [normal(130, 3), normal(140, 3)]),
    "cdist": (dg.cdist, [normal(40, 17), normal(2, 41, 17)]),
    "huber": (F.huber_loss, [normal(190, 101), normal(190, 101)]),
    "elu": (F.elu, [normal(190, 101)]),
    "mse": (F.mse_loss, [normal(190, 101), normal(190, 101)]),
    "smooth_l1": (lambda x, y: F.smooth_l1_loss(x, y), [normal(190, 101), normal(190, 101, grad=False)]),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, [normal(190, 101), dg.rand(190, 101)]),
    "cross_entropy": (F.cross_entropy, [normal(190, 101), labels(190, below=101)]),
    "cross_entropy of pixels": (
        lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), [normal(4, 11, 20, 21), labels(4, 20, 21, below=11)]
    ),
    "grid_sample": (
        lambda x, at: F.grid_sample(x, at, align_corners=False), [normal(3, 7, 30, 31), normal(3, 20, 21, 2)]
    ),
    "scalars": (lambda x: F.softmax(x, -1).sum() * 2, [normal(190, 101)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_merged_calls_have_the_bits_of_their_ops(name: str) -> None:
    fn, args = CASES[name]
    expected = op_by_op(lambda: run(fn, args))
    warm(lambda: run(fn, args))
    assert calls._forms and all(f.ready for f in calls._forms.values())
    assert same(run(fn, args), expected)


def test_only_large_calls_are_merged() -> None:
    for _ in range(4):
        F.softmax(normal(10, 10), -1)
    assert not calls._forms


def test_calls_of_few_ops_are_merged_where_they_are_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "WORTH", 1 << 16)
    warm(lambda: F.relu(normal(190, 101)))
    warm(lambda: F.relu(normal(300, 301)))
    assert sorted(f.ready for f in calls._forms.values()) == [False, True]


def test_gradients_of_gradients_go_through_merged_calls() -> None:
    def second() -> Values:
        x, w = copied([normal(190, 101), normal(101)])
        y = F.gelu(F.layer_norm(x, (101,), w))
        (gx,) = dg.autograd.grad((y * y).sum(), [x], create_graph=True)
        (gx * gx).sum().backward()
        return [gx.detach().numpy(), x.grad.numpy(), w.grad.numpy()]

    expected = op_by_op(second)
    warm(second)
    assert same(second(), expected)


def test_gradients_of_some_operands() -> None:
    x, w = normal(190, 101), normal(101)

    def only() -> Values:
        return [dg.autograd.grad(F.layer_norm(x, (101,), w).exp().sum(), [w])[0].numpy()]

    expected = op_by_op(only)
    warm(only)
    assert same(only(), expected)


def test_an_operand_that_is_not_saved_may_be_written_afterwards() -> None:
    def step() -> Values:
        x = normal(190, 101)
        z = x * 1
        y = F.softmax(z, -1)
        z.add_(1)
        (y * y).sum().backward()
        return [x.grad.numpy()]

    expected = op_by_op(step)
    warm(step)
    assert same(step(), expected)


def test_an_operand_that_is_saved_may_not() -> None:
    x, w = normal(190, 101), normal(101)

    def step() -> None:
        F.layer_norm(x, (101,), w).sum().backward()

    warm(step)
    y = F.layer_norm(x, (101,), w)
    with dg.no_grad():
        w.add_(1)
    with pytest.raises(dg.AutogradError, match="changed in place after this op"):
        (y * y).sum().backward()


def test_a_graph_is_swept_once_unless_it_is_kept() -> None:
    x = normal(190, 101)
    warm(lambda: F.softmax(x, -1).sum().backward())
    x.grad = None
    y = (F.softmax(x, -1) ** 2).sum()
    y.backward(retain_graph=True)
    once = x.grad.numpy().copy()
    y.backward()
    assert np.array_equal(x.grad.numpy(), once + once)
    with pytest.raises(dg.AutogradError, match="already swept"):
        y.backward()


def test_running_moments_are_written_as_by_their_ops() -> None:
    x, moments = normal(12, 7, 15, 15), [dg.zeros(7), dg.ones(7)]
    warm(lambda: F.batch_norm(x, *moments, training=True))
    versions = [m._version for m in moments]
    before = [m.numpy().copy() for m in moments]
    F.batch_norm(x, *moments, training=True)
    own = [dg.tensor(b) for b in before]
    op_by_op(lambda: F.batch_norm(x, *own, training=True))
    assert [m._version for m in moments] == [v + 1 for v in versions]
    assert same([m.numpy() for m in moments], [m.numpy() for m in own])


def test_a_wrong_class_is_the_error_of_the_op() -> None:
    x, y = normal(190, 101), labels(190, below=101)
    warm(lambda: F.cross_entropy(x, y))
    wrong = dg.tensor(np.full(190, 500))
    with pytest.raises(dg.BoundsError):
        F.cross_entropy(x, wrong)


def test_captures_and_vmaps_see_the_ops() -> None:
    x = normal(190, 101)
    warm(lambda: F.softmax(x, -1).sum().backward())
    assert "reduce_max" in str(dg.capture(lambda x: F.softmax(x, -1), x))
    batch = normal(3, 190, 101, grad=False)
    expected = op_by_op(lambda: [F.softmax(b, -1).numpy() for b in batch])
    assert same([b.numpy() for b in dg.vmap(lambda b: F.softmax(b, -1))(batch)], expected)


def test_one_tensor_twice_and_hooks() -> None:
    x = normal(190, 101)
    seen: list[float] = []

    def step() -> Values:
        x.grad = None
        y = F.gelu(x)
        y.register_hook(lambda ct: seen.append(ct.shape[0]))
        (F.mse_loss(y, y, reduction="none") + y).sum().backward()
        return [x.grad.numpy()]

    expected = op_by_op(step)
    warm(step)
    seen.clear()
    assert same(step(), expected)
    assert seen == [190]


def test_entries_are_inspected_and_hooked_as_those_of_the_ops() -> None:
    x = normal(190, 101)

    def step(look: bool = True) -> Values:
        x.grad, y, seen = None, F.softmax(x, -1), []
        if look:
            y.grad_fn.register_hook(lambda g, cts: (seen.extend((*g, *cts)), (g[0] * 2, g[1]))[1])
        entry, names = y.grad_fn, []
        while look and entry.next_functions:
            names.append(len(entry.name()))
            entry = entry.next_functions[0][0]
        (y * y).sum().backward()
        return [np.array(names), x.grad.numpy(), *(g.numpy() for g in seen)]

    expected = op_by_op(step)
    warm(lambda: step(False))
    assert type(F.softmax(x, -1).grad_fn.prim) is entry.MergedOp
    assert same(step(), expected)
    assert len(expected) == 5


def test_the_default_dtype_is_part_of_what_a_form_is_for() -> None:
    x = normal(190, 101, grad=False)
    warm(lambda: x.mean())
    try:
        dg.set_default_dtype(dg.float64)
        assert x.mean().dtype is dg.float32
        count = len(calls._forms)
        x.mean()
    finally:
        dg.set_default_dtype(dg.float32)
    assert count == 2


OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda ps: dg.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
    "SGD without momentum": lambda ps: dg.optim.SGD(ps, lr=0.1),
    "Adam": lambda ps: dg.optim.Adam(ps, lr=0.1, amsgrad=True),
    "AdamW": lambda ps: dg.optim.AdamW(ps, lr=0.1),
    "RMSprop": lambda ps: dg.optim.RMSprop(ps, lr=0.1, centered=True, momentum=0.5),
    "Adagrad": lambda ps: dg.optim.Adagrad(ps, lr=0.1, lr_decay=0.1),
    "maximising": lambda ps: dg.optim.Adam(ps, lr=0.1, maximize=True),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_of_large_parameters_are_merged(name: str) -> None:
    def train() -> Values:
        params = [normal(190, 101), normal(7), normal(200, 100, dtype="float64")]
        optimiser = OPTIMISERS[name](params)
        for k in range(8):
            for group in optimiser.param_groups:
                group["lr"] = 0.1 / (k + 1)  # another number is no other program
            optimiser.zero_grad()
            sum((p * p).sum().item() * 0 + (p * (p + k)).sum() for p in params).backward()
            optimiser.step()
            forms.wait()
        held = [v for p in params for v in optimiser.state[p].values()]
        versions = [np.array(t._version) for t in (*params, *held)]
        return [*(t.detach().numpy() for t in (*params, *held)), *versions]

    expected = op_by_op(train)
    assert same(train(), expected)
    merged = [f for f in calls._forms.values() if f.name == "update"]
    assert len(merged) == 2 and all(f.ready for f in merged)


def test_a_rule_of_the_users_own_is_not_merged() -> None:
    seen: list[int] = []

    class Counted(dg.optim.SGD):
        def _update(self, p: Any, grad: Any, state: Any, group: Any) -> None:
            seen.append(p.size)
            super()._update(p, grad, state, group)

    p = normal(190, 101)
    optimiser = Counted([p], lr=0.1)
    for _ in range(6):
        p.grad = dg.ones(190, 101)
        optimiser.step()
        forms.wait()
    assert seen == [19190] * 6


TOLD = (
    "softmax over axis 0, double", "layer_norm beside other uses", "cross_entropy", "gelu", "batch_norm", "group_norm",
    "scalars",
)  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_a_capture_is_told_the_ops_of_a_merged_composite_and_of_its_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Merge, "retell", staticmethod(calls.retell))
    fn, args = CASES[name]
    wants = [i for i, a in enumerate(args) if a.requires_grad]

    def step(create_graph: bool, *xs: dg.Tensor) -> list[dg.Tensor]:
        own = [x.detach().requires_grad_() if i in wants else x for i, x in enumerate(xs)]
        out = fn(*own)
        leaves = [own[i] for i in wants]
        given = dg.autograd.grad((out * out).sum(), leaves, create_graph=create_graph)
        if create_graph:
            given += dg.autograd.grad(sum((g * g).sum() for g in given), leaves)
        return [out.detach(), *(g.detach() for g in given)]

    def captured(create_graph: bool) -> tuple[list[str], list[bytes]]:
        compiled, made = dg.compile(lambda *xs: step(create_graph, *xs), wait=True), []
        for _ in range(2):
            made += [t.numpy().tobytes() for t in compiled(*copied(args))]
        (program,) = compiled.programs
        return [str(program.captured), *(str(n.where) for n in program.captured.nodes)], made

    before = op_by_op(lambda: [captured(False), captured(True)])
    warm(lambda: step(False, *copied(args)))
    told: list[bool] = []
    hears = entry.Told.hears
    monkeypatch.setattr(entry.Told, "hears", lambda self: told.append(hears(self)) or told[-1])
    assert captured(False) == before[0]
    assert captured(True)[1] == before[1][1]
    assert any(told) == (not name.endswith("norm"))  # of those, some gradients are views


OPTIONS: dict[str, dict[str, Any]] = {
    "Adam": {"amsgrad": True, "maximize": True},
    "AdamW": {},
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "ASGD": {},  # reads the parameter after it has written it
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_capture_is_told_the_ops_of_a_merged_update(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Merge, "retell", staticmethod(calls.retell))
    heard: list[bool] = []
    hears = calls.retold.hears
    monkeypatch.setattr(calls.retold, "hears", lambda: heard.append(hears()) or heard[-1])

    def training() -> tuple[dg.Tensor, Any, Callable[[dg.Tensor], dg.Tensor]]:
        p = normal(120, 150)
        optimiser = getattr(dg.optim, name)([p], **OPTIONS[name])

        def step(g: dg.Tensor) -> dg.Tensor:
            p.grad = g
            optimiser.step()
            return (p * g).sum().detach()

        return p, optimiser, step

    def captured() -> tuple[list[str], list[bytes]]:
        p, optimiser, step = training()
        fn, g, made = dg.compile(step, wait=True), normal(120, 150, grad=False), []
        for lr in (0.1, 0.1, 0.2, 0.3):
            optimiser.param_groups[0]["lr"] = lr
            made += [fn(g).numpy().tobytes(), p.detach().numpy().tobytes()]
        (program,) = fn.programs
        return [str(program.captured), *(str(n.where) for n in program.captured.nodes)], made

    before = op_by_op(captured)
    assert not heard
    _, _, step = training()
    warm(lambda: step(normal(120, 150, grad=False)))
    assert captured() == before
    assert heard == [True]
