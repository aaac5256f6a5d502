"""Containers: modules that hold other modules or parameters, in order or by name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from ..eager import Tensor
from .module import Module
from .parameter import Parameter
from .show import show_list

Self = TypeVar("Self", bound="_Ordered")


class _Ordered(Module):
    """Submodules named "0", "1", ..."""

    def _place(self, index: Any) -> str:
        at = operator.index(index)
        if not -len(self) <= at < len(self):
            raise IndexError(f"index {at} is out of range for {len(self)} modules")
        return list(self._modules)[at]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __contains__(self, module: object) -> bool:
        return any(m is module for m in self._modules.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._made_of(list(self._modules.items())[index])
        return self._modules[self._place(index)]

    def _made_of(self, items: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._place(index), module)

    def __delitem__(self, index: Any) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._place(index)]
        for name in names:
            del self._modules[name]
        self._set_all(list(self._modules.values()))

    def _set_all(self, modules: list[Any]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.register_module(str(i), module)

    def append(self: Self, module: Module) -> Self:
        """Adds a module at the end."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: Self, index: int, module: Module) -> Self:
        """Puts a module before the one at `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._set_all(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Takes a module out and returns it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Ordered):
    """Modules applied one after the other; given in a row, or as one dict of names.

    >>> from dualgraph import nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> net(dg.zeros(3, 4)).shape
    (3, 2)
    """

    @overload
    def __init__(self, *args: Module) -> None: ...

    @overload
    def __init__(self, arg: Mapping[str, Module], /) -> None: ...

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if args and isinstance(args[0], (list, tuple)):
            raise TypeError("Sequential takes its modules in a row; write nn.Sequential(*modules)")
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else None
        for name, module in (
            named if named is not None else ((str(i), m) for i, m in enumerate(args))
        ):
            self.register_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _made_of(self, items: list[tuple[str, Any]]) -> Sequential:
        return Sequential(dict(items))

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Ordered):
    """A list of modules; it only holds them.

    >>> layers = dg.nn.ModuleList([dg.nn.Linear(3, 3), dg.nn.Linear(3, 2)])
    >>> len(list(layers.parameters()))
    4
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _made_of(self, items: list[tuple[str, Any]]) -> ModuleList:
        return ModuleList(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        return show_list(self)


class ModuleDict(Module):
    """A dict of modules; it only holds them.

    >>> heads = dg.nn.ModuleDict({"a": dg.nn.Linear(3, 2), "b": dg.nn.Linear(3, 4)})
    >>> heads["b"](dg.ones(1, 3)).shape
    (1, 4)
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.register_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Any:
        """Names of the modules."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def items(self) -> Any:
        """(name, module) pairs."""
        return self._modules.items()

    def pop(self, name: str) -> Any:
        """Takes a module out and returns it."""
        return self._modules.pop(name)

    def clear(self) -> None:
        """Takes all modules out."""
        self._modules.clear()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules."""
        for name, module in (
            modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        ):
            self[name] = module


def _as_parameter(value: Any) -> Any:
    return (
        Parameter(value)
        if isinstance(value, Tensor) and not isinstance(value, Parameter)
        else value
    )


class ParameterList(Module):
    """A list of parameters; tensors given to it become parameters.

    >>> params = dg.nn.ParameterList([dg.nn.Parameter(dg.ones(2))])
    >>> len(params)
    1
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values or ())

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return ParameterList(list(self)[index])
        return getattr(self, self._place(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._place(index), _as_parameter(value))

    def _place(self, index: Any) -> str:
        at = operator.index(index)
        if not -self._size <= at < self._size:
            raise IndexError(f"index {at} is out of range for {self._size} parameters")
        return str(at % self._size)

    def append(self, value: Any) -> ParameterList:
        """Adds a parameter at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Adds parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_describe(p)}" for i, p in enumerate(self))


class ParameterDict(Module):
    """A dict of parameters; tensors given to it become parameters.

    >>> params = dg.nn.ParameterDict({"w": dg.ones(2)})
    >>> list(params.keys())
    ['w']
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(values or {})

    def __getitem__(self, name: str) -> Any:
        return self._parameters[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.register_parameter(name, _as_parameter(value))

    def __delitem__(self, name: str) -> None:
        del self._parameters[name]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def keys(self) -> Any:
        """Names of the parameters."""
        return self._parameters.keys()

    def values(self) -> Any:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Any:
        """(name, parameter) pairs."""
        return self._parameters.items()

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Adds or replaces parameters."""
        for name, value in dict(values).items():
            self[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter of a name, or `default`."""
        return self._parameters.get(name, default)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The parameter of a name, which is `default` if there was none."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str) -> Any:
        """Takes out a parameter."""
        return self._parameters.pop(name)

    def popitem(self) -> tuple[str, Any]:
        """Takes out the last (name, parameter)."""
        return self._parameters.popitem()

    def clear(self) -> None:
        """Takes out all parameters."""
        self._parameters.clear()

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters."""
        return ParameterDict(self._parameters)

    def extra_repr(self) -> str:
        return "\n".join(f"({name}): {_describe(p)}" for name, p in self.items())


def _describe(param: Any) -> str:
    size = "x".join(map(str, param.shape))
    return f"Parameter containing: [dualgraph.{param.dtype.name} of size {size}]"
