"""Layers: PyTorch's state keys, printed form, values and gradients (run where torch is installed)."""

# ruff: noqa: E501 - a table reads best with one case a line

import re

import numpy as np
import pytest

import dualgraph as dg

RNG = np.random.default_rng(6)


def normal(*shape):
    return RNG.standard_normal(shape).astype("float32")


LAYERS = {
    "Linear": (lambda nn: nn.Linear(4, 3), normal(2, 4)),
    "Linear without bias": (lambda nn: nn.Linear(4, 3, bias=False), normal(2, 5, 4)),
    "Bilinear": (lambda nn: nn.Bilinear(3, 4, 5), normal(2, 3), normal(2, 4)),
    "Conv1d": (lambda nn: nn.Conv1d(2, 4, 3, padding="same"), normal(2, 2, 7)),
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), normal(2, 4, 6, 5)),
    "Conv2d circular": (lambda nn: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"), normal(2, 2, 6, 5)),
    "Conv2d reflect": (lambda nn: nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect", bias=False), normal(2, 2, 6, 5)),
    "Conv3d": (lambda nn: nn.Conv3d(2, 3, 2, dilation=2), normal(1, 2, 4, 5, 4)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(2, 4, 3, 2, 1, 1), normal(2, 2, 5)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), normal(2, 4, 3, 4)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(3), normal(5, 3)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(3, momentum=None), normal(5, 3, 2, 2)),
    "BatchNorm2d evaluated": (lambda nn: nn.BatchNorm2d(3).eval(), normal(5, 3, 2, 2)),
    "BatchNorm2d untracked": (lambda nn: nn.BatchNorm2d(3, track_running_stats=False, affine=False).eval(), normal(5, 3, 2, 2)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), normal(5, 3, 4, 2)),
    "InstanceNorm1d single": (lambda nn: nn.InstanceNorm1d(3), normal(3, 8)),
    "LayerNorm": (lambda nn: nn.LayerNorm([3, 4]), normal(2, 3, 4)),
    "RMSNorm": (lambda nn: nn.RMSNorm(4), normal(2, 3, 4)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), normal(2, 4, 3)),
    "Embedding": (lambda nn: nn.Embedding(6, 4, padding_idx=2), np.array([[0, 2], [5, 1]])),
    "PReLU": (lambda nn: nn.PReLU(3), normal(2, 3, 4)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(2), normal(2, 3, 5, 6)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(3, 2, padding=1), normal(2, 3, 5, 6)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((1, 2)), normal(2, 3, 5, 6)),
    "Flatten": (lambda nn: nn.Flatten(), normal(2, 3, 5)),
    "Unflatten": (lambda nn: nn.Unflatten(1, (2, 3)), normal(2, 6, 5)),
    "Dropout evaluated": (lambda nn: nn.Dropout(0.3).eval(), normal(2, 6)),
    "activations": (
        lambda nn: nn.Sequential(nn.LeakyReLU(0.2), nn.ELU(), nn.GELU("tanh"), nn.Softplus(), nn.Hardtanh(), nn.Softshrink(0.1)),
        normal(20),
    ),
    "Softmax": (lambda nn: nn.Softmax(dim=1), normal(2, 3, 4)),
    "LSTM": (lambda nn: nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True), normal(2, 5, 3)),
    "LSTM single": (lambda nn: nn.LSTM(3, 4, bias=False), normal(5, 3)),
    "LSTM projected": (lambda nn: nn.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2), normal(4, 2, 3)),
    "EmbeddingBag": (lambda nn: nn.EmbeddingBag(6, 4, padding_idx=2), np.array([[0, 2], [5, 1]])),
    "EmbeddingBag max": (lambda nn: nn.EmbeddingBag(6, 4, mode="max"), np.array([0, 2, 5, 1]), np.array([0, 1, 1])),
    "LPPool1d": (lambda nn: nn.LPPool1d(2, 3, stride=2), np.abs(normal(2, 3, 8))),
    "LPPool2d": (lambda nn: nn.LPPool2d(3, (2, 3)), np.abs(normal(2, 3, 6, 7))),
    "pads of 3 axes": (
        lambda nn: nn.Sequential(nn.ReflectionPad3d(1), nn.ReplicationPad3d((1, 0, 2, 1, 0, 1)), nn.CircularPad3d(1)), normal(1, 2, 3, 3, 4),
    ),
    "ChannelShuffle": (lambda nn: nn.ChannelShuffle(3), normal(2, 6, 2, 3)),
    "UpsamplingNearest2d": (lambda nn: nn.UpsamplingNearest2d(scale_factor=2), normal(1, 2, 3, 3)),
    "UpsamplingBilinear2d": (lambda nn: nn.UpsamplingBilinear2d(size=(5, 7)), normal(1, 2, 3, 3)),
    "MultiheadAttention with more keys": (
        lambda nn: nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True), *(normal(5, 2, 8) for _ in range(3)),
    ),
    "TripletMarginWithDistanceLoss": (
        lambda nn: nn.TripletMarginWithDistanceLoss(margin=2.0, swap=True), *(normal(4, 3) for _ in range(3)),
    ),
    "GRU": (lambda nn: nn.GRU(3, 4, num_layers=2, bidirectional=True), normal(5, 2, 3)),
    "RNN": (lambda nn: nn.RNN(3, 4, nonlinearity="relu"), normal(5, 2, 3)),
    "MultiheadAttention": (lambda nn: nn.MultiheadAttention(8, 2, batch_first=True), *(normal(2, 5, 8) for _ in range(3))),
    "MultiheadAttention of other sizes": (
        lambda nn: nn.MultiheadAttention(8, 4, kdim=3, vdim=6, bias=False), normal(5, 2, 8), normal(4, 2, 3), normal(4, 2, 6),
    ),
    "TransformerEncoderLayer": (lambda nn: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0), normal(5, 2, 8)),
    "TransformerEncoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True), 2,
            norm=nn.LayerNorm(8), enable_nested_tensor=False,
        ),
        normal(2, 5, 8),
    ),
    "TransformerDecoder": (
        lambda nn: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12, 0.0), 2), normal(4, 2, 8), normal(5, 2, 8),
    ),
    "Transformer": (lambda nn: nn.Transformer(8, 2, 1, 1, 12, 0.0), normal(4, 2, 8), normal(5, 2, 8)),
    "Upsample": (lambda nn: nn.Upsample(scale_factor=2, mode="bilinear"), normal(2, 3, 4, 5)),
    "ReflectionPad2d": (lambda nn: nn.ReflectionPad2d((1, 2, 0, 1)), normal(2, 3, 4, 5)),
    "ConstantPad1d": (lambda nn: nn.ConstantPad1d(2, 1.5), normal(2, 3, 4)),
    "ZeroPad2d": (lambda nn: nn.ZeroPad2d(1), normal(2, 3, 4)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), normal(2, 4, 4, 5)),
    "Unfold": (lambda nn: nn.Unfold(2, stride=2), normal(2, 3, 4, 6)),
    "Fold": (lambda nn: nn.Fold((4, 6), 2, stride=2), normal(2, 12, 6)),
    "LSTMCell": (lambda nn: nn.LSTMCell(3, 4), normal(2, 3)),
    "GRUCell": (lambda nn: nn.GRUCell(3, 4), normal(2, 3), normal(2, 4)),
    "RNNCell": (lambda nn: nn.RNNCell(3, 4), normal(2, 3)),
    "net": (
        lambda nn: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3),
            nn.ModuleList([nn.Tanh(), nn.Tanh(), nn.Linear(1, 1)])[0],
        ),
        normal(2, 1, 8, 8),
    ),
}  # fmt: skip


def _printed(layer):
    """The printed form, less what varies between versions of torch: norm layers name their bias in some."""
    text = re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(layer))
    return text.replace("NonDynamicallyQuantizableLinear", "Linear")


def _flat(out):
    return [x for part in out for x in _flat(part)] if isinstance(out, tuple) else [out]


def _run(layer, make, arrays):
    xs = [make(a.copy()) for a in arrays]
    for x, a in zip(xs, arrays, strict=True):
        if a.dtype.kind == "f":
            x.requires_grad_()
    outs = _flat(layer(*xs))
    sum((out * out * 0.5 + out).sum() for out in outs).backward() if any(
        o.requires_grad for o in outs
    ) else None
    gradients = [p.grad for p in layer.parameters()] + [x.grad for x in xs]
    state = list(layer.state_dict().values())
    return [np.asarray(x.detach()) for x in outs + [g for g in gradients if g is not None] + state]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:LSTM with projections")
@pytest.mark.parametrize("name", LAYERS)
def test_layer_agrees_with_torch(name):
    torch = pytest.importorskip("torch")
    make, *arrays = LAYERS[name]
    theirs, ours = make(torch.nn), make(dg.nn)
    assert _printed(ours) == _printed(theirs)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    ours.load_state_dict({k: dg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    for a, b in zip(
        _run(ours, dg.from_numpy, arrays), _run(theirs, torch.from_numpy, arrays), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_default_initialisation_has_the_bounds_of_torch():
    torch = pytest.importorskip("torch")
    for make in (
        lambda nn: nn.Linear(300, 200), lambda nn: nn.Conv2d(8, 64, 3), lambda nn: nn.ConvTranspose2d(64, 8, 3),
        lambda nn: nn.LSTM(50, 60), lambda nn: nn.Embedding(500, 40),
    ):  # fmt: skip
        for ours, theirs in zip(make(dg.nn).parameters(), make(torch.nn).parameters(), strict=True):
            if theirs.numel() > 1000:
                a, b = ours.detach().numpy(), theirs.detach().numpy()
                assert abs(a.std() / b.std() - 1) < 0.05 and abs(a.mean()) < 0.1 * b.std()
                assert 0.85 < np.abs(a).max() / np.abs(b).max() < 1.18


def test_repr_of_lists_folds_equal_modules_as_torch():
    torch = pytest.importorskip("torch")

    def make(nn):
        return nn.ModuleDict(
            {
                "a": nn.ModuleList([nn.Linear(1, 2), nn.Linear(1, 2), nn.Sequential(nn.ReLU())]),
                "b": nn.ModuleList(),
            }
        )

    assert repr(make(dg.nn)) == repr(make(torch.nn))
