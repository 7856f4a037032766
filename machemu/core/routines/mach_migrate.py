"""Subsystem mach_migrate (4600): a task is taken out of a kernel and put into another. The real kernel has no such routines.

What takes a task apart needs the task's or thread's port; what makes another one of it needs the privileged host port, too.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, cast

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INTERRUPTED, KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.message import HEADER_SIZE, PORT_DEAD, PORT_SEND, PORT_SEND_ONCE
from machemu.abi.migrate import (
    REDO_EXCEPTION,
    REDO_FAULT,
    REDO_GSYNC,
    REDO_HEAD,
    REDO_NOTHING,
    REDO_REDIRECT,
    REDO_SEND,
    REDO_TRAP,
    REDO_WORDS,
    REDO_YIELD,
)
from machemu.abi.port import TYPE_RECEIVE
from machemu.abi.types import signed
from machemu.abi.vm import VM_PROT_ALL
from machemu.core import stays
from machemu.core.routines.memory_object import object_target
from machemu.core.routines.targets import map_target, privileged_host, task_target, thread_target, words_out_of_line
from machemu.core.traps import TRAPS
from machemu.device.dev_pager import DevicePager
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue, port, space_move
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.kern import accounts, family, freeze, ipc_tt
from machemu.kern.redo import NOTHING, YIELDS, Redo
from machemu.kern.task import Task
from machemu.kern.thread import TH_HALTED, Continuation, Thread
from machemu.machine.seams import Pcb
from machemu.mig.interfaces.gnumach import GSYNC_WAIT
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim import slots
from machemu.sim.graph import Reader, Writer
from machemu.vm import manage, map_move, pager_move, region_pages, wire
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.vm.map import VmMap
    from machemu.vm.object import VmObject

WORD: Final = 0xFFFFFFFF
NAME_MAX: Final = 1023
"""Bytes of a task's name that are told."""
CONTEXT_ROOM: Final = 1 << 20
"""Bytes of the host's memory that a thread's context may take; a whole LDT takes 64 KiB."""


def _frozen_task(kernel: Kernel, request: Kmsg, right: Right) -> Task:
    """The frozen task of which a request by the privileged host port makes something."""
    privileged_host(kernel, request)
    task = ipc_tt.task_of(right)
    if task is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    if not task.frozen:
        raise KernError(KERN_FAILURE)
    return task


def _frozen_thread(kernel: Kernel, request: Kmsg, right: Right) -> Thread:
    """As `_frozen_task`, a thread of one."""
    privileged_host(kernel, request)
    thread = ipc_tt.thread_of(right)
    if thread is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    if not thread.task.frozen:
        raise KernError(KERN_FAILURE)
    return thread


def task_freeze(kernel: Kernel, request: Kmsg, task_port: Right) -> tuple[int]:
    """STAY_ bits. KERN_INVALID_ARGUMENT for the caller's own task. Consumes the right on success."""
    privileged_host(kernel, request)
    task = ipc_tt.task_of(task_port)
    if task is None or task is kernel.kern.current.task:
        raise KernError(KERN_INVALID_ARGUMENT)
    freeze.freeze(kernel.kern, task)
    port.release_send(kernel.ipc, task_port)
    return (stays.reasons(kernel, task),)


def task_thaw(kernel: Kernel, request: Kmsg) -> tuple[()]:
    """Wires what a map that was set has to be wired. Raises MustWait there, or in the middle of what waits at the ports, and goes
    on there."""
    task = task_target(request)
    if not task.frozen:
        raise KernError(KERN_FAILURE)
    if task.map is not None:
        wire.complete(task.map)
        map_move.map_pages(task.map)
    for target in (*freeze.kernel_ports(task), *_ports_of_memory(task)):
        while target.messages:
            if target.messages[0].id == GSYNC_WAIT.request.id:
                _interrupt(kernel, target)
            else:
                mqueue.serve_queued(kernel.ipc, target)
        mqueue.wake_senders(kernel.ipc, target)
    if task.frozen:
        freeze.thaw(kernel.kern, task)
    return ()


def _ports_of_memory(task: Task) -> list[Port]:
    """The control and name ports of the memory objects that a task shows."""
    shown = [entry.object for entry in task.map.entries] if task.map is not None else []
    objects = {id(obj): obj for obj in shown if obj is not None and obj.pager is not None}
    found = [held for obj in objects.values() for held in (obj.pager.control if obj.pager is not None else None, obj.name)]
    return [each for each in found if isinstance(each, Port)]


def _interrupt(kernel: Kernel, target: Port) -> None:
    """A request to wait for a word, the first at a port: its sender has gone on to receive, and cannot wait in the routine."""
    ipc = kernel.ipc
    kmsg = target.messages.popleft()
    mqueue.taken(ipc, kmsg)
    reply, kmsg.local = kmsg.local, None
    kmsgs.destroy(ipc, kmsg)
    if isinstance(reply, Port):
        kmsgs.kernel_send(ipc, _answer_to_wait(kernel, reply, kmsg.local_type, KERN_INTERRUPTED))


def _answer_to_wait(kernel: Kernel, reply: Port, disposition: int, code: int) -> Kmsg:
    """gsync_wait's answer, by the right to which it goes."""
    answer = GSYNC_WAIT.reply
    assert answer is not None
    body, _ = answer.pack(kernel.ipc.order, (code,))
    return kmsgs.make(kernel.ipc, reply, disposition, None, 0, answer.id, body)


def task_surrender(kernel: Kernel, request: Kmsg) -> tuple[Port, Port, tuple[Port, ...], tuple[Right, ...]]:
    """A task to whose new port nobody has a right any more while it is frozen ends: nobody could ever thaw it."""
    task = task_target(request)
    own, threads, replies = freeze.surrender(kernel.kern, task)
    control = task.itk_self
    assert control is not None
    right = port.make_send(kernel.ipc, control)
    control.nsrequest = port.make_sonce(kernel.ipc, control)
    return right, own, tuple(threads), tuple(replies)


def task_adopt(
    kernel: Kernel, request: Kmsg, task_port: Right, own: Right, threads: tuple[Right, ...], replies: tuple[Right, ...]
) -> tuple[()]:
    """Consumes the rights on success."""
    task = _frozen_task(kernel, request, task_port)
    freeze.adopt(kernel.kern, task, own, threads, replies)
    port.release_send(kernel.ipc, task_port)
    return ()


def thread_get_wait(kernel: Kernel, request: Kmsg) -> tuple[tuple[int, ...], OutOfLine, PolyPort]:
    """The thread leaves its wait, and the reply's right leaves the thread; to a port of its own by name, so that no other kernel
    has it on its way. KERN_FAILURE where its task is not frozen."""
    thread = thread_target(request)
    if not thread.task.frozen:
        raise KernError(KERN_FAILURE)
    freeze.detach(kernel.kern, thread)
    redo = thread.redo or NOTHING
    reply, name = PolyPort(None, PORT_SEND_ONCE), 0
    kmsg, thread.ith_kmsg = thread.ith_kmsg, None
    if kmsg is not None:
        if isinstance(kmsg.remote, Port) and kmsg.remote.receiver is thread.space and kmsg.remote_type == PORT_SEND_ONCE:
            name = kmsg.remote.receiver_name
            port.release_sonce(kernel.ipc, kmsg.remote)
        else:
            reply = PolyPort(kmsg.remote, kmsg.remote_type)
        kmsgs.consume(kernel.ipc, kmsg)
    words = (redo.kind, redo.limit, redo.place, *redo.words, *((name,) if redo.kind == REDO_GSYNC else ()))
    copy = VmMapCopy.from_bytes(kernel.vm, redo.data) if redo.data else None
    return tuple([word & WORD for word in words]), OutOfLine(copy, len(redo.data)), reply


def thread_set_wait(
    kernel: Kernel, request: Kmsg, thread_port: Right, words: tuple[int, ...], data: OutOfLine, reply: PolyPort
) -> tuple[()]:
    """Consumes the thread's right, the bytes and the reply's right on success. KERN_FAILURE where it waits, or may run."""
    thread = _frozen_thread(kernel, request, thread_port)
    if thread.continuation not in (None, Continuation.REDO):
        raise KernError(KERN_FAILURE)
    copy = cast("VmMapCopy | None", data.copy)
    redo = _redo(words, copy.to_bytes() if copy is not None else b"")
    if isinstance(reply.port, Port) and (redo.kind != REDO_GSYNC or reply.disposition not in (PORT_SEND, PORT_SEND_ONCE)):
        raise KernError(KERN_INVALID_ARGUMENT)
    own = None
    if redo.kind == REDO_GSYNC:
        *rest, name = redo.words
        redo = redo._replace(words=tuple(rest))
        own = _own_port(thread, name, reply) if name else None
    if copy is not None:
        copy.discard()
    if thread.ith_kmsg is not None:
        kmsgs.destroy(kernel.ipc, thread.ith_kmsg)
        thread.ith_kmsg = None
    if own is not None:
        reply = PolyPort(port.make_sonce(kernel.ipc, own), PORT_SEND_ONCE)
    if isinstance(reply.port, Port):
        thread.ith_kmsg = _answer_to_wait(kernel, reply.port, reply.disposition, KERN_SUCCESS)
    thread.redo, thread.continuation = redo, Continuation.REDO
    if redo.kind != REDO_NOTHING:
        thread.state &= ~TH_HALTED  # who ends it or aborts it takes it out of the wait
    port.release_send(kernel.ipc, thread_port)
    return ()


def _own_port(thread: Thread, name: int, reply: PolyPort) -> Port:
    """The port from which a thread's task receives by a name. KERN_INVALID_ARGUMENT where there is none, or a right, too."""
    entry = thread.space.table.get(name)
    if entry is None or not entry.type & TYPE_RECEIVE or isinstance(reply.port, Port):
        raise KernError(KERN_INVALID_ARGUMENT)
    return entry.port()


def _redo(words: tuple[int, ...], data: bytes) -> Redo:
    """KERN_INVALID_ARGUMENT where the words are not what thread_get_wait gives."""
    if len(words) < REDO_HEAD:
        raise KernError(KERN_INVALID_ARGUMENT)
    kind, limit, place, *rest = words
    if kind >= len(REDO_WORDS) or len(rest) < REDO_WORDS[kind] or (kind != REDO_TRAP and len(rest) > REDO_WORDS[kind]):
        raise KernError(KERN_INVALID_ARGUMENT)
    if kind == REDO_SEND and (len(data) < HEADER_SIZE or len(data) & 3):
        raise KernError(KERN_INVALID_ARGUMENT)
    if kind in (REDO_TRAP, REDO_REDIRECT):
        number = rest[0]
        if number >= len(TRAPS) or (kind == REDO_TRAP and len(rest) not in (1, 1 + len(TRAPS[number].arguments))):
            raise KernError(KERN_INVALID_ARGUMENT)
    if kind == REDO_YIELD and rest[0] >= len(YIELDS):
        raise KernError(KERN_INVALID_ARGUMENT)
    if kind == REDO_FAULT and rest[1] & ~VM_PROT_ALL:
        raise KernError(KERN_INVALID_ARGUMENT)
    if kind == REDO_EXCEPTION:
        rest = [signed(word) for word in rest]
    return Redo(kind, tuple(rest), data, limit, place)


Array = tuple[Right, ...]


def mach_port_extract_all(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine, Array, Array, Array, Array]:
    """KERN_FAILURE where the task is not frozen, or a thread of it waits still."""
    task = task_target(request)
    if not _is_told(task):
        raise KernError(KERN_FAILURE)
    going = [each.space for each in kernel.kern.tasks.values() if each.frozen]
    words, *rights = space_move.extract(kernel.ipc, task.space, going)
    receives, sends, onces, requests = rights
    return words_out_of_line(kernel, words), receives, sends, onces, requests


def _is_told(task: Task) -> bool:
    """Whether no thread of a task is in the middle of a call."""
    return task.frozen and all(thread.continuation in (None, Continuation.REDO) for thread in task.threads.values())


def mach_port_insert_all(
    kernel: Kernel,
    request: Kmsg,
    task_port: Right,
    words: OutOfLine,
    *rights: Array,
) -> tuple[()]:
    """Consumes the rights and the words on success."""
    task = _frozen_task(kernel, request, task_port)
    if not _is_told(task):
        raise KernError(KERN_FAILURE)
    space_move.insert(kernel.ipc, task.space, space_move.Parts(_numbers(kernel, words), *rights))
    _discard(words)
    port.release_send(kernel.ipc, task_port)
    return ()


def _numbers(kernel: Kernel, words: OutOfLine) -> tuple[int, ...]:
    """An array of words that came out of line. Raises MustWait, KERN_MEMORY_ERROR."""
    data = words.copy.to_bytes() if isinstance(words.copy, VmMapCopy) else b""
    return struct.unpack(f"{kernel.ipc.prefix}{len(data) // 4}I", data[: len(data) // 4 * 4])


def _discard(words: OutOfLine) -> None:
    if isinstance(words.copy, VmMapCopy):
        words.copy.discard()


def vm_map_info(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine, Array]:
    """A memory manager that has died is a dead right."""
    map_ = map_target(request)
    words, managed = map_move.describe(map_, _maps(kernel))
    return words_out_of_line(kernel, words), tuple([_memory_object(kernel, obj) for obj in managed])


def _maps(kernel: Kernel) -> list[VmMap]:
    return [task.map for task in kernel.kern.tasks.values() if task.map is not None]


def _memory_object(kernel: Kernel, obj: VmObject | None) -> Right:
    """A new right to the memory object of an object that has a manager."""
    if obj is None or obj.pager is None:
        return None
    memory_object = obj.pager.memory_object
    return port.copy_send(kernel.ipc, memory_object) if isinstance(memory_object, Port) else PORT_DEAD


def vm_map_set(kernel: Kernel, request: Kmsg, task_port: Right, words: OutOfLine, objects: Array) -> tuple[()]:
    """Consumes the rights and the words on success."""
    map_ = _frozen_task(kernel, request, task_port).map
    if map_ is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    map_move.fill(map_, _numbers(kernel, words), objects)
    _discard(words)
    for right in (task_port, *objects):
        port.release_send(kernel.ipc, right)
    return ()


def vm_region_get_pages(kernel: Kernel, request: Kmsg, address: int, size: int, managed: int) -> tuple[OutOfLine, OutOfLine]:
    addresses, copy = region_pages.get_pages(map_target(request), address, size, bool(managed))
    return words_out_of_line(kernel, addresses), OutOfLine(copy, copy.size if copy is not None else 0)


def memory_object_internalize(kernel: Kernel, request: Kmsg) -> tuple[()]:
    with object_target(kernel, request) as pager:
        manage.internalize(pager, _maps(kernel))
    return ()


def vm_region_set_manager(kernel: Kernel, request: Kmsg, address: int, memory_object: Right) -> tuple[()]:
    """Consumes the right on success."""
    manage.set_manager(map_target(request), _maps(kernel), address, memory_object)
    port.release_send(kernel.ipc, memory_object)
    return ()


def memory_object_surrender(kernel: Kernel, request: Kmsg, address: int) -> tuple[OutOfLine, OutOfLine, object, object, object]:
    words, copy, rights = pager_move.surrender(map_target(request), _frozen_maps(kernel), address)
    return words_out_of_line(kernel, words), OutOfLine(copy, copy.size if copy is not None else 0), *rights


def _frozen_maps(kernel: Kernel) -> list[VmMap]:
    return [task.map for task in kernel.kern.tasks.values() if task.map is not None and task.frozen]


def memory_object_adopt(
    kernel: Kernel, request: Kmsg, task_port: Right, address: int, words: OutOfLine, pages: OutOfLine, *rights: Right
) -> tuple[()]:
    """Consumes the rights, the words and the pages on success. What was sent to the control port meanwhile is served when the
    task is thawed."""
    map_ = _frozen_task(kernel, request, task_port).map
    memory_object, *others = rights
    if map_ is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    if isinstance(memory_object, Port) and isinstance(memory_object.kobject, DevicePager):
        pager_move.come_home(_frozen_maps(kernel), map_, address, _numbers(kernel, words), memory_object)
        for right in others:
            port.release_receive(kernel.ipc, cast("Port", right))
    else:
        copy = pages.copy if isinstance(pages.copy, VmMapCopy) else None
        pager_move.adopt(map_, address, _numbers(kernel, words), copy, pager_move.Rights(*rights))
    _discard(words)
    _discard(pages)
    for right in (task_port, memory_object):
        port.release_send(kernel.ipc, right)
    return ()


def task_set_forwards(kernel: Kernel, request: Kmsg, task_port: Right, forwards: int) -> tuple[()]:
    """Consumes the right on success."""
    privileged_host(kernel, request)
    task = ipc_tt.task_of(task_port)
    if task is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    task.space.forwards = bool(forwards)
    port.release_send(kernel.ipc, task_port)
    return ()


def task_get_account(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine]:
    kernel.kern.charge_events()
    return (words_out_of_line(kernel, accounts.of_task(kernel.kern, task_target(request))),)


def task_set_account(kernel: Kernel, request: Kmsg, task_port: Right, words: OutOfLine) -> tuple[()]:
    """Consumes the right and the words on success."""
    task = _frozen_task(kernel, request, task_port)
    accounts.set_task(kernel.kern, task, _numbers(kernel, words))
    _discard(words)
    port.release_send(kernel.ipc, task_port)
    return ()


def thread_get_account(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine]:
    kernel.charge_time()
    return (words_out_of_line(kernel, accounts.of_thread(kernel.kern, thread_target(request))),)


def thread_set_account(kernel: Kernel, request: Kmsg, thread_port: Right, words: OutOfLine) -> tuple[()]:
    """Consumes the right and the words on success."""
    thread = _frozen_thread(kernel, request, thread_port)
    accounts.set_thread(kernel.kern, thread, _numbers(kernel, words))
    _discard(words)
    port.release_send(kernel.ipc, thread_port)
    return ()


def thread_get_context(kernel: Kernel, request: Kmsg) -> tuple[OutOfLine]:
    """A trap's result that is still to be written, and the pcb, as sim/graph.py writes them. KERN_FAILURE where it may run."""
    thread = thread_target(request)
    if not thread.task.frozen:
        raise KernError(KERN_FAILURE)
    data = Writer().encode((thread.retval, thread.pcb.context()))
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data)),)


def thread_set_context(kernel: Kernel, request: Kmsg, thread_port: Right, context: OutOfLine) -> tuple[()]:
    """Consumes the right and the bytes on success. KERN_INVALID_ARGUMENT for what is no context of such a thread."""
    thread = _frozen_thread(kernel, request, thread_port)
    held = cast("VmMapCopy | None", context.copy)
    retval, pcb = _context(held.to_bytes() if held is not None else b"", type(thread.pcb))
    thread.retval = retval
    thread.pcb.take_context(pcb)
    if held is not None:
        held.discard()
    port.release_send(kernel.ipc, thread_port)
    return ()


def _context(data: bytes, kind: type[Pcb]) -> tuple[int | None, Pcb]:
    reader = Reader(data, room=CONTEXT_ROOM)
    try:
        found = reader.decode()
        slots.check([*reader.objects, *reader.records])
    except ValueError:
        raise KernError(KERN_INVALID_ARGUMENT) from None
    match found:
        case (retval, pcb) if type(pcb) is kind and (retval is None or (type(retval) is int and -WORD <= retval <= WORD)):
            return retval, pcb
    raise KernError(KERN_INVALID_ARGUMENT)


def task_identify(kernel: Kernel, request: Kmsg) -> tuple[int, bool, bytes]:
    task = task_target(request)
    return task.number, family.is_host_side(kernel.kern, task), task.name.encode("utf-8", "replace")[:NAME_MAX]


def task_set_identity(kernel: Kernel, request: Kmsg, task_port: Right, name: bytes) -> tuple[()]:
    """Consumes the right on success."""
    _frozen_task(kernel, request, task_port).name = name.decode("utf-8", "replace")
    port.release_send(kernel.ipc, task_port)
    return ()


def task_get_family(kernel: Kernel, request: Kmsg, task_port: Right) -> tuple[tuple[Port | None, ...]]:
    """Consumes the right on success. None stands for a task that is frozen: a right to it is its mover's alone."""
    privileged_host(kernel, request)
    task = ipc_tt.task_of(task_port)
    if task is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    found = [None if each.frozen else each.itk_self for each in family.of(kernel.kern, task)]
    port.release_send(kernel.ipc, task_port)
    return (tuple([None if each is None else port.make_send(kernel.ipc, each) for each in found]),)


def mach_port_get_senders(kernel: Kernel, request: Kmsg) -> tuple[Array]:
    entries = task_target(request).space.table.values()
    known = [each.port() for each in entries if each.type & TYPE_RECEIVE and each.port().srights]
    return (tuple(port.copy_send(kernel.ipc, each) for each in known),)
