"""Exit statuses, as docs/exit-status.md has them."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    OK = 0
    UNMET = 1
    """What was waited for never came, the kernel died, or nobody reads any more what is written."""
    USER = 2
    """A mistake of the user's: an option, a file, a server; or something cannot be read or written."""
    CRASHED = 3
    """An exception that nobody handled has ended the last task."""
    INTERNAL = 70
    """A fault of machemu's own."""
    INTERRUPTED = 130
    """Ctrl-C."""
