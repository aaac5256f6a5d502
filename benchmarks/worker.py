"""Worker: one contestant's process. Reads commands as JSON lines, answers with JSON lines."""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import time
from typing import Any

from .spec import OURS, Workload
from .workloads import EAGER, WORKLOADS


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def measure(call: Any, seconds: float) -> dict[str, float]:
    """Median and least seconds of one call, over batches that fill the time."""
    began = time.perf_counter()
    call()
    once = time.perf_counter() - began
    batch = max(1, min(10_000, int(0.005 / max(once, 1e-9))))
    spent: list[float] = []
    end = time.perf_counter() + seconds
    while not spent or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(batch):
            call()
        spent.append((time.perf_counter() - began) / batch)
    return {"median": statistics.median(spent), "least": min(spent), "turns": len(spent)}


def resident(what: str) -> int:
    """Bytes of resident memory: now (VmRSS) or at the highest since the process began (VmHWM); Linux only."""
    try:
        with open("/proc/self/status") as f:
            line = next(line for line in f if line.startswith(what))
    except OSError:
        return 0
    return int(line.split()[1]) * 1024


def start_up(workload: Workload, contestant: str) -> dict[str, float]:
    """How long the first call takes to return, once the code has run eagerly three times."""
    eager = workload.build["dualgraph-eager"]("dualgraph-eager")
    for _ in range(3):
        eager()
    call = workload.build[contestant](contestant)
    began = time.perf_counter()
    call()
    return {"start": time.perf_counter() - began}


def answer(state: dict[str, Any], contestant: str, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "prepare":
        workload = next(w for w in (*WORKLOADS, *EAGER) if w.name == command["workload"])
        if workload.measure == "start":
            return dict(start_up(workload, contestant))
        if workload.measure in ("first", "memory") and contestant in OURS and _has("llvmlite"):
            importlib.import_module("llvmlite.binding")  # peers' code is loaded by now, too
            importlib.import_module("dualgraph.jit.compile")
        state.pop("call", None)
        before = resident("VmRSS")
        state["call"] = workload.build[contestant](contestant)
        began = time.perf_counter()
        for _ in range(2):
            state["call"]()
        first = time.perf_counter() - began
        state["call"]()
        return {"first": first, "memory": resident("VmHWM") - before}
    return measure(state["call"], command["seconds"])


def main() -> None:
    contestant = sys.argv[1]
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not get into the answers
    if contestant == "torch" or contestant == "torch.compile":
        import torch

        torch.set_num_threads(int(sys.argv[2]))
    elif contestant in ("jax", "numba", "numexpr"):
        importlib.import_module(contestant)
    if contestant.startswith("dualgraph"):
        import dualgraph as dg

        dg.set_num_threads(int(sys.argv[2]))
    state: dict[str, Any] = {}
    for line in sys.stdin:
        try:
            reply = answer(state, contestant, json.loads(line))
        except Exception as problem:
            reply = {"error": f"{type(problem).__name__}: {problem}"[:300]}
        out.write(json.dumps(reply) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
