"""What slots may hold, by the annotations of their classes: checked of each object that comes from a file.

An annotation in the class's body stands for what the slot holds in every state that can be saved: int (NATURAL, of the kernel's
classes Signed, or as `Annotated[int, Range]` says), bool, float, str, bytes (or as `Annotated[bytes, Size]` says), bytearray,
None, enums, named tuples with their fields, state classes, protocols, Any, unions, and tuples, lists, deques and dicts of them.
Classes without annotations are checked by who uses them. What a slot holds may depend on another one: a class says so in
`annotated`, which gives annotations and the values that they stand for. What types cannot say a class checks in its
`check_saved`, which raises ValueError; it is called once all slots are right.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import cache, partial
from itertools import chain
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from machemu.sim.state import NATURAL, REGISTRY, NamesRight, Range, Signed, Size, fields

Check = Callable[[Any], bool]
PLAIN: Final = (bool, float, str, bytes, bytearray, type(None))
SHOWN_MAX: Final = 60

_checks: dict[type, tuple[tuple[str, Check], ...]] = {}


class SlotError(ValueError):
    """An object cannot be; the message says which slot of which class, and what it holds."""


def check(objects: Iterable[object]) -> None:
    """SlotError where a slot of an object holds what its annotation does not say, or an object's `check_saved` refuses it."""
    kept = [each for each in objects if type(each).__name__ and checks_of(type(each))]
    for each in kept:
        for name, holds in checks_of(type(each)):
            value = getattr(each, name)
            if not holds(value):
                raise SlotError(f"{_name(type(each))}.{name} cannot be {_shown(value)}")
    for each in kept:
        try:
            for annotation, value in getattr(each, "annotated", tuple)():
                if not compile_check(annotation)(value):
                    raise ValueError(f"{_shown(value)} is in it")
            getattr(each, "check_saved", tuple)()
        except Exception as error:
            raise SlotError(f"{_name(type(each))} cannot be so: {error or type(error).__name__}") from None


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_state(cls: type) -> bool:
    """Whether a class is a registered one."""
    return REGISTRY.get(_name(cls)) is cls


def _shown(value: object) -> str:
    """A value for a message: no more of it than a line has room for, and of objects the class alone."""
    if isinstance(value, int | str | bytes | bytearray | float | Enum | None):
        text = repr(value)
        return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
    return f"such a {type(value).__qualname__}"


def checks_of(cls: type) -> tuple[tuple[str, Check], ...]:
    """The annotated slots of a state class, or fields of a named tuple, each with its check."""
    found = _checks.get(cls)
    if found is None:
        found = _checks[cls] = tuple(_compiled(cls))
    return found


def _compiled(cls: type) -> Iterable[tuple[str, Check]]:
    return ((slot, compile_check(annotation)) for slot, annotation in _annotations(cls))


def _annotations(cls: type) -> Iterator[tuple[str, Any]]:
    """The saved slots of a state class, or fields of a named tuple, that say what they hold."""
    if cls.__module__ == "builtins" or not is_state(cls):
        return
    names = cls._fields if issubclass(cls, tuple) else fields(cls)  # type: ignore[attr-defined]
    for name in names:
        for base in cls.__mro__:
            text = inspect.get_annotations(base).get(name)
            if text is not None:
                yield name, _evaluated(text, base)
                break


@cache
def _names(module: str) -> dict[str, Any]:
    """The names of a module, those too that it imports for its types alone."""
    names = dict(vars(sys.modules[module]))
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module is not None:
                    found = importlib.import_module(line.module, module.rpartition(".")[0])
                    names.update((alias.asname or alias.name, getattr(found, alias.name)) for alias in line.names)
    return names


def annotated(function: partial[Any], *arguments: Any) -> Iterator[tuple[Any, Any]]:
    """The annotations of the parameters left open, each with its argument. TypeError where it cannot be called so."""
    signature = inspect.signature(function)
    for name, value in signature.bind(*arguments).arguments.items():
        parameter = signature.parameters[name]
        if parameter.annotation is not parameter.empty:
            each: Any = _evaluated(parameter.annotation, function.func)
            yield tuple[each, ...] if parameter.kind is parameter.VAR_POSITIONAL else each, value


def _evaluated(text: Any, owner: type | Callable[..., Any]) -> Any:
    text = getattr(text, "__forward_arg__", text)
    if not isinstance(text, str):
        return text
    return eval(text, _names(owner.__module__) | ({"int": Signed} if _is_kernels(owner.__module__) else {}))


def _is_kernels(module: str) -> bool:
    """Whether a class is of the machine or its kernel, whose numbers may be negative, and are looked at by their invariants."""
    return module.startswith("machemu.") and not module.startswith("machemu.user.")


def compile_check(annotation: Any) -> Check:
    """Whether a value is what an annotation says. TypeError for an annotation that says nothing that could be checked."""
    if annotation is Any or annotation is object or isinstance(annotation, TypeVar):
        return lambda value: True
    if annotation is None:
        return lambda value: value is None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if isinstance(arguments[-1], Size):
            return _size(arguments[-1])
        return _range([each for each in arguments if isinstance(each, Range)][-1])  # the outermost: `int` may have one itself
    if origin in (Union, types.UnionType):
        return _any_of([compile_check(each) for each in arguments])
    if isinstance(origin, type) and is_state(origin):
        return _generic(origin, arguments)
    if origin is not None:
        return _container(origin, arguments)
    if annotation is int:
        return _range(NATURAL)
    if annotation in PLAIN:
        return lambda value: type(value) is annotation
    if hasattr(annotation, "__supertype__"):
        return compile_check(annotation.__supertype__)
    if isinstance(annotation, type):
        return _instance(annotation)
    raise TypeError(f"{annotation!r} cannot be checked")


def _range(allowed: Range) -> Check:
    low, high = allowed
    return lambda value: type(value) is int and low <= value <= high


def _size(allowed: Size) -> Check:
    low, high = allowed
    return lambda value: type(value) is bytes and low <= len(value) <= high


def _any_of(checks: list[Check]) -> Check:
    return lambda value: any(holds(value) for holds in checks)


def _instance(cls: type) -> Check:
    if getattr(cls, "_is_protocol", False):
        members = sorted(_members(cls))
        return lambda value: is_state(type(value)) and all(hasattr(type(value), name) for name in members)
    if not issubclass(cls, tuple):
        return lambda value: isinstance(value, cls)

    def is_record(value: Any) -> bool:
        return type(value) is cls and all(holds(getattr(value, name)) for name, holds in checks_of(cls))

    return is_record


def _generic(cls: Any, arguments: tuple[Any, ...]) -> Check:
    """Of a generic named tuple, whose parameters stand for `arguments`."""
    given = dict(zip(cls.__parameters__, arguments, strict=True))
    parts = [compile_check(_filled_in(annotation, given)) for _, annotation in _annotations(cls)]
    return lambda value: type(value) is cls and all(holds(part) for holds, part in zip(parts, value, strict=True))


def _filled_in(annotation: Any, given: dict[Any, Any]) -> Any:
    """An annotation with arguments in the place of parameters."""
    if isinstance(annotation, TypeVar):
        return given[annotation]
    wanted = getattr(annotation, "__parameters__", ())
    return annotation[tuple(given[each] for each in wanted)] if wanted else annotation


def _members(protocol: type) -> Iterable[str]:
    """What a class must have to be of a protocol."""
    return (name for base in protocol.__mro__ for name in vars(base) if not name.startswith("_") and base is not object)


def _container(origin: Any, arguments: tuple[Any, ...]) -> Check:
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        parts = [compile_check(each) for each in arguments]
        return lambda value: (
            type(value) is tuple and len(value) == len(parts) and all(holds(v) for holds, v in zip(parts, value, strict=True))
        )
    if origin in (dict, Mapping):
        key, item = map(compile_check, arguments)
        return lambda value: type(value) is dict and all(map(key, value)) and all(map(item, value.values()))
    if origin in (tuple, list, deque):
        each = compile_check(arguments[0])
        return lambda value: type(value) is origin and all(map(each, value))
    raise TypeError(f"{origin!r} of something cannot be checked")


# Names of rights

Finder = Callable[[Any], Iterator[tuple[NamesRight, int]]]


def parts(root: object) -> list[Any]:
    """The state objects that are reached from one, itself too."""
    found: dict[int, Any] = {}
    work = [root]
    seen: dict[int, object] = {}
    while work:
        value = work.pop()
        if isinstance(value, tuple | list | deque | dict) or is_state(type(value)):
            if id(value) in seen:
                continue
            seen[id(value)] = value
        if isinstance(value, dict):
            work += [*value.keys(), *value.values()]
        elif isinstance(value, tuple | list | deque):
            work += value
            if is_state(type(value)):
                found[id(value)] = value
        elif is_state(type(value)) and not isinstance(value, Enum):
            found[id(value)] = value
            work += [getattr(value, name) for name in fields(type(value))]
    return list(found.values())


def names_in(each: Any) -> Iterator[tuple[str, NamesRight, int]]:
    """The names of rights that a state object has in its slots: where, what they must be, and which."""
    for slot, find in _finders(type(each)):  # type: ignore[arg-type]
        for name, value in find(getattr(each, slot)):
            yield f"{_name(type(each))}.{slot}", name, value
    for annotation, value in getattr(each, "annotated", tuple)():
        for name, right in _all(_finder(annotation), (value,)):
            yield _name(type(each)), name, right


@cache
def _finders(cls: type) -> tuple[tuple[str, Finder], ...]:
    found = ((slot, _finder(annotation)) for slot, annotation in _annotations(cls))
    return tuple((slot, find) for slot, find in found if find is not None)


def _finder(annotation: Any) -> Finder | None:
    """What finds the names in what an annotation describes; None where there are none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        name = next((each for each in arguments if isinstance(each, NamesRight)), None)
        return None if name is None else lambda value: iter(((name, value),))
    if origin is dict:
        key, item = map(_finder, arguments)
        return None if key is item is None else lambda value: _all_set(chain(_all(key, value), _all(item, value.values())))
    if origin in (list, deque) or (origin is tuple and arguments[1:] == (Ellipsis,)):
        inner = _finder(arguments[0])
        return None if inner is None else lambda value: _all_set(_all(inner, value))
    if origin is tuple:
        each = [(place, find) for place, find in enumerate(map(_finder, arguments)) if find is not None]
        return lambda value: chain.from_iterable(find(value[place]) for place, find in each)
    if origin in (Union, types.UnionType):
        kinds = [(compile_check(kind), find) for kind in arguments if (find := _finder(kind)) is not None]
        return None if not kinds else lambda value: chain.from_iterable(find(value) for holds, find in kinds if holds(value))
    return None


def _all_set(names: Iterator[tuple[NamesRight, int]]) -> Iterator[tuple[NamesRight, int]]:
    return ((name._replace(optional=False), value) for name, value in names)


def _all(find: Finder | None, values: Iterable[Any]) -> Iterator[tuple[NamesRight, int]]:
    return iter(()) if find is None else chain.from_iterable(map(find, values))
