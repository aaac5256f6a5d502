"""PyTorch's namespace: names that mean something else in the Array API, and places of modules."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

import dualgraph as dg
import dualgraph.compat.torch as torch
from dualgraph.compat.torch.places import home_of

X = [[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]]
MEANT: dict[str, Any] = {
    "max(x, 1)": ([5, 6], [1, 2]),
    "max(x, dim=0, keepdim=True)": ([[4, 5, 6]], [[1, 0, 1]]),
    "max(x)": 6,
    "max(x, -x)": X,
    "min(x, 1)[1]": [0, 1],
    "sort(x, descending=True)[1]": [[1, 2, 0], [2, 0, 1]],
    "sort(x, 0, True)[0]": [[4, 5, 6], [1, 3, 2]],
    "argsort(x, dim=1)": [[0, 2, 1], [1, 0, 2]],
    "std(x, 0)": [4.5**0.5, 2**0.5, 8**0.5],
    "var(x, 1, unbiased=False)": [26 / 9, 14 / 9],
    "sum(x, 1)": [8, 13],
    "mean(x, dim=1, keepdim=True)": [[8 / 3], [13 / 3]],
    "prod(x, 0)": [4, 15, 12],
    "any(x > 5, 1)": [False, True],
    "argmax(x, 1)": [1, 2],
    "squeeze(x[:1], 0)": X[0],
    "squeeze(x, 0)": X,
    "take(x, tensor([0, 5]))": [1, 6],
    "nonzero(x > 4)": [[0, 1], [1, 2]],
    "where(x > 4)": ([0, 1], [1, 2]),
    "where(x > 4, x, 0.0)": [[0, 5, 0], [0, 0, 6]],
    "equal(x, x)": True,
    "roll(x, 1)": [[6, 1, 5], [2, 4, 3]],
    "flip(x, (0, 1))": [[6, 3, 4], [2, 5, 1]],
    "softmax(zeros(1, 2), 1)": [[0.5, 0.5]],
    "meshgrid(arange(2), arange(2))": ([[0, 0], [1, 1]], [[0, 1], [0, 1]]),
    "concat([x, x], dim=1).shape": (2, 6),
    "range(1, 2, 0.5)": [1, 1.5, 2],
    "exp_(zeros(2))": [1, 1],
    "igamma(ones(1), ones(1))": [0.6321205],
    "frombuffer(bytearray(b'ab'), dtype=uint8)": [97, 98],
    "split_with_sizes(arange(3), [1, 2])": ([0], [1, 2]),
    "constant_pad_nd(zeros(1), (1, 0), 2)": [2, 0],
    "adjoint(x[:, :1])": [[1, 4]],
    "Tensor([1, 2])": [1, 2],
    "Tensor(2, 3).shape": (2, 3),
    "Tensor.add(x, x)[0]": [2, 10, 4],
    "typename(x)": "dualgraph.FloatTensor",
    "jit.trace(exp, x)(zeros(1))": [1],
    "jit.script(exp)(zeros(1))": [1],
    "compile(exp, mode='max-autotune')(zeros(1))": [1],
    "compile(fullgraph=True)(exp)(zeros(1))": [1],
    "utils.checkpoint.checkpoint(exp, zeros(1), use_reentrant=False)": [1],
    "utils.checkpoint.checkpoint_sequential([exp, log, exp], 2, zeros(1))": [1],
}


def plain(value: Any) -> Any:
    if isinstance(value, dg.Tensor):
        return value.tolist()
    return tuple(map(plain, value)) if isinstance(value, tuple | list) else value


def close(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple | list):
        return len(got) == len(wanted) and all(map(close, got, wanted))
    return bool(got == wanted if isinstance(wanted, str | bool) else got == pytest.approx(wanted))


class Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.mark.parametrize("call", MEANT)
def test_functions_mean_what_pytorch_says(call: str) -> None:
    got = eval(call, {"__builtins__": {}}, Names(x=torch.tensor(X), bytearray=bytearray))
    assert close(plain(got), MEANT[call]), got


def test_what_is_one_thing_in_both_is_the_same_object() -> None:
    assert (
        torch.nn is dg.nn
        and torch.add is dg.add
        and torch.utils.data is dg.data
        and torch.float32 is dg.float32
    )
    assert isinstance(dg.ones(2), torch.Tensor) and issubclass(dg.nn.Parameter, torch.Tensor)
    assert not isinstance(1.0, torch.Tensor) and torch.cuda.amp is dg.amp
    with pytest.raises(AttributeError, match="PyTorch's is not here"):
        _ = torch.no_such_thing
    assert not [name for name in torch.__all__ if not hasattr(torch, name)]
    assert {"max", "add", "compile", "Tensor", "jit"} <= set(dir(torch))


MODULES = {
    "nn": "nn", "nn.functional": "nn.functional", "nn.modules.loss": "nn.loss",
    "nn.modules.batchnorm": "nn.normalisation",
    "optim.optimizer": "optim.optimizer", "optim.lr_scheduler": "optim.lr_scheduler", "utils.data": "data",
    "utils.data.dataset": "data.dataset", "ao.quantization": "quantization", "autograd.graph": "autograd.graph",
    "utils.tensorboard": "summaries", "utils.tensorboard.writer": "summaries",
    "cuda.amp": "amp", "random": "eager.random",
    "distributions.constraints": "distributions.constraints",
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_imported_from_its_place_and_never_twice(name: str) -> None:
    real = importlib.import_module(f"dualgraph.{MODULES[name]}")
    assert importlib.import_module(f"dualgraph.compat.torch.{name}") is real
    assert real.__spec__ is not None and real.__spec__.name == real.__name__
    kept = [m for m in sys.modules if m.startswith("dualgraph.compat.torch.")]
    twice = [
        m
        for m in kept
        if getattr(sys.modules[m], "__name__", "") == m and home_of(m.split(".", 3)[3])
    ]
    assert not twice


def test_what_is_drawn_in_a_fork_is_not_missed_after_it() -> None:
    before = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_names_are_found_where_scripts_look_for_them() -> None:
    import dualgraph.compat.torch.multiprocessing as mp
    from dualgraph.compat.torch.nn.modules import Module
    from dualgraph.compat.torch.optim.lr_scheduler import StepLR
    from dualgraph.compat.torch.utils.data import DataLoader

    assert StepLR is dg.optim.lr_scheduler.StepLR and DataLoader is dg.data.DataLoader
    assert isinstance(torch.nn.BatchNorm1d(2), torch.nn.modules.batchnorm._BatchNorm)
    assert Module is dg.nn.Module and torch.ao.quantization is dg.quantization
    assert mp.cpu_count() > 0 and mp.spawn is dg.distributed.spawn
    assert torch.version.__version__ == torch.__version__ and torch.ones(2).layout is torch.strided
    assert torch.compile(torch.compiler.disable(lambda x: x))(1) == 1
    assert torch.accelerator.is_available() == dg.cuda.is_available()
    with pytest.raises(ModuleNotFoundError, match="fx"):
        importlib.import_module("dualgraph.compat.torch.fx")
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        importlib.import_module("dualgraph.compat.torch.nn.no_such")


PARTS = """nn.modules.utils:_pair nn.modules.padding:ZeroPad2d nn.utils.weight_norm:weight_norm optim.adamw:AdamW
amp.grad_scaler:GradScaler distributions.categorical:Categorical distributions.transforms:AffineTransform
distributions.normal:Normal utils._pytree:tree_map utils.hooks:RemovableHandle utils.dlpack:to_dlpack
utils.data._utils.collate:default_collate
autograd.variable:Variable backends.cudnn:benchmark version:__version__ types:Number nn.attention:sdpa_kernel
optim.lr_scheduler:_LRScheduler nn.parallel.distributed:DistributedDataParallel""".split()


@pytest.mark.parametrize("part", PARTS)
def test_names_are_in_the_modules_that_pytorch_cuts_its_own_into(part: str) -> None:
    module, _, name = part.partition(":")
    assert hasattr(importlib.import_module(f"dualgraph.compat.torch.{module}"), name)
    if "." in module:  # and by way of the larger module
        whole = importlib.import_module(f"dualgraph.compat.torch.{module.rpartition('.')[0]}")
        assert hasattr(whole, module.rpartition(".")[2])
    assert callable(torch.nn.utils.weight_norm) and callable(
        dg.nn.utils.parametrizations.spectral_norm
    )


def test_defaults_may_be_set_by_a_constructor() -> None:
    try:
        torch.set_default_tensor_type(torch.DoubleTensor)
        assert (
            torch.Tensor([1]).dtype is torch.float64 and torch.get_default_dtype() is torch.float64
        )
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")
    assert torch.tensor(1.0).dtype is torch.float32


def test_files_hold_states_and_whole_modules(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    for file in (tmp_path / "net.pt", io.BytesIO()):
        torch.save({"model": net.state_dict(), "epoch": 3}, file)
        if isinstance(file, io.BytesIO):
            file.seek(0)
        found = torch.load(file, map_location="cpu")
        assert found["epoch"] == 3 and found["model"]["0.weight"].tolist() == net[0].weight.tolist()
    torch.save(net, tmp_path / "whole.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        torch.load(tmp_path / "whole.pt")
    again = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert again(torch.ones(1, 2)).tolist() == net(torch.ones(1, 2)).tolist()
