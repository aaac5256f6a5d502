# %% [markdown]
"""Both modes side by side, cell by cell: run it as a script, or open it as a notebook (cells begin with ``# %%``).

python examples/two_modes.py
"""

# %% A function of tensors. Eagerly every line runs at once: print it, step through it, branch on it.
import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim


def wave(x: dg.Tensor, y: dg.Tensor) -> dg.Tensor:
    near = dg.tanh(x * y + 0.5 * x)
    return near * dg.exp(-y * y) + dg.sqrt(abs(x) + 1)


dg.manual_seed(0)
x, y = dg.randn(1_000_000), dg.randn(1_000_000)
print(wave(x, y))

# %% The same function as a graph: what was done, each node with its source line.
print(dg.capture(wave, x, y))

# %% Both modes on the same arguments: equal to the bit, and how long each takes.
print(dg.compare(wave, x, y, seconds=0.1))

# %% A whole training step: forward, backward and update.
model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = optim.Adam(model.parameters(), lr=0.02)


def step(points: dg.Tensor, heights: dg.Tensor) -> dg.Tensor:
    optimizer.zero_grad()
    loss = F.mse_loss(model(points), heights)
    loss.backward()
    optimizer.step()
    return loss


points = dg.rand(256, 2) * 4 - 2
heights = wave(points[:, 0], points[:, 1]).unsqueeze(1)
# Parameters and the optimiser's state are compared, too.
print(dg.compare(step, points, heights, seconds=0.1))

# %% Compiled, it runs as one native program; the first call is an eager one that records itself.
fast = dg.compile(step)
losses = [fast(points, heights).item() for _ in range(300)]
print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")

# %% Why it compiled what it compiled, and what the program takes for granted (the first lines).
print(*str(fast.explain()).splitlines()[:8], sep="\n")

# %% A second batch size makes the size symbolic: one more program, for all of them.
for size in (256, 100, 17, 64):
    fast(points[:size], heights[:size])
fast.wait()
print(len(fast.programs), "programs: for the first size, and for all")

# %% A value inside of a compiled program, by the path of its module.
tap = fast.programs[0].tap("1")
fast(points, heights)
print(tap.value)
tap.remove()
