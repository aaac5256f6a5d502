"""Modules: registration, walking, state, hooks, conversion, copies."""

import copy
import pickle

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])
        self.scale = nn.Parameter(dg.ones(4))
        self.register_buffer("offset", dg.zeros(4))
        self.register_buffer("scratch", dg.zeros(2), persistent=False)
        self.absent = None

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x * self.scale + self.offset


KEYS = ["scale", "offset", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias"]


def test_members_are_found_in_order_of_registration():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [k for k in KEYS if k != "offset"]
    assert [n for n, _ in net.named_buffers()] == ["offset", "scratch"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert list(net.state_dict()) == KEYS
    assert net.get_parameter("rest.0.bias") is net.rest[0].bias
    assert net.get_submodule("rest.1") is net.rest[1] and net.get_submodule("") is net
    assert {"first", "scale", "offset"} <= set(dir(net))


def test_shared_members_come_once_and_are_saved_under_each_name():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    loop = nn.Sequential(net[0], net[0])
    assert len(list(loop.modules())) == 2 and len(list(loop.parameters())) == 2


def test_assignment_moves_a_name_between_kinds():
    net = Net()
    net.offset = dg.ones(4)
    assert net.state_dict()["offset"].tolist() == [1.0] * 4
    net.first = None
    assert "first.weight" not in net.state_dict()
    net.scale = nn.Parameter(dg.zeros(4))
    assert net._parameters["scale"] is net.scale
    del net.rest
    assert not hasattr(net, "rest")
    net.plain = 3
    net.plain = nn.ReLU()
    assert "plain" in net._modules and "plain" not in net.__dict__


@pytest.mark.parametrize(
    "name,value,words",
    [("scale", dg.zeros(4), "nn.Parameter"), ("first", 3, "nn.Module"), ("offset", 3, "tensor")],
)
def test_a_registered_name_takes_only_its_kind(name, value, words):
    with pytest.raises(TypeError, match=words):
        setattr(Net(), name, value)


def test_mistakes_in_registration_are_named():
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Early()
    with pytest.raises(KeyError, match="without dots"):
        Net().register_parameter("a.b", None)
    with pytest.raises(KeyError, match="already"):
        Net().register_buffer("forward", None)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        Net().missing  # noqa: B018
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_state_round_trips_into_another_net():
    a, b = Net(), Net()
    result = b.load_state_dict(a.state_dict())
    assert str(result) == "<All keys matched successfully>"
    x = dg.randn(2, 3)
    assert np.array_equal(a(x).detach().numpy(), b(x).detach().numpy())
    assert a.state_dict()["scale"].data is not b.state_dict()["scale"].data


def test_state_shares_memory_with_the_net():
    net = Net()
    net.state_dict()["scale"][0] = 5.0
    assert net.scale.tolist()[0] == 5.0
    assert not net.state_dict()["scale"].requires_grad
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


def test_a_state_that_does_not_fit_changes_nothing():
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    wrong = {k: dg.ones(*v.shape) for k, v in before.items()} | {
        "extra": dg.ones(1),
        "rest.0.bias": dg.ones(7),
    }
    del wrong["first.bias"]
    with pytest.raises(dg.StateError) as caught:
        net.load_state_dict(wrong)
    text = str(caught.value)
    assert "missing key: 'first.bias'" in text and "unexpected key: 'extra'" in text
    assert "'rest.0.bias' has shape (7,) in the state, (4,) in the module" in text
    with pytest.raises(dg.StateError, match="shape"):
        net.load_state_dict(wrong, strict=False)
    assert all(np.array_equal(before[k].numpy(), v.numpy()) for k, v in net.state_dict().items())


def test_arrays_are_loaded_and_what_is_no_number_is_refused():
    net = nn.Linear(2, 1, bias=False)
    net.load_state_dict({"weight": np.array([[1.0, 2.0]])})
    assert net.weight.tolist() == [[1.0, 2.0]] and net.weight.dtype == dg.float32
    for bad, words in (("text", "is a str"), (dg.ones(1, 2, dtype=dg.complex64), "is complex64")):
        with pytest.raises(dg.StateError, match=words):
            net.load_state_dict({"weight": bad})
    with pytest.raises(dg.StateError, match="a state dict is a mapping"):
        net.load_state_dict([])


def test_loose_loading_reports_what_it_left_out():
    net = Net()
    result = net.load_state_dict({"scale": dg.full((4,), 2.0), "extra": dg.ones(1)}, strict=False)
    assert result.unexpected_keys == ["extra"] and len(result.missing_keys) == 5
    assert net.scale.tolist() == [2.0] * 4


def test_loading_by_assignment_takes_the_tensors_themselves():
    net, value = Net(), dg.full((4,), 2.0)
    net.load_state_dict({"scale": value}, strict=False, assign=True)
    value[0] = 9.0
    assert net.scale.tolist()[0] == 9.0 and isinstance(net.scale, nn.Parameter)


def test_modes_and_gradients_reach_every_module():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    net(dg.ones(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_conversion_casts_floats_and_leaves_integers():
    net = nn.BatchNorm1d(3)
    weight = net.weight
    assert net.double() is net
    assert net.weight is weight and weight.dtype == dg.float64 and weight.requires_grad
    assert net.running_mean.dtype == dg.float64 and net.num_batches_tracked.dtype == dg.int64
    out = net(dg.randn(4, 3, dtype=dg.float64)).sum()
    out.backward()
    assert weight.grad.dtype == dg.float64
    assert net.to("cpu", dg.float32).weight.grad.dtype == dg.float32
    assert net.half().weight.dtype == dg.float16


def test_apply_visits_children_first():
    seen = []
    nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())).apply(
        lambda m: seen.append(type(m).__name__)
    )
    assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_copies_and_pickles_are_independent():
    net = Net()
    net(dg.ones(1, 3)).sum().backward()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == KEYS and isinstance(other.scale, nn.Parameter)
        assert np.array_equal(
            other.first.weight.detach().numpy(), net.first.weight.detach().numpy()
        )
        with dg.no_grad():
            other.scale.zero_()
        assert net.scale.tolist() == [1.0] * 4
        assert other(dg.ones(1, 3)).requires_grad


def test_hooks_see_and_replace_arguments_and_results():
    layer, seen = nn.ReLU(), []
    first = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    second = layer.register_forward_hook(lambda m, args, out: out * 10)
    layer.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(out.tolist()), with_kwargs=True
    )
    layer.register_forward_hook(lambda m, args, out: seen.append("first"), prepend=True)
    assert layer(dg.tensor([1.0, -3.0])).tolist() == [20.0, 0.0]
    assert seen == ["first", [20.0, 0.0]]
    first.remove()
    second.remove()
    second.remove()
    assert layer(dg.tensor([1.0, -3.0])).tolist() == [1.0, 0.0]


def test_hooks_may_hear_of_errors():
    m, seen = nn.Linear(3, 2), []
    m.register_forward_hook(lambda *a: seen.append("no"))
    handle = m.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    for _ in range(2):
        with pytest.raises(dg.ShapeError):
            m(dg.ones(4, 5))
        handle.remove()
    assert seen == [None]
    m(dg.ones(4, 3))
    assert seen == [None, "no"]


def test_hooks_work_as_contexts_and_are_copied():
    layer = nn.ReLU()
    with layer.register_forward_hook(lambda m, args, out: out + 1):
        assert layer(dg.zeros(1)).tolist() == [1.0]
        assert copy.deepcopy(layer)(dg.zeros(1)).tolist() == [1.0]
    assert layer(dg.zeros(1)).tolist() == [0.0]


def test_containers_behave_as_lists_and_dicts():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    row = nn.Sequential(a, b)
    row.append(c).insert(0, nn.Identity())
    assert len(row) == 4 and row[-1] is c and list(row[1:3]) == [a, b]
    del row[0]
    assert list(row._modules) == ["0", "1", "2"] and row.pop() is c
    row[0] = c
    assert row[0] is c
    with pytest.raises(IndexError):
        row[5]
    many = nn.ModuleList([a])
    many += [b]
    assert b in many and [*many, c] == list(many + [c])  # noqa: RUF005
    assert isinstance(many[:1], nn.ModuleList)
    named = nn.ModuleDict({"a": a})
    named["b"] = b
    assert list(named) == ["a", "b"] and named.pop("a") is a and "a" not in named
    assert list(nn.Sequential({"x": a, "y": b})._modules) == ["x", "y"]
    params = nn.ParameterList([dg.ones(2), nn.Parameter(dg.zeros(3))])
    assert [tuple(p.shape) for p in params] == [(2,), (3,)] and list(params.state_dict()) == [
        "0",
        "1",
    ]
    table = nn.ParameterDict({"w": dg.ones(2)})
    assert "Parameter containing: [dualgraph.float32 of size 2]" in repr(table)


def test_a_parameter_is_a_leaf_that_prints_as_one():
    p = nn.Parameter(dg.ones(2))
    assert (
        p.is_leaf
        and p.requires_grad
        and not nn.Parameter(p.detach(), requires_grad=False).requires_grad
    )
    assert repr(p).startswith("Parameter containing:\ntensor(")
    assert not isinstance(p * 2, nn.Parameter)


def test_clipping_scales_all_gradients_together():
    p, q = dg.zeros(2, requires_grad=True), dg.zeros(1, requires_grad=True)
    p.grad, q.grad = dg.tensor([2.0, 4.0]), dg.tensor([4.0])
    assert nn.utils.clip_grad_norm_([p, q], 3.0).item() == 6.0
    np.testing.assert_allclose(p.grad.numpy(), [1.0, 2.0], rtol=1e-6)
    nn.utils.clip_grad_value_([p, q], 1.5)
    np.testing.assert_allclose(p.grad.numpy(), [1.0, 1.5], rtol=1e-6)
    p.grad[0] = float("nan")
    with pytest.raises(RuntimeError, match="cannot be clipped"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


def test_clipping_takes_the_iterator_that_parameters_gives():
    net = nn.Linear(3, 2)

    def clipped(x):
        net.zero_grad()
        (net(x) * 100.0).sum().backward()
        before = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        after = nn.utils.get_total_norm([p.grad for p in net.parameters()])
        return before, after, net.weight.grad + 0.0

    before, after, grad = clipped(dg.ones(4, 3))
    assert before.item() > 400 and after.item() == pytest.approx(0.5)
    compiled = dg.compile(clipped, wait=True)
    for _ in range(2):
        assert compiled(dg.ones(4, 3))[2].numpy().tobytes() == grad.numpy().tobytes()


def test_parameters_become_a_vector_and_come_back():
    net = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(vector.detach() * 0 + 1, net.parameters())
    assert vector.shape == (8,) and net.weight.tolist() == [[1.0] * 3] * 2
    with pytest.raises(dg.ShapeError, match="8 elements"):
        nn.utils.vector_to_parameters(dg.zeros(7), net.parameters())


def test_backward_hooks_see_and_replace_gradients():
    layer, seen = nn.Linear(2, 1, bias=False), []
    layer.load_state_dict({"weight": dg.tensor([[3.0, 5.0]])})
    pre = layer.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 10,))
    see = layer.register_full_backward_hook(
        lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist()))
    )
    double = layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    x = dg.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert seen == [([[30.0, 50.0]], [[10.0]])]
    assert x.grad.tolist() == [[60.0, 100.0]] and layer.weight.grad.tolist() == [[10.0, 10.0]]
    double.remove()
    pre.remove()
    see.remove()
    x.grad = None
    layer(x).sum().backward()
    assert len(seen) == 1 and x.grad.tolist() == [[3.0, 5.0]]


def test_backward_hooks_run_without_gradients_of_inputs():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(dg.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])] and layer.weight.grad.tolist() == [[1.0, 1.0]]
    with dg.no_grad():
        layer(dg.ones(1, 2))
    assert len(seen) == 1


def test_a_wrong_number_of_gradients_is_an_error():
    layer = nn.ReLU()
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(dg.ArgumentError, match="2 gradients in place of 1"):
        layer(dg.ones(1, requires_grad=True)).backward()


class RunningMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Buffer(dg.zeros(3))
        self.calls = nn.Buffer(dg.zeros(1), persistent=False)

    def forward(self, x):
        self.mean.mul_(0.5).add_(x.mean(0) * 0.5)
        self.calls = self.calls + 1
        return x - self.mean


def test_buffers_register_themselves_in_both_modes():
    eager, captured = RunningMean(), RunningMean()
    compiled = dg.compile(captured, wait=True)
    for i in range(8):
        x = dg.ones(2, 3) * i
        assert eager(x).tolist() == compiled(x).tolist()
    assert captured.mean.tolist() == eager.mean.tolist() and captured.calls.item() == 8
    assert list(captured.state_dict()) == ["mean"] and isinstance(captured.mean, nn.Buffer)
    assert [name for name, _ in captured.named_buffers()] == ["mean", "calls"]
    copied = pickle.loads(pickle.dumps(captured))
    assert list(copied.state_dict()) == ["mean"] and copied.mean.tolist() == captured.mean.tolist()
    captured.mean = nn.Parameter(dg.ones(3))
    assert [name for name, _ in captured.named_parameters()] == ["mean"]


def test_parameter_dicts_are_dicts():
    table = nn.ParameterDict([("w", dg.ones(2)), ("v", dg.zeros(1))])
    assert table.get("w") is table["w"] and table.get("u") is None
    assert table.setdefault("u", dg.ones(3)) is table["u"] is table.setdefault("u")
    same = table.copy()
    assert list(same) == ["w", "v", "u"] and same["v"] is table["v"]
    assert same.popitem()[0] == "u" and isinstance(same.pop("w"), nn.Parameter)
    assert list(same.state_dict()) == ["v"]
    same.clear()
    assert len(same) == 0 and len(table) == 3


def test_states_of_modules_can_be_put_into_one_dict():
    net, found = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1, bias=False)), {}
    assert net.state_dict(destination=found, prefix="a.") is found
    net[0].state_dict(destination=found)
    assert list(found) == ["a.0.weight", "a.0.bias", "a.1.weight", "weight", "bias"]
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.modules())) == 2 and len(list(twice.modules(remove_duplicate=False))) == 3


class Counted(nn.Linear):
    count = 0

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def test_extra_state_goes_along():
    net, other = (nn.Sequential(Counted(1, 1), nn.ReLU()) for _ in range(2))
    net[0].count = 3
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state"] and "count" not in vars(other[0])
    other.load_state_dict(state)
    assert other[0].count == 3
    lacking = {k: v for k, v in state.items() if "extra" not in k}
    assert other.load_state_dict(lacking, strict=False).missing_keys == ["0._extra_state"]
    plain = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with pytest.raises(dg.StateError, match="_extra_state"):
        plain.load_state_dict(state)
    with pytest.raises(NotImplementedError, match="get_extra_state"):
        plain.get_extra_state()


def test_hooks_around_states():
    net, seen = nn.Sequential(nn.Linear(1, 1), nn.ReLU()), []

    def rename(module, state, prefix, _, strict, missing, unexpected, problems):
        assert (strict, missing, unexpected, problems) == (True, [], [], [])
        state[prefix + "weight"] = state.pop(prefix + "w")

    def drop(module, state, prefix, _):
        state[prefix + "w"] = state.pop(prefix + "weight")

    handles = [
        net[0].register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((prefix, keep))),
        net[0].register_state_dict_post_hook(drop),
        net[0].register_load_state_dict_pre_hook(rename),
        net.register_load_state_dict_post_hook(
            lambda m, result: seen.append(len(result.missing_keys))
        ),
    ]
    state = net.state_dict()
    assert list(state) == ["0.bias", "0.w"] and seen == [("0.", False)]
    state["0.w"] = dg.full((1, 1), 5.0)
    net.load_state_dict(state)
    assert net[0].weight.item() == 5.0 and list(state) == ["0.bias", "0.w"] and seen[1:] == [0]
    for handle in handles:
        handle.remove()
    assert list(net.state_dict()) == ["0.weight", "0.bias"] and len(seen) == 2


def test_a_module_compiles_itself_and_stays_what_it_is():
    dg.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))
    compiled = copy.deepcopy(plain)
    plain.register_forward_hook(lambda module, args, out: out * 2)
    compiled.compile(wait=True, mode="max-autotune")
    compiled.compile(wait=True)
    compiled.register_forward_hook(lambda module, args, out: out * 2)
    for training in (True, True, False):
        x, results = dg.randn(3, 4), []
        for module in (plain.train(training), compiled.train(training)):
            dg.manual_seed(1)
            module.zero_grad()
            out = module(x)
            out.sum().backward()
            results.append(
                [
                    t.numpy().tobytes()
                    for t in (out.detach(), *(p.grad for p in module.parameters()))
                ]
            )
        assert results[0] == results[1]
    assert len(compiled.forward.programs) == 2
    assert list(compiled.state_dict()) == list(plain.state_dict())
    other = copy.deepcopy(compiled)
    with dg.no_grad():
        other[0].bias.add_(1)
    assert ((other(x) - compiled(x)).detach().numpy() != 0).all()
