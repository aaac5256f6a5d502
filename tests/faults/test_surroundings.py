"""Whole training steps keep their bits whatever the machine offers: threads, cores, processor levels."""

from __future__ import annotations

from functools import cache

import pytest

from dualgraph.backends.native import api
from tests.faults.processes import HERE, run

PROGRAM = HERE / "training_bits.py"
needs_native = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")


@cache
def expected() -> str:
    """The bits of eager mode on this machine, one thread."""
    out = run(PROGRAM, "eager", DUALGRAPH_NUM_THREADS="1")
    assert out.count("\n") == 4
    return out


@needs_native
@pytest.mark.parametrize("threads", ["1", "2", "3", "5"])
def test_the_number_of_threads_changes_no_bit(threads: str) -> None:
    assert run(PROGRAM, DUALGRAPH_NUM_THREADS=threads) == expected()


@needs_native
def test_a_machine_with_one_core() -> None:
    assert run(PROGRAM, ONE_CORE="1", DUALGRAPH_NUM_THREADS=None) == expected()


def levels() -> list[str]:
    """The levels of x86-64 with fma that this machine has."""
    try:
        with open("/proc/cpuinfo") as f:
            flags = next((line.split() for line in f if line.startswith("flags")), [])
    except OSError:
        return []
    wanted = {"x86-64-v3": {"avx2", "fma"}, "x86-64-v4": {"avx512f", "avx512vl", "avx512dq"}}
    return [level for level, need in wanted.items() if need <= set(flags)]


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("level", levels())
def test_the_width_of_vectors_changes_no_bit(level: str) -> None:
    assert run(PROGRAM, DUALGRAPH_CPU=level, timeout=300) == expected()


@needs_native
@pytest.mark.slow
@pytest.mark.skipif(not levels(), reason="the levels are those of x86-64")
@pytest.mark.parametrize("level", ["generic", "x86-64"])
def test_both_modes_agree_on_processors_without_fma(level: str) -> None:
    """Products there go through NumPy: other bits than with fma, the same in both modes."""
    assert run(PROGRAM, DUALGRAPH_CPU=level) == run(PROGRAM, "eager", DUALGRAPH_CPU=level)


@needs_native
def test_a_processor_whose_features_llvm_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite
    import llvmlite.binding as llvm

    from dualgraph.backends.native import generators

    def refuse() -> None:
        raise RuntimeError("failed to get host cpu features")

    monkeypatch.delenv("DUALGRAPH_CPU", raising=False)
    monkeypatch.setattr(llvm, "get_host_cpu_features", refuse)
    found = generators.asked()
    assert (
        found[1:] == (llvm.get_host_cpu_name(), "", False) and llvmlite.__version__ in found.makers
    )


def test_both_modes_agree_without_llvmlite() -> None:
    assert run(PROGRAM, DUALGRAPH_NATIVE="0") == run(PROGRAM, "eager", DUALGRAPH_NATIVE="0")
