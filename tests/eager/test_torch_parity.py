"""Methods and PyTorch's functions give PyTorch's values, dtypes and gradients (run where torch is installed)."""

import numpy as np
import pytest

import dualgraph as dg
from tests.eager.programs import CASES, FLOATS, OPERANDS

torch = pytest.importorskip("torch")

# gradients that PyTorch does not give, or gives as zeros where ours is None
NO_GRADIENTS = {
    "A//B", "A.floor_divide(B)", "A.heaviside(B)", "F.heaviside(A,B)", "Sq.matrix_power(0)",
    "A.zero_()", "A.fill_(3)", "A.eq_(B)", "A.logical_not_()", "A.logical_and_(B)",
}  # fmt: skip


def run(library, program, requires_grad):
    make = torch.from_numpy if library is torch else dg.tensor
    names = {"F": library, **{k: make(np.array(v)) for k, v in OPERANDS.items()}}
    leaves = [names[k].requires_grad_() for k in FLOATS] if requires_grad else []
    if requires_grad and "_(" in program:
        names |= {k: names[k].clone() for k in FLOATS}
    return eval(program, names), leaves


def plain(value):
    """A result as nested lists of (dtype, array) and Python values."""
    if isinstance(value, (torch.Tensor, dg.Tensor)):
        array = np.asarray(
            value.detach().resolve_conj() if isinstance(value, torch.Tensor) else value.detach()
        )
        return "tensor", array
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return (
        str(value).replace("torch.", "").replace("dualgraph.", "")
        if "dtype" in type(value).__name__.lower()
        else value
    )


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    elif isinstance(theirs, tuple):
        a, b = ours[1], theirs[1]
        assert a.dtype == b.dtype and a.shape == b.shape
        rtol = 2e-3 if b.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, nan_ok=True)
    else:
        assert ours == theirs


def gradients(library, program):
    out, leaves = run(library, program, requires_grad=True)
    total = None
    for o in out if isinstance(out, (tuple, list)) else [out]:
        if isinstance(o, library.Tensor) and o.requires_grad:
            o = (o.real if o.is_complex() else o).double()
            weights = np.cos(np.arange(o.numel())).reshape(tuple(o.shape))
            part = (
                o * (torch.from_numpy if library is torch else dg.tensor)(np.array(weights))
            ).sum()
            total = part if total is None else total + part
    if total is None:
        return None
    total.backward()
    return [0 if x.grad is None else x.grad.numpy() for x in leaves]


@pytest.mark.filterwarnings("ignore")  # what PyTorch deprecates
@pytest.mark.parametrize(("group", "program"), CASES)
def test_values_and_gradients_are_pytorchs(group, program):
    assert_same(plain(run(dg, program, False)[0]), plain(run(torch, program, False)[0]))
    if program in NO_GRADIENTS:
        return
    try:
        wanted = gradients(torch, program)
    except (RuntimeError, NotImplementedError):
        return  # no gradient there
    found = gradients(dg, program)
    assert (found is None) == (wanted is None)
    for a, b in zip(found or [], wanted or [], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
