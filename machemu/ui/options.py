"""Options' values, checked before anything is begun."""

from __future__ import annotations

import argparse
from pathlib import Path

from machemu.abi.errors import UserError


class PathOption(argparse.Action):
    """A file by name; the empty name is refused."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        if not values:
            raise UserError(f"{option or self.dest} '': a file's name cannot be empty")
        setattr(namespace, self.dest, Path(str(values)))


class CountOption(argparse.Action):
    """A number of things, 1 or more."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        text = str(values)
        if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
            raise UserError(f"{option} {text}: write a whole number, 1 or more")
        setattr(namespace, self.dest, int(text))
