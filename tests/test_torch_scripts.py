"""What scripts written for PyTorch ask for besides tensors: GPUs, profiles, quantised models, parallel wrappers."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.nn import functional as F


def test_a_script_may_ask_for_gpus_where_there_is_none() -> None:
    assert dg.cuda.is_available() == (dg.cuda.device_count() > 0)
    dg.cuda.synchronize()
    dg.cuda.empty_cache()
    dg.cuda.manual_seed_all(3)
    first = dg.rand(2).tolist()
    dg.manual_seed(3)
    assert dg.rand(2).tolist() == first
    assert dg.zeros(2, 3).shape == dg.Size([2, 3])
    assert dg.get_default_device() == dg.device("cpu")


def test_devices_of_one_name_are_one() -> None:
    assert dg.device("cpu") is dg.zeros(2).device is dg.device(dg.device("cpu:0"))
    second = dg.device("cuda", 1)
    assert second is dg.device("cuda:1") is pickle.loads(pickle.dumps(second))
    assert (second.type, second.index, str(second)) == ("cuda", 1, "cuda:1")
    assert dg.device("cuda") is dg.device("cuda:0") != dg.device("cpu")
    for wrong in ("mps", "cuda:x", 3):
        with pytest.raises(dg.DeviceError, match="is not a device"):
            dg.device(wrong)


def test_data_parallel_has_pytorchs_names_and_the_models_results() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    wrapped = nn.DataParallel(model)
    assert list(wrapped.state_dict()) == ["module.0.weight", "module.0.bias"]
    x = dg.randn(5, 3)
    assert wrapped(x).tolist() == model(x).tolist() == dg.compile(wrapped, wait=True)(x).tolist()
    with pytest.raises(dg.ArgumentError, match="one device"):
        nn.DataParallel(model, device_ids=[0, 1])


def test_print_options() -> None:
    x = dg.tensor([[1 / 3, 2.0], [1e-3, 10.0]])
    long = dg.arange(2000)
    before = repr(x), repr(long)
    try:
        dg.set_printoptions(precision=2, sci_mode=False)
        assert repr(x) == "tensor([[ 0.33,  2.00],\n        [ 0.00, 10.00]])"
        dg.set_printoptions(sci_mode=True)
        assert "3.33e-01" in repr(x)
        dg.set_printoptions(edgeitems=1)
        assert repr(long) == "tensor([   0,  ..., 1999])"
        dg.set_printoptions(profile="full", linewidth=20)
        assert "1234" in repr(long) and max(map(len, repr(long).splitlines())) <= 20
        with pytest.raises(dg.ArgumentError, match="profile 'wide'"):
            dg.set_printoptions(profile="wide")
    finally:
        dg.set_printoptions(profile="default")
    assert (repr(x), repr(long)) == before


def test_the_class_is_not_what_makes_tensors_of_lists() -> None:
    with pytest.raises(dg.DTypeError, match=r"dg\.tensor"):
        dg.Tensor([1.0, 2.0])
    with pytest.raises(dg.DTypeError, match=r"dg\.tensor"):
        dg.Tensor(dg.ones(2))


# --- profiler ------------------------------------------------------------------------------------


def test_a_profile_counts_ops_and_compiled_calls(tmp_path: Path) -> None:
    w = dg.randn(8, 8, requires_grad=True)
    step = dg.compile(lambda x: (x @ w).tanh().sum(), wait=True)
    x = dg.randn(8, 8)
    step(x)
    with dg.profiler.profile() as prof:
        with dg.profiler.record_function("forward"):
            loss = (x @ w).tanh().sum()
        loss.backward()
        for _ in range(3):
            step(x)
    rows = {row.key: row for row in prof.key_averages()}
    assert rows["matmul"].count == 2  # forward, and the gradient of w
    assert rows["tanh"].cpu_memory == 8 * 8 * 4
    assert rows["forward"].cpu_time_total >= rows["tanh"].cpu_time_total > 0
    assert [row.count for key, row in rows.items() if key.startswith("program")] == [3]
    table = prof.key_averages().table(sort_by="count", row_limit=1)
    assert len(table.splitlines()) == 2 and "  3 " in table
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(events) == prof.key_averages().total_average().count
    with dg.profiler.record_function("outside"):
        assert step(x).shape == ()
    with pytest.raises(dg.ArgumentError, match="sort_by"):
        prof.key_averages().table(sort_by="color")


def test_a_profile_by_a_schedule(tmp_path: Path) -> None:
    """Each trace holds the active steps of its cycle; what the handler computes is in none."""
    seen: list[Any] = []
    x = dg.ones(2, 3)

    def ready(prof: Any) -> None:
        seen.append((prof.step_num, [e.name for e in prof.events()], dg.exp(x).shape))
        dg.profiler.tensorboard_trace_handler(str(tmp_path / "log"), "w", use_gzip=len(seen) > 1)(
            prof
        )

    when = dg.profiler.schedule(wait=1, warmup=1, active=2, skip_first=1)
    with dg.profiler.profile(
        [dg.profiler.ProfilerActivity.CPU], schedule=when, on_trace_ready=ready
    ) as prof:
        for op in "sin cos tan sinh cosh tanh exp log sqrt abs".split():
            getattr(dg, op)(x)
            prof.step()
    assert seen == [(4, ["sinh", "cosh"], (2, 3)), (8, ["log", "sqrt"], (2, 3))]
    plain, packed = sorted((tmp_path / "log").iterdir())
    assert "sinh" in plain.read_text() and "sqrt" in gzip.decompress(packed.read_bytes()).decode()
    last = dg.profiler.schedule(wait=0, warmup=0, active=1, repeat=2)
    assert [last(i).name for i in range(3)] == ["RECORD_AND_SAVE"] * 2 + ["NONE"]


def test_a_profile_by_shapes_and_by_its_older_name() -> None:
    with dg.profiler.profile(record_shapes=True, profile_memory=True) as prof:
        for n in (2, 3, 2):
            dg.exp(dg.ones(n))
    rows = prof.key_averages(group_by_input_shape=True)
    assert [(r.count, r.input_shapes) for r in rows if r.key == "exp"] == [
        (2, ((2,),)),
        (1, ((3,),)),
    ]
    assert sum(r.cpu_memory_usage for r in rows if r.key == "exp") == 28
    table = rows.table(sort_by="self_cpu_memory_usage", row_limit=-1)
    assert "(3,)" in table and len(table.splitlines()) == 1 + len(rows)
    assert "exp" in rows.table(sort_by=None) and str(prof) == prof.table()
    with dg.autograd.profiler.profile(False) as off:
        dg.ones(2)
    assert not off.events()


def test_a_profile_changes_no_bits_and_ends() -> None:
    x = dg.randn(64, 64)
    expected = F.softmax(x @ x, 1).numpy().tobytes()
    with dg.profiler.profile():
        assert F.softmax(x @ x, 1).numpy().tobytes() == expected
    before = dg.profiler.profile()
    with pytest.raises(ZeroDivisionError), before:
        _ = 1 / 0
    F.softmax(x, 1)
    assert not before.key_averages()


# --- quantisation --------------------------------------------------------------------------------


def test_quantised_numbers_are_within_half_a_step() -> None:
    x = dg.randn(6, 50)
    for axis in (None, 0):
        scale = dg.quantization.scale_of(x, axis)
        q = dg.quantization.quantize(x, scale, axis=axis)
        assert q.dtype is dg.int8 and q.abs().max().item() == 127
        back = dg.quantization.dequantize(q, scale, axis=axis)
        limit = scale.reshape(-1, 1) if axis == 0 else scale
        assert bool(((back - x).abs() <= limit * 0.5001).all())
    assert dg.quantization.scale_of(dg.zeros(2, 3), 0).tolist() == [1.0, 1.0]
    whole = dg.quantization.quantize(dg.tensor([-1.0, 0.0, 40.0]), 0.1, 128, dg.uint8)
    assert whole.tolist() == [118, 128, 255]
    with pytest.raises(dg.DTypeError, match="int8"):
        dg.quantization.quantize(x, 0.1, dtype=dg.float32)


def test_fake_quantised_training_has_straight_gradients_in_both_modes() -> None:
    x = dg.linspace(-3, 3, 24).reshape(4, 6).requires_grad_()

    def fn(x: dg.Tensor) -> dg.Tensor:
        y = dg.fake_quantize_per_channel_affine(
            x, dg.tensor([0.1, 0.2, 0.3, 0.4]), dg.tensor([0, 1, -1, 0]), 0, -8, 7
        )
        return (y * y).sum()

    values = x.detach().numpy().astype(np.float64)
    scale, zero = np.array([[0.1], [0.2], [0.3], [0.4]]), np.array([[0], [1], [-1], [0]])
    whole = np.round(values / scale) + zero
    rounded = (np.clip(whole, -8, 7) - zero) * scale
    fn(x).backward()
    inside = (whole >= -8) & (whole <= 7)
    np.testing.assert_allclose(x.grad.numpy(), 2 * rounded * inside, rtol=1e-5, atol=1e-6)
    assert dg.compare(fn, x.detach()).bitwise_equal


def test_a_dynamically_quantised_model_is_small_and_near() -> None:
    dg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Sequential(nn.Linear(32, 8)))
    small = dg.quantization.quantize_dynamic(model, {nn.Linear}, dtype=dg.int8)
    assert type(model[0]) is nn.Linear
    x = dg.randn(16, 64)
    error = (small(x) - model(x)).abs().max() / model(x).abs().max()
    assert error.item() < 0.03
    assert dg.compare(small, x).bitwise_equal
    assert small[0].weight.dtype is dg.int8 and small[2][0].weight.dtype is dg.int8
    again = dg.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Sequential(nn.Linear(32, 8)))
    )
    again.load_state_dict(small.state_dict())
    assert again(x).tolist() == small(x).tolist()
    part = dg.quantization.quantize_dynamic(model, {"2.0"})
    assert type(part[0]) is nn.Linear and type(part[2][0]) is not nn.Linear
    with pytest.raises(dg.ArgumentError, match="Linear"):
        dg.quantization.quantize_dynamic(model, {nn.Conv2d})


def test_older_constructors() -> None:
    assert dg.FloatTensor([1, 2]).tolist() == [1.0, 2.0] and dg.FloatTensor().shape == (0,)
    assert dg.LongTensor(np.array([1.7])).tolist() == [1] and dg.LongTensor((2, 3)).shape == (2,)
    assert dg.ByteTensor(4).shape == (4,) and dg.BoolTensor([0, 2]).tolist() == [False, True]
    f = dg.compile(lambda x: dg.FloatTensor([1, 2]) * x, wait=True)
    assert [f(dg.ones(2) * i).tolist() for i in (1, 2, 3)] == [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]


def test_type_converts_and_names() -> None:
    x = dg.tensor([1.5, -2.0], requires_grad=True)
    for wanted in (dg.int64, dg.LongTensor, "LongTensor", "torch.LongTensor", "int64"):
        assert x.type(wanted).dtype is dg.int64 and x.type(wanted).tolist() == [1, -2]
    assert x.type(dg.float32) is x and x.type(dg.float64).requires_grad
    assert x.type() == "dualgraph.FloatTensor" and (x > 0).type() == "dualgraph.BoolTensor"
    assert x.type(x.type()) is x and x.type("complex64").type() == "dualgraph.complex64"
    with pytest.raises(dg.DTypeError, match="not a dtype"):
        x.type("torch.Tensor")
    double = nn.Linear(2, 2).type(dg.DoubleTensor)
    assert {p.dtype for p in double.parameters()} == {dg.float64}
    f = dg.compile(lambda v: v.type(dg.DoubleTensor) * 2, wait=True)
    assert [f(x).tolist() for _ in range(3)] == [[3.0, -4.0]] * 3


def test_datasets_may_ask_for_their_worker() -> None:
    class Numbers(dg.data.IterableDataset):
        def __iter__(self):
            return iter(range(4) if dg.data.get_worker_info() is None else ())

    for workers in (0, 2):
        found = [x.tolist() for x in dg.data.DataLoader(Numbers(), 2, num_workers=workers)]
        assert found == [[0, 1], [2, 3]]


def test_views_share_a_storage() -> None:
    x = dg.arange(6.0).reshape(2, 3)
    memory = x[1].storage()
    assert (
        memory.data_ptr()
        == x.T.storage().data_ptr()
        == x.untyped_storage().data_ptr()
        == x.data_ptr()
    )
    assert (len(memory), memory.size(), memory.nbytes(), memory.element_size()) == (6, 6, 24, 4)
    memory[4] = 9.0
    assert x[1, 1].item() == memory[4] == 9.0 and list(memory) == [0.0, 1.0, 2.0, 3.0, 9.0, 5.0]
    assert (
        memory.fill_(2.0).dtype is dg.float32
        and x.sum().item() == 12
        and "6 elements" in repr(memory)
    )
    assert x.untyped_storage().size() == 24 and x.clone().storage().data_ptr() != x.data_ptr()
    with pytest.raises(dg.AutogradError, match="read-only"):
        x.untyped_storage().fill_(0)
    with pytest.raises(dg.ArgumentError, match="contiguous"):
        dg.from_numpy(np.ones((2, 4))[:, ::2]).storage()


def test_older_names_of_initial_values() -> None:
    assert (
        nn.init.xavier_uniform is nn.init.xavier_uniform_ and nn.init.constant is nn.init.constant_
    )
    with pytest.raises(AttributeError, match="nothing"):
        _ = nn.init.nothing
