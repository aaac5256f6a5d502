"""Linear algebra and Fourier transforms: NumPy's values, PyTorch's names, derivatives, both modes, named errors."""

import numpy as np
import pytest

import dualgraph as dg

rng = np.random.default_rng(0)
WELL = rng.uniform(-0.5, 0.5, (2, 3, 3)) + 3 * np.eye(3)
TALL, VECTOR = rng.standard_normal((5, 3)), rng.standard_normal(3)


def near(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance)


def test_values_are_those_of_numpy():
    la, a = dg.linalg, dg.asarray(WELL)
    near(la.det(a), np.linalg.det(WELL))
    near(la.inv(a), np.linalg.inv(WELL))
    near(la.solve(a, dg.asarray(VECTOR)), np.linalg.solve(WELL, VECTOR[:, None])[..., 0])
    near(la.slogdet(a).logabsdet, np.linalg.slogdet(WELL)[1])
    near(la.pinv(dg.asarray(TALL)), np.linalg.pinv(TALL))
    near(
        la.lstsq(dg.asarray(TALL), dg.ones(5, dtype=dg.float64)).solution,
        np.linalg.lstsq(TALL, np.ones(5))[0],
    )
    near(la.svdvals(dg.asarray(TALL)), np.linalg.svd(TALL, compute_uv=False))
    near(la.matrix_power(a, -2), np.linalg.matrix_power(WELL, -2))
    near(la.cond(a), np.linalg.cond(WELL))
    near(la.multi_dot([a, a, a]), WELL @ WELL @ WELL)
    for ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        near(la.matrix_norm(a, ord=ord), np.linalg.matrix_norm(WELL, ord=ord))
        near(la.norm(a[0], ord), np.linalg.norm(WELL[0], ord))
    for ord in (0, 1, 2, 3.5, np.inf, -np.inf):
        near(la.vector_norm(a, axis=-1, ord=ord), np.linalg.vector_norm(WELL, axis=-1, ord=ord))
    assert la.matrix_rank(dg.ones(4, 3)).item() == 1


def test_further_solutions_are_those_of_numpy():
    la, a, b = dg.linalg, dg.asarray(WELL), dg.asarray(rng.standard_normal((2, 3, 2)))
    for upper in (False, True):
        triangle = (np.triu if upper else np.tril)(WELL)
        near(la.solve_triangular(a, b, upper=upper), np.linalg.solve(triangle, b.numpy()))
        ones = triangle - triangle * np.eye(3) + np.eye(3)
        x = la.solve_triangular(a, b.mT, upper=upper, left=False, unitriangular=True)
        near(x @ dg.asarray(ones), b.mT.numpy())
        factor = la.cholesky(a + a.mT, upper=upper)
        near(la.cholesky_solve(b, factor, upper), np.linalg.solve((a + a.mT).numpy(), b.numpy()))
        near(la.cholesky_inverse(factor, upper), np.linalg.inv((a + a.mT).numpy()))
    four = rng.standard_normal((2, 3, 3, 2))
    near(la.tensorinv(dg.asarray(four)), np.linalg.tensorinv(four))
    near(
        la.tensorsolve(dg.asarray(four), dg.ones(2, 3, dtype=dg.float64)),
        np.linalg.tensorsolve(four, np.ones((2, 3))),
    )
    found, wanted = (
        la.lstsq(dg.asarray(TALL), dg.ones(5, 2)),
        np.linalg.lstsq(TALL, np.ones((5, 2))),
    )
    for ours, theirs in zip(found, wanted, strict=True):
        near(ours, theirs)
    half = WELL + np.swapaxes(WELL, 1, 2)
    near(la.pinv(dg.asarray(half), hermitian=True), np.linalg.pinv(half))
    assert la.matrix_rank(dg.asarray(half), hermitian=True, atol=100).tolist() == [0, 0]
    for part, triangle in (("L", np.tril), ("U", np.triu)):
        near(la.eigvalsh(dg.asarray(triangle(half)), UPLO=part), np.linalg.eigvalsh(half))
    near(dg.tensor(TALL).norm("nuc"), np.linalg.norm(TALL, "nuc"))
    near(la.vander(dg.asarray(VECTOR)), np.vander(VECTOR, increasing=True))
    with pytest.raises(dg.ShapeError, match="first 1 axes have 2 elements"):
        la.tensorinv(dg.ones(2, 3), ind=1)


def test_the_exponential_of_matrices():
    turn = dg.tensor([[0.0, -10.0], [10.0, 0.0]], dtype=dg.float64)
    near(dg.matrix_exp(turn), [[np.cos(10), -np.sin(10)], [np.sin(10), np.cos(10)]], 1e-10)
    values, vectors = np.linalg.eig(WELL)
    near(
        dg.matrix_exp(dg.asarray(WELL)),
        (vectors * np.exp(values)[:, None] @ np.linalg.inv(vectors)).real,
        1e-9,
    )
    at = dg.tensor(0.7, dtype=dg.float64)
    slope = dg.grad(lambda t: dg.matrix_exp(turn * t)[0, 0])(at)
    near(slope, -10 * np.sin(7), 1e-9)


def test_wide_matrices_have_derivatives():
    x = dg.asarray(TALL.T)
    q, r = dg.linalg.qr(x)
    near(q @ r, TALL.T)
    weight = dg.asarray(rng.standard_normal((3, 5)))
    step = dg.asarray(rng.standard_normal((3, 5))) * 1e-6

    def f(x):
        q, r = dg.linalg.qr(x)
        return (r * weight).sum() + (q * weight[:, :3]).sum()

    near((dg.grad(f)(x) * step).sum(), (f(x + step) - f(x - step)).item() / 2, 1e-12)


def test_eigenvalues_of_any_matrix():
    x = rng.standard_normal((4, 4))
    values, vectors = dg.linalg.eig(dg.asarray(x))
    near(dg.asarray(x + 0j) @ vectors, (vectors * values).numpy())
    near(dg.linalg.eigvals(dg.asarray(x)), np.linalg.eigvals(x))
    f = dg.compile(lambda x: dg.linalg.eigvals(x).abs().max(), wait=True)
    assert f(dg.asarray(x)).item() == f(dg.asarray(x)).item() == values.abs().max().item()


def test_decompositions_multiply_to_what_was_decomposed():
    x = dg.asarray(TALL)
    for parts in (dg.linalg.qr(x), dg.linalg.qr(x, mode="complete")):
        near(parts.Q @ parts.R, TALL)
    u, s, vt = dg.linalg.svd(x, full_matrices=False)
    near(u * s @ vt, TALL)
    symmetric = dg.asarray(WELL + np.swapaxes(WELL, 1, 2))
    values, vectors = dg.linalg.eigh(symmetric)
    near(vectors * values[:, None] @ vectors.mT, symmetric.numpy())
    for upper in (False, True):
        root = dg.linalg.cholesky(symmetric, upper=upper)
        near(root.mT @ root if upper else root @ root.mT, symmetric.numpy())


def test_a_gaussian_process_is_fitted_alike_in_both_modes():
    x, y = (
        dg.linspace(0, 1, 12, dtype=dg.float64),
        dg.sin(6 * dg.linspace(0, 1, 12, dtype=dg.float64)),
    )

    def evidence(log_scale):
        gap = (x[:, None] - x[None, :]) / dg.exp(log_scale)
        root = dg.linalg.cholesky(dg.exp(-0.5 * gap**2) + 1e-2 * dg.eye(12, dtype=dg.float64))
        half = dg.linalg.solve(root, y)
        return 0.5 * (half**2).sum() + dg.log(root.diagonal()).sum()

    at = dg.tensor(-1.0, dtype=dg.float64)
    slope = (evidence(at + 1e-6) - evidence(at - 1e-6)) / 2e-6
    near(dg.grad(evidence)(at), slope.item(), 1e-6)
    assert dg.compare(dg.value_and_grad(evidence), at).bitwise_equal


@pytest.mark.parametrize("norm", [None, "backward", "forward", "ortho"])
def test_transforms_are_those_of_numpy(norm):
    z = TALL + 1j * rng.standard_normal(TALL.shape)
    for name, x in (
        ("fft", z),
        ("ifft", z),
        ("rfft", TALL),
        ("irfft", z),
        ("hfft", z),
        ("ihfft", TALL),
    ):
        for n in (None, 2, 5, 7):
            ours = getattr(dg.fft, name)(dg.asarray(x), n=n, axis=0, norm=norm)
            near(ours, getattr(np.fft, name)(x, n=n, axis=0, norm=norm))
            near(
                getattr(dg.fft, name)(dg.asarray(x), n, 0, norm), ours.numpy()
            )  # PyTorch's and NumPy's order
    for name, x in (("fftn", z), ("ifftn", z), ("rfftn", TALL), ("irfftn", z)):
        near(getattr(dg.fft, name)(dg.asarray(x), norm=norm), getattr(np.fft, name)(x, norm=norm))
    near(dg.fft.fft2(dg.asarray(z), s=(4, 4), norm=norm), np.fft.fft2(z, s=(4, 4), norm=norm))


def test_frequencies_and_shifts():
    for n in (4, 5):
        near(dg.fft.fftfreq(n, d=0.5, dtype=dg.float64), np.fft.fftfreq(n, 0.5))
        near(dg.fft.rfftfreq(n, d=0.5, dtype=dg.float64), np.fft.rfftfreq(n, 0.5))
        near(dg.fft.ifftshift(dg.fft.fftshift(dg.arange(n))), np.arange(n))
        near(dg.fft.fftshift(dg.arange(n), 0), np.fft.fftshift(np.arange(n)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dg.linalg.inv(dg.zeros(2, 2)), "(?i)singular"),
        (lambda: dg.linalg.cholesky(-dg.eye(2)), "(?i)positive"),
        (lambda: dg.linalg.inv(dg.ones(2, 3)), "not a square matrix"),
        (lambda: dg.linalg.inv(dg.ones(2, 2, dtype=dg.int64)), "cast it with"),
        (lambda: dg.linalg.qr(dg.ones(2, 2), mode="thin"), "reduced or complete"),
        (lambda: dg.fft.rfft(dg.ones(3, dtype=dg.complex64)), "dg.fft.fft"),
        (lambda: dg.fft.fft(dg.ones(3), norm="none"), "ortho"),
        (lambda: dg.fft.fft(dg.ones(3), n=0), "at least one"),
    ],
)
def test_errors_name_what_is_wrong_and_where(call, message):
    with pytest.raises(dg.DualgraphError, match=message) as error:
        call()
    assert "test_linalg.py" in str(error.value)


def test_a_singular_matrix_in_a_compiled_run_is_the_error_of_eager():
    solve = dg.compile(lambda a, b: dg.linalg.solve(a, b) + 1, wait=True)
    for _ in range(2):
        solve(dg.eye(2), dg.ones(2))
    assert solve.programs
    with pytest.raises(dg.ShapeError, match=r"(?s)solve\(f32\[2,2\].*test_linalg.py"):
        solve(dg.zeros(2, 2), dg.ones(2))
