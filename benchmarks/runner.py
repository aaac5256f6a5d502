"""Runner: starts the contestants of a workload as processes and lets them take turns."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from typing import Any

from .spec import OURS, PEERS, Workload

MODULES = {"torch.compile": "torch", "dualgraph-eager": "dualgraph"}


def installed(contestant: str) -> bool:
    """Whether the contestant's library can be imported here."""
    return importlib.util.find_spec(MODULES.get(contestant, contestant)) is not None


class Contestant:
    """A worker process, and the times it has given."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self.medians: list[float] = []
        self.info: dict[str, Any] = {}
        self.error = ""
        env = dict(os.environ)
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
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        self.error = reply.get("error", "")
        return reply

    def turn(self, seconds: float) -> None:
        reply = self.ask(do="time", seconds=seconds)
        if reply and not self.error:
            self.medians.append(reply["median"])

    def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(
    workload: Workload, turns: int, seconds: float, threads: tuple[int, ...], skip: set[str]
) -> dict[str, Any]:
    """Times one workload: every contestant and number of threads in a process of its own, in turns."""
    names = [c for c in (*OURS, *PEERS) if c in workload.build and c not in skip and installed(c)]
    contestants = [Contestant(name, n) for name in names for n in threads]
    try:
        for c in contestants:
            c.info = c.ask(do="prepare", workload=workload.name)
        for _ in range(turns):
            for c in contestants:
                c.turn(seconds)
    finally:
        for c in contestants:
            c.stop()
    best: dict[str, dict[str, Any]] = {}
    for c in contestants:
        if c.error or not c.medians:
            best.setdefault(c.name, {"error": c.error or "no time"})
            continue
        row = {
            "seconds": statistics.median(c.medians), "threads": c.threads,
            "first": c.info.get("first"), "growth": c.info.get("growth"),
        }  # fmt: skip
        if "seconds" not in best.get(c.name, {}) or row["seconds"] < best[c.name]["seconds"]:
            best[c.name] = row
    return summary(workload, best)


def summary(workload: Workload, best: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A row of the table: our time, the best peer's, and their ratio."""
    peers = {
        n: b["seconds"]
        for n, b in best.items()
        if n in workload.against and n not in OURS and "seconds" in b
    }
    mine = best.get(workload.mine, {}).get("seconds")
    rival = min(peers, key=lambda n: peers[n], default=None)
    ratio = peers[rival] / mine if rival and mine else None
    return {
        "workload": workload.name, "ours": mine, "mine": workload.mine, "best_peer": rival,
        "peer_seconds": peers.get(rival) if rival else None, "ratio": ratio, "must": workload.must, "aim": workload.aim,
        "nbytes": workload.nbytes, "flops": workload.flops, "all": best,
    }  # fmt: skip
