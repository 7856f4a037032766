"""What an m68k task has of the machine: nothing."""

from __future__ import annotations

from machemu.sim.state import state


@state
class M68kTask:
    __slots__ = ()
