"""The page of the Python API, made from what machemu exports: signatures and docstrings.

`python3 tools/dev.py tables api` writes docs/api.md; with `--check` it compares, and a page that is old is exit status 1.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import machemu
from machemu.lab import console, examples, hooks, looks, members, recorded, symbols, tables, views
from machemu.trace import events, ports

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "api.md"
WIDTH: Final = 110
INTERNAL: Final = {
    "Console": {"given", "source", "write", "looking_for", "screen", "now", "show", "rewind"},
    "Machine": {"hooks"},
    "Recorded": {"time"},
    "Member": {"hooks", "tracers", "join", "node", "traced"},
}
"""By class, what other rooms of machemu use of it alone."""
INTRODUCTION: Final = """# The Python API

What `import machemu` gives, with all that can be reached from it. [python.md](python.md) shows how it is used.
`python3 tools/dev.py tables api` makes this page out of the docstrings in the code.

Times are virtual nanoseconds, sizes and addresses are bytes. What begins with `_`, and what `Machine.node` and
`Machine.kernel` give, may change at any time.
"""


def exported() -> list[Any]:
    """Classes and functions of `machemu`: machines first, then what else is a class, errors, functions."""
    found = [getattr(machemu, name) for name in machemu.__all__ if not name.startswith("_")]
    return sorted(found, key=_rank)


def _rank(thing: Any) -> int:
    if not inspect.isclass(thing):
        return 3
    return 2 if issubclass(thing, Exception) else 0 if hasattr(thing, "boot") or hasattr(thing, "digest") else 1


def sections() -> list[tuple[str, str, Sequence[Any]]]:
    """Title, introduction and contents of each part of the page."""
    rows = [thing for thing in vars(views).values() if _is_row(thing) and thing.__module__ == views.__name__]
    return [
        ("machemu", "", exported()),
        (
            "What machines, clusters and nodes have",
            "`Recorded` is how a `Machine` or a `Cluster` goes on and back. `Looks` is what a `Machine` and a node of a "
            "`Cluster` show of themselves; `Member` is such a node.",
            [recorded.Recorded, looks.Looks, members.Member, members.ClusterPoint, console.Console, hooks.Hook],
        ),
        (
            "Tables",
            "`Machine.tasks`, `threads`, `ports` and the like are lists of named tuples, made anew each time.",
            [tables.Table, tables.Address, *rows, symbols.Symbols, symbols.SymbolRow, examples.ExampleRow],
        ),
        (
            "Events",
            "What hooks are called with (`Machine.on`). " + " ".join((events.__doc__ or "").split("\n\n", 1)[1].split()),
            [
                *events.TraceEvent.__args__,
                events.PageFault,
                events.Satisfied,
                ports.PortRef,
                ports.PortKind,
                events.RightRef,
                events.RightsRef,
                events.MemoryRef,
            ],
        ),
    ]


def _is_row(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, tuple) and hasattr(thing, "_fields")


def page() -> str:
    """The page's text."""
    lines = [INTRODUCTION]
    for title, introduction, things in sections():
        lines += [f"## {title}", ""]
        lines += [introduction, ""] if introduction else []
        for thing in things:
            lines += _class(thing) if inspect.isclass(thing) else _function(thing, "", "###")
    return "\n".join(lines).rstrip() + "\n"


def _class(cls: type) -> list[str]:
    lines = [f"### {cls.__name__}", ""]
    own, members = _own_doc(cls), list(_members(cls))
    shared = [each for each in (recorded.Recorded, looks.Looks) if issubclass(cls, each) and cls is not each]
    if shared:
        names = " and ".join(f"[{each.__name__}](#{each.__name__.lower()})" for each in shared)
        own += f"\n\nIt has all that {names} {'have' if len(shared) > 1 else 'has'}, too."
    if _is_row(cls) or hasattr(cls, "__dataclass_fields__"):
        fields = [(name, note) for name, note in _notes(cls).items() if note]
        lines += [*_code(_signature(cls.__name__, cls, False)), *_text(own), *_list(fields)]
    else:
        lines += [*_text(own), *_list(list(_notes(cls).items()))]
    for name, member in members:
        if isinstance(member, property):
            kind = _annotation(member.fget) if member.fget is not None else ""
            lines += [
                f"#### {cls.__name__}.{name}",
                "",
                *_code(f"{name}{f': {kind}' if kind else ''}"),
                *_text(inspect.getdoc(member)),
            ]
        else:
            lines += _function(member, f"{cls.__name__}.", "####")
    return lines


def _own_doc(cls: type) -> str:
    """A class's docstring, unless Python made it itself."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return "" if text.startswith(f"{cls.__name__}(") else text


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class defines itself, in their order."""
    for name, member in vars(cls).items():
        if name.startswith("_") or name in INTERNAL.get(cls.__name__, ()):
            continue
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if (inspect.isfunction(plain) and plain.__qualname__.startswith(cls.__name__)) or isinstance(member, property):
            yield name, plain if not isinstance(member, property) else member


def _function(function: Any, owner: str, heading: str) -> list[str]:
    name = function.__name__
    return [
        f"{heading} {owner}{name}",
        "",
        *_code(_signature(name, function, bool(owner))),
        *_text(inspect.getdoc(function)),
    ]


def _signature(name: str, thing: Any, is_method: bool) -> str:
    """As it is called, one argument a line where one line is too short."""
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())[1 if is_method else 0 :]
    texts, starred = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            texts.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        texts.append(_parameter(parameter))
    empty = signature.return_annotation is inspect.Signature.empty
    result = "" if empty or inspect.isclass(thing) else f" -> {_plain(signature.return_annotation)}"
    line = f"{name}({', '.join(texts)}){result}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {text}," for text in texts), f"){result}"])


def _parameter(parameter: inspect.Parameter) -> str:
    text = str(parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty))
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_plain(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return text
    default = parameter.default
    own = type(default).__module__.startswith("machemu")
    return f"{text} = {default if own else repr(default)}"


def _annotation(function: Any) -> str:
    return _plain(function.__annotations__.get("return", ""))


def _plain(annotation: Any) -> str:
    """Annotations are texts in modules that say so, else types."""
    text = getattr(annotation, "__forward_arg__", None) or getattr(annotation, "__name__", None) or str(annotation)
    return text.replace("views.", "")


def _notes(cls: type) -> dict[str, str]:
    """Attributes that a class or its `__init__` makes, with the string that stands below each, "" for a member of an enum
    without one."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except OSError:
        return {}
    assert isinstance(tree, ast.ClassDef)
    found = _noted(tree.body)
    if hasattr(cls, "__members__"):
        found = {name: found.get(name, "") for name in cls.__members__}
    for part in tree.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            found |= _noted(part.body)
    return {name: note for name, note in found.items() if name not in INTERNAL.get(cls.__name__, ())}


def _noted(body: Sequence[ast.stmt]) -> dict[str, str]:
    found = {}
    for statement, following in pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if not (isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)):
            continue
        target = targets[0]
        name = target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else "_"
        if not name.startswith("_"):
            found[name] = inspect.cleandoc(str(following.value.value))
    return found


def _code(text: str) -> list[str]:
    return ["```python", text, "```", ""]


def _text(text: str | None) -> list[str]:
    return [text, ""] if text else []


def _list(notes: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"- `{name}`{': ' if note else ''}{' '.join(note.split())}" for name, note in notes]
    return [*lines, ""] if lines else []


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or with --check compares; 1 where it is old."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: api [--check]", file=sys.stderr)
        return 2
    text = page()
    if not arguments:
        PAGE.write_text(text)
    elif not (PAGE.is_file() and PAGE.read_text() == text):
        print("docs/api.md is not what the docstrings say: run python3 tools/dev.py tables api", file=sys.stderr)
        return 1
    return 0
