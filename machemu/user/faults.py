"""Faults of host-side servers, told with their author's own line."""

from __future__ import annotations

import inspect
import linecache
import os
import re
import traceback
from typing import Final

PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
TEXT_MAX: Final = 200


def raised(error: BaseException, program: object = None) -> str:
    """What was raised, and the last line of the author's own that led there. program: the server or its class."""
    text = _text(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{what} {_line(error.filename, error.lineno or 0)}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    home = _file_of(program)
    mine = [frame for frame in frames if frame.filename == home] or frames
    if mine:
        return f"{what} {_line(mine[-1].filename, mine[-1].lineno or 0)}"
    return f"{what} {class_line(program)}".rstrip()


def _text(error: BaseException) -> str:
    """What an exception says of itself, in one line of what can be shown; "" where saying it fails."""
    try:
        words = " ".join(str(error).split())[:TEXT_MAX]
    except Exception:
        return ""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)


def handler(error: BaseException) -> str:
    """The method of the server that raised, such as `Echo.receive`; "" where none had been entered."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    first = next((frame for frame in frames if not _is_ours(frame.f_code.co_filename)), None)
    return "" if first is None else first.f_code.co_qualname


def class_line(program: object, slot: str = "") -> str:
    """Where a server's class gives a slot a value for the first time; else where the class begins, "" where nothing tells."""
    cls = program if isinstance(program, type) else type(program)
    try:
        lines, number = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        return ""
    wanted = [rf"\.{re.escape(slot)}\s*(:[^=]*)?=[^=]"] if slot else []
    for pattern in (*wanted, r"\s*class\s"):
        for offset, line in enumerate(lines):
            if re.match(pattern, line) if pattern.startswith(r"\s") else re.search(pattern, line):
                return _line(_file_of(cls), number + offset)
    return _line(_file_of(cls), number)


def _is_ours(filename: str) -> bool:
    return os.path.abspath(filename).startswith(PACKAGE) or filename.startswith("<frozen ")


def _file_of(program: object) -> str:
    try:
        return inspect.getsourcefile(program if isinstance(program, type) else type(program)) or ""
    except TypeError:
        return ""


def _line(filename: str, number: int) -> str:
    return f"at {filename}:{number}: {linecache.getline(filename, number).strip()[:TEXT_MAX]}"
