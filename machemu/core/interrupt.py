"""The user's wish that a run shall end."""

from __future__ import annotations


class Interrupt:
    """asked: the run is to end. It may be set at any moment, by the handler of a signal too: whoever runs a machine looks between
    two traps, so that nothing is lost and nothing half done."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = False
