"""Code in assembly language, for processors that this one need not be: sums of micro-kernels stay in registers, and
rows are transposed a line at a time."""

from __future__ import annotations

import platform
import re

import pytest

pytest.importorskip("llvmlite")

from dualgraph.backends.native.contract import shape
from dualgraph.backends.native.contract.micro import emit_micro
from dualgraph.backends.native.contract.pack import LINE, emit_pack
from dualgraph.backends.native.generators import Generators
from dualgraph.backends.native.host import Host

if platform.machine().lower() not in ("x86_64", "amd64"):
    pytest.skip("LLVM makes code for other processors here", allow_module_level=True)
WIDE = "+avx512f,+avx512vl,+avx512dq,-prefer-256-bit"
HOSTS = {
    "haswell": ("", "ymm", 32),
    "skylake-avx512": (WIDE, "zmm", 64),
    "znver4": (WIDE, "zmm", 64),
}


def turns(assembly: str) -> list[list[str]]:
    """The instructions of each loop of one block."""
    blocks = re.split(r"^(\.?LBB\w+):.*\n", assembly, flags=re.MULTILINE)[1:]
    found = []
    for label, text in zip(blocks[::2], blocks[1::2], strict=True):
        body, jump, _ = text.partition(f"\t{label}\n")
        if jump:
            found.append([line.strip() for line in body.splitlines()])
    return found


@pytest.mark.parametrize("cpu", HOSTS)
def test_sums_stay_in_registers_of_full_width(cpu):
    features, register, width = HOSTS[cpu]
    generators = Generators(Host("", cpu, features, True))
    form = shape.geometry("float32", width)
    few = [(rows, form.vectors_for(rows, 10_000, packed=False)) for rows in (1, 2, 3, 5)]
    for rows, vectors in (*few, (form.rows, form.vectors), (form.rows, 1)):
        found = turns(generators.disassemble(emit_micro(form, rows, vectors, False, False)))
        loops = [loop for loop in found if any("fmadd" in line for line in loop)]
        assert loops
        for loop in loops:
            sums = [line for line in loop if "fmadd" in line]
            of_one_k = len(sums) % (rows * vectors) == 0
            assert of_one_k and all(register in line for line in sums), (rows, vectors, loop)
            moved = [line for line in loop if register in line and line not in sums]
            assert not [line for line in moved if re.search(r"\(%r[sb]p\)", line)], (rows, vectors)
            between = rf"vmova?p[sd]\s+%{register}\d+, %{register}"
            assert not [line for line in moved if re.match(between, line)], (rows, vectors)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_transposed_a_line_at_a_time(dtype):
    features, register, width = HOSTS["haswell"]
    form = shape.geometry(dtype, width)
    loops = turns(
        Generators(Host("", "haswell", features, True)).disassemble(emit_pack(form, False))
    )
    (loop,) = (turn for turn in loops if any("vunpck" in line for line in turn))
    stores = [line for line in loop if re.match(rf"vmovup[sd]\s+%{register}\d+, ", line)]
    assert len(stores) == LINE // form.size
    assert not [line for line in loop if "vperm" in line]  # loads put halves together
