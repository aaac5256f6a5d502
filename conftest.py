"""Shared by tests and docstring examples: one BLAS thread a worker, GPU tests only with a GPU."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before NumPy is imported: pytest -n auto gives each core a worker of its own.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# Kernels are compiled once a run: its workers inherit this folder. The user's own cache stays out of it.
if "DUALGRAPH_CACHE_DIR" not in os.environ:
    os.environ["DUALGRAPH_CACHE_DIR"] = tempfile.mkdtemp(prefix="dualgraph-tests-")
    atexit.register(shutil.rmtree, os.environ["DUALGRAPH_CACHE_DIR"], ignore_errors=True)

import gc
import importlib.util
import signal
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.backends import kept, quicken
from dualgraph.backends.native import api
from dualgraph.core.process import spared
from dualgraph.jit import hot
from dualgraph.jit.compile import Compiled

# As where a script runs pytest in the background
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some tests plant bugs in passes; tests of kept programs run in processes of their own.
kept.ENABLED = False
spared.SHOWN = True  # what calls would survive by going on eagerly fails a test
# Tests see the native quick path of eager ops from the start; test_quick.py holds it to Python's.
if api.available() and os.environ.get("DUALGRAPH_QUICK") != "0":
    quicken.install()
    hot.install(Compiled, Compiled._run_hot)
    hot.AGAIN = 1  # calls are told natively as soon as a program has run once
    hot.PATIENT = False


@pytest.fixture(scope="session", autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    """Docstring examples may use ``dg``."""
    doctest_namespace["dg"] = dg


def _has_gpu() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    try:
        return bool(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests and not _has_gpu():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and an NVIDIA GPU"))


def pytest_collection_finish() -> None:
    """The objects of thousands of collected tests are not looked through in each collection of garbage."""
    gc.collect()
    gc.freeze()
