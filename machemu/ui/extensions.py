"""Commands of other packages: entry points of the group `machemu.commands`, as docs/commands.md says."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "machemu.commands"

Run = Callable[[argparse.Namespace], int]
Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def add_parsers(commands: Subparsers[argparse.ArgumentParser], words: Sequence[str]) -> None:
    """Adds the commands that there are beside `commands`, whose names are taken.

    words: the command line. Only the command that it names is loaded, or all where it asks for help without one. UserError where
    the one that it names cannot be.
    """
    wanted = next((word for word in words if not word.startswith("-")), None)
    shows_all = wanted is None and any(word in ("-h", "--help") for word in words)
    if wanted in commands.choices:
        return
    from importlib.metadata import entry_points  # what is installed is read slowly: only for who asks for it

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        if entry.name not in commands.choices:
            found.setdefault(entry.name, []).append(entry)
    for name, entries in sorted(found.items()):
        if name == wanted:
            _add(commands, name, entries)
        elif shows_all:
            try:
                _add(commands, name, entries)
            except UserError as error:
                commands.add_parser(name, help=_escaped(str(error)))
        else:
            commands.add_parser(name)  # so that a word that is no command is told all there are


def _add(commands: Subparsers[argparse.ArgumentParser], name: str, entries: Sequence[EntryPoint]) -> None:
    if len(entries) > 1:
        raise UserError(f"command {name}: several packages have one: {', '.join(sorted(map(_origin, entries)))}")
    (entry,) = entries
    origin = _origin(entry)
    try:
        fill = entry.load()
    except (Exception, SystemExit) as error:
        raise UserError(f"command {name}: {origin} cannot be loaded: {_told(error)}") from error
    if not callable(fill):
        raise UserError(f"command {name}: {origin} is no function that takes a parser")
    text = (inspect.getdoc(fill) or "").partition("\n")[0]
    parser = argparse.ArgumentParser(add_help=False)
    try:
        run = fill(parser)
    except (Exception, SystemExit) as error:
        raise UserError(f"command {name}: {origin} cannot add its options: {_told(error)}") from error
    if not callable(run):
        raise UserError(f"command {name}: {origin} gives no function that runs the command")
    added = commands.add_parser(name, help=_escaped(text), description=_escaped(text), parents=[parser])
    added.set_defaults(run=run)


def _origin(entry: EntryPoint) -> str:
    """Whose an entry point is, for messages."""
    package = "" if entry.dist is None else f" of {entry.dist.name} {entry.dist.version}"
    return f"{entry.value}{package}"


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _escaped(text: str) -> str:
    """A text that argparse shows as it is."""
    return text.replace("%", "%%")
