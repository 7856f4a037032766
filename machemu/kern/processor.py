"""Processors (Mach's struct processor and machine_slot)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE
from machemu.sim.state import Natural, Word, state

if TYPE_CHECKING:
    from machemu.ipc.port import Port
    from machemu.kern.sched import Sched

PROCESSOR_BASIC_INFO: Final = 1
PROCESSOR_BASIC_INFO_COUNT: Final = 5


@state
class Processor:
    """One CPU of the node."""

    __slots__ = ("slot_num", "cpu_type", "cpu_subtype", "sched", "processor_self")
    slot_num: Natural  # its number; the master's is 0
    cpu_type: Word  # Mach's cpu_type_t
    cpu_subtype: Word  # Mach's cpu_subtype_t
    sched: Sched  # what runs on it and when
    processor_self: Port  # its control port, the kernel's own

    def __init__(self, slot_num: int, cpu_type: int, cpu_subtype: int, sched: Sched) -> None:
        self.slot_num = slot_num
        self.cpu_type = cpu_type
        self.cpu_subtype = cpu_subtype
        self.sched = sched
        sched.pset.processors[slot_num] = self


def info(processor: Processor, flavor: int, room: int) -> tuple[int, ...]:
    """processor_info: type, subtype, whether it runs, slot number, whether it is the master. Every processor here runs."""
    if flavor != PROCESSOR_BASIC_INFO or room < PROCESSOR_BASIC_INFO_COUNT:
        raise KernError(KERN_FAILURE)
    return processor.cpu_type, processor.cpu_subtype, 1, processor.slot_num, int(processor.slot_num == 0)
