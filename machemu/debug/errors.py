"""What is wrong with a command, in one line."""

from __future__ import annotations

from machemu.lab.errors import UsageError


class CommandError(UsageError):
    """A command that cannot be: its message says what to write."""
