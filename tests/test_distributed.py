"""Processes that work together, here as threads that each have a group of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributed as dist
from dualgraph import nn


def in_each(size: int, work: Callable[[dist.ProcessGroup], Any]) -> list[Any]:
    """What `work` gives for each of so many groups that talk to each other."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = s.getsockname()

    def run(rank: int) -> Any:
        group = dist.ProcessGroup(rank, size, address, 20)
        try:
            return work(group)
        finally:
            group.close()

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


def test_tensors_of_all_become_one() -> None:
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((3, 2, 4)).astype(np.float32)

    def work(group: dist.ProcessGroup) -> Any:
        own = dg.tensor(parts[group.rank])
        found = {}
        for op in dist.ReduceOp:
            found[op.name] = own.clone()
            assert dist.all_reduce(found[op.name], op, group) is None
        found["broadcast"], found["reduce"] = own.clone(), own.clone()
        dist.broadcast(found["broadcast"], 1, group)
        dist.reduce(found["reduce"], 2, group=group)
        listed = [dg.zeros(2, 4) for _ in parts]
        dist.all_gather(listed, own, group)
        count = dg.tensor(group.rank)
        dist.all_reduce(count, group=group)
        dist.barrier(group)
        assert dist.get_rank(group) == group.rank and dist.get_world_size(group) == 3
        return {
            **{k: v.numpy() for k, v in found.items()},
            "gather": dg.stack(listed).numpy(),
            "count": count.item(),
        }

    each = in_each(3, work)
    total = parts[0] + parts[1] + parts[2]
    for rank, found in enumerate(each):
        np.testing.assert_array_equal(found["SUM"], total)
        np.testing.assert_array_equal(found["AVG"], total / np.float32(3))
        np.testing.assert_array_equal(found["PRODUCT"], parts[0] * parts[1] * parts[2])
        np.testing.assert_array_equal(found["MIN"], parts.min(0))
        np.testing.assert_array_equal(found["MAX"], parts.max(0))
        np.testing.assert_array_equal(found["broadcast"], parts[1])
        np.testing.assert_array_equal(found["reduce"], total if rank == 2 else parts[rank])
        np.testing.assert_array_equal(found["gather"], parts)
        assert found["count"] == 3


def test_gradients_are_averaged_over_processes() -> None:
    x, y = dg.randn(8, 3), dg.randn(8, 1)
    whole = nn.Linear(3, 1)

    def work(group: dist.ProcessGroup) -> Any:
        net = nn.Linear(3, 1)
        if group.rank == 0:
            net.load_state_dict(whole.state_dict())
        model = nn.parallel.DistributedDataParallel(net, process_group=group)
        own = slice(4 * group.rank, 4 * group.rank + 4)
        with model.no_sync():
            nn.functional.mse_loss(model(x[own]), y[own]).backward()
        alone, net.weight.grad, net.bias.grad = net.weight.grad, None, None
        nn.functional.mse_loss(model(x[own]), y[own]).backward()
        return list(model.state_dict()), alone.numpy(), net.weight.grad.numpy()

    (keys, first, a), (_, second, b) = in_each(2, work)
    nn.functional.mse_loss(whole(x), y).backward()
    assert keys == ["module.weight", "module.bias"] and (first != second).any()
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, (first + second) / np.float32(2))
    np.testing.assert_allclose(a, whole.weight.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_the_group_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(dg.StateError, match="init_process_group"):
        dist.get_rank()
    monkeypatch.setenv("WORLD_SIZE", "1")
    dist.init_process_group("gloo", init_method="env://")
    try:
        assert dist.is_initialized() and (dist.get_rank(), dist.get_world_size()) == (0, 1)
        x = dg.ones(2)
        dist.all_reduce(x)
        dist.broadcast(x, 0)
        assert x.tolist() == [1.0, 1.0] and list(
            dg.data.DistributedSampler(range(2), shuffle=False)
        ) == [0, 1]
        with pytest.raises(dg.ArgumentError, match="1 processes"):
            dist.all_gather([], x)
        with pytest.raises(dg.StateError, match="has a group"):
            dist.init_process_group()
        model = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
        model(x).sum().backward()
        assert model.module.weight.grad is not None
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()
    for wrong in ({"rank": 3, "world_size": 2}, {"init_method": "file://x"}):
        with pytest.raises(dg.ArgumentError):
            dist.init_process_group(**wrong)
