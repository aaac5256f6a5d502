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


def free_address() -> tuple[str, int]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()


def in_each(size: int, work: Callable[[dist.ProcessGroup], Any]) -> list[Any]:
    """What `work` gives for each of so many groups that talk to each other."""
    address = free_address()

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


def test_messages_go_from_any_process_to_any_other() -> None:
    def work(group: dist.ProcessGroup) -> Any:
        mine, left, right = group.rank, (group.rank - 1) % 4, (group.rank + 1) % 4
        got = dg.zeros(2, 2)
        dist.send(dg.full((2, 2), float(mine)), right, group)
        assert dist.recv(got, left, group) == left
        back = dg.tensor(0)
        dist.send(dg.tensor(mine * 10), left, group)
        dist.recv(back, right, group)
        return got[0, 1].item(), back.item()

    assert in_each(4, work) == [(3.0, 10), (0.0, 20), (1.0, 30), (2.0, 0)]


def test_some_processes_make_a_group_of_their_own() -> None:
    def work(group: dist.ProcessGroup) -> Any:
        even, odd = group.part((0, 2)), group.part((1, 3))
        own = even if group.rank % 2 == 0 else odd
        x, y, z = (dg.tensor(float(group.rank + 1)) for _ in range(3))
        dist.all_reduce(x, group=own)
        dist.broadcast(y, own.ranks[1], own)
        dist.reduce(z, own.ranks[1], group=own)
        with pytest.raises(dg.StateError, match="none of the group's"):
            dist.barrier(odd if own is even else even)
        with pytest.raises(dg.ArgumentError, match="none of"):
            dist.broadcast(y, 7, own)
        dist.barrier(group)
        assert dist.get_world_size(own) == 2
        return own.rank, x.item(), y.item(), z.item()

    assert in_each(4, work) == [(0, 4, 3, 1), (0, 6, 4, 2), (1, 4, 3, 4), (1, 6, 4, 6)]


def test_objects_travel() -> None:
    def work(group: dist.ProcessGroup) -> Any:
        listed: list[Any] = [None] * 3
        dist.all_gather_object(listed, {"rank": group.rank, "x": "a" * group.rank}, group)
        told = [group.rank, None]
        dist.broadcast_object_list(told, 1, group)
        work = dist.barrier(group, async_op=True)
        assert work.wait() and work.is_completed()
        with pytest.raises(dg.ArgumentError, match="3 places"):
            dist.all_gather_object([], 1, group)
        return [o["x"] for o in listed], told

    assert in_each(3, work) == [(["", "a", "aa"], [1, None])] * 3


def test_a_process_that_never_comes_is_named() -> None:
    with pytest.raises(dg.StateError, match=r"of 3 processes only \[0\] came in 0.1 s"):
        dist.ProcessGroup(0, 3, free_address(), 0.1)
    with pytest.raises(dg.StateError, match=r"process 0 does not answer at 127.0.0.1:\d+ in 0.1 s"):
        dist.ProcessGroup(1, 3, free_address(), 0.1)


def test_a_process_that_has_gone_or_gives_something_else_is_named() -> None:
    def leaves(group: dist.ProcessGroup) -> None:
        if group.rank:
            with pytest.raises(dg.StateError, match="process 0 has gone"):
                dist.barrier(group)

    in_each(2, leaves)

    def differs(group: dist.ProcessGroup) -> None:
        x = dg.zeros(2 + group.rank)
        if group.rank == 0:
            with pytest.raises(dg.StateError, match=r"gave \[2, 3\] elements"):
                dist.all_reduce(x, group=group)
            dist.send(x, 1, group)
            group.recv(1)
            return
        group.send(0, x.numpy().tobytes())  # its part of the sum
        with pytest.raises(dg.StateError, match=r"sent 8 bytes for f32\[3\]"):
            dist.recv(x, 0, group)
        group._wires.timeout = 0.05
        with pytest.raises(dg.StateError, match=r"process 0 sent nothing in 0.05 s"):
            dist.recv(x, 0, group)
        with pytest.raises(dg.ArgumentError, match="to itself"):
            dist.send(x, 1, group)
        group.send(0, b"done")

    in_each(2, differs)


def test_strangers_are_hung_up_on() -> None:
    address = free_address()

    def stranger(_: int) -> None:
        while True:
            try:
                with socket.create_connection(address, 5) as line:
                    line.sendall(b"\0\0\0\x05hello")
                    assert line.recv(1) == b""
                return
            except ConnectionRefusedError:
                pass

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(dist.ProcessGroup, 0, 2, address, 20)
        pool.submit(stranger, 0).result()
        second = pool.submit(dist.ProcessGroup, 1, 2, address, 20)
        groups = [first.result(), second.result()]
    assert [g.rank for g in groups] == [0, 1]
    for g in groups:
        g.close()
