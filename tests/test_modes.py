"""Whole programs, as users write them: every mode shows the same bits over several calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import dualgraph as dg
from dualgraph import nn
from tests.side_by_side import Wrap, both_modes

F = nn.functional


def data(*shape: int, seed: int = 0) -> Any:
    return dg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def labels(n: int, classes: int, seed: int = 0) -> Any:
    return dg.tensor(np.random.default_rng(seed).integers(0, classes, n))


def state(model: Any, optimizer: Any = None) -> Any:
    """Everything a training step may change."""
    return (
        model.state_dict(),
        [p.grad for p in model.parameters()],
        None if optimizer is None else optimizer.state_dict(),
    )


# --- training ------------------------------------------------------------------------------------


@both_modes(2)
def test_linear_regression_by_hand(wrap: Wrap) -> Iterator[Any]:
    x, y = data(32, 3), data(32, 1, seed=1)
    w, b = dg.zeros(3, 1, requires_grad=True), dg.zeros(1, requires_grad=True)

    @wrap
    def step(lr: float) -> Any:
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with dg.no_grad():
            for p in (w, b):
                p -= lr * p.grad
                p.grad = None
        return loss

    for lr in (0.1, 0.1, 0.1, 0.05, 0.05):
        yield step(lr), w, b, w.grad


@both_modes(3)
def test_a_perceptron_with_adam_and_a_schedule(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(3)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 4))
    optimizer = dg.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = dg.optim.lr_scheduler.StepLR(optimizer, step_size=3)

    @wrap
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss.detach()

    for i in range(7):
        yield step(data(16, 8, seed=i), labels(16, 4, seed=i)), state(model, optimizer)
        scheduler.step()


@both_modes(2)
def test_lenet(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6 * 3 * 3, 10),
    )  # fmt: skip
    optimizer = dg.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True
    )

    @wrap
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return loss, (logits.argmax(1) == y).float().mean()

    for i in range(4):
        yield step(data(4, 1, 16, 16, seed=i), labels(4, 10, seed=i)), state(model)


class Block(nn.Module):
    """A transformer block with a causal mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.heads = heads

    def forward(self, x: Any) -> Any:
        n, t, c = x.shape
        q, k, v = (
            self.qkv(self.norm1(x))
            .view(n, t, 3, self.heads, c // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(c // self.heads)
        mask = dg.ones(t, t, dtype=dg.bool).triu(1)
        weights = scores.masked_fill(mask, -math.inf).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norm2(x))


@both_modes(2)
def test_a_transformer_language_model(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(2)
    embed, block, head = nn.Embedding(11, 8), Block(8, 2), nn.Linear(8, 11)
    model = nn.ModuleList([embed, block, head])
    optimizer = dg.optim.Adam(model.parameters(), lr=0.01)

    @wrap
    def step(tokens: Any) -> Any:
        optimizer.zero_grad()
        x = embed(tokens[:, :-1]) + dg.arange(tokens.shape[1] - 1).unsqueeze(-1) * 0.01
        logits = head(block(x))
        loss = F.cross_entropy(logits.reshape(-1, 11), tokens[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    for i in range(4):
        yield step(labels(12, 11, seed=i).reshape(2, 6)), state(model)


@both_modes(2)
def test_two_optimisers_as_in_a_gan(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(4)
    maker = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
    judge = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    by_maker, by_judge = (
        dg.optim.Adam(maker.parameters(), lr=0.01),
        dg.optim.RMSprop(judge.parameters(), lr=0.01),
    )

    @wrap
    def step(real: Any) -> Any:
        fake = maker(dg.randn(real.shape[0], 4))
        by_judge.zero_grad()
        loss_judge = F.binary_cross_entropy_with_logits(judge(real), dg.ones(real.shape[0], 1)) + (
            F.binary_cross_entropy_with_logits(judge(fake.detach()), dg.zeros(real.shape[0], 1))
        )
        loss_judge.backward()
        by_judge.step()
        by_maker.zero_grad()
        loss_maker = F.binary_cross_entropy_with_logits(judge(fake), dg.ones(real.shape[0], 1))
        loss_maker.backward()
        by_maker.step()
        return {"judge": loss_judge.detach(), "maker": loss_maker.detach(), "fake": fake.detach()}

    for i in range(4):
        yield step(data(5, 6, seed=i)), state(maker), state(judge)


@both_modes(2)
def test_gradients_accumulated_over_several_backward_calls(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(5)
    model = nn.Linear(4, 2)
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1)
    micro = wrap(lambda x, y: (F.mse_loss(model(x), y) / 4).backward())

    @wrap
    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    for i in range(8):
        micro(data(3, 4, seed=i), data(3, 2, seed=i + 50))
        yield state(model)
        if i % 4 == 3:
            update()
            yield state(model)


@both_modes(2)
def test_only_the_forward_pass_is_compiled(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(6)
    model = nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.3), nn.Linear(7, 2)
    )
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1)
    fast = wrap(model)
    for i in range(5):
        optimizer.zero_grad()
        loss = (fast(data(6, 5, seed=i)) ** 2).mean()
        loss.backward()
        optimizer.step()
        yield loss, state(model)


@both_modes(2)
def test_batch_norm_and_dropout_in_both_modes_of_a_module(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(7)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout2d(0.5))
    f = wrap(model)
    for i, train in enumerate((True, True, True, False, False, True, False)):
        model.train(train)
        yield f(data(2, 2, 6, 6, seed=i)), state(model)


@both_modes()
def test_recurrent_cells_in_a_loop(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(8)
    cell, lstm, gru = nn.RNNCell(3, 4), nn.LSTMCell(3, 4), nn.GRU(3, 4, batch_first=True)
    modules = nn.ModuleList([cell, lstm, gru])

    @wrap
    def step(xs: Any) -> Any:
        h, c, s = dg.zeros(2, 4), dg.zeros(2, 4), dg.zeros(2, 4)
        for t in range(xs.shape[1]):
            s = cell(xs[:, t], s)
            h, c = lstm(xs[:, t], (h, c))
        out, last = gru(xs)
        loss = (s + h + c + out[:, -1] + last[0]).sum()
        loss.backward()
        return loss.detach(), h.detach(), out.detach()

    for n in (3, 3, 3, 2):
        yield step(data(2, n, 3, seed=n)), state(modules)


@both_modes(2)
def test_reinforce_with_sampling(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(9)
    policy = nn.Linear(4, 3)
    optimizer = dg.optim.Adam(policy.parameters(), lr=0.05)

    @wrap
    def step(x: Any, reward: Any) -> Any:
        logp = policy(x).log_softmax(-1)
        action = dg.multinomial(logp.detach().exp(), 1)
        loss = -(logp.gather(1, action).squeeze(1) * reward[action.squeeze(1)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return action, loss.detach()

    for i in range(4):
        yield step(data(6, 4, seed=i), data(3, seed=i)), state(policy)


@both_modes(2)
def test_weights_shared_and_averaged(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(10)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    average = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

    @wrap
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) - x).abs().mean()
        loss.backward()
        optimizer.step()
        with dg.no_grad():
            for k, v in model.state_dict().items():
                average[k].mul_(0.9).add_(v, alpha=0.1)
        return loss

    for i in range(5):
        yield step(data(3, 4, seed=i)), state(model), average


@both_modes(2)
def test_custom_functions(wrap: Wrap) -> Iterator[Any]:
    class StraightThrough(dg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.save_for_backward(x)
            ctx.scale = scale
            return (x * scale).round()

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            (x,) = ctx.saved_tensors
            return ct * ctx.scale * (x.abs() < 1), None

    w = data(4).requires_grad_()

    @wrap
    def inside(x: Any) -> Any:
        w.grad = None
        loss = (StraightThrough.apply(w, 3.0) * x).sum()
        loss.backward()
        return loss.detach()

    through = wrap(lambda x: (StraightThrough.apply(x, 2.0) * x).sum())
    for i in range(3):
        yield inside(data(4, seed=i)), w.grad
        x = data(4, seed=i).requires_grad_()
        through(x).backward()
        yield x.grad


@both_modes(2)
def test_gradient_penalties_and_hessians(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(11)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    @wrap
    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = model(x)
        (g,) = dg.autograd.grad(y.sum(), x, create_graph=True)
        loss = ((g.norm(dim=1) - 1) ** 2).mean() + y.mean()
        for p in model.parameters():
            p.grad = None
        loss.backward()
        return loss.detach(), g.detach()

    hessian = wrap(lambda x: dg.jacfwd(dg.grad(lambda v: (v.sin() * v * v).sum()))(x))
    for i in range(3):
        yield step(data(4, 3, seed=i)), state(model), hessian(data(3, seed=i))


@both_modes(2)
def test_function_transforms_inside(wrap: Wrap) -> Iterator[Any]:
    w = data(3, 2)

    def loss(w: Any, x: Any) -> Any:
        return ((x @ w).tanh() ** 2).sum()

    one_by_one = wrap(lambda xs: dg.vmap(dg.grad(loss), (None, 0))(w, xs))
    both = wrap(lambda x: dg.value_and_grad(loss)(w, x))
    pushed = wrap(lambda x: dg.jvp(lambda v: loss(w, v), (x,), (dg.ones_like(x),)))
    saved = wrap(dg.grad(lambda x: dg.checkpoint(lambda v: (v.exp() * v).sin())(x).sum()))
    for i in range(3):
        xs = data(4, 3, seed=i)
        yield one_by_one(xs), both(xs[0]), pushed(xs[1]), saved(xs)


# --- scripts -------------------------------------------------------------------------------------


@both_modes(2)
def test_k_means(wrap: Wrap) -> Iterator[Any]:
    points = data(40, 2)

    @wrap
    def step(centres: Any) -> Any:
        distances = ((points[:, None] - centres[None]) ** 2).sum(-1)
        nearest = distances.argmin(1)
        chosen = (nearest[:, None] == dg.arange(3)).float()
        return (chosen.T @ points) / chosen.sum(0).clamp(min=1)[:, None], nearest

    centres = points[:3].clone()
    for _ in range(5):
        centres, nearest = step(centres)
        yield centres, nearest


@both_modes(2)
def test_power_iteration_until_it_converges(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def largest(m: Any) -> Any:
        v = dg.ones(m.shape[0])
        before = dg.tensor(0.0)
        for _ in range(20):
            v = m @ v
            value = v.norm()
            v = v / value
            if (value - before).abs() < 0.05:
                break
            before = value
        return value, v

    for i in (0, 0, 1, 1, 2, 0):
        m = data(5, 5, seed=i)
        yield largest(m @ m.T)


@both_modes(2)
def test_image_filters_with_slices(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def sharpen(image: Any) -> Any:
        out = image.clone()
        inner = image[1:-1, 1:-1]
        around = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]
        out[1:-1, 1:-1] = (5 * inner - around).clamp(0, 1)
        out[::2, ::2] *= 0.5
        return out, out.flip((1,))[:, :3], (out * 255).to(dg.uint8)

    for i in range(4):
        yield sharpen(data(8, 9, seed=i).sigmoid())


@both_modes(2)
def test_a_stencil_loop_in_place(wrap: Wrap) -> Iterator[Any]:
    grid = dg.zeros(10, 10)
    grid[0] = 1.0

    @wrap
    def relax(steps: int) -> Any:
        for _ in range(steps):
            grid[1:-1, 1:-1] = 0.25 * (
                grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
            )
        return grid.sum()

    for steps in (1, 5, 5, 5, 1):
        yield relax(steps), grid


@both_modes(2)
def test_the_game_of_life_and_integers(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def step(cells: Any) -> Any:
        near = sum(
            cells.roll((i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)
        )
        return ((near == 3) | ((cells == 1) & (near == 2))).to(dg.int32)

    cells = (data(8, 8) > 0.3).to(dg.int32)
    for _ in range(5):
        cells = step(cells)
        yield cells, cells.sum()


@both_modes(2)
def test_normal_equations_and_monte_carlo(wrap: Wrap) -> Iterator[Any]:
    pi = wrap(lambda n: ((dg.rand(n) ** 2 + dg.rand(n) ** 2) < 1).float().mean() * 4)
    walk = wrap(lambda x, n: x + dg.where(dg.rand(n, 2) > 0.5, 1.0, -1.0).cumsum(0))
    for _ in range(4):
        yield pi(100), walk(dg.zeros(2), 6)


@both_modes(2)
def test_complex_numbers_and_doubles(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def mandelbrot(c: Any) -> Any:
        z = dg.zeros_like(c)
        count = dg.zeros(c.shape, dtype=dg.int64)
        for _ in range(6):
            z = dg.where(z.abs() < 2, z * z + c, z)
            count += (z.abs() < 2).to(dg.int64)
        return count, z

    c = data(5, 6, seed=1).to(dg.complex64) + data(5, 6, seed=2).to(dg.complex64) * 1j
    f = wrap(lambda x: (x.double().exp().mean(), x.half() * 2 + 1, x.bfloat16().sum()))
    for _ in range(3):
        yield mandelbrot(c), f(data(7))


@both_modes(2)
def test_arrays_and_numbers_go_in_and_out(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(
        x: Any, scale: float, name: str, options: dict[str, Any], *rest: Any, bias: Any = None
    ) -> Any:
        y = dg.asarray(x) * scale
        if options.get("shift") is not None:
            y = y + options["shift"]
        for r in rest:
            y = y + r
        return {
            "name": name,
            "y": y if bias is None else y + bias,
            "n": len(rest),
            "options": options["mode"],
        }

    n = np.arange(6, dtype=np.float32).reshape(2, 3)
    for i in range(3):
        yield f(n + i, 2.0, "one", {"mode": "a"})
        yield f(
            n + i,
            2.0,
            "one",
            {"mode": "b", "shift": data(3, seed=i)},
            n[:1],
            1.5,
            bias=np.float32(i),
        )
        yield f(n.T[:, ::-1] + i, 2, "two", {"mode": None}, bias=n.T)


@both_modes(2)
def test_a_batch_size_that_changes(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(12)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    f = wrap(model)
    for n in (4, 4, 7, 7, 1, 4, 0, 7):
        yield f(data(n, 3, seed=n))


@both_modes(1)
def test_a_module_is_compiled_as_a_decorator_and_keeps_its_keys(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(13)
    model = nn.Linear(3, 2)
    fast = wrap(model)
    for i in range(3):
        yield (
            fast(data(2, 3, seed=i)),
            list(fast.state_dict()),
            [n for n, _ in fast.named_parameters()],
        )
    fast.eval()
    yield model.training, fast(data(2, 3))


@both_modes(2)
def test_losses_and_metrics_are_logged(wrap: Wrap) -> Iterator[Any]:
    dg.manual_seed(14)
    model = nn.Linear(4, 3)
    optimizer = dg.optim.SGD(model.parameters(), lr=0.1)
    log: list[float] = []

    @wrap
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for i in range(6):
        log.append(step(data(5, 4, seed=i), labels(5, 3, seed=i)).item())
        yield log
