"""Address maps as the kernel tells of them, and the pages of regions."""

from __future__ import annotations

from machemu.abi.map_words import MapWords, ObjectWords
from machemu.abi.message import PORT_SEND
from machemu.abi.migrate import NONE
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port, Right
from machemu.kern.task import Task
from machemu.mig.interfaces.mach_migrate import VM_MAP_INFO, VM_MAP_SET, VM_REGION_GET_PAGES
from machemu.mig.runtime import OutOfLine
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from tests.support.machine import Machine
from tests.support.routines import call, send_right


class Told:
    """A map's words, taken apart."""

    def __init__(self, machine: Machine, words: tuple[int, ...], managers: tuple[Right, ...]) -> None:
        self.words, self.managers = words, managers
        told = MapWords.unpacked(words)
        self.objects, self.entries, self.gaps = told.objects, told.entries, tuple(told.gaps)
        self.mapped = tuple(told.mapped)
        for right in managers:
            kmsgs.destroy_right(machine.kernel.ipc, right, PORT_SEND)

    def object_at(self, address: int) -> ObjectWords | None:
        [entry] = [entry for entry in self.entries if entry.start <= address < entry.end]
        return None if entry.object == NONE else self.objects[entry.object]


def numbers(machine: Machine, words: OutOfLine) -> tuple[int, ...]:
    if not isinstance(words.copy, VmMapCopy):
        return ()
    data = words.copy.to_bytes()
    words.copy.discard()
    return tuple(machine.arch.unpack(f"{len(data) // 4}I", data))


def map_of(task: Task) -> VmMap:
    assert task.map is not None
    return task.map


def told_map(machine: Machine, task: Task) -> Told:
    words, rights = call(machine.kernel, VM_MAP_INFO, task.itk_self)
    return Told(machine, numbers(machine, words), rights)


def set_map(machine: Machine, task: Task, words: tuple[int, ...], rights: list[Right], host: Right = None) -> None:
    """Makes copies of the rights for the request."""
    kernel = machine.kernel
    data = machine.arch.pack(f"{len(words)}I", *words)
    memory = OutOfLine(VmMapCopy.from_bytes(kernel.vm, data) if data else None, len(data))
    sent = tuple(ports.make_send(kernel.ipc, right) if isinstance(right, Port) else right for right in rights)
    call(kernel, VM_MAP_SET, host or kernel.kern.host.host_priv_self, send_right(kernel, task.itk_self), memory, sent)


def pages(machine: Machine, task: Task, address: int, size: int, managed: bool = False) -> tuple[tuple[int, ...], OutOfLine]:
    addresses, data = call(machine.kernel, VM_REGION_GET_PAGES, task.itk_self, address, size, int(managed))
    return numbers(machine, addresses), data


def bytes_of(data: OutOfLine) -> bytes:
    if not isinstance(data.copy, VmMapCopy):
        return b""
    try:
        content = data.copy.to_bytes()
    finally:
        data.copy.discard()
    assert len(content) == data.size
    return content
