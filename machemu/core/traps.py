"""The trap table (Mach's kern/syscall_sw.c and what ipc_mig.c and syscall_subr.c put behind it).

A handler gets the kernel, the current thread and the trap's argument words, and gives the result word, or None where the thread
does not return to user mode now. Out parameters are addresses in the caller's memory; as in the real kernel a bad one loses the
result without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from machemu.abi.device import D_INVALID_OPERATION, D_INVALID_SIZE
from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_INVALID_CAPABILITY, KERN_INVALID_RIGHT, KERN_INVALID_VALUE
from machemu.abi.message import COPY_SEND, MACH_SEND_INTERRUPTED
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL
from machemu.abi.types import Nanoseconds, VirtAddr
from machemu.core import printers
from machemu.core.printers import PRINT_MAX
from machemu.core.routines.mach_port import tell_bogus
from machemu.device.ds_routines import Device
from machemu.ipc import mach_msg, mach_port, port, right
from machemu.kern import ipc_tt, task_control
from machemu.kern.task import Task
from machemu.kern.thread import Continuation, Thread
from machemu.sim.state import PortName
from machemu.vm import routines as vm_routines
from machemu.vm.map import VmMap

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.ipc.port import Right

TRAP_COUNT: Final = 130
SUCCESS: Final = 0
"""What the traps that stand for a routine answer where the target's name is none: libmach then sends the message instead."""


WRITE_MAX: Final = 1 << 20
IOVEC_MAX: Final = 16
SWITCH_OPTION_NONE, SWITCH_OPTION_DEPRESS, SWITCH_OPTION_WAIT = range(3)
MIN_QUANTUM_MS: Final = 30


def kern_invalid(kernel: Kernel, thread: Thread, *arguments: int) -> int:
    return KERN_INVALID_ARGUMENT


def null_port(kernel: Kernel, thread: Thread) -> int:
    return PORT_NULL


def mach_msg_trap(kernel: Kernel, thread: Thread, *arguments: int) -> int | None:
    return mach_msg.mach_msg_trap(kernel.ipc, thread, *arguments)


def mach_reply_port(kernel: Kernel, thread: Thread) -> int:
    return mach_port.mach_reply_port(kernel.ipc, thread.space)


def mach_thread_self(kernel: Kernel, thread: Thread) -> int:
    return mach_port.copyout_send(kernel.ipc, thread.space, port.copy_send(kernel.ipc, thread.ith_sself))


def mach_task_self(kernel: Kernel, thread: Thread) -> int:
    return mach_port.copyout_send(kernel.ipc, thread.space, port.copy_send(kernel.ipc, thread.task.itk_sself))


def mach_host_self(kernel: Kernel, thread: Thread) -> int:
    return mach_port.copyout_send(kernel.ipc, thread.space, port.make_send(kernel.ipc, kernel.kern.host.host_self))


def mach_print(kernel: Kernel, thread: Thread, string: int) -> int:
    """Prints a C string on the console, at most PRINT_MAX bytes of it."""
    text = bytearray()
    page = kernel.vm.page_size
    try:
        while len(text) < PRINT_MAX:
            piece, zero, _ = thread.memory.read(VirtAddr(string), page - string % page).partition(b"\0")
            text += piece
            if zero:
                break
            string += page - string % page
    except KernError:
        pass
    printers.print_text(kernel, thread.task, bytes(text[:PRINT_MAX]))
    return SUCCESS


# Devices


def _device(thread: Thread, name: PortName, reply_name: PortName) -> Device:
    target = right.lookup_send(thread.space, name)
    if target is None or not isinstance(target.kobject, Device):
        raise KernError(KERN_INVALID_CAPABILITY)
    if reply_name:
        raise KernError(KERN_INVALID_RIGHT)
    if not target.kobject.driver.takes_traps:
        raise KernError(D_INVALID_OPERATION)
    return target.kobject


def device_write_request(
    kernel: Kernel, thread: Thread, device: PortName, reply_port: PortName, mode: int, recnum: int, data: int, data_count: int
) -> int:
    target = _device(thread, device, reply_port)
    if data_count > WRITE_MAX:
        return D_INVALID_SIZE
    target.driver.write_trap(target.minor, recnum, thread.memory.read(VirtAddr(data), data_count))
    return SUCCESS


def device_writev_request(
    kernel: Kernel, thread: Thread, device: PortName, reply_port: PortName, mode: int, recnum: int, iovec: int, iocount: int
) -> int:
    target = _device(thread, device, reply_port)
    if iocount > IOVEC_MAX:
        return KERN_INVALID_VALUE
    words = thread.memory.read(VirtAddr(iovec), 8 * iocount)
    pairs = [(kernel.word.unpack_from(words, 8 * n)[0], kernel.word.unpack_from(words, 8 * n + 4)[0]) for n in range(iocount)]
    if sum(count for _, count in pairs) > WRITE_MAX:
        return D_INVALID_SIZE
    written = b"".join(thread.memory.read(VirtAddr(data), count) for data, count in pairs)
    target.driver.write_trap(target.minor, recnum, written)
    return SUCCESS


# Scheduling


def swtch(kernel: Kernel, thread: Thread) -> None:
    kernel.yield_cpu(thread, Continuation.SWTCH)


def swtch_pri(kernel: Kernel, thread: Thread, priority: int) -> None:
    kernel.kern.depress(thread, MIN_QUANTUM_MS)
    kernel.yield_cpu(thread, Continuation.SWTCH_PRI)


def thread_switch(kernel: Kernel, thread: Thread, name: PortName, option: int, milliseconds: int) -> int | None:
    kern = kernel.kern
    if option == SWITCH_OPTION_DEPRESS:
        kern.depress(thread, milliseconds)
    elif option == SWITCH_OPTION_WAIT:
        kern.block(thread, Continuation.THREAD_SWITCH, Nanoseconds(milliseconds * 1_000_000))
    elif option != SWITCH_OPTION_NONE:
        return KERN_INVALID_ARGUMENT
    target = ipc_tt.thread_of(right.lookup_send(thread.space, name)) if name else None
    if target is not None and kern.sched.rem_runq(target):
        kern.settle_handoff()
        kern.sched.handoff = target
        kern.sched.hand_off_quantum(target)
    kernel.yield_cpu(thread, Continuation.THREAD_SWITCH)
    return None


# Routines that are also traps


def _task(thread: Thread, name: PortName) -> Task:
    task = ipc_tt.task_of(right.lookup_send(thread.space, name))
    if task is None:
        raise KernError(MACH_SEND_INTERRUPTED)
    return task


def _map(thread: Thread, name: PortName) -> VmMap:
    vm_map = _task(thread, name).map
    if vm_map is None:
        raise KernError(MACH_SEND_INTERRUPTED)
    return vm_map


def _read_word(kernel: Kernel, thread: Thread, address: int) -> int:
    """The word where a result is to go, 0 where it cannot be read. Writes it back, so that `_write_word` will not have to wait
    when everything is done."""
    word = bytes(4)
    try:
        word = thread.memory.read(VirtAddr(address), 4)
        thread.memory.write(VirtAddr(address), word)
    except KernError:
        pass
    return kernel.word.unpack(word)[0]  # type: ignore[no-any-return]


def _write_word(kernel: Kernel, thread: Thread, address: int, value: int) -> None:
    try:
        thread.memory.write(VirtAddr(address), kernel.word.pack(value & 0xFFFFFFFF))
    except KernError:
        return


def _copy_send(kernel: Kernel, thread: Thread, name: PortName) -> Right:
    """A send right copied from a name of the caller's; null and dead names stand for themselves."""
    if name in (PORT_NULL, PORT_NAME_DEAD):
        return right.from_name(name)
    return right.copyin(kernel.ipc, thread.space, name, COPY_SEND)[0]


def vm_map(
    kernel: Kernel,
    thread: Thread,
    target: PortName,
    address: int,
    size: int,
    mask: int,
    anywhere: int,
    memory_object: PortName,
    offset: int,
    copy: int,
    cur_protection: int,
    max_protection: int,
    inheritance: int,
) -> int:
    map_ = _map(thread, target)
    start = _read_word(kernel, thread, address)
    pager, thread.trap_right = thread.trap_right, None
    if pager is None:
        pager = _copy_send(kernel, thread, memory_object)
    try:
        got = vm_routines.vm_map(
            map_, start, size, mask, bool(anywhere), pager, offset, bool(copy), cur_protection, max_protection, inheritance
        )
    except MustWait:
        thread.trap_right = pager
        raise
    except KernError:
        port.release_send(kernel.ipc, pager)
        raise
    port.release_send(kernel.ipc, pager)
    _write_word(kernel, thread, address, got)
    return SUCCESS


def vm_allocate(kernel: Kernel, thread: Thread, target: PortName, address: int, size: int, anywhere: int) -> int:
    map_ = _map(thread, target)
    got = vm_routines.vm_allocate(map_, _read_word(kernel, thread, address), size, bool(anywhere))
    _write_word(kernel, thread, address, got)
    return SUCCESS


def vm_deallocate(kernel: Kernel, thread: Thread, target: PortName, start: int, size: int) -> int:
    vm_routines.vm_deallocate(_map(thread, target), start, size)
    return SUCCESS


def task_create(kernel: Kernel, thread: Thread, parent: PortName, inherit_memory: int, child: int) -> int:
    parent_task = _task(thread, parent)
    _read_word(kernel, thread, child)
    task = task_control.create(kernel.kern, parent_task, bool(inherit_memory))
    name = mach_port.copyout_send(kernel.ipc, thread.space, port.copy_send(kernel.ipc, task.itk_sself))
    _write_word(kernel, thread, child, name)
    return SUCCESS


def task_terminate(kernel: Kernel, thread: Thread, name: PortName) -> int:
    task_control.terminate(kernel.kern, _task(thread, name))
    return SUCCESS


def task_suspend(kernel: Kernel, thread: Thread, name: PortName) -> int:
    task_control.suspend(kernel.kern, _task(thread, name))
    return SUCCESS


def task_set_special_port(kernel: Kernel, thread: Thread, name: PortName, which: int, port_name: PortName) -> int:
    task = _task(thread, name)
    new = _copy_send(kernel, thread, port_name)
    try:
        ipc_tt.set_task_special_port(kernel.kern, task, which, new)
    except KernError:
        port.release_send(kernel.ipc, new)
        raise
    return SUCCESS


def mach_port_allocate(kernel: Kernel, thread: Thread, target: PortName, kind: int, name_address: int) -> int:
    space = _task(thread, target).space
    _read_word(kernel, thread, name_address)
    name = mach_port.mach_port_allocate(kernel.ipc, space, kind)
    _write_word(kernel, thread, name_address, name)
    return SUCCESS


def mach_port_deallocate(kernel: Kernel, thread: Thread, target: PortName, name: PortName) -> int:
    space = _task(thread, target).space
    tell_bogus(kernel, space, name, "deallocating")
    mach_port.mach_port_deallocate(kernel.ipc, space, name)
    return SUCCESS


def mach_port_insert_right(
    kernel: Kernel, thread: Thread, target: PortName, name: PortName, source: PortName, disposition: int
) -> int:
    mach_port.insert_right_by_name(kernel.ipc, thread.space, _task(thread, target).space, name, source, disposition)
    return SUCCESS


def mach_port_allocate_name(kernel: Kernel, thread: Thread, target: PortName, kind: int, name: PortName) -> int:
    mach_port.mach_port_allocate_name(kernel.ipc, _task(thread, target).space, kind, name)
    return SUCCESS


def thread_depress_abort(kernel: Kernel, thread: Thread, name: PortName) -> int:
    target = ipc_tt.thread_of(right.lookup_send(thread.space, name))
    if target is None:
        return MACH_SEND_INTERRUPTED
    kernel.kern.depress_abort(target)
    return SUCCESS


# The table


@dataclass(frozen=True, slots=True)
class Trap:
    """A row: its number, name, argument names in order, handler, and how to read the result: 'code', 'name' or 'boolean'."""

    number: int
    name: str
    arguments: tuple[str, ...]
    handler: Callable[..., int | None]
    result: str = "code"


ROWS: Final = (
    Trap(10, "task_self", (), null_port, "name"),
    Trap(11, "thread_reply", (), null_port, "name"),
    Trap(12, "task_notify", (), null_port, "name"),
    Trap(13, "thread_self", (), null_port, "name"),
    Trap(17, "evc_wait", ("ev_id",), kern_invalid),
    Trap(18, "evc_wait_clear", ("ev_id",), kern_invalid),
    Trap(25, "mach_msg", ("msg", "option", "send_size", "rcv_size", "rcv_name", "timeout", "notify"), mach_msg_trap),
    Trap(26, "mach_reply_port", (), mach_reply_port, "name"),
    Trap(27, "mach_thread_self", (), mach_thread_self, "name"),
    Trap(28, "mach_task_self", (), mach_task_self, "name"),
    Trap(29, "mach_host_self", (), mach_host_self, "name"),
    Trap(30, "mach_print", ("string",), mach_print),
    Trap(39, "device_writev_request", ("device", "reply_port", "mode", "recnum", "iovec", "iocount"), device_writev_request),
    Trap(40, "device_write_request", ("device", "reply_port", "mode", "recnum", "data", "data_count"), device_write_request),
    Trap(55, "host_self", (), null_port, "name"),
    Trap(56, "null_port", (), null_port, "name"),
    Trap(59, "swtch_pri", ("priority",), swtch_pri, "boolean"),
    Trap(60, "swtch", (), swtch, "boolean"),
    Trap(61, "thread_switch", ("thread", "option", "option_time"), thread_switch),
    Trap(
        64,
        "vm_map",
        (
            "target_task", "address", "size", "mask", "anywhere", "memory_object",
            "offset", "copy", "cur_protection", "max_protection", "inheritance",
        ),
        vm_map,
    ),
    Trap(65, "vm_allocate", ("target_task", "address", "size", "anywhere"), vm_allocate),
    Trap(66, "vm_deallocate", ("target_task", "address", "size"), vm_deallocate),
    Trap(68, "task_create", ("parent_task", "inherit_memory", "child_task"), task_create),
    Trap(69, "task_terminate", ("task",), task_terminate),
    Trap(70, "task_suspend", ("task",), task_suspend),
    Trap(71, "task_set_special_port", ("task", "which_port", "port"), task_set_special_port),
    Trap(72, "mach_port_allocate", ("task", "right", "namep"), mach_port_allocate),
    Trap(73, "mach_port_deallocate", ("task", "name"), mach_port_deallocate),
    Trap(74, "mach_port_insert_right", ("task", "name", "right", "right_type"), mach_port_insert_right),
    Trap(75, "mach_port_allocate_name", ("task", "right", "name"), mach_port_allocate_name),
    Trap(76, "thread_depress_abort", ("thread",), thread_depress_abort),
)  # fmt: skip

TRAPS: Final[tuple[Trap, ...]] = tuple(
    {row.number: row for row in ROWS}.get(number, Trap(number, f"trap_{number}", (), kern_invalid))
    for number in range(TRAP_COUNT)
)
"""Every trap by its number; what Mach has no trap for answers KERN_INVALID_ARGUMENT."""

PORT_ARGUMENTS: Final = frozenset(
    ("rcv_name", "notify", "target_task", "parent_task", "task", "thread", "memory_object", "port", "name", "device")
)
"""The arguments that are port names of the caller's."""
