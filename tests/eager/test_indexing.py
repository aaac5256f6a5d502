"""Indexing reads, writes and differentiates as NumPy's does, and gives views where NumPy does."""

import random

import numpy as np
import pytest

import dualgraph as dg


def draw_key(shape, rng, numbers):
    """A key of numbers (or index arrays), slices, masks, None and Ellipsis for an array of `shape`."""
    draw, key = random.Random(int(rng.integers(1 << 30))), []
    index_shape = draw.choice([(2,), (2, 1), (3,)])
    for d in shape[: draw.randint(0, len(shape))]:
        kind = draw.random()
        if kind < 0.3:
            key.append(draw.randrange(-d, d) if numbers else rng.integers(-d, d, index_shape))
        elif kind < 0.65:
            ends = [draw.choice([None, draw.randint(-d - 1, d + 1)]) for _ in range(2)]
            key.append(slice(*ends, draw.choice([None, 1, 2, -1, -2, 3])))
        elif kind < 0.8 and not numbers:
            key.append(rng.random(d) > 0.4)
        else:
            key.append(slice(None))
        if draw.random() < 0.15:
            key.append(None)
    if draw.random() < 0.25:
        key.append(Ellipsis)
    return tuple(key)


def as_tensors(key):
    return tuple(dg.asarray(k) if isinstance(k, np.ndarray) else k for k in key)


def cases(numbers, count=150):
    rng = np.random.default_rng(numbers)
    while count:
        shape = tuple(int(d) for d in rng.integers(1, 5, rng.integers(1, 5)))
        key = draw_key(shape, rng, numbers)
        array = rng.standard_normal(shape)
        try:
            array[key]
        except IndexError:
            with pytest.raises((IndexError, ValueError)):
                dg.tensor(array)[as_tensors(key)]
            continue
        count -= 1
        yield array, key, rng


@pytest.mark.parametrize("numbers", [True, False])
def test_reading_agrees_with_numpy(numbers):
    for array, key, rng in cases(numbers):
        x = dg.tensor(array, requires_grad=True)
        part = x[as_tensors(key)]
        wanted = array[key]
        assert part.shape == wanted.shape, key
        np.testing.assert_array_equal(part.detach(), wanted)
        weights = rng.standard_normal(wanted.shape)
        (part * dg.tensor(weights)).sum().backward()
        gradient = np.zeros_like(array)
        np.add.at(gradient, key, weights)
        np.testing.assert_allclose(x.grad, gradient)


@pytest.mark.parametrize("numbers", [True, False])
def test_writing_agrees_with_numpy(numbers):
    for array, key, rng in cases(numbers):
        whole = array[key].shape
        value = rng.standard_normal(whole[rng.integers(0, len(whole) + 1) :] if numbers else ())
        wanted = array.copy()
        wanted[key] = value
        x, v = dg.tensor(array, requires_grad=True), dg.tensor(value, requires_grad=True)
        y = x * 1
        y[as_tensors(key)] = v
        np.testing.assert_array_equal(y.detach(), wanted)
        weights = rng.standard_normal(array.shape)
        (y * dg.tensor(weights)).sum().backward()
        kept = np.ones_like(array)
        kept[key] = 0
        np.testing.assert_allclose(0 if x.grad is None else x.grad.numpy(), weights * kept)
        if numbers:
            taken = weights[key]
            while taken.ndim > value.ndim:
                taken = taken.sum(0)
            np.testing.assert_allclose(0 if v.grad is None else v.grad.numpy(), taken)


def test_numbers_and_slices_give_views():
    for array, key, _ in cases(True):
        x = dg.tensor(array)
        part = x[key]
        if not part.numel():
            continue
        part += 1
        array[key] += 1
        np.testing.assert_array_equal(x, array)


def test_index_tensors_give_copies():
    x = dg.arange(4)
    part = x[dg.tensor([1, 2])]
    part += 10
    assert x.tolist() == [0, 1, 2, 3]


def test_numbers_beside_index_tensors_are_taken_first_as_in_pytorch():
    x = dg.zeros(2, 4, 5)
    assert x[1, :, dg.tensor([0, 1, 0])].shape == (4, 3)
    assert x[dg.tensor([0, 1, 0]), :, dg.tensor([2])].shape == (3, 4)


def test_a_truth_value_as_index():
    x = dg.arange(3)
    assert x[True].tolist() == [[0, 1, 2]] and x[False].shape == (0, 3)
    assert x[dg.tensor(True)].tolist() == [[0, 1, 2]]
    x[False] = 7
    assert x.tolist() == [0, 1, 2]
    x[dg.tensor(True)] = 7
    assert x.tolist() == [7, 7, 7]


def test_masks_select_and_write():
    x = dg.tensor([[1.0, -2.0], [-3.0, 4.0]])
    assert x[x < 0].tolist() == [-2.0, -3.0]
    x[x < 0] = 0
    assert x.tolist() == [[1.0, 0.0], [0.0, 4.0]]
    x[x > 0] = dg.tensor([10.0, 20.0])
    assert x.tolist() == [[10.0, 0.0], [0.0, 20.0]]


def test_repeated_indices_add_up_in_gradients():
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    x[dg.tensor([0, 0, 1])].sum().backward()
    assert x.grad.tolist() == [2.0, 1.0]


def test_lists_arrays_and_tensors_of_one_number_are_indices():
    x = dg.arange(5)
    assert x[[0, 2]].tolist() == [0, 2]
    assert x[np.array([1, 1])].tolist() == [1, 1]
    assert x[dg.tensor(3)].item() == 3
    assert x[np.int64(2) : np.int64(4)].tolist() == [2, 3]
    assert x[[]].tolist() == []


def test_augmented_assignment_writes_through():
    x = dg.zeros(2, 2)
    x[0] += 1
    x[:, 1] *= 5
    assert x.tolist() == [[1.0, 5.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (5, "out of range"),
        ((0, 0, 0), "3 indexes for 2 dimensions"),
        ((..., 0, ...), "at most one Ellipsis"),
        (slice(None, None, 0), "step cannot be 0"),
        ("a", "cannot be an index"),
        (dg.tensor([0.5]), "integer or bool"),
        (dg.tensor([7]), "out of range"),
        (dg.tensor([True, False, True]), "does not fit"),
    ],
)
def test_keys_that_do_not_fit_are_named(key, words):
    x = dg.zeros(2, 3)
    with pytest.raises(dg.DualgraphError, match=words) as caught:
        x[key]
    assert "f32[2,3]" in str(caught.value) and "test_indexing.py" in str(caught.value)


def test_going_through_a_tensor():
    x = dg.tensor([[1, 2], [3, 4]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert len(x) == 2 and 3 in x and 7 not in x
    with pytest.raises(TypeError, match="0-d"):
        iter(dg.tensor(1))


@pytest.mark.parametrize("dtype", ["float32", "bool", "complex64", "int8", "bfloat16"])
def test_masks_and_nonzero_of_few_elements_are_those_of_many(dtype):
    """NumPy goes through few at once; a capture, which sees the ops, gives the same."""
    values = np.array([[0.0, -0.0, 2.0], [np.nan, 3.0, 0.0]])
    x = dg.asarray(values if dtype not in ("int8", "bool") else np.nan_to_num(values)).astype(dtype)
    rows, whole = dg.asarray(np.array([True, False])), x != 0

    def run(x, rows, whole):
        none = whole & ~whole
        return x[whole], x[rows], x[none], x.t()[whole.t()], x.masked_select(whole), x[whole.any(1)]

    for given in (x, x * 1 if dtype != "bool" else x):
        made, seen = run(given, rows, whole), dg.compile(run, wait=True)(given, rows, whole)
        for a, b in zip(made, seen, strict=True):
            assert (
                a.tensor_type == b.tensor_type
                and a._data.tobytes() == b._data.tobytes()
                and a.is_contiguous()
            )
    expected = np.argwhere(np.asarray(whole))
    assert np.array_equal(x.nonzero(), expected) and x.nonzero().is_contiguous()
    assert all(map(np.array_equal, x.nonzero(as_tuple=True), expected.T))
    assert dg.vmap(lambda x: x * 2)(x[whole].float()).shape == (len(expected),)


@pytest.mark.parametrize("shape", [(9001,), (70, 101), (3, 50, 67), (700, 9), (5000, 1, 1)])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_masks_of_many_elements_list_the_places_in_order(shape, share):
    mask = np.random.default_rng(5).random(shape) < share
    x = dg.asarray(np.arange(mask.size, dtype="f4").reshape(shape))
    m = dg.asarray(mask)
    assert np.array_equal(x[m], x.numpy()[mask])
    assert np.array_equal(m.nonzero(), np.argwhere(mask))
    assert np.array_equal(dg.compile(lambda x, m: x[m] + 1, wait=True)(x, m), x.numpy()[mask] + 1)
    t = m.transpose(0, -1)
    assert np.array_equal(x.transpose(0, -1)[t], x.numpy().swapaxes(0, -1)[mask.swapaxes(0, -1)])
    if len(shape) > 1:
        first = m[..., 0]
        assert np.array_equal(x[first], x.numpy()[mask[..., 0]])


def test_gradients_of_masks():
    x = dg.arange(6.0).reshape(2, 3).requires_grad_()
    (x[x > 2] * dg.asarray([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [1, 2, 3]]
    with dg.no_grad():
        assert not x[x > 2].requires_grad


def test_written_places_by_index_tensors():
    x, at = dg.zeros(4, 3), dg.asarray([2, -1])
    x[at] = dg.ones(3)
    x[at, dg.asarray([0, 1])] = 5
    assert x.tolist() == [[0, 0, 0], [0, 0, 0], [5, 1, 1], [1, 5, 1]]
    for bad in (dg.asarray([4]), dg.asarray([-5])):
        with pytest.raises(dg.BoundsError, match="out of range for an axis of 4"):
            x[bad] = 1
        with pytest.raises(dg.BoundsError, match="out of range for an axis of 4"):
            x[bad, bad]
        with pytest.raises(dg.BoundsError, match="out of range for an axis of 4"):
            dg.gather(x, 0, bad.reshape(1, 1))
    assert x.sum().item() == 14
