"""Bags of embeddings, norms as pooling, projected LSTM states, trained extra keys: values, and both modes alike."""

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn


def same_compiled(layer, *args):
    """The layer's result, which is the same compiled, gradients of its parameters too."""

    def run(f):
        layer.zero_grad()
        out = f(*args)
        first = out[0] if isinstance(out, tuple) else out
        (first * first).sum().backward()
        return [first.detach().numpy()] + [p.grad.numpy().copy() for p in layer.parameters()]

    eager, compiled = run(layer), dg.compile(layer, wait=True)
    for _ in range(2):
        for a, b in zip(eager, run(compiled), strict=True):
            assert np.array_equal(a, b)
    return eager[0]


TABLE = np.arange(12.0, dtype="float32").reshape(4, 3)


@pytest.mark.parametrize(("mode", "fold"), [("sum", np.sum), ("mean", np.mean), ("max", np.max)])
def test_bags_of_embeddings(mode, fold):
    bag = nn.EmbeddingBag(4, 3, mode=mode, _weight=dg.tensor(TABLE))
    out = same_compiled(bag, dg.tensor([[0, 3], [1, 1]]))
    assert np.array_equal(out, [fold(TABLE[[0, 3]], axis=0), fold(TABLE[[1, 1]], axis=0)])
    out = same_compiled(bag, dg.tensor([0, 3, 1]), dg.tensor([0, 2, 3]))
    # The last is empty
    assert np.array_equal(out, [fold(TABLE[[0, 3]], axis=0), TABLE[1], np.zeros(3)])


def test_padding_and_weights_of_bags():
    table, at = dg.tensor(TABLE), dg.tensor([[0, 3], [1, 3]])
    assert F.embedding_bag(at, table, padding_idx=3).tolist() == TABLE[[0, 1]].tolist()
    weights = dg.tensor([[1.0, 2.0], [0.0, 1.0]])
    out = F.embedding_bag(at, table, mode="sum", per_sample_weights=weights)
    assert out.tolist() == [(TABLE[0] + 2 * TABLE[3]).tolist(), TABLE[3].tolist()]
    with pytest.raises(dg.ArgumentError, match="2 axes, or of 1 axis with offsets"):
        F.embedding_bag(dg.tensor([0]), table)
    with pytest.raises(dg.ArgumentError, match="need mode='sum'"):
        F.embedding_bag(at, table, per_sample_weights=weights)


def test_norms_of_windows():
    x = dg.tensor([[[3.0, 4.0, 0.0, 5.0]]], requires_grad=True)
    assert same_compiled(nn.LPPool1d(2, 2), x).tolist() == [[[5.0, 5.0]]]
    assert nn.LPPool2d(1, 2)(dg.ones(1, 1, 2, 2)).tolist() == [[[[4.0]]]]


def test_the_states_of_an_lstm_may_be_projected():
    layer = nn.LSTM(3, 6, num_layers=2, proj_size=2)
    assert layer.weight_hr_l0.shape == (2, 6) and layer.weight_hh_l1.shape == (24, 2)
    out, (h, c) = layer(dg.randn(5, 4, 3))
    assert out.shape == (5, 4, 2) and h.shape == (2, 4, 2) and c.shape == (2, 4, 6)
    same_compiled(layer, dg.randn(5, 4, 3))
    for wrong in (lambda: nn.GRU(3, 4, proj_size=2), lambda: nn.LSTM(3, 4, proj_size=4)):
        with pytest.raises(dg.ArgumentError, match="proj_size"):
            wrong()


def test_attention_to_more_keys():
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True)
    x = dg.randn(2, 5, 8)
    _, weights = layer(x, x, x, key_padding_mask=dg.tensor([[False] * 5, [True] * 5]))
    assert weights.shape == (2, 5, 7) and not weights[1, :, :5].any()
    same_compiled(layer, x, x, x)


def test_distances_of_ones_own():
    a, b, c = dg.tensor([[0.0]]), dg.tensor([[1.0]]), dg.tensor([[5.0]])
    loss = nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: (x - y).abs().sum(-1), margin=5.0
    )
    assert loss(a, b, c).item() == 1.0


def test_same_padding_needs_stride_one():
    with pytest.raises(dg.ArgumentError, match="padding='same' is not defined for stride"):
        nn.Conv2d(2, 3, 3, stride=2, padding="same")


def test_recurrent_layers_know_their_weights_and_cells_begin_anew():
    rnn = nn.LSTM(2, 3, num_layers=2, bidirectional=True)
    rnn.flatten_parameters()
    assert [len(part) for part in rnn.all_weights] == [4, 4, 4, 4]
    assert rnn.all_weights[1][0] is rnn.weight_ih_l0_reverse
    assert rnn.all_weights[3][3] is rnn.bias_hh_l1_reverse
    cell = nn.GRUCell(2, 3)
    before = cell.weight_hh.tolist()
    cell.reset_parameters()
    assert before != cell.weight_hh.tolist() and cell.weight_hh.abs().max().item() <= 3**-0.5


def test_bags_of_given_embeddings():
    rows = dg.arange(12.0).reshape(4, 3)
    bag = nn.EmbeddingBag.from_pretrained(rows, mode="sum")
    assert bag(dg.tensor([[0, 3]])).tolist() == [[9.0, 11.0, 13.0]]
    assert not bag.weight.requires_grad
    assert nn.EmbeddingBag.from_pretrained(rows, freeze=False).weight.requires_grad


def test_embedding_gradients_by_frequency():
    table = dg.randn(4, 3, requires_grad=True)
    at, weights = dg.tensor([[1, 1, 3], [1, 0, 3]]), dg.randn(2, 3, 3)

    def gradient(by_frequency):
        def f(w):
            return (F.embedding(at, w, scale_grad_by_freq=by_frequency) * weights).sum()

        return dg.grad(f)(table), dg.compile(dg.grad(f), wait=True)

    plain, (scaled, compiled) = gradient(False)[0], gradient(True)
    np.testing.assert_array_equal(
        scaled.numpy(), (plain / dg.tensor([[1.0], [3], [1], [2]])).numpy()
    )
    for _ in range(3):
        assert compiled(table).tolist() == scaled.tolist()
