"""Runner: starts the contestants of a workload as processes and lets them take turns."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from typing import Any

from .spec import OURS, PEERS, Workload

PATIENCE = 240.0  # seconds that a contestant may take for one answer
MODULES = {"torch.compile": "torch", "dualgraph-eager": "dualgraph"}


def installed(contestant: str) -> bool:
    """Whether the contestant's library can be imported here."""
    return importlib.util.find_spec(MODULES.get(contestant, contestant)) is not None


class Contestant:
    """A worker process, and the times it has given. What it keeps on disk goes to the folder `kept`."""

    def __init__(self, name: str, threads: int, kept: str | None = None) -> None:
        self.name = name
        self.threads = threads
        self.values: list[float] = []
        self.error = ""
        env = dict(os.environ)
        if kept is not None:
            for var in ("DUALGRAPH_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR"):
                env[var] = kept
        for var in (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "NUMBA_NUM_THREADS",
            "DUALGRAPH_NUM_THREADS",
        ):
            env[var] = str(threads)
        env["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        )
        env["JAX_PLATFORMS"] = "cpu"
        env["JAX_ENABLE_X64"] = "1"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env,
        )  # fmt: skip

    def ask(self, **command: Any) -> dict[str, Any]:
        if self.error:
            return {}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self._line()
        except BrokenPipeError:
            line = ""
        reply: dict[str, Any] = (
            json.loads(line)
            if line
            else {"error": f"the process ended, or took over {PATIENCE:.0f} s"}
        )
        self.error = reply.get("error", "")
        return reply

    def _line(self) -> str:
        """What the process answers within the time it has."""
        assert self.process.stdout is not None
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        try:
            return self.process.stdout.readline()
        finally:
            timer.cancel()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def turn(self, seconds: float) -> None:
        reply = self.ask(do="time", seconds=seconds)
        if reply and not self.error:
            self.values.append(reply["median"])

    def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(
    workload: Workload, turns: int, seconds: float, threads: tuple[int, ...], skip: set[str],
    kept: dict[tuple[str, int], Contestant] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Times one workload: every contestant and number of threads in a process of its own, in turns.

    `kept`: processes that go on to the next workload, where starting new ones would take too long.
    """
    names = [c for c in (*OURS, *PEERS) if c in workload.build and c not in skip and installed(c)]
    pairs = [(name, n) for name in names for n in threads]
    if workload.measure == "call":
        done = _in_turns(workload, turns, seconds, pairs, kept)
    else:
        done = _fresh(workload, turns, pairs)
    best: dict[str, dict[str, Any]] = {}
    for c in done:
        if c.error or not c.values:
            best.setdefault(c.name, {"error": c.error or "no time"})
            continue
        row = {"value": statistics.median(c.values), "threads": c.threads}
        if "value" not in best.get(c.name, {}) or row["value"] < best[c.name]["value"]:
            best[c.name] = row
    return summary(workload, best)


def _in_turns(
    workload: Workload, turns: int, seconds: float, names: list[tuple[str, int]],
    kept: dict[tuple[str, int], Contestant] | None,
) -> list[Contestant]:  # fmt: skip
    there = {} if kept is None else kept
    for name in names:
        if name not in there or there[name].ended:
            there[name] = Contestant(*name)
        there[name].values, there[name].error = [], ""
    contestants = [there[name] for name in names]
    try:
        for c in contestants:
            c.ask(do="prepare", workload=workload.name)
        for _ in range(turns):
            for c in contestants:
                c.turn(seconds)
    finally:
        for c in contestants if kept is None else ():
            c.stop()
    return contestants


def _fresh(workload: Workload, turns: int, names: list[tuple[str, int]]) -> list[Contestant]:
    """A process for each turn, with nothing kept, or (if the row is "warm") what a run before has kept."""
    done: dict[tuple[str, int], Contestant] = {}
    what = workload.measure if workload.measure in ("memory", "start") else "first"
    for _ in range(turns):
        for name in names:
            with tempfile.TemporaryDirectory(prefix="benchmark-") as kept:
                for _ in range(
                    2 if workload.measure in ("warm", "start") and name[0] in OURS else 1
                ):
                    c = Contestant(*name, kept)
                    reply = c.ask(do="prepare", workload=workload.name)
                    c.stop()
                value = reply.get(what)
                first = done.setdefault(name, c)
                first.error = first.error or c.error
                first.values += [] if value is None else [value]
    return list(done.values())


def summary(workload: Workload, best: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: our time (or bytes), the best peer's, and their ratio."""
    peers = {
        n: b["value"]
        for n, b in best.items()
        if n in workload.against and n != workload.mine and "value" in b
    }
    mine = best.get(workload.mine, {}).get("value")
    rival = min(peers, key=lambda n: peers[n], default=None)
    ratio = peers[rival] / mine if rival and mine else None
    return {
        "workload": workload.name, "ours": mine, "mine": workload.mine, "best_peer": rival,
        "peer_value": peers.get(rival) if rival else None, "ratio": ratio, "must": workload.must, "aim": workload.aim,
        "unit": "bytes" if workload.measure == "memory" else "seconds", "measure": workload.measure,
        "nbytes": workload.nbytes, "flops": workload.flops, "all": best,
    }  # fmt: skip
