"""`testing.assert_close`: what is close, and what is said of what is not."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.testing import assert_close

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_tolerances_are_those_of_the_dtype(dtype):
    rtol, atol = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float64": (1e-7, 1e-7)}.get(
        dtype, (1.3e-6, 1e-5)
    )
    y = dg.tensor([8.0, 0.0], dtype=dg.float64)
    near = y + dg.tensor([0.8 * 8 * rtol, 0.8 * atol], dtype=dg.float64)
    far = [
        y + dg.tensor(d, dtype=dg.float64)
        for d in ([2 * 8 * rtol + 2 * atol, 0.0], [0.0, 2 * atol])
    ]
    assert_close(near.to(dtype), y.to(dtype), check_dtype=False)
    for x in far:
        with pytest.raises(AssertionError, match="1 of 2 elements"):
            assert_close(x.to(dtype), y.to(dtype))
        assert_close(x.to(dtype), y.to(dtype), rtol=0.1, atol=0.1)


def test_whole_numbers_are_equal_or_not():
    big = 2**62
    assert_close(dg.tensor([big, 1]), dg.tensor([big, 1]))
    assert_close(dg.tensor([True]), dg.tensor([True]))
    with pytest.raises(
        AssertionError, match=r"1 of 2 elements[\s\S]*absolute difference: 1.0 at \(0,\)"
    ):
        assert_close(dg.tensor([big + 1, 1]), dg.tensor([big, 1]))
    assert_close(dg.tensor([11]), dg.tensor([10]), rtol=0.1, atol=0)


def test_infinities_and_nan():
    assert_close(dg.tensor([INF, -INF]), dg.tensor([INF, -INF]))
    for x, y in ((INF, -INF), (INF, 1e30), (1.0, INF), (NAN, NAN), (NAN, 1.0)):
        with pytest.raises(AssertionError, match="1 of 1"):
            assert_close(x, y)
    assert_close(dg.tensor([NAN, 1.0]), np.float32([NAN, 1.0]), equal_nan=True)
    assert_close(dg.zeros(0, 3), dg.zeros(0, 3))


def test_containers_and_what_is_said_of_them():
    x = {"a": [dg.ones(2), 1.0], "b": (None, np.ones(3))}
    assert_close(x, {"b": (None, np.ones(3)), "a": [dg.ones(2), 1.0]})
    for other, words in (
        ({"a": [dg.ones(2), 2.0], "b": x["b"]}, r"item \['a'\]\[1\]: 1 of 1 elements"),
        ({"a": x["a"]}, "the keys are"),
        ({"a": [dg.ones(2)], "b": x["b"]}, r"item \['a'\]: the lengths are 2 and 1"),
        ({"a": x["a"], "b": (1.0, np.ones(3))}, r"item \['b'\]\[0\]: None and 1.0"),
    ):
        with pytest.raises(AssertionError, match=words):
            assert_close(x, other)


def test_types_count_unless_that_is_not_asked_for():
    with pytest.raises(AssertionError, match=r"the shapes are \(2,\) and \(1, 2\)"):
        assert_close(dg.ones(2), dg.ones(1, 2))
    with pytest.raises(AssertionError, match="the dtypes are float32 and float64"):
        assert_close(dg.ones(2), dg.ones(2, dtype=dg.float64))
    assert_close(dg.ones(2), dg.ones(2, dtype=dg.float64), check_dtype=False)
    assert_close(dg.ones(2, requires_grad=True) * 2, dg.full((2,), 2.0))


def test_messages_and_errors():
    with pytest.raises(AssertionError, match=r"^no$"):
        assert_close(1.0, 2.0, msg="no")
    with pytest.raises(AssertionError, match=r"^see: 1 of 1"):
        assert_close(1.0, 2.0, msg=lambda text: f"see: {text}")
    with pytest.raises(dg.ArgumentError, match="both"):
        assert_close(1.0, 1.0, rtol=0.1)


def test_values_alone_may_be_compared() -> None:
    dg.testing.assert_allclose(dg.tensor([1.0, dg.nan]), np.array([1.0, np.nan]))
    dg.testing.assert_allclose(dg.tensor([1.0, 2.0]), [1, 3], rtol=0.0, atol=1.0)
    with pytest.raises(AssertionError, match="1 of 2"):
        dg.testing.assert_allclose(dg.tensor([1.0, 2.0]), [1, 3])
