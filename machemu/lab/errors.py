"""What the Python API raises. Each message says what is wrong, where, and what to do."""

from __future__ import annotations

from machemu.abi.errors import UserError


class UsageError(UserError):
    """The API is used in a way that cannot be: a closed machine, a task that there is not, a step inside a hook."""


class EndError(UsageError):
    """A step past the end of a run, or back past its beginning."""


class HookError(UsageError):
    """A hook has raised; what, is its `__cause__`. The machine stands right after the event and can go on."""


class EngineDied(UserError):
    """The process of an isolated machine is gone. place: where the machine was, as far as that is known."""

    def __init__(self, text: str, place: dict[str, int]) -> None:
        super().__init__(text)
        self.place = place
