"""Tensors as NumPy arrays, DLPack capsules, lists, pickles, copies and text."""

import copy
import pickle

import numpy as np
import pytest

import dualgraph as dg


def test_numpy_shares_memory_on_the_cpu():
    x = dg.zeros(3)
    x.numpy()[1] = 5
    np.asarray(x)[2] = 6
    assert x.tolist() == [0.0, 5.0, 6.0]
    a = np.zeros(2)
    t = dg.from_numpy(a)
    t += 1
    assert a.tolist() == [1.0, 1.0]


def test_numpy_refuses_tensors_that_require_gradients():
    x = dg.ones(2, requires_grad=True)
    with pytest.raises(dg.AutogradError, match="detach"):
        x.numpy()
    with pytest.raises(dg.AutogradError, match="detach"):
        np.asarray(x * 2)
    assert x.numpy(force=True).tolist() == [1.0, 1.0]


def test_array_protocol():
    x = dg.arange(3)
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.array(x, copy=True).base is None
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=np.float32, copy=False)


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "//", "%", "**", "<", "==", "@"])
def test_arrays_on_the_left_give_tensors(operator):
    a, x = np.array([1.0, 2.0]), dg.tensor([3.0, 4.0], dtype=dg.float64)
    out = eval(f"a {operator} x")
    assert isinstance(out, dg.Tensor)
    np.testing.assert_array_equal(out, eval(f"a {operator} b", {"a": a, "b": x.numpy()}))


def test_numpy_scalars_on_the_left_do_not_widen():
    x = dg.ones(2)
    assert (np.float64(2) * x).dtype is dg.float32
    assert (x * np.float64(2)).dtype is dg.float32


def test_numpy_functions_on_tensors():
    x = dg.tensor([1.0, 4.0], requires_grad=True)
    out = np.sqrt(x)
    assert isinstance(out, dg.Tensor) and out.requires_grad
    assert isinstance(np.add.reduce(x.detach()), np.generic)
    target = np.zeros(2, np.float32)
    np.add(target, x.detach(), out=target)
    target += x.detach()
    assert target.tolist() == [2.0, 8.0]


def test_dlpack_both_ways_without_copying():
    a = np.arange(3.0)
    x = dg.from_dlpack(a)
    x += 1
    assert a.tolist() == [1.0, 2.0, 3.0]
    back = np.from_dlpack(x)
    assert np.shares_memory(back, a)
    assert tuple(x.__dlpack_device__()) == (1, 0)
    with pytest.raises(dg.AutogradError, match="detach"):
        np.from_dlpack(dg.ones(1, requires_grad=True))


def test_tensor_copies_and_asarray_shares():
    a = np.zeros(2)
    copied, shared = dg.tensor(a), dg.asarray(a)
    a[0] = 1
    assert copied.tolist() == [0.0, 0.0] and shared.tolist() == [1.0, 0.0]
    with pytest.raises(dg.ArgumentError, match="copy"):
        dg.asarray([1, 2], copy=False)


def test_dtypes_of_python_numbers_and_arrays():
    assert dg.tensor(1.5).dtype is dg.float32
    assert dg.tensor([1, 2]).dtype is dg.int64
    assert dg.tensor(True).dtype is dg.bool
    assert dg.tensor(1j).dtype is dg.complex64
    assert dg.tensor(np.float64(1)).dtype is dg.float64
    assert dg.tensor([dg.tensor(1.0), 2]).tolist() == [1.0, 2.0]
    with pytest.raises(dg.DTypeError, match="regular"):
        dg.tensor([[1], [1, 2]])
    with pytest.raises(dg.DTypeError, match="numbers"):
        dg.tensor(["a"])


def test_python_numbers_out_of_tensors():
    assert dg.tensor([2.5]).item() == 2.5
    assert (
        float(dg.tensor(2)) == 2.0
        and int(dg.tensor(2.7)) == 2
        and complex(dg.tensor(1.0)) == 1 + 0j
    )
    assert [10, 20, 30][dg.tensor(1)] == 20
    assert bool(dg.tensor([1])) and not dg.tensor(0.0)
    for fails in (lambda: dg.ones(2).item(), lambda: bool(dg.ones(2))):
        with pytest.raises(ValueError, match="elements"):
            fails()
    with pytest.raises(TypeError, match="integer"):
        range(dg.tensor(1.0))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int8", "bool", "complex64"])
def test_pickles_and_deep_copies(dtype):
    x = dg.ones(2, 3).to(dtype)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert y.dtype is x.dtype and y.tolist() == x.tolist() and y is not x
    copy.copy(x).zero_()
    assert not x.any()


def test_deep_copies_keep_gradients_and_identity():
    x = dg.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    one, two = copy.deepcopy([x, x])
    assert one is two and one.requires_grad and one.grad.tolist() == [2.0, 2.0]
    with pytest.raises(dg.AutogradError, match="leaves"):
        copy.deepcopy(x * 2)


def test_sizes_are_numbers_and_can_be_called():
    x = dg.zeros(2, 3)
    assert x.size == 6 and x.size() == (2, 3) and x.size(0) == 2 and x.size(-1) == 3
    assert x.numel() == 6 and x.nbytes == 24 and x.element_size() == 4 and x.dim() == x.ndim == 2
    assert x.stride() == (3, 1) and x.T.stride(0) == 1 and not x.T.is_contiguous()


def test_to_takes_dtypes_devices_and_tensors():
    x = dg.ones(2)
    assert x.to(dg.float32) is x and x.to("cpu") is x and x.cpu() is x
    assert x.to("float64").dtype is dg.float64
    assert x.to("cpu", dg.int8).dtype is dg.int8
    assert x.to(dg.zeros(1, dtype=dg.int16)).dtype is dg.int16
    assert x.to(dg.float32, copy=True) is not x
    y = dg.ones(2, requires_grad=True)
    y.double().sum().backward()
    assert y.grad.dtype is dg.float32


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1.0, 2.0], "tensor([1., 2.])"),
        ([[1.0, 2.0], [3.0, 4.0]], "tensor([[1., 2.],\n        [3., 4.]])"),
        ([1.5, -2.0], "tensor([ 1.5000, -2.0000])"),
        ([1, -20, 300], "tensor([  1, -20, 300])"),
        ([True, False], "tensor([ True, False])"),
        (3, "tensor(3)"),
        ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"),
        ([float("nan"), 1.5, float("-inf")], "tensor([   nan, 1.5000,   -inf])"),
        ([], "tensor([])"),
        (np.zeros((2, 0), "float32"), "tensor([], size=(2, 0))"),
        (np.zeros(0, "int64"), "tensor([], dtype=dualgraph.int64)"),
        (np.float64([1, 2.5]), "tensor([1.0000, 2.5000], dtype=dualgraph.float64)"),
        (np.int32([1]), "tensor([1], dtype=dualgraph.int32)"),
        (np.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        ([[[1, 2]], [[3, 4]]], "tensor([[[1, 2]],\n\n        [[3, 4]]])"),
        ([1 + 2j], "tensor([1.+2.j])"),
    ],
)
def test_tensors_print_as_in_pytorch(data, text):
    assert repr(dg.tensor(data)) == text


def test_text_says_what_a_tensor_is_to_the_tape():
    x = dg.ones(1, requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<multiply>)"
    assert f"{dg.tensor(3.14159):.2f}" == "3.14"
    assert repr(dg.ones(2).to(dg.bfloat16)) == "tensor([1., 1.], dtype=dualgraph.bfloat16)"
