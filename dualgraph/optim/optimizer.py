"""Optimizer: what all optimisers share - parameter groups, their state, and how a step walks over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.errors import ArgumentError, StateError
from ..core.hooks import HookHandle
from ..eager import Tensor, asarray, enable_grad, full, no_grad, zeros
from ..eager.numbers import live_number
from .update import update_large, update_small, update_together

Group = dict[str, Any]
State = dict[str, Any]


class Optimizer:
    """Base of the optimisers; semantics and ``state_dict`` layout are PyTorch's.

    Invariant: whatever changes from step to step is a tensor, made when a parameter is added and
    written in place by tensor ops alone. So a captured training step needs nothing but the step
    itself, and the state it updates is the state an eager step would go on from. Options (the
    learning rate and so on) are Python numbers in ``param_groups``, or 0-d tensors.

    Subclasses define `_new_state` and `_update`.

    >>> w = dg.tensor([1.0], requires_grad=True)
    >>> optimizer = dg.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> optimizer.zero_grad()
    >>> w.tolist(), w.grad
    ([0.5], None)
    """

    _before: Sequence[Callable[..., Any]] = ()  # what steps call first, and last
    _after: Sequence[Callable[..., Any]] = ()

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        if isinstance(params, Tensor):
            raise TypeError(
                f"{type(self).__name__} takes tensors or dicts in a list, not one tensor"
            )
        if hasattr(params, "parameters"):
            raise TypeError(f"{type(self).__name__} takes parameters; pass module.parameters()")
        groups = list(params)
        if not groups:
            problem = (
                "got no parameters (modules in plain lists and dicts have none; see nn.ModuleList)"
            )
            raise ArgumentError(f"{type(self).__name__} {problem}")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # --- what subclasses define ------------------------------------------------------------------

    def _new_state(self, p: Tensor, group: Group) -> State:
        """The state of a parameter before its first step."""
        return {}

    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """One step of one parameter, in place, by tensor ops."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor _update")

    # --- stepping --------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient; returns what `closure`, called first, gave."""
        loss = None
        closure = self._begun(closure)
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._step_of(group)
        return self._ended(closure, loss)

    def _step_of(self, group: Group) -> None:
        """Updates the parameters of a group that have a gradient."""
        given = [
            (p, grad, self._state_of(p, group))
            for p in group["params"] if (grad := p.grad) is not None
        ]  # fmt: skip
        rule = getattr(self._update, "__func__", None)  # None: it is no method of its class
        for p, grad, own in update_together(rule, given, group):
            grad = -grad if group.get("maximize") else grad
            if not update_large(rule, p, grad, own, group):
                live = {**group, "lr": live_number(group, "lr", p)}
                update_small(self._update, p, grad, own, live)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step, with what it was given; arguments that the hook
        returns, as such a pair, take their place. ``remove()`` of the result takes the hook away.

        >>> w = dg.ones(2, requires_grad=True)
        >>> sgd = dg.optim.SGD([w], lr=0.1)
        >>> handle = sgd.register_step_pre_hook(lambda optimizer, args, kwargs: print("step"))
        >>> sgd.step()
        step
        """
        self._before = hooks = [*self._before]
        hooks.append(hook)
        return HookHandle(hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step, as `register_step_pre_hook` does before it."""
        self._after = hooks = [*self._after]
        hooks.append(hook)
        return HookHandle(hooks, hook)

    def _begun(self, closure: Any) -> Any:
        """The closure of a step, as hooks leave it."""
        for hook in self._before:
            given = hook(self, () if closure is None else (closure,), {})
            if given is not None:
                args, kwargs = given
                closure = args[0] if args else kwargs.get("closure")
        return closure

    def _ended(self, closure: Any, loss: Any) -> Any:
        """The result of a step, when hooks were called."""
        for hook in self._after:
            hook(self, () if closure is None else (closure,), {})
        return loss

    def _state_of(self, p: Tensor, group: Group) -> State:
        if p not in self.state:
            self.state[p] = self._new_state(p, group)
        return self.state[p]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters (or fills them with zeros)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach().zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Adds parameters with options of their own; what is not given is taken from the defaults."""
        group = dict(param_group)
        given = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if given and all(isinstance(p, tuple) and len(p) == 2 for p in given):
            group["param_names"], given = map(list, zip(*given, strict=True))
        group["params"] = given
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self._check_params(group["params"])
        self.param_groups.append(group)
        for p in group["params"]:
            if p.requires_grad:
                self._state_of(p, group)

    def _check_params(self, params: list[Any]) -> None:
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{type(self).__name__} takes tensors, not {type(p).__name__}")
            if not p.is_leaf:
                raise ArgumentError(
                    f"{type(self).__name__} cannot optimise the result of an op; pass leaf tensors"
                )
            if id(p) in known:
                raise ArgumentError(
                    f"{type(self).__name__} got a parameter of shape {p.shape} twice"
                )
            known.add(id(p))

    # --- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {number: {...}}, "param_groups": [...]}``; the tensors are the optimiser's own."""
        numbers = {id(p): i for i, p in enumerate(self._all_params())}
        groups = [{**g, "params": [numbers[id(p)] for p in g["params"]]} for g in self.param_groups]
        return {
            "state": {numbers[id(p)]: dict(s) for p, s in self.state.items() if s},
            "param_groups": groups,
        }

    def _all_params(self) -> Iterable[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and state, copied into the optimiser's own tensors; StateError if they do not fit."""
        name = type(self).__name__
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise StateError(
                f"{name}: an optimiser state is a dict with 'state' and 'param_groups'"
            )
        sizes = [
            [len(g["params"]) for g in groups]
            for groups in (self.param_groups, state_dict["param_groups"])
        ]
        if sizes[0] != sizes[1]:
            raise StateError(
                f"{name}: its groups have {sizes[0]} parameters, those of the state {sizes[1]}"
            )
        numbers = [i for g in state_dict["param_groups"] for i in g["params"]]
        pairs = [
            (p, state_dict["state"].get(i, {}))
            for p, i in zip(self._all_params(), numbers, strict=True)
        ]
        for p, given in pairs:
            self._check_state(p, given)
        for own, given in zip(self.param_groups, state_dict["param_groups"], strict=True):
            own.update({k: v for k, v in given.items() if k != "params"})
        groups = ((p, g) for g in self.param_groups for p in g["params"])
        for (p, given), (_, group) in zip(pairs, groups, strict=True):
            self._take_over(p, group, given)

    def _check_state(self, p: Tensor, given: State) -> None:
        for key, value in given.items():
            own = self.state[p].get(key) if p in self.state else None
            if isinstance(own, Tensor) and value is not None:
                shape = tuple(getattr(value, "shape", ()))
                if shape != own.shape:
                    raise StateError(
                        f"{type(self).__name__}: state {key!r} of a parameter of shape {p.shape} "
                        f"has shape {shape}, expected {own.shape}"
                    )

    def _take_over(self, p: Tensor, group: Group, given: State) -> None:
        """Puts a parameter's state to the given one, in place; what is not given starts anew."""
        fresh = self._new_state(p, group)
        own = self._state_of(p, group)
        with no_grad():
            for key, value in {
                **fresh,
                **{k: v for k, v in given.items() if v is not None},
            }.items():
                current = own.get(key)
                if isinstance(current, Tensor):
                    current.copy_(asarray(value))
                else:
                    own[key] = value.detach().clone() if isinstance(value, Tensor) else value

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += [f"\nParameter Group {i}"]
            lines += [
                f"    {key}: {group[key]}" for key in sorted(group) if not key.startswith("param")
            ]
        return f"{type(self).__name__} (" + "\n".join(lines) + "\n)"


# --- what updates share --------------------------------------------------------------------------


def counter(p: Tensor) -> Tensor:
    """A step count: a 0-d float32 tensor, as in PyTorch."""
    return zeros((), dtype="float32", device=p.device)


def like(p: Tensor, value: float = 0.0) -> Tensor:
    """A state tensor of the type of `p`, filled with one value."""
    return full(p.shape, value, dtype=p.dtype, device=p.device)


def count_in(step: Tensor, p: Tensor) -> Tensor:
    """The step count in a precision fit for `p`."""
    return step.to(dtype="float64") if p.dtype.name == "float64" else step


def check_range(owner: str, name: str, value: Any, below: float = float("inf")) -> None:
    """Raises unless ``0 <= value < below`` (tensors pass)."""
    if not isinstance(value, Tensor) and not 0.0 <= value < below:
        upper = "" if below == float("inf") else f" and below {below:g}"
        raise ArgumentError(f"{owner}: {name} must be at least 0{upper}, not {value}")


def check_plain(owner: str, differentiable: bool) -> None:
    """Steps are not on the tape."""
    if differentiable:
        raise ArgumentError(f"{owner}: differentiable=True is not supported")
