"""What the extension in C offers to the machines, beside `Tally` (machine/tally.py) and what `machine.engine` calls.

`accel.native` is the module:

- `bind(invariant_error, reg_read, reg_write, emu_start, emu_stop)` takes what a broken invariant raises, and the addresses of
  Unicorn's functions; once a process, before all else.
- `bind_slots(classes)` is told where the slots of classes are, by the names in slots.h. TypeError where one has not those
  that are listed there.
- `Call(function, *arguments)` is a C function with its first arguments, integers or addresses, six at most in all; called, it
  gives an int.
- `Registers(engine)` has `read(register)` and `write(register, value)`, of up to 64 bits, as `Engine` has them.
- `watch_translations(table, watchers, new)` puts functions into a translator's table that tell watchers of translations, as
  `machine.translator` does in Python; `Counting` and `Screen` are such watchers.
- `guard_deaths()` and `leave_deaths()` are as in the package.
- `Traps(kernel)`, `I386Exits(cpu, **where)` and `M68kExits(cpu, **where)` are as below. where: addresses of this process.

Python's lock is kept while the engine runs.
"""

from __future__ import annotations

from typing import Protocol


class NativeTraps(Protocol):
    """Traps of one kernel that are done here whole."""


class NativeExits(Protocol):
    """Of one CPU, which is its only owner. Each CPU's own have `put` and `take`, too: its `_put` and `_take`."""

    hook: int
    """The address of what Unicorn calls at interrupts, with `place` as its data."""
    place: int
    plain: bool

    def enter(self, pmap: object, plain: bool, redirects: bool) -> None:
        """A thread becomes the active one. plain: everything here is for such threads alone."""

    def shares(self) -> tuple[int, int, int, int]:
        """How many traps were done here, entered here and done by Python, and entered there, too; and the instructions of plain
        threads."""

    def start(self, address: int, count: int) -> int:
        """As `Engine.start`."""

    def stop(self) -> None:
        """As `Engine.stop`."""

    def join(self, traps: NativeTraps | None) -> None:
        """The kernel whose traps are done here from now on; None for no one's."""

    def set_machine(self, memory: object, mmu: object) -> None:
        """Its PhysicalMemory and Mappings."""


class I386NativeExits(NativeExits, Protocol):
    def put(self, pcb: object) -> None: ...

    def take(self, pcb: object) -> bool:
        """False where the thread is in the kernel's code segment: then it is not done."""


class M68kNativeExits(NativeExits, Protocol):
    def put(self, pcb: object) -> None: ...

    def take(self, pcb: object, tracing: int) -> None: ...
