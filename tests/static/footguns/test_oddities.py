"""Footguns: odd values, layouts and orders of events. All must equal eager mode, to the bit."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import x

nn, F = dg.nn, dg.nn.functional


@both_modes(0)
def test_gradients_are_asked_for_inside(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        a.requires_grad_()
        y = (a * a).sum()
        y.backward()
        return y.detach()

    f = wrap(f)
    for _ in range(3):
        a = x()
        yield f(a), a.grad, a.requires_grad


@both_modes(0)
def test_a_parameter_is_copied_into_inside(wrap: Wrap) -> Iterator[Any]:
    w = dg.zeros(2, 3, requires_grad=True)

    def f(a):
        with dg.no_grad():
            w.copy_(a)
        return (w * 2).sum()

    f = wrap(f)
    for i in range(4):
        y = f(x() + i)
        w.grad = None
        y.backward()
        yield y, w, w.grad


@both_modes(0)
def test_views_of_state_are_returned(wrap: Wrap) -> Iterator[Any]:
    s = dg.arange(6.0).reshape(2, 3)
    f = wrap(lambda i: (s[i], s[:, i]))
    for i in (0, 0, 1, 1, 0):
        p, q = f(i)
        yield p, q
        p.add_(1)
        q.mul_(2)
        yield s


@both_modes(0)
def test_indexing_by_a_tensor(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, i: (a[i], a[:, i], a[i, i]))
    for i in (0, 1, 1, 0, -1):
        yield f(x(), dg.tensor(i))


@both_modes(0)
def test_writing_at_a_tensor_index(wrap: Wrap) -> Iterator[Any]:
    s = dg.zeros(2, 3)

    def f(i, v):
        s[i] = v
        s[i, i] += 1
        return s.sum()

    f = wrap(f)
    for i in (0, 1, 1, 0, -1):
        yield f(dg.tensor(i), dg.ones(3) * 2), s


@both_modes(0)
def test_a_range_of_a_tensor(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, n: sum((a * i for i in range(int(n))), dg.zeros(2, 3)))
    for n in (2, 2, 3, 3, 0, 2):
        yield f(x(), dg.tensor(n))


@both_modes(0)
def test_dicts_of_other_classes(wrap: Wrap) -> Iterator[Any]:
    class D(dict):
        pass

    f = wrap(lambda d: type(d)({k: v * 2 for k, v in d.items()}))
    for d in (
        collections.OrderedDict(a=x(), b=x()),
        D(a=x()),
        {1: x()},
        {"a": {"b": [x(), (x(),)]}},
    ):
        for _ in range(2):
            yield attempt(lambda: f(d))  # noqa: B023


@both_modes(0)
def test_frozen_dataclass(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass(frozen=True)
    class S:
        a: object
        b: object = None
        c: int = dataclasses.field(default=3, compare=False)

    f = wrap(lambda s: dataclasses.replace(s, a=s.a * s.c))
    for _ in range(3):
        yield f(S(x(), x())), f(S(x(), None, 5))


@both_modes(3)
def test_dataclass_with_a_default_factory(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass
    class Settings:
        scale: float = 2.0
        seen: list[float] = dataclasses.field(default_factory=list)

    settings = Settings()

    @wrap
    def f(a: Any) -> Any:
        return a * settings.scale + len(settings.seen)

    for i in range(9):
        if i == 4:
            settings.scale = 3.0
        if i == 6:
            settings.seen.append(1.0)
        if i == 8:
            settings = Settings()
        yield f(x() * i)


@both_modes(0)
def test_dataclass_post_init(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass
    class S:
        a: object
        n: int = dataclasses.field(init=False, default=0)

        def __post_init__(self):
            self.n = 7

    f = wrap(lambda s: s.a * s.n)
    for k in (1, 1, 2, 2):
        s = S(x())
        s.n = k
        yield f(s)


@both_modes(0)
def test_many_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda *a: sum(t * i for i, t in enumerate(a)))
    for _ in range(3):
        yield f(*[x() + i for i in range(100)])


@both_modes(0)
def test_complex_views(wrap: Wrap) -> Iterator[Any]:
    def f(z):
        r = z.real * 2
        w = z * z
        return r, z.imag, w.abs(), (z @ z.T).real

    f = wrap(f)
    for _ in range(3):
        yield f(x().to(dg.complex64) * (1 + 2j))


@both_modes(0)
def test_integer_arithmetic(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a, b: (
            a // b,
            a % b,
            a << 1,
            a >> 1,
            a & b,
            a | b,
            a ^ b,
            ~a,
            -a,
            a**2,
            a * 3,
            abs(a),
        )
    )
    for dt in (dg.int32, dg.int64, dg.int8, dg.uint8):
        a = dg.tensor([-7, 7, -8, 100]).to(dt)
        b = dg.tensor([2, -2, 3, 7]).to(dt)
        for _ in range(2):
            yield f(a, b)


@both_modes(0)
def test_nans_and_signed_zeros(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a: (
            a.max(),
            a.min(),
            a.sort()[0],
            a.argsort(),
            a.argmax(),
            a.cumsum(0),
            a.prod(),
            dg.maximum(a, a.flip((0,))),
            a.clamp(-1, 1),
            a.relu(),
            a.sign(),
            a == a,
            a.round(),
            (a * 0),
        )
    )
    v = dg.tensor([math.nan, -0.0, 0.0, math.inf, -math.inf, 1.5, 2.5, -2.5])
    for _ in range(3):
        yield f(v), f(v[1:])


@both_modes(0)
def test_half_precision(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * a + a, a.exp(), a.sum(), a.mean(0), a @ a.T, a.softmax(-1), a.std()))
    for dt in (dg.float16, dg.bfloat16):
        for _ in range(2):
            yield f((x() * 30).to(dt)), f(x().to(dt))


@both_modes(0)
def test_empty_tensors(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a: (
            a.sum(),
            a.any(),
            a.all(),
            a.prod(0),
            dg.cat([a, a]),
            a @ a.T,
            a.reshape(-1),
            a.cumsum(0),
        )
    )
    for s in ((0, 3), (2, 0), (0, 0)):
        for _ in range(2):
            yield attempt(lambda: f(dg.zeros(s)))  # noqa: B023


@both_modes(1)
def test_losses(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a, y: (
            F.cross_entropy(a, y, label_smoothing=0.1),
            F.cross_entropy(a, y, ignore_index=1),
            F.nll_loss(a.log_softmax(1), y, reduction="sum"),
            F.mse_loss(a, a * 2),
            F.l1_loss(a, a + 1),
            F.smooth_l1_loss(a, a * 3),
            F.kl_div(a.log_softmax(1), a.softmax(1), reduction="batchmean"),
            F.one_hot(y, 3),
        )
    )
    for i in range(3):
        yield f(x() + i, dg.tensor([2, i % 3]))


@both_modes(1)
def test_convolutions(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(0)
    m = nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2),
        nn.GELU(),
        nn.ConvTranspose1d(4, 2, 3),
        nn.GroupNorm(1, 2),
        nn.AdaptiveAvgPool1d(3),
    )

    def f(a):
        for p in m.parameters():
            p.grad = None
        y = m(a)
        y.sum().backward()
        return y.detach()

    f = wrap(f)
    for i in range(3):
        yield f(dg.randn(2, 2, 9)), [p.grad for p in m.parameters()]


@both_modes(1)
def test_einsum(wrap: Wrap) -> Iterator[Any]:
    f = wrap(
        lambda a, b: (
            dg.einsum("ij,kj->ik", a, b),
            dg.einsum("ij->j", a),
            dg.einsum("ij,ij->", a, b),
            dg.tensordot(a, b, axes=([1], [1])),
        )
    )
    for i in range(3):
        yield f(x() + i, x() * 2)


@both_modes(1)
def test_attention(wrap: Wrap) -> Iterator[Any]:
    m = nn.MultiheadAttention(4, 2, batch_first=True)
    f = wrap(lambda a: m(a, a, a)[0])
    for i in range(3):
        a = dg.randn(2, 3, 4).requires_grad_()
        y = f(a)
        y.sum().backward()
        yield y, a.grad


@both_modes(1)
def test_optimizers(wrap: Wrap) -> Iterator[Any]:
    for O in (dg.optim.Adagrad, dg.optim.RMSprop, dg.optim.AdamW, dg.optim.SGD):
        w = dg.ones(3, requires_grad=True)
        v = dg.ones(2, 3, requires_grad=True)
        o = O([{"params": [w], "lr": 0.1}, {"params": [v], "lr": 0.2}], lr=0.1)

        def step(a):
            o.zero_grad()  # noqa: B023
            ((w * a).sum() ** 2 + (v * a).exp().mean()).backward()  # noqa: B023
            o.step()  # noqa: B023

        s = wrap(step)
        for i in range(4):
            s(x())
            yield w, v
            if i == 2:
                o.param_groups[0]["lr"] = 0.5


@both_modes(1)
def test_an_optimiser_with_a_closure(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3, requires_grad=True)
    o = dg.optim.SGD([w], lr=0.1)

    def train(a):
        def closure():
            o.zero_grad()
            l = (w * a).sum() ** 2
            l.backward()
            return l

        return o.step(closure)

    f = wrap(train)
    for _ in range(4):
        yield f(x()).detach(), w


@both_modes(1)
def test_grad_clip_value(wrap: Wrap) -> Iterator[Any]:
    m = nn.Linear(3, 2)
    with dg.no_grad():
        m.weight.fill_(0.3)
        m.bias.fill_(0.1)

    def f(a):
        m.zero_grad()
        (m(a) ** 2).sum().backward()
        n = nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        nn.utils.clip_grad_value_(m.parameters(), 0.2)
        return n

    f = wrap(f)
    for i in range(4):
        yield f(x() * i), [p.grad for p in m.parameters()]


@both_modes(0)
def test_a_generator_as_argument(wrap: Wrap) -> Iterator[Any]:
    g = dg.Generator().manual_seed(4)
    f = wrap(lambda a, g: a + dg.rand(2, 3, generator=g))
    for _ in range(4):
        yield f(x(), g)
    h = dg.Generator().manual_seed(4)
    for _ in range(3):
        yield f(x(), h), f(x(), g)


@both_modes(0)
def test_random_state_is_kept_and_restored_inside(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        s = dg.get_rng_state()
        p = dg.rand(3)
        dg.set_rng_state(s)
        q = dg.rand(3)
        return p, q, a

    f = wrap(f)
    for _ in range(3):
        yield f(x())


@both_modes(0)
def test_data_is_replaced_inside(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(2, 3, requires_grad=True)

    def f(a):
        w.data = w.data * 0.5 + a
        return w.detach() * 1

    f = wrap(f)
    for _ in range(4):
        yield f(x()), w


@both_modes(0)
def test_two_tensors_swap_their_values(wrap: Wrap) -> Iterator[Any]:
    p, q = dg.ones(3), dg.zeros(3)

    def f():
        t = p.clone()
        p.copy_(q + 1)
        q.copy_(t * 2)
        return p, q

    f = wrap(f)
    for _ in range(4):
        yield f(), p, q


@both_modes(0)
def test_a_write_before_a_branch(wrap: Wrap) -> Iterator[Any]:
    s = dg.zeros(3)

    def f(a):
        s.add_(a.sum(0))
        if s[0] > 4:
            s.zero_()
        return s * 2

    f = wrap(f)
    for _ in range(8):
        yield f(x()), s


@both_modes(0)
def test_an_input_is_written_before_a_branch(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        a.mul_(0.5)
        if a.abs().max() < 0.5:
            a.add_(3)
        return a.sum()

    f = wrap(f)
    a = x()
    for _ in range(8):
        yield f(a), a


@both_modes(0)
def test_state_is_returned_and_written(wrap: Wrap) -> Iterator[Any]:
    s = dg.zeros(2, 3)

    def f(a):
        s.add_(a)
        return s, s * 1, s.T

    f = wrap(f)
    kept = []
    for _ in range(4):
        r = f(x())
        kept.append(r[1])
        yield r, kept


@both_modes(0)
def test_views_as_arguments(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2 + 1)
    for _ in range(2):
        yield f(dg.ones(1, 3).expand(2, 3)), f(x()[:, ::2]), f(x().T), f(x()[1:])


@both_modes(0)
def test_read_only_arrays(wrap: Wrap) -> Iterator[Any]:
    n = np.ones(3, dtype=np.float32)
    n.setflags(write=False)
    f = wrap(lambda v: dg.from_numpy(v) * 2)
    for _ in range(3):
        yield f(n)


@both_modes(0)
def test_arrays_of_other_layouts(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda v: dg.asarray(v).reshape(-1) * 2)
    for _ in range(3):
        yield (
            f(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
            f(np.arange(6.0).reshape(2, 3)[:, ::-1]),
            f(np.arange(3, dtype=">f4")),
        )


@both_modes(0)
def test_arrays_of_strings(wrap: Wrap) -> Iterator[Any]:
    names = np.array(["a", "b"])
    f = wrap(lambda v, k: v * (2 if names[k] == "a" else 3))
    for k in (0, 0, 1, 1):
        yield f(x(), k)
    names[0] = "b"
    yield f(x(), 0)


@both_modes(0)
def test_arrays_of_objects(wrap: Wrap) -> Iterator[Any]:
    o = np.array([1.0, None], dtype=object)
    f = wrap(lambda v: v * o[0])
    yield f(x()), f(x())
    o[0] = 5.0
    yield f(x())
    g = wrap(lambda v, n: v * n[0])
    yield g(x(), o), g(x(), o)
    o[0] = 6.0
    yield g(x(), o)
