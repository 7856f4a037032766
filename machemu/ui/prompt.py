"""Lines that somebody types at a terminal, with history and completion; or that come in otherwise."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from machemu.abi.errors import UserError
from machemu.sim.output import Output

STDIN: Final = 0
PIECE: Final = 1 << 16
HISTORY_MAX: Final = 1000
LINE_MAX: Final = 1 << 12
"""Characters of a line that are shown again."""
LOOK_AGAIN: Final = 0.1
"""Seconds until a Ctrl-C is seen that came just before the wait for a key began."""
Complete = Callable[[str, str], list[str]]
"""The words that may stand where one is begun: of the line before it, and its begin."""


def read_lines(prompt: str, out: Output, begin_line: Callable[[], None], complete: Complete) -> Iterator[str]:
    """Line by line until the end. Ctrl-C drops what has been typed of one. begin_line: brings the cursor to a line's begin."""
    terminal = os.isatty(STDIN) and out.isatty()
    read = _terminal(prompt, complete) if terminal else _stream(prompt, out)
    while True:
        try:
            begin_line()
            out.flush()
            with _interruptible():
                line = read()
        except KeyboardInterrupt:
            out.line("")
            continue
        if line is None:
            if terminal:
                out.line("")
            return
        yield line


@contextmanager
def _interruptible() -> Iterator[None]:
    """A timer ends each wait for a key soon, since the handler of a signal that comes just before the wait would run after it."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN, LOOK_AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _terminal(prompt: str, complete: Complete) -> Callable[[], str | None]:
    try:
        import readline
    except ImportError:
        pass
    else:
        _set_up(readline, complete)

    def read() -> str | None:
        try:
            return input(prompt)
        except EOFError:
            return None

    return read


def _set_up(readline: object, complete: Complete) -> None:
    import readline as lines

    found: list[str] = []

    def completer(text: str, state: int) -> str | None:
        if not state:
            with suppress(Exception):  # a completion that fails is none
                found[:] = complete(lines.get_line_buffer()[: lines.get_begidx()], text)
        return f"{found[state]} " if state < len(found) else None

    lines.set_completer_delims(" \t")
    lines.set_completer(completer)
    lines.parse_and_bind("tab: complete")
    lines.parse_and_bind("set enable-bracketed-paste off")
    lines.set_history_length(HISTORY_MAX)


def _stream(prompt: str, out: Output) -> Callable[[], str | None]:
    """Lines that come in otherwise are shown, as a terminal would."""
    if sys.stdin is None:  # it was closed before the start
        raise UserError(f"standard input: cannot be read: {os.strerror(errno.EBADF)}")
    source = sys.stdin.buffer

    def read() -> str | None:
        data = source.readline(PIECE)
        if not data:
            return None
        text = data.decode(errors="surrogateescape").rstrip("\r\n")
        shown = text.strip()
        if shown[:1] not in ("", "#"):
            out.line(f"{prompt}{shown if shown.isprintable() else ascii(shown)}"[:LINE_MAX])
        return text

    return read
