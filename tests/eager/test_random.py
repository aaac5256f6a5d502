"""Random numbers: known answers, streams that depend on nothing but seed and count, distributions."""

import copy
import pickle

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.ops.random import philox, random_bits


def bits(seed, counter, size):
    return random_bits(dg.asarray(np.array([seed, counter], dtype=np.uint64)), size=size).numpy()


@pytest.mark.parametrize(
    ("seed", "counter", "words"),
    [
        (0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        # Philox4x32-10 of counter (2, 0, 0, 0) and key (1, 0), from the definition in the paper
        (1, 2, None),
    ],
)
def test_philox_gives_the_known_answers(seed, counter, words):
    got = bits(seed, counter, 4)
    wanted = (
        [int(w, 16) for w in words.split()] if words else reference((counter, 0, 0, 0), (seed, 0))
    )
    assert got.tolist() == wanted


def reference(counter, key):
    """Philox4x32-10 word by word (Salmon and others, 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_the_reference_gives_the_known_answer_of_the_library():
    top = 0xFFFFFFFF
    got = reference((top,) * 4, (top,) * 2)
    assert [f"{w:08x}" for w in got] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]


def test_all_64_bits_of_seed_and_counter_count():
    seed, counter = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    got = philox(np, np.array([seed], np.uint64), np.array([counter], np.uint64))[0]
    low, high = 0xFFFFFFFF, 32
    assert got.tolist() == reference(
        (counter & low, counter >> high, 0, 0), (seed & low, seed >> high)
    )


DRAWS = {
    "rand": lambda g: dg.rand(5, 3, generator=g),
    "rand64": lambda g: dg.rand(7, generator=g, dtype=dg.float64),
    "randn": lambda g: dg.randn(5, generator=g),
    "randint": lambda g: dg.randint(0, 100, (5,), generator=g),
    "randperm": lambda g: dg.randperm(9, generator=g),
    "bernoulli": lambda g: dg.bernoulli(dg.full((9,), 0.5), generator=g),
    "multinomial": lambda g: dg.multinomial(dg.ones(2, 9), 4, generator=g),
    "uniform_": lambda g: dg.zeros(4).uniform_(-1, 1, generator=g),
    "normal_": lambda g: dg.zeros(4).normal_(3, 2, generator=g),
    "random_": lambda g: dg.zeros(4, dtype=dg.int64).random_(10, generator=g),
    "exponential_": lambda g: dg.zeros(4).exponential_(generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_repeat_from_a_seed_and_move_on(name):
    draw, g = DRAWS[name], dg.Generator()
    first, second = draw(g.manual_seed(3)).tolist(), draw(g).tolist()
    assert draw(g.manual_seed(3)).tolist() == first
    assert draw(g).tolist() == second != first
    assert draw(g.manual_seed(4)).tolist() != first


@pytest.mark.parametrize("name", DRAWS)
def test_draws_leave_the_default_generator_alone_when_given_another(name):
    dg.manual_seed(0)
    before = dg.get_rng_state().tolist()
    DRAWS[name](dg.Generator())
    assert dg.get_rng_state().tolist() == before


def test_the_counter_moves_by_the_words_drawn_alone():
    def used(draw):
        g = dg.Generator().manual_seed(1)
        draw(g)
        return g.get_state().tolist()[1]

    assert (
        used(lambda g: dg.rand(8, generator=g)) == used(lambda g: dg.rand(2, 4, generator=g)) == 2
    )
    assert used(lambda g: dg.rand(8, generator=g, dtype=dg.float64)) == 4
    assert used(lambda g: dg.rand(8, generator=g, dtype=dg.float16)) == 2
    assert used(lambda g: dg.rand(0, generator=g)) == 0


def test_a_longer_draw_begins_like_a_shorter_one():
    g = dg.Generator()
    short, long = (dg.rand(n, generator=g.manual_seed(5)).tolist() for n in (6, 60))
    assert long[:6] == short


def test_states_are_taken_and_set():
    dg.manual_seed(11)
    dg.rand(3)
    state = dg.get_rng_state()
    first = dg.rand(4).tolist()
    dg.set_rng_state(state)
    assert dg.rand(4).tolist() == first
    assert dg.initial_seed() == 11
    g = dg.Generator().set_state(state)
    for other in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g)):
        assert dg.rand(4, generator=other).tolist() == first
    with pytest.raises(dg.DTypeError, match="u64"):
        g.set_state(dg.zeros(2))


def test_a_draw_that_fails_leaves_the_state_as_it_was():
    g = dg.Generator().manual_seed(2)
    failing = [
        lambda: dg.rand(2, generator=g, dtype=dg.int64),
        lambda: dg.randint(5, 5, (2,), generator=g),
        lambda: dg.multinomial(dg.tensor([1.0, 0.0]), 2, generator=g),
        lambda: dg.multinomial(dg.tensor([1.0, -1.0]), 1, generator=g),
        lambda: dg.rand(-1, generator=g),
    ]
    for draw in failing:
        with pytest.raises(dg.DualgraphError):
            draw()
    assert g.get_state().tolist() == [2, 0]


@pytest.mark.parametrize("dtype", [dg.float16, dg.bfloat16, dg.float32, dg.float64])
def test_uniform_numbers_stay_below_one(dtype):
    x = dg.rand(100_000, dtype=dtype, generator=dg.Generator().manual_seed(0)).double()
    assert x.min().item() >= 0 and x.max().item() < 1
    assert x.mean().item() == pytest.approx(0.5, abs=5e-3)
    assert x.var().item() == pytest.approx(1 / 12, abs=2e-3)


@pytest.mark.parametrize("dtype", [dg.float32, dg.float64])
def test_normal_numbers(dtype):
    x = dg.randn(100_001, dtype=dtype, generator=dg.Generator().manual_seed(0)).double()
    moments = [(x**k).mean().item() for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.06)
    assert bool(x.isfinite().all())
    half = dg.randn(1000, dtype=dg.bfloat16)
    assert half.dtype is dg.bfloat16


def test_whole_numbers_cover_their_range_evenly():
    g = dg.Generator().manual_seed(0)
    x = dg.randint(-3, 4, (70_000,), generator=g)
    counts = (x + 3).bincount().tolist()
    assert len(counts) == 7 and all(abs(c - 10_000) < 500 for c in counts)
    assert dg.randint(2**62, (4,), generator=g).max().item() > 2**55
    assert dg.randint(10, (2, 3), dtype=dg.uint8).dtype is dg.uint8
    assert dg.randint(high=3, size=(2,)).shape == (2,)


def test_permutations_hold_each_number_once():
    x = dg.randperm(1000, generator=dg.Generator().manual_seed(0))
    assert sorted(x.tolist()) == list(range(1000)) != x.tolist()


@pytest.mark.parametrize("dtype", [dg.float16, dg.bfloat16, dg.float32, dg.float64])
def test_multinomial_with_replacement_draws_from_each_row_by_its_sums(dtype):
    weights = dg.tensor([[0.0, 1.0, 0.0, 2.0, 0.0], [3.0, 0.0, 1.0, 0.0, 4.0]], dtype=dtype)
    g = dg.Generator().manual_seed(1)
    drawn = dg.multinomial(weights, 500, replacement=True, generator=g)
    uniform = dg.rand(2, 500, dtype=dtype, generator=g.manual_seed(1))
    edges = weights.cumsum(1)
    at = uniform * edges[:, -1:]
    assert drawn.tolist() == (at[:, :, None] >= edges[:, None, :]).sum(2).clamp(max=4).tolist()
    assert dg.gather(weights, 1, drawn).min().item() > 0


def test_multinomial_follows_its_weights():
    g = dg.Generator().manual_seed(0)
    x = dg.multinomial(dg.tensor([1.0, 0.0, 3.0]), 40_000, replacement=True, generator=g)
    counts = x.bincount(minlength=3).tolist()
    assert counts[1] == 0 and counts[2] / counts[0] == pytest.approx(3, rel=0.05)
    rows = dg.multinomial(dg.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]), 2, generator=g)
    assert [sorted(r) for r in rows.tolist()] == [[1, 2], [0, 1]]


def test_likes_and_normal_take_shape_and_dtype():
    x = dg.zeros(2, 3, dtype=dg.float64)
    for like in (dg.rand_like, dg.randn_like):
        assert like(x).tensor_type == x.tensor_type
    assert dg.randint_like(x, 0, 5).tensor_type == x.tensor_type
    assert dg.normal(0.0, 1.0, (4,)).shape == (4,)
    assert dg.normal(dg.zeros(3), dg.ones(3)).shape == (3,)
    assert dg.rand(2, requires_grad=True).requires_grad


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_bernoulli_and_multinomial_draw_under_vmap(randomness: str) -> None:
    weights = dg.tensor([[0.1, 0.5, 0.4]] * 20 + [[0.0, 1.0, 0.0]])

    def draws(w: dg.Tensor) -> tuple[dg.Tensor, ...]:
        return dg.bernoulli(w), dg.multinomial(w, 4, True), dg.multinomial(w, 1)

    def batched() -> tuple[dg.Tensor, ...]:
        return dg.vmap(draws, randomness=randomness)(weights)

    compiled = dg.compile(batched, wait=True)
    runs = []
    for f in (batched, compiled, compiled):
        dg.manual_seed(0)
        outs = [out.tolist() for out in f()]
        runs.append(outs)
        assert outs == runs[0]
        assert [out[-1] for out in outs] == [[0.0, 1.0, 0.0], [1] * 4, [1]]
        alike = [all(row == out[0] for row in out[:20]) for out in outs]
        assert alike == [randomness == "same"] * 3
    with pytest.raises(dg.ArgumentError, match="not all are probabilities"):
        dg.vmap(dg.bernoulli, randomness=randomness)(weights * 3)
    with pytest.raises(dg.ArgumentError, match="cannot draw 2 of 1 positive"):
        dg.vmap(lambda w: dg.multinomial(w, 2), randomness=randomness)(weights)
