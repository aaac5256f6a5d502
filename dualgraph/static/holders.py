"""Holders: what objects, classes, modules and containers hold, and which of it counts, as checks."""

from __future__ import annotations

import abc
import datetime
import functools
import types
from collections.abc import Callable, Set
from typing import Any, NamedTuple

import numpy as np

from ..core.constant import SPELLED
from ..core.errors import Location
from ..core.numbers.draws import MODULES, is_drawn, stood_for
from .checks import (
    EXCHANGED,
    MISSING,
    AttributeCheck,
    BasesCheck,
    Check,
    ClassCheck,
    ContentCheck,
    DictCheck,
    EntryCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    RegistryCheck,
    TensorCheck,
    TypeCheck,
    ViewCheck,
    built_of,
    class_attribute,
    short,
    slots_of,
    told_of,
)  # fmt: skip
from .code.bytecode import names_in_class, names_in_text
from .members import (
    CLASS_PARTS,
    CODE,
    CONSTRUCTORS,
    absent,
    dict_of,
    generated,
    held_by,
    is_dunder,
    is_namespace,
    is_special,
    looks_beyond,
    reflective,
)  # fmt: skip
from .outside import ENGINE, closed, for_its_own_use, home, impure, users
from .ways import has_code, hidden, is_tensor, ways_of

ENGINE_STATE = "dualgraph.optim", "dualgraph.data"  # objects whose state is the engine's own matter
CACHED = type(functools.lru_cache(lambda: None))
MAX_ARRAY_BYTES = 1 << 24  # arrays beyond this are not compared on each call


class Sought(NamedTuple):
    """Names to look for in an object: those that code mentions and, of these, writes; whether it is the first look."""

    names: Set[str]
    written: Set[str]
    first: bool


ByName = Callable[[Any, str, Location, Sought], None]  # a look at an object, by its name and place


class Holders:
    """What was found so far, and how to look into what is not code. `Footprint` goes through it all."""

    makes: bool  # some code may call the class of an object it has
    misses: bool  # some code may go on where an attribute is missing
    reflects: bool  # some code may read attributes by names that are not seen
    names: set[str]  # that code mentions
    user_names: set[str]  # of these, those in the user's code
    takes_memory: bool  # some code may ask for arrays' memory in a way that no stand-in knows
    reads_memory: bool  # it is the user's own
    checks: list[Check]
    drawing: list[Check]  # places where code finds generators of random numbers, or their functions
    holding: list[Check]  # places where code finds arrays
    caching: list[Check]  # places where it finds functions whose results Python keeps
    tensors: dict[int, str]
    about: frozenset[str]  # names such as ``__doc__`` that the user's code mentions
    arrays: dict[int, tuple[Any, str]]
    refusals: list[str]
    _refused_at: set[tuple[str, int]]  # where the code begins that mentions what is refused
    _asked: frozenset[str] | None  # names in the user's code, if only those count for his data
    _registry: bool  # whether subclasses that are registered count
    _seen: dict[int, Any]
    # Of classes of the engine's: the names that functions were looked for by last, and those of what else they have
    _methods: dict[type, tuple[Set[str], list[str]]]
    _classes: set[type]  # of objects found
    _work: list[tuple[str, Any, str, Location]]
    _waiting: list[tuple[ByName, Any, str, Location]]

    def _refuse(self, why: str, name: str, where: Location) -> None:
        at = f" at {where}" if where.line else ""
        self._refused_at.add((where.file, where.line))
        self.refusals.append(f"{name}{at}: {why}")

    def _place(self, check: Check) -> None:
        self.checks.append(check)
        check.expected = stood_for(check.expected)
        if is_drawn(check.expected) and isinstance(check, EXCHANGED):
            self.drawing.append(check)
            return
        if type(check.expected) is np.ndarray and isinstance(check, EXCHANGED):
            self.holding.append(check)
        if type(check.expected) is CACHED and isinstance(check, EXCHANGED):
            self.caching.append(check)
            return
        if check.expected is not MISSING:
            self._visit(check.expected, check.name, check.where)

    def _visit(self, value: Any, name: str, where: Location) -> None:
        if type(value) is str and "{" in value:  # a format, whose fields may name attributes
            self.names |= names_in_text(value)
            self.user_names |= names_in_text(value)
        if id(value) not in self._seen:
            kind: Any = type(value)
            ways = ways_of(kind)
            if ways:
                self._seen[id(value)] = value
                self._work += [(way, value, name, where) for way in ways]

    # --- containers ---

    def _tensor(self, value: Any, name: str, where: Location) -> None:
        self.tensors[id(value)] = name
        self.checks.append(TensorCheck(value, None, told_of(value), name, where))
        if value._parent is not None:
            self.checks.append(ViewCheck(value, name, where))
        cls = type(value)
        if users(home(cls)):
            self._class_of_objects(cls, cls.__qualname__, where)
        if vars(value):  # what the user put there, which may hide methods
            self._waiting.append((self._held, value, name, where))

    def _fixed(self, value: Any, name: str, where: Location) -> None:
        """A tuple or frozenset."""
        for i, item in enumerate(built_of(value).__iter__(value)):
            self._visit(item, f"{name}[{i}]", where)

    def _list(self, value: Any, name: str, where: Location) -> None:
        items = list(built_of(value).__iter__(value))
        self.checks.append(LengthCheck(value, None, len(items), f"len({name})", where))
        for i, item in enumerate(items):
            self._place(ItemCheck(value, i, item, f"{name}[{i}]", where))

    def _dict(self, value: Any, name: str, where: Location) -> None:
        self.checks.append(MembersCheck(value, f"the keys of {name}", where))
        for key, item in list(dict.items(value)):
            self._visit(key, f"a key of {name}", where)
            self._place(EntryCheck(value, key, item, f"{name}[{short(key)}]", where))

    def _set(self, value: Any, name: str, where: Location) -> None:
        self.checks.append(MembersCheck(value, f"the elements of {name}", where))
        for item in built_of(value).__iter__(value):
            self._visit(item, f"an element of {name}", where)

    def _array(self, value: Any, name: str, where: Location) -> None:
        """A NumPy array, whose content counts."""
        if value.dtype.hasobject:
            self._refuse("the objects in a NumPy array cannot be checked", name, where)
        elif value.nbytes > MAX_ARRAY_BYTES:
            why = "this NumPy array is too large to compare on each call; make it a tensor outside"
            self._refuse(why, name, where)
        else:
            self.arrays[id(value)] = (value, name)
            self.checks.append(ContentCheck(value, name, where))

    # --- objects, classes and modules ---

    def _held(self, value: Any, name: str, where: Location, sought: Sought) -> None:
        """What an object holds under these names, or under any where some code reflects."""
        held, kind = held_by(value), _kind(value)
        if not sought.first and sought.names.isdisjoint(held.keys()):
            return
        # As a whole, where it is printed or compared, or where code that is not followed may read any of it.
        shown = is_namespace(kind) or has_code(kind)
        strict = self.misses or shown or is_tensor(kind)
        if sought.first and strict and not home(kind).startswith(ENGINE_STATE):
            self.checks.append(MembersCheck(held, f"the attributes of {name}", where))
        whole = held.keys() if sought.first else ()
        wanted = whole if self.reflects or shown else self._read(value, sought.names & held.keys())
        for attribute in sorted(wanted):
            check = DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
            self._place(check)

    def _read(self, value: Any, names: Set[str]) -> Set[str]:
        """Those attributes that are read: what the user put into an object is no matter of the engine's other code."""
        if self._asked is None or home(type(value)).startswith(ENGINE):
            return names
        engine = frozenset().union(*map(names_in_class, type(value).__mro__))
        held = held_by(value)
        return {
            n
            for n in names
            if n in self._asked or n in engine or home(type(held[n])).startswith(ENGINE)
        }

    def _outside(self, module: str, name: str, where: Location) -> None:
        """Code that is not followed."""
        if impure(module):
            self._refuse(f"depends on {module}, which may change from call to call", name, where)

    def _module(self, module: types.ModuleType, name: str, where: Location) -> None:
        if not closed(module.__name__):
            self._waiting.append((self._variables, module, name, where))
        elif module.__name__ in MODULES:
            self._waiting.append((self._draws, module, name, where))
        elif module.__name__.partition(".")[0] == "numpy":
            self._waiting.append((self._numpy, module, name, where))
        elif module.__name__ in SPELLED:
            self._waiting.append((self._kinds, module, name, where))
        elif not module.__name__.startswith(ENGINE):
            self._outside(module.__name__, name, where)

    def _variables(
        self, module: types.ModuleType, name: str, where: Location, sought: Sought
    ) -> None:
        """The variables of a module that have these names."""
        held = vars(module)
        wanted = sought.names & held.keys()
        asked = sought.first and users(module.__name__) and "__getattr__" in held
        if asked:
            self._place(
                DictCheck(held, "__getattr__", held["__getattr__"], f"{name}.__getattr__", where)
            )
        if sought.first and (self.misses or asked):
            self.checks.append(MembersCheck(held, f"the variables of {name}", where))
        if self.reflects and not module.__name__.startswith(ENGINE):
            apart = (*CODE, type, types.ModuleType)
            data = {n for n, v in held.items() if not isinstance(v, apart)}
            wanted = wanted | data if sought.first else wanted - data
        for attribute in sorted(wanted):
            told = not attribute.startswith("__") or attribute in self.about
            if told and not for_its_own_use(module, held[attribute]):
                check = DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
                self._place(check)

    def _kinds(self, module: types.ModuleType, name: str, where: Location, sought: Sought) -> None:
        """What the user's code reads of a module of paths, dates or fractions."""
        for attribute in sorted(sought.names & self.user_names & vars(module).keys()):
            held = vars(module)
            self._place(DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where))

    def _numpy(self, module: types.ModuleType, name: str, where: Location, sought: Sought) -> None:
        if "random" in sought.names:
            held = vars(module)
            self._place(DictCheck(held, "random", module.random, f"{name}.random", where))

    def _draws(self, module: types.ModuleType, name: str, where: Location, sought: Sought) -> None:
        """What code reads of a module of random numbers or clocks; what is not followed says so when it is called."""
        held = vars(module)
        if self.reflects:
            self._outside(module.__name__, name, where)
        for attribute in sorted(sought.names & held.keys()):
            value = stood_for(held[attribute])
            check = DictCheck(held, attribute, value, f"{name}.{attribute}", where)
            if callable(value) and not isinstance(value, type):
                self.checks.append(check)
                self.drawing.append(check)
            else:
                self._place(check)

    def _source(self, value: Any, name: str, where: Location) -> None:
        """A generator of random numbers where no stand-in can be put."""
        self._refuse("a capture cannot see what is drawn from it here", name, where)

    def _class(self, cls: type, name: str, where: Location) -> None:
        """A class that code can call: what makes objects of it counts as well."""
        self._asked_of(cls, where)
        if closed(home(cls)) and looks_beyond(cls):
            self._waiting.append((self._beyond, cls, name, where))
        elif closed(home(cls)):
            self.misses = self.misses or (cls is not object and issubclass(AttributeError, cls))
            self._outside(home(cls), name, where)
        else:
            self._class_of_objects(cls, name, where)
            self._waiting.append((self._constructors, cls, name, where))
            if not closed(home(type(cls))):
                self._class_of_objects(type(cls), type(cls).__qualname__, where)

    def _spelled(self, value: Any, name: str, where: Location) -> None:
        """A path, a date or the like, which is its text."""
        if type(getattr(value, "tzinfo", None)) not in (type(None), datetime.timezone):
            self._refuse("its time zone cannot be checked", name, where)
        self._waiting.append((self._beyond, type(value), name, where))

    def _beyond(self, cls: type, name: str, where: Location, sought: Sought) -> None:
        """Whether code asks one of these, or their class, for more than its text tells: files, clocks."""
        asked = sorted(looks_beyond(cls) & sought.names & self.user_names)
        if asked or (sought.first and self.reflects):
            what = f".{asked[0]} of a {cls.__name__}" if asked else f"some of a {cls.__name__}"
            self._refuse(f"{what} may change from call to call", name, where)

    def _asked_of(self, cls: type, where: Location) -> None:
        """What `isinstance` and calls of a class that reads attributes depend on."""
        self.reflects = self.reflects or reflective(cls)
        self.misses = self.misses or "_is_protocol" in vars(cls)
        if isinstance(cls, abc.ABCMeta) and not self._registry:
            self._registry = True
            self.checks.append(RegistryCheck(where))

    def _class_of_objects(self, cls: type, name: str, where: Location) -> None:
        if cls in self._classes:
            return
        self._classes.add(cls)
        self._waiting.append((self._members, cls, name, where))
        if users(home(cls)) and len(cls.__mro__) > 2:  # others cannot get new ones
            self.checks.append(BasesCheck(cls, name, where))
        told = sorted(CLASS_PARTS & self.about)
        for part in told if users(home(cls)) else ():
            self.checks.append(
                AttributeCheck(cls, part, getattr(cls, part), f"{name}.{part}", where)
            )

    def _members(self, cls: type, name: str, where: Location, sought: Sought) -> None:
        """What a class and its bases have under these names; methods that Python calls count from the first."""
        for base in cls.__mro__:
            module = home(base)
            if closed(module):
                continue
            engine = module.startswith(ENGINE)
            held = vars(base)
            if sought.first and not engine and id(held_in := dict_of(base)) not in self._seen:
                self._seen[id(held_in)] = held_in
                self.checks.append(MembersCheck(held_in, f"the names in {base.__name__}", where))
            here = self._beside_functions(base, name, where, sought.names) if engine else list(held)
            for attribute in here if sought.first else sought.names & set(here):
                special = attribute[:2] == "__" and is_special(attribute, held[attribute])
                counts = sought.first if special or self.reflects else attribute in sought.names
                if counts and attribute not in CONSTRUCTORS:
                    self._member(cls, base, attribute, f"{name}.{attribute}", where)

    def _beside_functions(
        self, base: type, name: str, where: Location, names: Set[str]
    ) -> list[str]:
        """The names of what a class of the engine's has besides functions. Those that count are taken in: once, however
        many classes derive from it."""
        by, others = self._methods.get(base, (None, []))
        if by is names:
            return others
        held = vars(base)
        for attribute in held if by is None else names & held.keys():
            if not isinstance(value := held[attribute], types.FunctionType):
                if by is None:
                    others.append(attribute)
            elif attribute not in CONSTRUCTORS:
                if self.reflects or attribute in names or is_dunder(attribute):
                    self._visit(value, f"{name}.{attribute}", where)
        self._methods[base] = names, others
        return others

    def _constructors(self, cls: type, name: str, where: Location, sought: Sought) -> None:
        """What runs when objects or subclasses of a class are made."""
        for base in cls.__mro__ if sought.first else ():
            if not closed(home(base)):
                for attribute in sorted(CONSTRUCTORS & vars(base).keys()):
                    if not generated(base, attribute):
                        self._member(cls, base, attribute, f"{name}.{attribute}", where)

    def _member(self, cls: type, base: type, attribute: str, name: str, where: Location) -> None:
        """An attribute that a base of a class has and that may be read."""
        value = vars(base)[attribute]
        plain = not is_dunder(attribute) or attribute in self.about
        if isinstance(value, classmethod):
            self._visit(cls, cls.__qualname__, where)
        if home(base).startswith(ENGINE) and isinstance(value, CODE):
            self._visit(value, name, where)
        elif isinstance(value, CODE) or plain or is_special(attribute, value):
            if attribute == "__match_args__" and isinstance(value, tuple):
                self.names |= set(value)
                self.user_names |= set(value)
            found = class_attribute(cls, attribute)
            self._place(ClassCheck(cls, attribute, found, name, where))
            if found is not value:  # super() may still reach it
                self._visit(value, name, where)

    def _instance(self, value: Any, name: str, where: Location) -> None:
        """An object: the attributes that the code names, and its class."""
        cls = _kind(value)
        told = class_attribute(cls, "_state_attributes")  # its metaclass is not asked
        for attribute in () if told is MISSING else told:
            held = vars(value)
            self._place(DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where))
        engine = home(cls).startswith(ENGINE)
        inner = getattr(value, "_captured_function", None) if engine else None
        if inner is not None:  # of a compiled function
            self._visit(inner, name, where)
            return
        plain = isinstance(value, dict) or is_namespace(cls)
        if home(cls) == "typing":  # a hint; called, it makes what it is a hint of
            self._visit(getattr(value, "__origin__", None), name, where)
            return
        if closed(home(cls)) and not plain:
            if not engine or home(cls).startswith(f"{ENGINE}.data"):
                self._refuse(
                    f"the state of a {home(cls)}.{cls.__qualname__} cannot be checked",
                    name,
                    where,
                )
            return
        if kept := hidden(cls):
            self._refuse(f"what a {kept} keeps cannot be checked", name, where)
        if not engine:
            self.checks.append(TypeCheck(value, None, cls, f"the class of {name}", where))
        self._waiting.append((self._attributes, value, name, where))
        if self.makes or (closed(home(cls)) and not is_namespace(cls)):
            self._visit(cls, cls.__qualname__, where)
        else:
            self._class_of_objects(cls, cls.__qualname__, where)

    def _attributes(self, value: Any, name: str, where: Location, sought: Sought) -> None:
        """The attributes of an object that have these names, and those that it lacks and that would count."""
        cls: Any = type(value)
        held = held_by(value)
        if held is not None:
            self._held(value, name, where, sought)
            for attribute in sorted(absent(cls, *sought) - held.keys()):
                self.checks.append(
                    DictCheck(held, attribute, MISSING, f"{name}.{attribute}", where)
                )
        for attribute in slots_of(cls):
            if sought.first if self.reflects else attribute in sought.names:
                now = getattr(value, attribute, MISSING)
                self._place(AttributeCheck(value, attribute, now, f"{name}.{attribute}", where))


def _kind(value: Any) -> Any:
    return type(value)
