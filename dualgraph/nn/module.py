"""Module: a piece of a model that holds parameters, buffers and other modules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TypeVar

from ..core.context import HANDS_ON, state
from ..eager import Tensor
from .backward_hooks import BackwardHooks
from .computed import COMPUTED, assign
from .conversion import Convertible
from .forward_hooks import Hook, HookTable, RemovableHandle, run_always, run_hooks, run_pre_hooks
from .loading import LoadResult, collect_state, load_state
from .parameter import Buffer, Parameter
from .show import show_module
from .state_hooks import StateHooks

Self = TypeVar("Self", bound="Module")

_TABLES = ("_parameters", "_buffers", "_modules")


class Module(Convertible, StateHooks):
    """Base of every layer and model; semantics and ``state_dict`` keys are PyTorch's.

    Assigning a `Parameter` or a `Module` to an attribute registers it. Subclasses call
    ``super().__init__()`` first and define ``forward``.

    >>> from dualgraph import nn
    >>> class Double(nn.Module):
    ...     def forward(self, x):
    ...         return x + x
    >>> Double()(dg.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient_buffers: set[str]
    _pre_hooks: HookTable
    _hooks: HookTable
    _backward_pre_hooks: HookTable
    _backward_hooks: HookTable

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _transient_buffers=set(),
            _pre_hooks=HookTable(),
            _hooks=HookTable(),
            _backward_pre_hooks=HookTable(),
            _backward_hooks=HookTable(),
        )

    # --- calling ---------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._pre_hooks or self._hooks or self._backward_hooks or self._backward_pre_hooks):
            out = self.forward(*args, **kwargs)
            if state.tracer is not None:
                state.tracer.mark(self, out)
            return out
        return self._call_hooked(args, kwargs)

    def _call_hooked(self, args: Any, kwargs: Any) -> Any:
        """Apart, as Python 3.10 does not tell which calls a ``try`` is around: nothing below it could be set apart."""
        gates = None
        try:
            args, kwargs = run_pre_hooks(self, self._pre_hooks, args, kwargs)
            if self._backward_hooks or self._backward_pre_hooks:
                gates = BackwardHooks(self, self._backward_pre_hooks, self._backward_hooks)
            out = self.forward(*(args if gates is None else gates.enter(args)), **kwargs)
        except Exception:
            run_always(self, self._hooks, args, kwargs)
            raise
        out = run_hooks(self, self._hooks, args, kwargs, out)
        return out if gates is None else gates.leave(out)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args)`` before forward; what it returns, if anything, replaces the arguments."""
        return self._pre_hooks.add(hook, with_kwargs, prepend)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False,
    ) -> RemovableHandle:  # fmt: skip
        """Calls ``hook(module, args, out)`` after forward; what it returns, if anything, replaces the result.

        With `always_call` it is called where forward raises an error, too, with None for its result.
        """
        handle = self._hooks.add(hook, with_kwargs, prepend)
        if always_call:
            self._hooks.always = {*self._hooks.always, handle.id}
        return handle

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` before backward; what it returns replaces the gradients."""
        return self._backward_pre_hooks.add(hook, False, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` after backward; it may return new ``grad_input``.

        Gradients are tuples, with None for what has none.
        """
        return self._backward_hooks.add(hook, False, prepend)

    # --- registration ----------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter (or reserves its name with None)."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"parameter {name!r} must be an nn.Parameter or None, not {type(param).__name__}"
            )
        self._check_name(name, "_parameters")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the module's state but is not trained.

        With ``persistent=False`` it is left out of ``state_dict``.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"buffer {name!r} must be a tensor or None, not {type(tensor).__name__}"
            )
        self._check_name(name, "_buffers")
        self._buffers[name] = tensor
        (self._transient_buffers.discard if persistent else self._transient_buffers.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule (or reserves its name with None)."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"submodule {name!r} must be an nn.Module or None, not {type(module).__name__}"
            )
        self._check_name(name, "_modules")
        self._modules[name] = module

    add_module = register_module

    def _check_name(self, name: str, table: str) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} must call super().__init__() before {name!r} is assigned"
            )
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(
                f"{name!r} cannot name an attribute; use a non-empty string without dots"
            )
        if name not in self.__dict__[table] and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def __setattr__(self, name: str, value: Any) -> None:
        if COMPUTED in self.__dict__ and name in self.__dict__[COMPUTED]:
            assign(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Buffer):
            self._forget(name, keep="_buffers")
            self.register_buffer(name, value, value.persistent)
        elif isinstance(value, Module):
            self._forget(name, keep="_modules")
            self.register_module(name, value)
        else:
            self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        table = self._table_of(name)
        if table is None:
            object.__setattr__(self, name, value)
        elif value is None or (table == "_buffers" and isinstance(value, Tensor)):
            self.__dict__[table][name] = value
        else:
            wanted = {
                "_parameters": "an nn.Parameter",
                "_buffers": "a tensor",
                "_modules": "an nn.Module",
            }
            raise TypeError(
                f"{name!r} of {type(self).__name__} takes {wanted[table]} or None, not {type(value).__name__}"
            )

    def _table_of(self, name: str) -> str | None:
        fields = self.__dict__
        return next((t for t in _TABLES if t in fields and name in fields[t]), None)

    def _forget(self, name: str, keep: str) -> None:
        self.__dict__.pop(name, None)
        for table in _TABLES:
            if table != keep and table in self.__dict__:
                self.__dict__[table].pop(name, None)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        for table in _TABLES:
            if table in fields and name in fields[table]:
                return fields[table][name]
        if COMPUTED in fields and name in fields[COMPUTED]:
            return fields[COMPUTED][name](self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        table = self._table_of(name)
        if table is None:
            object.__delattr__(self, name)
        else:
            del self.__dict__[table][name]
            self._transient_buffers.discard(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        names |= set(self.__dict__.get(COMPUTED, ()))
        return sorted(n for n in names if not n[:1].isdigit())

    # --- walking ---------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules(remove_duplicate=remove_duplicate))

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        walk = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for module_name, module in walk if recurse else [(prefix, self)]:
            for name, value in module.__dict__[table].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield _join(module_name, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with dotted names; a shared one comes once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names; a shared one comes once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The submodule of a dotted name."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = module._modules.get(name) if isinstance(module, Module) else None
        if not isinstance(module, Module):
            raise AttributeError(f"{type(self).__name__} has no submodule {target!r}")
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Puts a module at a dotted name, in place of the one there."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        owner.get_submodule(name)
        owner._modules[name] = module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name."""
        return self._member("_parameters", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of a dotted name."""
        return self._member("_buffers", target)

    def _member(self, table: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path).__dict__[table].get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no {table[1:-1]} {target!r}")
        return found

    # --- state -----------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name; the tensors share memory with the module.

        They are put into the dict `destination`, if one is given.
        """
        out: dict[str, Tensor] = {} if destination is None else destination
        collect_state(self, out, prefix, keep_vars)
        return out

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> LoadResult:
        """Copies a state into the module, or raises a StateError and leaves the module as it was.

        With ``strict=False`` missing and unexpected keys are only reported; shapes must always fit.
        ``assign=True`` puts the given tensors themselves in place of the module's.
        """
        return load_state(self, state_dict, strict, assign)

    # --- modes -----------------------------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Switches this module and all below it to training (or evaluation)."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: Self) -> Self:
        """Switches to evaluation: dropout off, batch norm on its running statistics."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Says whether the tape follows the parameters."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def compile(
        self, *, wait: bool = False, fast_math: bool = False, memory: Any = None, **_: Any
    ) -> None:
        """Calls of this module run compiled from now on (`dg.compile` of its forward); it stays the module that it is.

        PyTorch's further options change nothing.

        >>> layer = dg.nn.Linear(2, 1)
        >>> layer.compile()
        >>> layer(dg.ones(3, 2)).shape, list(layer.state_dict())
        ((3, 1), ['weight', 'bias'])
        """
        forward = getattr(self.forward, "_captured_function", self.forward)
        made = importlib.import_module("..jit.compile", __package__).compile
        self.forward = made(forward, wait=wait, fast_math=fast_math, memory=memory)  # type: ignore[method-assign]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters (or fills them with zeros)."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad = param.grad.detach().zero_()

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Calls `fn` on each module below this one, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # --- printing --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        return show_module(self)


def _without_hooks(frame: FrameType) -> bool:
    """Whether a running call of a module gives what its ``forward`` gives."""
    called: Module = frame.f_locals["self"]
    return not (
        called._pre_hooks or called._hooks or called._backward_hooks or called._backward_pre_hooks
    )


HANDS_ON[Module.__call__.__code__] = _without_hooks


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
