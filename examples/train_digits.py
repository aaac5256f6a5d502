"""Train a LeNet-style network on real images in both modes, and compare the two runs.

One training step - forward, backward and Adam's update - runs op by op in eager mode and, from the
same start and on the same batches, as one captured and compiled graph.

    python examples/train_digits.py
    python examples/train_digits.py --data fashion-mnist --path /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim
from dualgraph.data import DataLoader, FashionMNIST, TensorDataset

MODES = ("eager", "captured")
EPOCHS = {"digits": 30, "fashion-mnist": 2}
SPLIT_SEED = 1  # which digits are for testing; --seed does not change it


# --- data ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Images (n, 1, height, width) float32 in [0, 1] and labels (n,) int64."""

    x: dg.Tensor
    y: dg.Tensor


def split_of(images: np.ndarray, labels: np.ndarray, scale: float) -> Split:
    x = (images[:, None] / scale).astype(np.float32)
    return Split(dg.asarray(x), dg.asarray(labels.astype(np.int64)))


def digits() -> tuple[Split, Split]:
    """scikit-learn's 1,797 handwritten digits (8x8), 80 % to train on and 20 % to test on."""
    found = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(found.target))
    train, test = np.split(order, [round(0.8 * len(order))])
    images, labels = found.images, found.target
    return split_of(images[train], labels[train], 16), split_of(images[test], labels[test], 16)


def fashion_mnist(folder: Path) -> tuple[Split, Split]:
    """Fashion-MNIST's 60,000 and 10,000 pictures (28x28) from its four IDX files."""
    parts = [FashionMNIST(folder, train) for train in (True, False)]
    train, test = (split_of(p.data.numpy(), p.targets.numpy(), 255) for p in parts)
    return train, test


# --- one run -------------------------------------------------------------------------------------


@dataclass
class Run:
    """Training in one mode, and what it gave so far."""

    mode: str
    model: nn.Module
    step: Any
    loader: DataLoader
    losses: list[float] = field(default_factory=list)  # one a step
    step_seconds: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    accuracy: float = 0.0

    @property
    def epoch_loss(self) -> float:
        """Mean over the last epoch."""
        return float(np.mean(self.losses[-len(self.loader) :]))

    @property
    def parameters(self) -> list[np.ndarray]:
        return [p.detach().numpy() for p in self.model.parameters()]


def lenet(side: int, classes: int = 10) -> nn.Module:
    """Two convolutions with ReLU and max-pooling, then three linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (side // 4) ** 2, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def training_step(model: nn.Module, optimizer: Any) -> Callable[[dg.Tensor, dg.Tensor], dg.Tensor]:
    def step(x: dg.Tensor, y: dg.Tensor) -> dg.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def prepare(mode: str, training: Split, options: argparse.Namespace) -> Run:
    """A run at its start: the modes differ in nothing but `dg.compile` around the step."""
    dg.manual_seed(options.seed)  # the same weights in both modes
    model = lenet(side=training.x.shape[-1])
    step = training_step(model, optim.Adam(model.parameters(), lr=options.lr))
    loader = DataLoader(
        TensorDataset(training.x, training.y),
        options.batch_size,
        shuffle=True,
        drop_last=True,  # no smaller last batch: one program serves every step
        generator=dg.Generator().manual_seed(options.seed),  # the same shuffles in both modes
    )
    return Run(mode, model, dg.compile(step) if mode == "captured" else step, loader)


def train_epoch(run: Run, bar: tqdm) -> None:
    began = time.perf_counter()
    for x, y in run.loader:
        called = time.perf_counter()
        loss = run.step(x, y)
        run.step_seconds.append(time.perf_counter() - called)
        run.losses.append(loss.item())
        bar.update()
    run.epoch_seconds.append(time.perf_counter() - began)


def train(runs: Sequence[Run], epochs: int) -> None:
    """The runs take turns, epoch by epoch: what else the machine does then meets both."""
    steps = epochs * sum(len(run.loader) for run in runs)
    with tqdm(total=steps, unit="step") as bar:
        for _ in range(epochs):
            for run in runs:
                bar.set_description(f"{run.mode:>8}")
                train_epoch(run, bar)
                bar.set_postfix(loss=f"{run.epoch_loss:.4f}")


def accuracy(model: nn.Module, test: Split, chunk: int = 1000) -> float:
    """Share of the test images that the model names rightly."""
    with dg.no_grad():
        right: list[int] = [
            (model(test.x[i : i + chunk]).argmax(1) == test.y[i : i + chunk]).sum().item()
            for i in range(0, len(test.y), chunk)
        ]
    return sum(right) / len(test.y)


# --- both runs side by side ----------------------------------------------------------------------


def same_bits(one: Run, other: Run) -> bool:
    pairs = zip(one.parameters, other.parameters, strict=True)
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def comparison(runs: Sequence[Run]) -> str:
    """One line a figure, one column a mode."""
    rows: list[tuple[str, Callable[[Run], str]]] = [
        ("final loss (mean of last epoch)", lambda r: f"{r.epoch_loss:.6f}"),
        ("test accuracy", lambda r: f"{r.accuracy:.4f}"),
        ("seconds per epoch (median)", lambda r: f"{median(r.epoch_seconds):.4f}"),
        ("step, ms (median)", lambda r: f"{1e3 * median(r.step_seconds):.3f}"),
        ("first call, ms", lambda r: f"{1e3 * r.step_seconds[0]:.1f}"),
    ]
    lines = [f"{'':32}" + "".join(f"{r.mode:>12}" for r in runs)]
    lines += [f"{name:32}" + "".join(f"{show(r):>12}" for r in runs) for name, show in rows]
    eager, captured = runs
    count = f"{len(eager.parameters)} tensors, {sum(p.size for p in eager.parameters):,} numbers"
    speed_up = median(eager.step_seconds) / median(captured.step_seconds)
    verdict = "yes" if same_bits(eager, captured) else "NO"
    return "\n".join(
        [
            *lines,
            "",
            f"every parameter bitwise equal: {verdict} ({count})",
            f"speed-up of the captured step: {speed_up:.2f}x",
        ]
    )


def program_report(step: Any) -> str:
    """Memory and passes of the program that the captured step runs as."""
    if not step.programs:
        return f"the step was not captured: {step.explain()}"
    program = step.programs[0]
    memory = program.memory
    lines = [
        "memory of the captured step, bytes",
        f"  arena, as planned       {memory.arena_bytes:>12,}",
        f"  lower bound             {memory.lower_bound_bytes:>12,}",
        f"  every value by itself   {memory.unplanned_bytes:>12,}",
        "",
        "nodes before and after each pass",
    ]
    lines += [f"  {p.name:22} {p.nodes_before:>6} -> {p.nodes_after:>6}" for p in program.passes]
    return "\n".join(lines)


def draw(runs: Sequence[Run], path: Path) -> None:
    """Writes a PNG: loss by step, and seconds by step, one curve a mode."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run, style in zip(runs, ("-", "--"), strict=True):
        left.plot(run.losses, style, label=run.mode, linewidth=1)
        right.plot(1e3 * np.array(run.step_seconds), style, label=run.mode, linewidth=1)
    left.set(xlabel="step", ylabel="loss", yscale="log", title="loss (the curves coincide)")
    right.set(xlabel="step", ylabel="milliseconds", yscale="log", title="time of one step")
    for axes in (left, right):
        axes.legend()
    figure.savefig(path, dpi=120)


# --- command line --------------------------------------------------------------------------------


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def options_from(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train a small convolutional network in eager mode and as one captured step, "
        "then compare accuracy, bits, speed and memory of the two."
    )
    parser.add_argument(
        "--data",
        choices=tuple(EPOCHS),
        default="digits",
        help="digits: scikit-learn's 1,797 images of 8x8 (default); fashion-mnist: 70,000 of 28x28",
    )
    parser.add_argument(
        "--path",
        type=Path,
        metavar="DIR",
        help="folder of Fashion-MNIST's four files such as train-images-idx3-ubyte.gz",
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="default: 30 for digits, 2 for fashion-mnist"
    )
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="default: 32")
    parser.add_argument(
        "--lr", type=float, default=2e-3, help="Adam's learning rate, default: 0.002"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of weights and shuffles, default: 0"
    )
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="train on the first N samples only, for a quick try",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("train_digits.png"),
        metavar="PNG",
        help="where the picture goes, default: train_digits.png",
    )
    options = parser.parse_args(arguments)
    options.epochs = options.epochs or EPOCHS[options.data]
    if options.data == "fashion-mnist" and options.path is None:
        parser.error("--data fashion-mnist needs --path DIR, the folder of its four IDX files")
    return options


def load(options: argparse.Namespace) -> tuple[Split, Split]:
    if options.data == "digits":
        training, test = digits()
    else:
        training, test = fashion_mnist(options.path)
    n = min(options.limit or len(training.y), len(training.y))
    options.batch_size = min(options.batch_size, n)
    return Split(training.x[:n], training.y[:n]), test


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 when the modes differ in a bit, or 2 when the data cannot be read."""
    options = options_from(arguments)
    try:
        data = load(options)
    except (OSError, dg.DualgraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    training, test = data
    height, width = training.x.shape[-2:]
    print(
        f"{options.data}: {len(training.y):,} images to train on and {len(test.y):,} to test on, "
        f"{height}x{width}; {options.epochs} epochs, batches of {options.batch_size}",
        flush=True,
    )
    runs = [prepare(mode, training, options) for mode in MODES]
    train(runs, options.epochs)
    for run in runs:
        run.accuracy = accuracy(run.model, test)
    eager, captured = runs
    captured.step.wait()
    draw(runs, options.out)
    print(f"\n{comparison(runs)}\n\n{program_report(captured.step)}\n\npicture: {options.out}")
    return 0 if same_bits(eager, captured) else 1


if __name__ == "__main__":
    sys.exit(main())
