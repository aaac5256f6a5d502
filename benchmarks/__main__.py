"""``python -m benchmarks``: run the workloads and print one table of ratios (above 1 we are faster)."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

from .limits import machine, peak_flops, triad_bandwidth
from .plot import plot
from .runner import Contestant, run
from .workloads import EAGER, WORKLOADS

PACKAGES = ("torch", "jax", "numexpr", "numba", "llvmlite")


def shown(value: float | None, unit: str) -> str:
    """A time in ms, an amount of memory in MB."""
    if value is None:
        return "-"
    return f"{1e3 * value:.4g} ms" if unit == "seconds" else f"{value / 1e6:.4g} MB"


def share(row: dict[str, Any], bandwidth: float, peak: float) -> str:
    """How close our time is to the machine's limit."""
    if not row["ours"]:
        return "-"
    if row["nbytes"]:
        return f"{row['nbytes'] / bandwidth / row['ours']:.0%} of bandwidth"
    return f"{row['flops'] / peak / row['ours']:.0%} of peak" if row["flops"] else "-"


def table(rows: list[dict[str, Any]], bandwidth: float, peak: float) -> str:
    lines = [
        "| workload | ours | best peer | peer | ratio | must | aim | limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        lines.append(
            f"| {r['workload']} | {shown(r['ours'], r['unit'])} | {shown(r['peer_value'], r['unit'])} "
            f"| {r['best_peer'] or '-'} | {ratio} | {r['must']} | {r['aim']} | {share(r, bandwidth, peak)} |"
        )
    return "\n".join(lines)


def notes(rows: list[dict[str, Any]]) -> str:
    """Which contestants could not take part, and why."""
    found: dict[str, list[str]] = {}
    for r in rows:
        for name, got in r["all"].items():
            if "error" in got:
                found.setdefault(f"{name}: {got['error']}", []).append(r["workload"])
    return "\n".join(
        f"- {why} ({len(where)} rows, first: {where[0]})" for why, where in found.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a selection, in under two minutes")
    parser.add_argument(
        "--eager", action="store_true", help="eager ops one by one, against PyTorch"
    )
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--skip", default="", help="contestants to leave out, separated by commas")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="seconds of one turn")
    parser.add_argument(
        "--out", default="benchmark-results", help="folder for the JSON and the plot"
    )
    args = parser.parse_args()
    cores = os.cpu_count() or 1
    threads = tuple(sorted({1, cores}))
    listed = EAGER if args.eager else WORKLOADS
    chosen = [w for w in listed if args.only in w.name and (w.quick or not args.quick)]
    turns, seconds = (2, 0.1) if args.quick else (args.turns, args.seconds)
    if args.eager:
        turns, seconds = 3, 0.03
    together = args.quick or args.eager  # in the same processes one after the other
    if together:
        threads = (cores,)
    skip = {s for s in args.skip.split(",") if s} | ({"torch.compile"} if args.quick else set())
    bandwidth, peak = triad_bandwidth(), peak_flops()
    rows = []
    kept: dict[tuple[str, int], Contestant] | None = {} if together else None
    for workload in chosen:
        row = run(workload, turns, seconds, threads, skip, kept)
        rows.append(row)
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(
            f"{workload.name:60} {shown(row['ours'], row['unit']):>12}   {ratio:>6} x {row['best_peer']}",
            flush=True,
        )
    for contestant in (kept or {}).values():
        contestant.stop()
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    about = {**machine(), **versions, "bandwidth": bandwidth, "peak_float32": peak}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    text = table(rows, bandwidth, peak)
    missing = notes(rows)
    text += f"\n\nDid not take part:\n\n{missing}" if missing else ""
    about_text = "\n".join(f"- {k}: {v}" for k, v in about.items())
    (out / "table.md").write_text(f"{about_text}\n\n{text}\n")
    (out / "ratios.svg").write_text(plot(rows))
    print(f"\n{about_text}\n\n{text}")


if __name__ == "__main__":
    main()
