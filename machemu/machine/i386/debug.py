"""Debug registers: breakpoints by Unicorn's own, watched data by hooks, since Unicorn's memory path looks at no watchpoints."""

from __future__ import annotations

from typing import Final

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.machine import engine as uc
from machemu.machine.engine import Context, Engine
from machemu.machine.i386 import layout
from machemu.machine.i386.engine import REGISTER
from machemu.machine.i386.pmap import PAGE_SIZE, I386Pmap

COUNT: Final = 8
BREAKPOINTS: Final = 4
STATUS, CONTROL = 6, 7
STATUS_STEP: Final = 0x4000
"""Single step, of the bits that Mach keeps of the status."""
EXECUTE, WRITE, _, ACCESS = range(4)
LENGTHS: Final = (1, 2, 8, 4)
NONE: Final[tuple[int, ...]] = (0,) * COUNT


def enabled(registers: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(number, kind, address, length in bytes) of each breakpoint that the control register enables."""
    control = registers[CONTROL]
    found = []
    for number in range(BREAKPOINTS):
        if control >> 2 * number & 3:
            kind = control >> 16 + 4 * number & 3
            length = LENGTHS[control >> 18 + 4 * number & 3]
            found.append((number, kind, registers[number] & -length, length))
    return found


class DebugRegisters:
    """Those of the active thread, in its address space.

    loaded: what the CPU has; hits: the watchpoints that the instruction under way has met.
    ring0: the state in which the CPU can write them. Unicorn forgets which breakpoints it has set when another state is restored,
    so the state right after that is kept to take them away from.
    """

    def __init__(self, engine: Engine, ring0: Context) -> None:
        self.engine = engine
        self._ring0 = ring0
        self._kept = Context(engine)
        self._kept.save()
        self.loaded = NONE
        self.hits = 0
        self._watched: list[tuple[int, int, int, int]] = []
        self._stops: list[tuple[int, int]] = []
        self._hooks: list[int] = []
        self._callback = uc.MEMORY_HOOK(self._access)

    def load(self, registers: tuple[int, ...], pmap: I386Pmap) -> None:
        """Takes a thread's registers, but for the status; the CPU is in the state `ring0` then, but for its general registers."""
        self._pmap = pmap
        wanted = (*registers[:BREAKPOINTS], 0, 0, 0, registers[CONTROL])
        if not wanted[CONTROL] & 0xFF:
            wanted = NONE
        if wanted == self.loaded:
            return
        self.loaded = wanted
        self.hits = 0
        stops = enabled(wanted)
        self._watched = [stop for stop in stops if stop[1] in (WRITE, ACCESS)]
        self._stops = [(number, address) for number, kind, address, _ in stops if kind == EXECUTE]
        engine = self.engine
        tables = engine.read(REGISTER["CR3"])
        self._kept.restore()
        engine.write(REGISTER["CR3"], tables)
        self._run(NONE)
        self._ring0.restore()
        self._run((*wanted[:CONTROL], sum(3 << 2 * number for number, kind, *_ in stops if kind == EXECUTE)))
        self._kept.save()
        for hook in self._hooks:
            engine.unhook(hook)
        self._hooks = [engine.hook(kind, self._callback) for kind in (uc.MEMORY_READ, uc.MEMORY_WRITE) if self._watched]
        engine.flush_translations()

    def _run(self, registers: tuple[int, ...]) -> None:
        engine = self.engine
        for name, value in zip(("EAX", "ECX", "EDX", "EBX", "ESI"), (*registers[:BREAKPOINTS], registers[CONTROL]), strict=True):
            engine.write(REGISTER[name], value)
        uc.check(engine.start(layout.LOAD_DEBUG, BREAKPOINTS + 1), "debug registers")
        engine.counter.value = 0

    def close(self) -> None:
        self._kept.close()

    def _access(self, _engine: object, kind: int, address: int, size: int, _value: int, _data: object) -> bool:
        """An access to a physical address is under way."""
        written = kind == uc.WRITTEN
        for number, watched, first, length in self._watched:
            apart = (address - first) % PAGE_SIZE
            if (apart < length or apart + size > PAGE_SIZE) and (written or watched == ACCESS):
                place = self._pmap.translate(VirtAddr(first), VM_PROT_READ)
                if place is not None and place < address + size and address < place + length:
                    self.hits |= 1 << number
        if self.hits:
            # Stopping at once would break the instruction off: the count ends with it instead.
            self.engine.limit.value = self.engine.counter.value
        return True

    @property
    def stops(self) -> frozenset[int]:
        """The linear addresses of breakpoints."""
        return frozenset(address for _, address in self._stops)

    def is_step(self) -> bool:
        """Whether the debug exception that Unicorn raises is of an instruction that is done, not of a breakpoint before one."""
        return bool(self.engine.read(REGISTER["DR6"]) & STATUS_STEP)

    def status(self, pc: int) -> int:
        """DR6 for the debug exception that is raised now at a virtual address; the CPU's own is cleared, which tells steps alone.

        An instruction that is done and watched or traced has its exception for that, and the next one's breakpoint is met later.
        """
        status = self.engine.read(REGISTER["DR6"]) & STATUS_STEP | self.hits
        if not status:
            status = sum(1 << number for number, address in self._stops if address == pc)
        self.engine.write(REGISTER["DR6"], 0)
        self.hits = 0
        return status
