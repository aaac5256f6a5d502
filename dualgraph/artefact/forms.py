"""Forms: the structure of arguments and results as JSON, and Python values as text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..core.errors import CaptureError, GraphError
from ..core.trees import LEAF, TreeDef
from ..static.parser import Parser
from ..static.text import value_text

MAX_DEPTH = 50


class Record(tuple[Any, ...]):
    """A named tuple, or the fields of a dataclass, of a type that the file only names."""

    _fields: tuple[str, ...] = ()
    __slots__ = ()

    def __new__(cls, *values: Any) -> Record:
        return super().__new__(cls, values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[self._fields.index(name)]
        except ValueError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None

    def __repr__(self) -> str:
        pairs = zip(self._fields, self, strict=True)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in pairs)})"


def encode(tree: TreeDef) -> Any:
    """A structure as JSON; equal structures give equal JSON."""
    children = [encode(c) for c in tree.children]
    if tree.kind is None:
        return "*"
    if tree.kind is tuple or tree.kind is list:
        return [tree.kind.__name__, children]
    if isinstance(tree.kind, type) and issubclass(tree.kind, dict):
        kind = "dict" if tree.kind is dict else "OrderedDict"
        if tree.kind not in (dict, OrderedDict):
            raise CaptureError(f"a {tree.kind.__qualname__} cannot be saved; use a dict")
        return [kind, [text_of(k) for k in tree.data], children]
    fields = tree.kind._fields if tree.data == "namedtuple" else tree.data
    return ["record", tree.kind.__name__, list(fields), children]


def decode(form: Any, depth: int = 0) -> TreeDef:
    """What `encode` wrote; ValueError where it is damaged. Types that have names become a `Record`."""
    if form == "*":
        return LEAF
    if not isinstance(form, list) or not form or depth > MAX_DEPTH:
        raise ValueError("a structure is '*' or [kind, ...], not deeply nested")
    kind, *rest = form
    children = tuple(decode(c, depth + 1) for c in _list(rest[-1] if rest else None))
    if kind in ("tuple", "list") and len(rest) == 1:
        return TreeDef(tuple if kind == "tuple" else list, None, children)
    if kind in ("dict", "OrderedDict") and len(rest) == 2:
        keys = tuple(value_of(k) for k in _list(rest[0]))
        if not len(set(keys)) == len(keys) == len(children):
            raise ValueError("a dict has one key for each entry")
        return TreeDef(dict if kind == "dict" else OrderedDict, keys, children)
    if kind == "record" and len(rest) == 3:
        name, fields = rest[0], tuple(_list(rest[1]))
        if not all(isinstance(n, str) and n.isidentifier() for n in (name, *fields)):
            raise ValueError("the names of a record are identifiers")
        if not len(set(fields)) == len(fields) == len(children):
            raise ValueError("a record has one value for each field")
        made = type(name, (Record,), {"_fields": fields, "__slots__": ()})
        return TreeDef(made, "namedtuple", children)
    raise ValueError(f"{kind!r} is not a known structure")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list is missing")
    return value


def text_of(value: Any) -> str:
    """A Python value as text that `value_of` reads back; CaptureError where there is none."""
    try:
        return value_text(value)
    except GraphError:
        raise CaptureError(
            f"a {type(value).__name__} cannot be saved; files hold tensors, numbers, strings, None, "
            "dtypes, slices, and tuples, lists and dicts of them"
        ) from None


def value_of(text: Any, sizes: Mapping[str, int] | None = None) -> Any:
    """The value that `text_of` wrote; `sizes`: what symbols in it are now."""
    if not isinstance(text, str):
        raise ValueError("a value is missing")
    parser = Parser(text)
    parser.sizes.update(sizes or {})
    value = parser.value()
    parser.end()
    return value
