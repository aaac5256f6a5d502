"""Functions at the top level: the whole standard is there, and gives what NumPy gives."""

import numpy as np
import pytest

import dualgraph as dg

STANDARD = """
e inf nan newaxis pi arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like
tril triu zeros zeros_like astype can_cast finfo iinfo isdtype result_type bool int8 int16 int32 int64 uint8 uint16
uint32 uint64 float32 float64 complex64 complex128 abs acos acosh add asin asinh atan atan2 atanh bitwise_and
bitwise_left_shift bitwise_invert bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide
equal exp expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2
log10 logaddexp logical_and logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal
positive pow real reciprocal remainder round sign signbit sin sinh square sqrt subtract tan tanh trunc take
take_along_axis __array_namespace_info__ matmul matrix_transpose tensordot vecdot broadcast_arrays broadcast_to concat
expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile unstack argmax argmin count_nonzero
nonzero searchsorted where unique_all unique_counts unique_inverse unique_values argsort sort cumulative_prod
cumulative_sum max mean min prod std sum var all any diff
""".split()
METHODS = """
__abs__ __add__ __and__ __array_namespace__ __bool__ __complex__ __dlpack__ __dlpack_device__ __eq__ __float__
__floordiv__ __ge__ __getitem__ __gt__ __index__ __int__ __invert__ __le__ __lshift__ __lt__ __matmul__ __mod__ __mul__
__ne__ __neg__ __or__ __pos__ __pow__ __rshift__ __setitem__ __sub__ __truediv__ __xor__ to_device __radd__ __iadd__
__rsub__ __isub__ __rmatmul__ __imatmul__ __rpow__ __ipow__ __rlshift__ __ilshift__ dtype device mT ndim shape size T
""".split()


@pytest.mark.parametrize("name", STANDARD)
def test_the_standard_is_there(name):
    assert name in dg.__all__ and hasattr(dg, name)


def test_the_standards_methods_are_there():
    assert not [name for name in METHODS if not hasattr(dg.ones(1, 1), name)]
    assert dg.ones(1).__array_namespace__() is dg


def test_all_public_names_exist_once():
    assert len(set(dg.__all__)) == len(dg.__all__)
    assert not [name for name in dg.__all__ if not hasattr(dg, name)]


RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
Y = RNG.standard_normal((3, 4))
CUBE = RNG.standard_normal((2, 3, 4))
WHOLE = RNG.integers(-3, 4, (3, 4))

# name -> arguments, keywords; NumPy 2 has the standard's names as well
CASES = [
    ("sum", (CUBE,), {"axis": (0, 2)}), ("sum", (X,), {"axis": 1, "keepdims": True}), ("sum", (WHOLE,), {}),
    ("prod", (X,), {"axis": 0}), ("max", (X,), {"axis": 1}), ("min", (X,), {"axis": (0, 1)}),
    ("mean", (X,), {"axis": 0}), ("var", (X,), {}), ("var", (X,), {"axis": 1, "correction": 1}),
    ("std", (X,), {"axis": 0, "correction": 1.0}), ("all", (WHOLE,), {"axis": 1}), ("any", (WHOLE,), {"axis": 0}),
    ("argmax", (X,), {"axis": 1}), ("argmax", (X,), {}), ("argmin", (X,), {"axis": 0, "keepdims": True}),
    ("count_nonzero", (WHOLE,), {"axis": 1}), ("cumulative_sum", (X,), {"axis": 1}),
    ("cumulative_sum", (X,), {"axis": 0, "include_initial": True}), ("cumulative_prod", (X,), {"axis": 1}),
    ("cumulative_prod", (X[0],), {"include_initial": True}), ("diff", (X,), {"axis": 0, "n": 2}),
    ("permute_dims", (CUBE, (2, 0, 1)), {}), ("matrix_transpose", (CUBE,), {}), ("moveaxis", (CUBE, 0, -1), {}),
    ("expand_dims", (X,), {"axis": 1}), ("squeeze", (X[:, None], 1), {}), ("reshape", (X, (-1, 2)), {}),
    ("flip", (CUBE,), {"axis": (0, 2)}), ("flip", (X,), {}), ("roll", (X, 2), {}),
    ("roll", (X, (1, -1)), {"axis": (0, 1)}),
    ("tile", (X, (2, 1, 2)), {}), ("repeat", (X, 2), {"axis": 1}), ("repeat", (X, np.array([1, 0, 2])), {"axis": 0}),
    ("concat", ((X, Y),), {"axis": 1}), ("concat", ((X, Y),), {"axis": None}), ("stack", ((X, Y),), {"axis": -1}),
    ("unstack", (X,), {"axis": 1}), ("broadcast_to", (X[0], (2, 4)), {}), ("meshgrid", (X[0], Y[:, 0]), {}),
    ("meshgrid", (X[0], Y[:, 0]), {"indexing": "ij"}), ("tril", (CUBE,), {"k": 1}), ("triu", (X,), {"k": -1}),
    ("matmul", (CUBE, X.T), {}), ("matmul", (X[0], Y.T), {}), ("tensordot", (CUBE, X), {"axes": ([1, 2], [0, 1])}),
    ("tensordot", (X, Y.T), {"axes": 1}), ("vecdot", (X, Y), {}), ("vecdot", (X + 1j, Y), {"axis": 0}),
    ("take", (X, np.array([2, 0])), {"axis": 1}), ("take_along_axis", (X, WHOLE % 4), {"axis": 1}),
    ("sort", (X,), {"axis": 0}), ("argsort", (X,), {}), ("searchsorted", (np.sort(X[0]), Y), {}),
    ("searchsorted", (np.sort(WHOLE[0]), WHOLE), {"side": "right"}), ("nonzero", (WHOLE,), {}),
    ("where", (WHOLE > 0, X, Y), {}), ("clip", (X, -0.5, 0.5), {}), ("clip", (X, None, Y), {}),
    ("unique_counts", (WHOLE,), {}), ("unique_inverse", (WHOLE,), {}),
    ("unique_all", (WHOLE,), {}), ("unique_all", (np.array([np.nan, 1, np.nan]),), {}),
    ("isin", (WHOLE, np.array([1, 2])), {}), ("linspace", (0, 1, 7), {"endpoint": False}), ("eye", (3, 4), {"k": 1}),
    ("arange", (10, 2, -3), {}), ("nextafter", (X, Y), {}), ("nextafter", (np.zeros(2), np.array([1.0, -1.0])), {}),
    ("cov", (X,), {}), ("kron", (X, Y[:2]), {}), ("bincount", (WHOLE.ravel() + 3,), {}),
    ("logaddexp", (X, Y), {}), ("heaviside", (X, Y), {}), ("rot90", (X,), {}), ("real", (X + 1j,), {}),
    ("imag", (X + 1j,), {}),
]  # fmt: skip


def flat(value):
    if isinstance(value, (tuple, list)):
        return [array for v in value for array in flat(v)]
    return [np.asarray(value)]


@pytest.mark.parametrize(("name", "args", "params"), CASES)
def test_functions_give_what_numpy_gives(name, args, params):
    found = getattr(dg, name)(*args, **params)
    wanted = getattr(np, name)(*args, **params)
    assert len(flat(found)) == len(flat(wanted))
    for a, b in zip(flat(found), flat(wanted), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12)


EQUATIONS = [
    "ij,jk->ik", "ij,kj", "ii", "ii->i", "ij->ji", "ij->", "i,j", "i,i", "bij,bjk->bik", "...ij,...jk->...ik",
    "...ij->...ji", "bi,bi->b", "ij,ij->ij", "i,ij,j", "ab,cd,ef->fadcbe", "iij,ik->jk", "abc,cd,be->ade",
    "i...,i...->...", "ij, jk -> ki", "abab->ba", "a,a,a->a", "ij,k->",
]  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_agrees_with_numpy(equation):
    sizes = {c: 2 + i % 3 for i, c in enumerate(sorted(set(equation) - set(" ,->.")))}
    arrays = []
    for k, text in enumerate(equation.replace(" ", "").partition("->")[0].split(",")):
        lead = (
            ((3,) if k else (2, 3))
            if "..." in text and text.startswith("...")
            else (3,)
            if "..." in text
            else ()
        )
        dims = tuple(sizes[c] for c in text.replace("...", ""))
        arrays.append(
            RNG.standard_normal((*lead, *dims) if text.startswith("...") else (*dims, *lead))
        )
    found = dg.einsum(equation, *arrays)
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=1e-10)


def test_einsum_takes_lists_of_labels():
    x, y = dg.randn(2, 3, 4), dg.randn(2, 4, 5)
    for args, equation in (
        ((x, [0, 1, 2], y, [0, 2, 3], [1, 3]), "abc,acd->bd"),
        ((x, [Ellipsis, 30, 2], y, [Ellipsis, 2, 40]), "...bc,...cd"),
    ):
        np.testing.assert_array_equal(dg.einsum(*args).numpy(), dg.einsum(equation, x, y).numpy())
    with pytest.raises(dg.ArgumentError, match="lists of labels"):
        dg.einsum(x, y)


def test_einsum_differentiates():
    x, y = (dg.tensor(RNG.standard_normal((3, 3)), requires_grad=True) for _ in range(2))
    dg.einsum("ij,jk,ii->k", x, y, x).sum().backward()
    a, b = (v.detach().requires_grad_() for v in (x, y))
    ((a @ b).sum() * 0 + (a.diagonal().unsqueeze(1) * (a @ b)).sum()).backward()
    np.testing.assert_allclose(x.grad, a.grad)
    np.testing.assert_allclose(y.grad, b.grad)


@pytest.mark.parametrize(
    ("equation", "shapes", "words"),
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands"),
        ("ij,jk->ik", [(2, 3), (4, 2)], "sizes 3 and 4"),
        ("ij->iq", [(2, 3)], "each label once"),
        ("i1->i", [(2, 3)], "letters"),
        ("i->i", [(2, 3)], "does not fit an operand of 2 axes"),
        ("ii->i", [(2, 3)], "sizes 2 and 3"),
    ],
)
def test_einsum_says_what_does_not_fit(equation, shapes, words):
    with pytest.raises(dg.DualgraphError, match=words):
        dg.einsum(equation, *(dg.ones(s) for s in shapes))


def test_pytorchs_names_of_parameters_are_taken():
    x = dg.tensor(X)
    assert dg.sum(x, dim=1, keepdim=True).shape == (3, 1)
    assert x.sum(axis=1, keepdims=True).shape == (3, 1)
    assert dg.softmax(x, dim=0).shape == dg.cat([x], dim=0).shape == (3, 4)


def test_functions_and_methods_differ_where_the_standard_and_pytorch_do():
    x = dg.tensor(X)
    assert isinstance(dg.max(x, axis=1), dg.Tensor)
    values, indices = x.max(1)
    assert values.shape == indices.shape == (3,)
    np.testing.assert_allclose(dg.std(x), X.std())
    np.testing.assert_allclose(x.std(), X.std(ddof=1))
    assert isinstance(dg.sort(x), dg.Tensor) and len(x.sort()) == 2


def test_promotion():
    assert dg.result_type(dg.int8, dg.uint8) is dg.int16
    assert dg.result_type(dg.ones(1, dtype=dg.int32), 1.5) is dg.float32
    assert dg.result_type(dg.float16, dg.bfloat16) is dg.float32
    assert dg.result_type(1, 2.0) is dg.float32
    assert dg.can_cast(dg.int8, dg.int16) and not dg.can_cast(dg.float64, dg.float32)


def test_facts_of_dtypes():
    assert dg.finfo(dg.float32).eps == 2.0**-23 and dg.finfo(dg.complex128).bits == 64
    assert dg.finfo(dg.bfloat16).max == 3.3895313892515355e38
    assert dg.iinfo(dg.uint8).max == 255 and dg.iinfo("int64").min == -(2**63)
    for wrong in (lambda: dg.finfo(dg.int8), lambda: dg.iinfo(dg.float32)):
        with pytest.raises(dg.DTypeError):
            wrong()
    kinds = [
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    ]
    assert [k for k in kinds if dg.isdtype(dg.int8, k)] == ["signed integer", "integral", "numeric"]
    assert dg.isdtype(dg.float32, ("integral", dg.float32))
    info = dg.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] is dg.float32
    assert set(info.dtypes(kind="integral")) == {
        f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)
    }
    assert "cpu" in map(str, info.devices())


def test_the_default_dtype():
    dg.set_default_dtype(dg.float64)
    try:
        assert dg.tensor(1.5).dtype is dg.zeros(1).dtype is dg.rand(1).dtype is dg.float64
        assert (dg.tensor([1]) / 2).dtype is dg.float64
    finally:
        dg.set_default_dtype(dg.float32)
    assert (dg.tensor([1]) / 2).dtype is dg.float32


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: dg.ones(3) + dg.ones(4), dg.ShapeError, ["add", "f32[3]", "f32[4]", "broadcast"]),
        (
            lambda: dg.ones(2, 3) @ dg.ones(2, 3),
            dg.ShapeError,
            ["matmul", "f32[2,3]", "inner sizes"],
        ),
        (lambda: dg.ones(2).view(3), dg.ShapeError, ["reshape", "f32[2]"]),
        (lambda: dg.ones(2, 3).T.view(6), dg.ShapeError, ["view", "strides", "reshape"]),
        (lambda: dg.ones(2).sum(1), dg.AxisError, ["axis 1"]),
        (lambda: dg.ones(2).sum((0, 0)), dg.AxisError, ["twice"]),
        (lambda: dg.ones(2) & 1, dg.DTypeError, ["bitwise_and", "float32", "astype"]),
        (lambda: dg.add("a", dg.ones(1)), dg.DTypeError, ["add", "str", "asarray"]),
        (lambda: dg.ones(2, dtype=dg.complex64) < 1, dg.DTypeError, ["less", "complex"]),
        (lambda: -dg.tensor([True]), dg.DTypeError, ["neg", "~x"]),
        (
            lambda: dg.ones(2).gather(0, dg.tensor([5])),
            dg.BoundsError,
            ["take_along", "index 5", "axis of 2"],
        ),
        (lambda: dg.ones(2).gather(0, dg.tensor([0.5])), dg.DTypeError, ["gather", "integers"]),
        (lambda: dg.cat([dg.ones(2, 2), dg.ones(2, 3)]), dg.ShapeError, ["concat_along", "differ"]),
        (lambda: dg.stack([dg.ones(2), dg.ones(3)]), dg.ShapeError, ["stack", "same shape"]),
        (lambda: dg.ones(4).split([1, 2]), dg.ShapeError, ["split", "add up to 4"]),
        (lambda: dg.ones(4).topk(9), dg.ArgumentError, ["topk", "9 of 4"]),
        (lambda: dg.ones(2).expand(3), dg.ShapeError, ["broadcast_to", "(2,)"]),
        (lambda: dg.zeros(2, dtype="float23"), dg.DTypeError, ["float23", "float32"]),
        (lambda: dg.zeros(2, device="tpu"), dg.DeviceError, ["tpu"]),
        (lambda: dg.ones(2, dtype=dg.uint8) + 300, dg.DTypeError, ["add", "300", "uint8"]),
        (lambda: dg.max(dg.ones(0)), dg.ShapeError, ["max", "no elements"]),
    ],
)
def test_errors_name_the_op_the_types_and_the_line(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert not [w for w in words if w not in text], text


def test_what_the_array_standard_names():
    assert dg.__array_api_version__ == "2024.12"
    assert set(dg.__array_namespace_info__().dtypes(kind="real floating")) == {"float32", "float64"}
    assert dg.zeros(shape=(2, 3)).shape == dg.ones(shape=(2, 3)).shape == (2, 3)
    with pytest.raises(dg.ArgumentError, match="two shapes"):
        dg.zeros(2, size=(2,))
    assert dg.eye(2, 3, k=2**63).sum() == dg.eye(2, 3, k=-(2**70)).sum() == 0
    x = dg.asarray([1, 4, 9], dtype=dg.uint8)
    around = dg.diff(x, prepend=dg.asarray([1], dtype=dg.uint8), append=x)
    assert (
        around.tolist() == np.diff([1, 4, 9], prepend=[1], append=[1, 4, 9]).astype("u1").tolist()
    )
    assert dg.vecdot(x, x).dtype == dg.uint8
    with pytest.raises(dg.ShapeError, match="lengths"):
        dg.vecdot(dg.ones(1), dg.ones(3))
    assert dg.ones(3, 4)[dg.zeros(3, 0, dtype=dg.bool)].shape == (0,)
    with pytest.raises(dg.BoundsError):
        dg.ones(3, 4)[dg.zeros(2, 4, dtype=dg.bool)]


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_sort_as_in_numpy(dtype):
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 3, 50) + 1j * rng.integers(0, 3, 50)).astype(dtype)
    x[3] = np.nan
    assert np.array_equal(dg.sort(dg.asarray(x)).numpy(), np.sort(x), equal_nan=True)
    assert np.array_equal(dg.argsort(dg.asarray(x)).numpy(), np.argsort(x, kind="stable"))
    assert np.array_equal(dg.unique_values(dg.asarray(x[4:])).numpy(), np.unique(x[4:]))


def test_parameters_that_numpy_and_pytorch_agree_on_are_also_taken_by_place() -> None:
    x = dg.reshape(dg.arange(6.0), (2, 3))
    held = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    assert dg.roll(x, 1, 0).tolist() == np.roll(held, 1, 0).tolist()
    assert dg.roll(x, shifts=(1, 2), dims=(0, 1)).tolist() == np.roll(held, (1, 2), (0, 1)).tolist()
    assert dg.tril(x, 1).tolist() == dg.tril(x, diagonal=1).tolist() == np.tril(held, 1).tolist()
    assert dg.triu(x, -1).tolist() == dg.triu(x, diagonal=-1).tolist() == np.triu(held, -1).tolist()
    assert dg.repeat(x, 2, 1).tolist() == np.repeat(held, 2, 1).tolist()
    assert dg.take(x, dg.tensor([2, 0]), 1).tolist() == np.take(held, [2, 0], 1).tolist()
    assert dg.cumulative_sum(x, 1).tolist() == np.cumsum(held, 1).tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64", "int32"])
@pytest.mark.parametrize("number", [-1, 300, -300, 2**40, -(2**40), 2**64, 5])
def test_integers_compare_with_any_python_integer(dtype, number):
    info = np.iinfo(dtype)
    x = np.array([0, 5, 127, info.max, info.min], dtype)
    for op in (lambda a, b: a == b, lambda a, b: a != b, lambda a, b: a < b, lambda a, b: b <= a):
        wanted = [op(int(v), number) for v in x]
        compiled = dg.compile(op, wait=True)
        assert op(dg.tensor(x), number).tolist() == wanted
        assert compiled(dg.tensor(x), number).tolist() == wanted
        assert compiled(dg.tensor(x), number).tolist() == wanted
    if not info.min <= number <= info.max:
        with pytest.raises(dg.DTypeError, match="does not fit"):
            dg.tensor(x) + number


@pytest.mark.parametrize("make", [dg.zeros, dg.ones, dg.empty, dg.rand, dg.randn])
def test_shapes_come_in_every_way(make):
    for out in (
        make(2, 3),
        make((2, 3)),
        make([2, 3]),
        make(size=(2, 3)),
        make((2, 3), dtype=dg.float64),
    ):
        assert out.shape == (2, 3)
    assert make(()).shape == make(size=()).shape == () and make(4).shape == (4,)
    with pytest.raises(dg.ArgumentError, match="two shapes"):
        make(2, size=(3,))


def test_the_first_parameter_of_creation_functions_is_the_shape():
    assert dg.zeros(shape=(2,)).shape == dg.ones(shape=2).shape == dg.empty(shape=[2]).shape == (2,)


def test_probabilities_are_checked():
    for p in (dg.tensor([0.5, 3.0]), dg.tensor([-0.1]), dg.tensor([float("nan")])):
        with pytest.raises(dg.ArgumentError, match="probabilities"):
            dg.bernoulli(p)
    assert dg.bernoulli(dg.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
    f = dg.compile(lambda p: dg.bernoulli(p), wait=True)
    p = dg.full((100,), 0.5)
    f(p)
    dg.manual_seed(3)
    wanted = dg.bernoulli(p).tolist()
    dg.manual_seed(3)
    assert f(p).tolist() == wanted and f.programs


def test_functions_of_layers_and_matrices_stand_at_the_top_as_in_pytorch():
    x = dg.tensor(X)
    assert dg.conv1d is dg.nn.functional.conv1d and dg.layer_norm is dg.nn.functional.layer_norm
    assert dg.slogdet is dg.linalg.slogdet and dg.qr(x.T).R.shape == (3, 3)
    assert dg.concatenate([x, x]).shape == dg.row_stack([x, x]).shape == (6, 4)
    assert dg.trapz(x).tolist() == dg.trapezoid(x).tolist()


@pytest.mark.parametrize("wait", [None, True])
def test_the_whole_of_a_number_is_a_view_of_it(wait):
    def f(x, value):
        x[()] = value
        part = x[()]
        part += 1
        return x * 2

    call = f if wait is None else dg.compile(f, wait=True)
    for _ in range(3):
        for value in (4.0, dg.tensor(4.0)):
            x = dg.tensor(0.0)
            assert call(x, value).item() == 10.0 and x.item() == 5.0
    line = dg.zeros(2)
    line[1][()] = 3.0
    assert line.tolist() == [0.0, 3.0]
    w = dg.tensor(3.0, requires_grad=True)
    x = dg.zeros(())
    x[()] = w * 2
    x.backward()
    assert w.grad.item() == 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.uint8])
@pytest.mark.parametrize("sizes", [(0, 0), (5, 0), (0, 20), (7, 16), (7, 17), (300, 200)])
def test_isin_compares_by_value_however_many_there_are(dtype, sizes):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-40, 40, n).astype(dtype) for n in sizes)
    if dtype is np.float32 and min(sizes) > 3:
        a[:3], b[:2] = (np.nan, -0.0, np.inf), (np.nan, 0.0)
    ours = dg.isin(dg.tensor(a), dg.tensor(b))
    assert ours.tolist() == np.isin(a, b).tolist()
    assert dg.compile(dg.isin, wait=True)(dg.tensor(a), dg.tensor(b)).tolist() == ours.tolist()


@pytest.mark.parametrize(
    "shape, dim", [((7,), 0), ((5, 9), 1), ((5, 9), 0), ((3, 40, 2), 1), ((1,), 0)]
)
def test_mode_is_the_smallest_of_the_most_frequent_and_stands_last(shape, dim):
    x = np.random.default_rng(4).integers(0, 5, shape)
    values, places = dg.mode(dg.tensor(x), dim)
    for where in np.ndindex(values.shape):
        row = np.moveaxis(x, dim, -1)[where]
        found, counts = np.unique(row, return_counts=True)
        assert values.numpy()[where] == found[counts.argmax()]
        assert places.numpy()[where] == np.flatnonzero(row == values.numpy()[where])[-1]


def test_isin_and_mode_take_memory_of_the_size_of_their_operands():
    x = dg.arange(200_000) % 77_777  # compared with one another these would take 40 GB
    assert dg.isin(x, x[:100_000]).all() and dg.mode(x).values == 0


def test_cubes_are_products_of_the_right_value_and_gradient():
    values = np.array([-2.5, -0.0, 0.0, 0.1, 1e13, np.inf, -np.inf, np.nan], np.float32)
    with np.errstate(all="ignore"):
        exact = (values.astype(np.float64) ** 3).astype(np.float32)
    cubes = (dg.asarray(values) ** 3).numpy()
    np.testing.assert_array_max_ulp(cubes[:7], exact[:7], 1)
    assert np.isnan(cubes[7]) and np.signbit(cubes[1])
    x = dg.asarray([2.0, -3.0]).requires_grad_()
    (x**3).sum().backward()
    assert x.grad.tolist() == [12.0, 27.0]
    assert (dg.asarray([2, -3]) ** 3).tolist() == [8, -27]
    assert dg.pow(dg.asarray([1j]), 3).tolist() == [-1j]
    assert dg.compare(lambda x: dg.grad(lambda x: (x**3).sum())(x), dg.ones(3) * 1.1).bitwise_equal


def test_exponentials_of_complex_numbers():
    rng = np.random.default_rng(0)
    z = 3 * (rng.standard_normal(9) + 1j * rng.standard_normal(9))
    x = dg.asarray(z)
    sigmoid = 1 / (1 + np.exp(-z))
    for found, expected in [
        (dg.sigmoid(x), sigmoid),
        (dg.nn.functional.silu(x), z * sigmoid),
        (dg.exp2(x), np.exp(z * np.log(2))),
        (dg.rsqrt(x), 1 / np.sqrt(z)),
        (dg.logsumexp(x, 0), np.log(np.exp(z).sum())),
        (dg.logsumexp(x + 1000, 0), np.log(np.exp(z).sum()) + 1000),
        (dg.sigmoid(x.real * 1000 + x.imag * 1j), (z.real > 0).astype("complex128")),
    ]:
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-13)
