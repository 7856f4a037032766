"""What is behind an address: its region, the objects that it is seen through, and what the page tables have."""

from __future__ import annotations

from collections.abc import Iterator

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.ipc.port import Port
from machemu.kern.task import Task
from machemu.lab import look
from machemu.lab.looks import Looks
from machemu.sim.units import counted
from machemu.vm.object import VmObject


def explain(machine: Looks, task: Task, address: int) -> Iterator[str]:
    """Lines. UsageError where nothing is mapped."""
    objects = list(look.chain(machine.kernel, task, address))
    region = next(row for row in machine.maps.where(task=task.number) if row.start <= address < row.end)
    state = "".join(f", {each}" for each in region.state)
    yield f"region {region.start!r}-{region.end!r}: {region.protection}, inherited by {region.inheritance}{state}"
    for number, (obj, page) in enumerate(objects):
        what = "its object" if not number else "what that is a copy of" if number == 1 else "and what that is a copy of"
        where = "no page here" if page is None else f"the page is in frame {page.frame:#x}"
        yield f"{what} ({_described(obj)}): {where}"
    yield f"the page tables: {_mapped(machine, task, address)}"


def access(task: Task, address: int) -> str:
    """What the page tables allow the task at an address without asking the kernel: "", "r" or "rw"."""
    if task.map is None or task.map.pmap.translate(VirtAddr(address), VM_PROT_READ) is None:
        return ""
    return "r" if task.map.pmap.translate(VirtAddr(address), VM_PROT_WRITE) is None else "rw"


def _mapped(machine: Looks, task: Task, address: int) -> str:
    allowed = access(task, address)
    if not allowed or task.map is None:
        return "nothing here, so that the next access is a fault"
    place = task.map.pmap.translate(VirtAddr(address), VM_PROT_READ)
    assert place is not None
    frame = place // machine.kernel.cpu.page_size
    return f"frame {frame:#x}, {'to read and write' if allowed == 'rw' else 'to read; to write is a fault'}"


def _described(obj: VmObject) -> str:
    users = f"{counted(obj.ref_count, 'user')}"
    if obj.pager is None:
        return users
    port = obj.pager.memory_object
    return f"{users}, its memory manager at port {port.number}" if isinstance(port, Port) else f"{users}, with a memory manager"
