"""Every method and function in both modes: captured and compiled programs have the bits of eager ones."""

import re

import numpy as np
import pytest

import dualgraph as dg
from tests.eager.programs import CASES, FLOATS, OPERANDS
from tests.side_by_side import frozen

SOURCE = """
def values({names}):
{clones}    return {program}

def gradients({names}):
    out = values({names})
    total = 0.0
    for o in out if isinstance(out, (tuple, list)) else [out]:
        if isinstance(o, F.Tensor) and o.requires_grad:
            o = o.real if o.is_complex() else o
            total = total + (o * o).sum().double()
    if isinstance(total, F.Tensor):
        total.backward()
    return out
"""


def functions(program):
    """A program as a function of the operands that it names, and one that differentiates it as well."""
    used = [k for k in OPERANDS if re.search(rf"\b{k}\b", program)]
    clones = "".join(f"    {k} = {k}.clone()\n" for k in used) if "_(" in program else ""
    names = {"F": dg}
    source = SOURCE.format(names=", ".join(used), clones=clones, program=program)
    exec(compile(source, f"<{program}>", "exec"), names)
    return names["values"], names["gradients"], used


def arguments(used, requires_grad):
    tensors = [dg.tensor(np.array(OPERANDS[k])) for k in used]
    for k, t in zip(used, tensors, strict=True):
        if requires_grad and k in FLOATS:
            t.requires_grad_()
    return tensors


def shown(fn, tensors):
    for t in tensors:
        t.grad = None
    out = fn(*tensors)
    out = [
        o.detach() if isinstance(o, dg.Tensor) else o
        for o in (out if isinstance(out, (tuple, list)) else [out])
    ]
    return frozen([out, [t.grad for t in tensors]])


@pytest.mark.slow
@pytest.mark.parametrize(("group", "program"), CASES)
def test_compiled_programs_have_the_bits_of_eager_ones(group, program):
    values, gradients, used = functions(program)
    for fn, requires_grad in ((values, False), (gradients, True)):
        tensors = arguments(used, requires_grad)
        compiled = dg.compile(fn, wait=True)
        wanted = shown(fn, tensors)
        assert shown(compiled, tensors) == wanted
        assert shown(compiled, tensors) == wanted
        assert not [p.failure for p in compiled.programs if p.failure is not None]


PRODUCTS = {
    "two orders": lambda x, y: x * y + y * x,
    "in place": lambda x, y: (x + 0).mul_(y),
    "backwards": lambda x, y: x.flip(0) * y.flip(0) if x.ndim else x * y,
    "reused memory": lambda x, y: (x * y) * (x * (1 + 2j)),
    "unlike axes": lambda x, y: x[None] * y[None, None],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_complex_products_have_one_meaning_however_operands_lie(name):
    f = PRODUCTS[name]
    compiled = dg.compile(f, wait=True)
    draw = np.random.default_rng(0).standard_normal
    for shape in ((), (1,), (1, 1), (33,)):
        for _ in range(9):
            x, y = (dg.tensor(draw(shape) + 1j * draw(shape), dtype=dg.complex64) for _ in "xy")
            assert frozen(compiled(x, y)) == frozen(f(x, y))
            one = [f(a, b) for a, b in zip(x.ravel(), y.ravel(), strict=True)]
            one = one[::-1] if name == "backwards" and x.ndim else one
            assert frozen(f(x, y).ravel()) == frozen(dg.stack([o.reshape(()) for o in one]))
