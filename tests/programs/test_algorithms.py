"""Algorithms beside training, as people write them: the same bits in both modes, and calls that do run compiled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F
from tests.programs.test_training import CALLS, labels
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal


@both_modes(4)
def test_the_next_token(wrap: Wrap) -> Iterator[Any]:
    embed, head = nn.Embedding(11, 8), nn.Linear(8, 11)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()

    @wrap
    def extend(tokens: Any) -> Any:
        with dg.no_grad():
            logits = head(layer(embed(tokens[:, -6:])))[:, -1] / 0.8
            least = logits.topk(3)[0][:, [-1]]
            logits = dg.where(logits < least, dg.full_like(logits, -math.inf), logits)
            return dg.cat([tokens, F.softmax(logits, -1).argmax(-1, keepdim=True)], dim=1)

    for i in CALLS:
        yield extend(labels(2, 5, seed=i, below=11))


@both_modes(4)
def test_beams(wrap: Wrap) -> Iterator[Any]:
    embed, out = nn.Embedding(6, 4), nn.Linear(4, 6)

    @wrap
    def search(start: Any) -> Any:
        beams, scores = dg.zeros(3, 1, dtype=dg.int64), dg.tensor([0.0, -1e9, -2e9])
        with dg.no_grad():
            for _ in range(3):
                log_p = F.log_softmax(out(embed(beams[:, -1]) + start), -1)
                scores, at = (scores[:, None] + log_p).view(-1).topk(3)
                beams = dg.cat([beams[at // 6], (at % 6)[:, None]], 1)
        return beams, scores

    for i in CALLS:
        yield search(normal(4, seed=i))


@both_modes(4)
def test_a_filter_whose_state_is_kept(wrap: Wrap) -> Iterator[Any]:
    move, see = dg.tensor([[1.0, 0.1], [0.0, 1.0]]), dg.tensor([[1.0, 0.0]])
    held = {"x": dg.zeros(2, 1), "P": dg.eye(2)}

    @wrap
    def update(z: Any) -> Any:
        x, spread = move @ held["x"], move @ held["P"] @ move.T + 0.01 * dg.eye(2)
        gain = spread @ see.T @ dg.linalg.inv(see @ spread @ see.T + 0.1)
        held["x"] = x + gain @ (z - see @ x)
        held["P"] = (dg.eye(2) - gain @ see) @ spread
        return held["x"].squeeze(1)

    for i in CALLS:
        yield update(normal(1, 1, seed=i)), held["P"]


@both_modes(1)
def test_proposals_taken_or_not(wrap: Wrap) -> Iterator[Any]:
    held = {"q": dg.zeros(3)}

    def energy(q: Any) -> Any:
        return 0.5 * (q**2).sum() + 0.1 * (q**4).sum()

    def slope(q: Any) -> Any:
        q = q.detach().requires_grad_(True)
        return dg.autograd.grad(energy(q), q)[0]

    @wrap
    def propose(p: Any, bound: Any) -> Any:
        q, start = held["q"], p
        p = p - 0.05 * slope(q)
        for _ in range(3):
            q = q + 0.1 * p
            p = p - 0.1 * slope(q)
        change = energy(held["q"]) + 0.5 * (start**2).sum() - energy(q) - 0.5 * (p**2).sum()
        if bound < dg.exp(change):
            held["q"] = q
        return held["q"].clone()

    for i in CALLS:
        yield propose(normal(3, seed=i), normal(1, seed=20 + i)[0].sigmoid() + 0.3)


@both_modes(4)
def test_clusters(wrap: Wrap) -> Iterator[Any]:
    held = {"centres": normal(4, 2, seed=9)}

    @wrap
    def assign(x: Any) -> float:
        distances = dg.cdist(x, held["centres"])
        mine = F.one_hot(distances.argmin(1), 4).float()
        held["centres"] = (mine.T @ x) / mine.sum(0).clamp(min=1)[:, None]
        return float(distances.min(1)[0].sum().item())

    for i in CALLS:
        yield assign(normal(20, 2, seed=i)), held["centres"]


@both_modes(4)
def test_transport(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def plan(cost: Any) -> Any:
        kernel = (-cost / 0.5).exp()
        rows = u = dg.ones(len(cost)) / len(cost)
        for _ in range(6):
            v = 1.0 / (kernel.t() @ u) / cost.shape[1]
            u = rows / (kernel @ v)
        return u[:, None] * kernel * v[None, :]

    for i in CALLS:
        yield plan(normal(4, 5, seed=i).abs())


@both_modes(4)
def test_a_chain_of_tags(wrap: Wrap) -> Iterator[Any]:
    moves = nn.Parameter(dg.zeros(3, 3))
    optimiser = dg.optim.Adam([moves], lr=0.1)

    @wrap
    def step(scores: Any, tags: Any) -> float:
        ways = scores[0]
        for i in range(1, len(scores)):
            ways = dg.logsumexp(ways[:, None] + moves, dim=0) + scores[i]
        own = scores[dg.arange(len(tags)), tags].sum() + moves[tags[:-1], tags[1:]].sum()
        loss = dg.logsumexp(ways, 0) - own
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.item())

    for i in CALLS:
        yield step(normal(5, 3, seed=i), labels(5, seed=i, below=3))
    yield moves


@both_modes(4)
def test_turned_positions(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def turn(x: Any) -> Any:
        steps, width = x.shape[1:]
        rates = 1.0 / (10000 ** (dg.arange(0, width, 2).float() / width))
        angles = dg.outer(dg.arange(steps).float(), rates)
        c, s, a, b = angles.cos(), angles.sin(), x[..., 0::2], x[..., 1::2]
        return dg.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2)

    for i in CALLS:
        yield turn(normal(2, 5, 8, seed=i))


@both_modes(4)
def test_experts_by_their_scores(wrap: Wrap) -> Iterator[Any]:
    experts, gate = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)]), nn.Linear(4, 3)

    @wrap
    def mix(x: Any) -> Any:
        weights, chosen = dg.topk(F.softmax(gate(x), -1), 2, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = dg.zeros_like(x)
        for i, expert in enumerate(experts):
            out = out + (weights * (chosen == i)).sum(-1, keepdim=True) * expert(x)
        return (out - x).pow(2).mean()

    for i in CALLS:
        yield mix(normal(6, 4, seed=i))


@both_modes(4)
def test_cells_that_live_and_die(wrap: Wrap) -> Iterator[Any]:
    near = dg.ones(1, 1, 3, 3)
    near[0, 0, 1, 1] = 0

    @wrap
    def generations(x: Any) -> Any:
        for _ in range(3):
            n = F.conv2d(F.pad(x[None, None], (1, 1, 1, 1), mode="circular"), near)[0, 0]
            x = ((n == 3) | ((x == 1) & (n == 2))).float()
        return x, int(x.sum())

    for i in CALLS:
        yield generations((normal(8, 8, seed=i) > 0.3).float())


@both_modes(1)
def test_iterations_until_nothing_changes(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def root(a: Any) -> Any:
        x, i = a.clone(), 0
        for i in range(20):  # noqa: B007
            miss = x**3 - a
            if miss.abs().max() < 1e-4:
                break
            x = x - miss / (3 * x**2)
        return x, i

    for i in CALLS:
        yield root(normal(3, seed=i % 3).abs() + 0.5)
