"""What callers of the API give, held against the types that each of its functions says: one place for all of them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from itertools import zip_longest
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from machemu.lab.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
WORDS: Final[dict[Any, tuple[str, str]]] = {
    str: ("a text", "texts"),
    bytes: ("bytes", "bytes"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "truths"),
    Path: ("a path", "paths"),
}
"""How types are called, for one value and for many."""


def checked(**least: int) -> Callable[[F], F]:
    """For a public function: UsageError, before it begins, where an argument is not of its type. least: what numbers may be at
    least, by their names."""

    def made(function: F) -> F:
        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            names, kinds, rest = _types(function)
            what = _name(function, given)
            for name, value in zip_longest(names[: len(given)], given, fillvalue=names[-1]):
                _check(what, name, value, kinds.get(name, Any), least.get(name))
            for name, value in named.items():
                _check(what, name, value, kinds.get(name, rest), least.get(name))
            return function(*given, **named)

        return call  # type: ignore[return-value]

    return made


@cache
def _types(function: Callable[..., Any]) -> tuple[list[str], dict[str, Any], Any]:
    """The names of a function's parameters, their types, and that of arguments by other names where it takes any."""
    parameters, kinds = signature(function).parameters, get_type_hints(function)
    last = list(parameters.values())[-1]
    return list(parameters), kinds, kinds.get(last.name, Any) if last.kind is Parameter.VAR_KEYWORD else Any


def refuse(function: str, name: str, value: object, wanted: str) -> UsageError:
    """What is said of an argument that cannot be. function: the caller's name for it."""
    return UsageError(f"{function}: {name}={reprlib.repr(value)}: write {wanted}")


def _name(function: Callable[..., Any], given: Sequence[Any]) -> str:
    """What callers call a function: a method by the class of what it is of."""
    if function.__name__ == function.__qualname__ or not given:
        return function.__name__
    owner = given[0] if isinstance(given[0], type) else type(given[0])
    return f"{owner.__name__}.{function.__name__}"


def _check(what: str, name: str, value: Any, kind: Any, least: int | None) -> None:
    too_few = least is not None and isinstance(value, int) and value < least
    if too_few or not _fits(value, kind):
        raise refuse(what, name, value, _words(kind, least))


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any or isinstance(kind, TypeVar):
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in parts)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if origin is None:
        return isinstance(value, kind)
    if isinstance(value, str | bytes) or not isinstance(value, origin):
        return False
    if issubclass(origin, Mapping):
        return all(_fits(key, parts[0]) and _fits(each, parts[1]) for key, each in value.items())
    return not issubclass(origin, Collection) or all(_fits(each, parts[0]) for each in value)


def _words(kind: Any, least: int | None = None, many: bool = False) -> str:
    """A type for people."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_words(each, least, many) for each in parts if each is not NoneType)
    if kind is int and least is not None:
        return f"a whole number, {least} or more"
    if kind in WORDS:
        return WORDS[kind][many]
    if origin is None:
        return f"{kind.__name__}s" if many else f"a {kind.__name__}"
    if issubclass(origin, Mapping):
        return f"a dict from {_words(parts[0], many=True)} to {_words(parts[1], many=True)}"
    return f"a list of {_words(parts[0], many=True)}" if issubclass(origin, Collection) else "a function"
