"""Whole training programs, as people write them: the same bits in both modes, and steps that do run compiled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.nn import functional as F
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal

CALLS = range(8)


def labels(*shape: int, seed: int, below: int) -> dg.Tensor:
    return (normal(*shape, seed=seed).abs() * 100).long() % below


def train(loss: dg.Tensor, optimiser: optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def trained(loss: dg.Tensor, optimiser: optim.Optimizer) -> float:
    train(loss, optimiser)
    return float(loss.item())


@both_modes(4)
def test_a_variational_autoencoder(wrap: Wrap) -> Iterator[Any]:
    encode, mean, spread = nn.Linear(12, 8), nn.Linear(8, 3), nn.Linear(8, 3)
    decode = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 12), nn.Sigmoid())
    model = nn.ModuleList([encode, mean, spread, decode])
    optimiser = optim.Adam(model.parameters(), lr=1e-2)

    @wrap
    def step(x: Any, noise: Any) -> float:
        h = F.relu(encode(x))
        mu, log_variance = mean(h), spread(h)
        made = decode(mu + noise * dg.exp(0.5 * log_variance))
        fit = F.binary_cross_entropy(made, x, reduction="sum")
        kl = -0.5 * dg.sum(1 + log_variance - mu.pow(2) - log_variance.exp())
        return trained(fit + kl, optimiser)

    for i in CALLS:
        yield step(normal(6, 12, seed=i).sigmoid(), normal(6, 3, seed=50 + i))
    yield model.state_dict()


@both_modes(4)
def test_two_networks_against_each_other(wrap: Wrap) -> Iterator[Any]:
    maker = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 4), nn.Tanh())
    critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    makers = optim.Adam(maker.parameters(), lr=1e-3, betas=(0.5, 0.999))
    critics = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loss = nn.BCEWithLogitsLoss()

    @wrap
    def step(real: Any, noise: Any) -> tuple[float, float]:
        yes, no = dg.ones(real.size(0), 1), dg.zeros(real.size(0), 1)
        made = maker(noise)
        judged = loss(critic(real), yes) + loss(critic(made.detach()), no)
        return trained(judged, critics), trained(loss(critic(made), yes), makers)

    for i in CALLS:
        yield step(normal(5, 4, seed=i), normal(5, 3, seed=20 + i))
    yield maker.state_dict(), critic.state_dict()


@both_modes(4)
def test_a_gradient_penalty(wrap: Wrap) -> Iterator[Any]:
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimiser = optim.Adam(critic.parameters(), lr=1e-3)

    @wrap
    def step(real: Any, made: Any) -> float:
        between = ((real + made) / 2).requires_grad_(True)
        score = critic(between)
        (slope,) = dg.autograd.grad(score, between, dg.ones_like(score), create_graph=True)
        penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
        return trained(critic(made).mean() - critic(real).mean() + 10 * penalty, optimiser)

    for i in CALLS:
        yield step(normal(5, 4, seed=i), normal(5, 4, seed=20 + i))
    yield critic.state_dict()


@both_modes(4)
def test_a_recurrent_model_that_carries_its_state(wrap: Wrap) -> Iterator[Any]:
    embed, cell, out = nn.Embedding(9, 5), nn.GRU(5, 6, batch_first=True), nn.Linear(6, 9)
    model = nn.ModuleList([embed, cell, out])
    optimiser = optim.RMSprop(model.parameters(), lr=1e-2)
    held = {"h": dg.zeros(1, 2, 6)}

    @wrap
    def step(x: Any, y: Any) -> float:
        optimiser.zero_grad()
        states, last = cell(embed(x), held["h"])
        held["h"] = last.detach()
        loss = F.cross_entropy(out(states).reshape(-1, 9), y.reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return float(loss.item())

    for i in CALLS:
        yield step(labels(2, 4, seed=i, below=9), labels(2, 4, seed=30 + i, below=9)), held["h"]


@both_modes(4)
def test_a_policy_learns_from_discounted_rewards(wrap: Wrap) -> Iterator[Any]:
    policy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimiser = optim.Adam(policy.parameters(), lr=1e-2)

    @wrap
    def step(states: Any, actions: Any, rewards: Any) -> float:
        total, totals = dg.zeros(()), []
        for i in range(len(rewards) - 1, -1, -1):
            total = rewards[i] + 0.9 * total
            totals.insert(0, total)
        returns = dg.stack(totals)
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
        chosen = F.log_softmax(policy(states), dim=1)[dg.arange(len(actions)), actions]
        return trained(-(chosen * returns).sum(), optimiser)

    for i in CALLS:
        yield step(normal(6, 4, seed=i), labels(6, seed=i, below=3), normal(6, seed=40 + i))
    yield policy.state_dict()


@both_modes(4)
def test_clipped_policy_updates(wrap: Wrap) -> Iterator[Any]:
    body, head, value = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 1)
    model = nn.ModuleList([body, head, value])
    optimiser = optim.Adam(model.parameters(), lr=3e-3)

    @wrap
    def step(states: Any, actions: Any, old: Any, gain: Any, returns: Any) -> Any:
        losses = []
        for _ in range(2):
            h = dg.tanh(body(states))
            log_p = F.log_softmax(head(h), -1)
            ratio = (log_p.gather(1, actions[:, None])[:, 0] - old).exp()
            clipped = dg.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
            entropy = -(log_p.exp() * log_p).sum(-1).mean()
            miss = (value(h).squeeze(-1) - returns).pow(2).mean()
            loss = -clipped.mean() + 0.5 * miss - 0.01 * entropy
            train(loss, optimiser)
            losses.append(loss.detach())
        return dg.stack(losses)

    for i in CALLS:
        given = [normal(5, seed=i + k) for k in (10, 20, 30)]
        yield step(normal(5, 4, seed=i), labels(5, seed=i, below=3), *given)


@both_modes(4)
def test_learning_to_learn(wrap: Wrap) -> Iterator[Any]:
    weights = [nn.Parameter(normal(*s, seed=k)) for k, s in enumerate([(5, 1), (5,), (1, 5), (1,)])]
    optimiser = optim.Adam(weights, lr=1e-2)

    def net(x: Any, w: Any) -> Any:
        return F.linear(dg.tanh(F.linear(x, w[0], w[1])), w[2], w[3])

    @wrap
    def step(x: Any, y: Any, x_after: Any, y_after: Any) -> float:
        total = 0.0
        for i in range(2):
            loss = F.mse_loss(net(x[i], weights), y[i])
            slopes = dg.autograd.grad(loss, weights, create_graph=True)
            adapted = [w - 0.1 * g for w, g in zip(weights, slopes, strict=True)]
            total = total + F.mse_loss(net(x_after[i], adapted), y_after[i])
        return trained(total, optimiser)  # type: ignore[arg-type]

    for i in CALLS:
        yield step(*(normal(2, 4, 1, seed=10 * k + i) for k in range(4)))
    yield weights


@both_modes(4)
def test_an_equation_as_a_loss(wrap: Wrap) -> Iterator[Any]:
    u = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    optimiser = optim.Adam(u.parameters(), lr=1e-3)

    @wrap
    def step(x: Any, t: Any) -> float:
        x, t = x.clone().requires_grad_(True), t.clone().requires_grad_(True)
        y = u(dg.cat([x, t], dim=1))
        u_x, u_t = dg.autograd.grad(y.sum(), (x, t), create_graph=True)
        (u_xx,) = dg.autograd.grad(u_x.sum(), x, create_graph=True)
        residual = u_t + y * u_x - 0.01 / math.pi * u_xx
        return trained((residual**2).mean(), optimiser)

    for i in CALLS:
        yield step(normal(5, 1, seed=i), normal(5, 1, seed=30 + i))
    yield u.state_dict()


@both_modes(4)
def test_steps_of_a_differential_equation(wrap: Wrap) -> Iterator[Any]:
    field = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2))
    optimiser = optim.Adam(field.parameters(), lr=1e-2)

    def runge_kutta(y: Any, h: float) -> Any:
        a = field(y)
        b = field(y + h / 2 * a)
        c = field(y + h / 2 * b)
        return y + h / 6 * (a + 2 * b + 2 * c + field(y + h * c))

    @wrap
    def step(y: Any, seen: Any) -> float:
        way = []
        for _ in range(3):
            y = runge_kutta(y, 0.1)
            way.append(y)
        return trained((dg.stack(way) - seen).abs().mean(), optimiser)

    for i in CALLS:
        yield step(normal(4, 2, seed=i), normal(3, 4, 2, seed=20 + i))
    yield field.state_dict()


@both_modes(4)
def test_messages_along_the_edges_of_a_graph(wrap: Wrap) -> Iterator[Any]:
    first, second = nn.Linear(4, 6), nn.Linear(6, 3)
    model = nn.ModuleList([first, second])
    optimiser = optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)

    def spread(layer: Any, x: Any, edges: Any) -> Any:
        x, (source, goal) = layer(x), edges
        degree = dg.zeros(len(x)).index_add_(0, goal, dg.ones(len(goal)))
        sums = dg.zeros(x.shape).index_add(0, goal, x[source])
        return sums / degree.clamp(min=1)[:, None]

    @wrap
    def step(x: Any, edges: Any, y: Any, known: Any) -> tuple[float, float]:
        out = F.log_softmax(spread(second, F.relu(spread(first, x, edges)), edges), dim=1)
        loss = trained(F.nll_loss(out[known], y[known]), optimiser)
        return loss, (out.argmax(1)[known] == y[known]).float().mean().item()

    known = dg.arange(7) % 3 == 0
    for i in CALLS:
        edges = labels(2, 12, seed=i, below=7)
        yield step(normal(7, 4, seed=i), edges, labels(7, seed=i, below=3), known)


@both_modes(4)
def test_contrasts_between_two_views(wrap: Wrap) -> Iterator[Any]:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    optimiser = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)

    @wrap
    def step(a: Any, b: Any) -> float:
        n = len(a)
        z = F.normalize(dg.cat([model(a), model(b)]), dim=1)
        alike = (z @ z.T / 0.5).masked_fill(dg.eye(2 * n, dtype=dg.bool), -1e9)
        partners = dg.cat([dg.arange(n) + n, dg.arange(n)])
        return trained(F.cross_entropy(alike, partners), optimiser)

    for i in CALLS:
        yield step(normal(4, 6, seed=i), normal(4, 6, seed=20 + i))
    yield model.state_dict()


@both_modes(4)
def test_a_teacher_and_its_pupil(wrap: Wrap) -> Iterator[Any]:
    teacher, pupil, average = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 4)
    optimiser = optim.NAdam(pupil.parameters(), lr=1e-2)

    @dg.no_grad()
    def follow() -> None:
        for mean, w in zip(average.parameters(), pupil.parameters(), strict=True):
            mean.mul_(0.99).add_(w, alpha=0.01)

    @wrap
    def step(x: Any, y: Any) -> tuple[float, float]:
        soft = F.softmax(teacher(x).detach() / 2, 1)
        out = pupil(x)
        alike = F.kl_div(F.log_softmax(out / 2, 1), soft, reduction="batchmean") * 4
        loss = 0.7 * alike + 0.3 * F.cross_entropy(out, y)
        train(loss, optimiser)
        follow()
        return loss.item(), (out.argmax(1) == y).sum().item()

    for i in CALLS:
        yield step(normal(6, 5, seed=i), labels(6, seed=i, below=4))
    yield average.state_dict()
