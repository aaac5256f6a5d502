"""Networks in other modes: captured training has the bits of eager training, vmap those of a loop."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api as native
from dualgraph.nn import functional as F

RNG = np.random.default_rng(7)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4, padding_idx=0)
        self.rnn = nn.LSTM(4, 3, num_layers=2, dropout=0.1, batch_first=True)
        self.out = nn.Linear(3, 3)

    def forward(self, x):
        return self.out(self.rnn(self.embedding(x))[0][:, -1])


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2),
        nn.Conv2d(4, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def transformer():
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.1, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 3))


def normalised():
    return nn.Sequential(
        nn.GroupNorm(2, 4), nn.SiLU(), nn.InstanceNorm1d(4, affine=True), nn.Softplus(), nn.Flatten(), nn.LayerNorm(12),
        nn.Linear(12, 3),
    )  # fmt: skip


NETS = {
    "convolutional": (convolutional, RNG.standard_normal((3, 4, 1, 6, 6)).astype("float32")),
    "transformer": (transformer, RNG.standard_normal((3, 4, 3, 8)).astype("float32")),
    "normalised": (normalised, RNG.standard_normal((3, 4, 4, 3)).astype("float32")),
    "recurrent": (Recurrent, RNG.integers(0, 7, (3, 4, 2))),
}


def train(make, batches, captured):
    dg.manual_seed(0)
    net = make()
    optimizer = dg.optim.AdamW(net.parameters(), lr=0.01)

    def step(x, target):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), target)
        loss.backward()
        optimizer.step()
        return loss

    run = dg.compile(step, wait=True) if captured else step
    targets = dg.tensor([0, 1, 2, 1])
    losses = [run(dg.tensor(batch), targets).item() for batch in batches]
    programs = len(run.programs) if captured else 0
    return np.array(losses), [v.numpy() for v in net.state_dict().values()], programs


@pytest.mark.parametrize("name", NETS)
def test_captured_training_has_the_bits_of_eager_training(name):
    make, batches = NETS[name]
    losses, state, _ = train(make, batches, captured=False)
    captured_losses, captured_state, programs = train(make, batches, captured=True)
    assert programs == 1
    assert losses.tobytes() == captured_losses.tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(state, captured_state, strict=True))


def normal(*shape):
    return dg.tensor(RNG.standard_normal(shape).astype("float32"))


def ints(high, *shape):
    return dg.tensor(RNG.integers(0, high, shape))


LAYERS = {"linear": nn.Linear(4, 3), "conv": nn.Conv2d(2, 3, 3), "embedding": nn.Embedding(6, 4)}
BATCHED = {
    "linear and softmax": (lambda x: F.softmax(LAYERS["linear"](x), -1), normal(3, 2, 4)),
    "cross_entropy": (F.cross_entropy, normal(3, 2, 4), ints(4, 3, 2)),
    "layer_norm": (lambda x: F.layer_norm(x, (4,)), normal(3, 2, 4)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), normal(3, 4, 2, 3)),
    "conv2d": (LAYERS["conv"], normal(3, 2, 2, 5, 5)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), normal(3, 2, 2, 6, 6)),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, 2, padding=1, count_include_pad=False),
        normal(3, 2, 2, 6, 6),
    ),
    "embedding": (LAYERS["embedding"], ints(6, 3, 2)),
    "attention": (
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True),
        normal(3, 2, 4, 4),
    ),
    "one_hot": (lambda i: F.one_hot(i, 6), ints(6, 3, 2)),
    "gradient": (dg.grad(lambda x: F.mse_loss(LAYERS["linear"](x), dg.ones(3))), normal(3, 4)),
}


@pytest.mark.parametrize("name", BATCHED)
def test_vmap_has_the_bits_of_a_loop(name):
    fn, *xs = BATCHED[name]
    together = dg.vmap(fn)(*xs).detach().numpy()
    alone = [fn(*(x[i] for x in xs)).detach().numpy() for i in range(3)]
    if native.available():
        assert together.tobytes() == np.stack(alone).tobytes()
    else:  # NumPy's BLAS may round a row otherwise when others are beside it
        np.testing.assert_allclose(together, np.stack(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_are_accumulated_in_float32(dtype):
    wide = RNG.standard_normal((4, 3000)).astype("float32") * 20
    x = dg.tensor(wide).to(dtype)
    exact = x.to("float32")
    step = {"float16": 2e-3, "bfloat16": 1.6e-2}[dtype]
    for fn in (
        lambda v: v.square().mean(1), lambda v: F.softmax(v, 1), lambda v: F.layer_norm(v, (3000,)),
        lambda v: F.log_softmax(v, 1), lambda v: dg.logsumexp(v, 1), lambda v: v.norm(),
    ):  # fmt: skip
        out = fn(x)
        assert out.dtype == getattr(dg, dtype)
        np.testing.assert_allclose(
            out.to("float32").numpy(), fn(exact).numpy(), rtol=step, atol=1e-6
        )
