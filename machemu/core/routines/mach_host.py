"""Subsystem mach_host (2600): the host, its processors and their sets, its time, priorities and policies.

Rights that come as arguments are given up on success. Processor sets are neither made nor changed, as in the real kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT
from machemu.core.routines.targets import (
    host_target,
    map_of,
    privileged_host,
    processor_target,
    pset_name_target,
    pset_target,
    task_target,
    thread_target,
)
from machemu.ipc import port
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.kern import host, ipc_host, ipc_tt, priority, processor, processor_set
from machemu.kern.clock import SECOND_US
from machemu.kern.host import Halt
from machemu.kern.task import Task
from machemu.vm import routines as vm

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


KERNEL_VERSION: Final = b"GNU Mach 1.8 (machemu)"
"""Programs look at how it begins."""
RB_HALT: Final = 0x8
RB_DEBUGGER: Final = 0x1000

TimeValue = tuple[int, int]


# The host


def host_info(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[tuple[int, ...]]:
    host_target(kernel, request, KERN_INVALID_ARGUMENT)
    return (host.info(kernel.kern, flavor, room),)


def host_kernel_version(kernel: Kernel, request: Kmsg) -> tuple[bytes]:
    host_target(kernel, request, KERN_INVALID_ARGUMENT)
    return (KERNEL_VERSION,)


def host_get_boot_info(kernel: Kernel, request: Kmsg) -> tuple[bytes]:
    """Nothing, as in the real kernel."""
    privileged_host(kernel, request)
    return (b"",)


def host_reboot(kernel: Kernel, request: Kmsg, options: int) -> tuple[()]:
    """Ends the machine. The real kernel has no debugger to enter, and dies where it is asked for one."""
    privileged_host(kernel, request)
    kernel.reboot_options = options
    how = Halt.PANIC if options & RB_DEBUGGER else Halt.HALT if options & RB_HALT else Halt.REBOOT
    kernel.halt(how, f"host_reboot with options {options & 0xFFFFFFFF:#x}")
    return ()


# Time


def host_get_time(kernel: Kernel, request: Kmsg) -> tuple[TimeValue]:
    host_target(kernel, request)
    return (kernel.kern.clock.time_of_day(),)


def host_set_time(kernel: Kernel, request: Kmsg, new_time: TimeValue) -> tuple[()]:
    """The real kernel dies of microseconds that are none."""
    privileged_host(kernel, request)
    seconds, microseconds = new_time
    if not 0 <= microseconds < SECOND_US:
        kernel.halt(Halt.PANIC, f"host_set_time with {microseconds} microseconds")
    kernel.kern.clock.set_time(seconds * SECOND_US + microseconds)
    return ()


def host_adjust_time(kernel: Kernel, request: Kmsg, new_adjustment: TimeValue) -> tuple[TimeValue]:
    privileged_host(kernel, request)
    seconds, microseconds = new_adjustment
    old = kernel.kern.clock.adjust_time(seconds * SECOND_US + microseconds & 0xFFFFFFFF)
    sign = -1 if old < 0 else 1
    return ((abs(old) // SECOND_US * sign, abs(old) % SECOND_US * sign),)


# Processors


def host_processors(kernel: Kernel, request: Kmsg) -> tuple[tuple[Port, ...]]:
    privileged_host(kernel, request, KERN_INVALID_ARGUMENT)
    return (tuple([port.make_send(kernel.ipc, each.processor_self) for each in kernel.kern.processors]),)


def processor_info(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[Port, tuple[int, ...]]:
    words = processor.info(processor_target(request), flavor, room)
    return _host_port(kernel), words


def _host_port(kernel: Kernel) -> Port:
    return port.make_send(kernel.ipc, kernel.kern.host.host_self)


def processor_start(kernel: Kernel, request: Kmsg) -> tuple[()]:
    """The master alone is there, and always runs."""
    processor_target(request)
    raise KernError(KERN_FAILURE)


def processor_exit(kernel: Kernel, request: Kmsg) -> tuple[()]:
    processor_target(request)
    raise KernError(KERN_FAILURE)


def processor_control(kernel: Kernel, request: Kmsg, command: tuple[int, ...]) -> tuple[()]:
    processor_target(request)
    raise KernError(KERN_FAILURE)


def processor_get_assignment(kernel: Kernel, request: Kmsg) -> tuple[Port]:
    return (port.make_send(kernel.ipc, processor_target(request).sched.pset.pset_name_self),)


# Processor sets


def processor_set_default(kernel: Kernel, request: Kmsg) -> tuple[Port]:
    host_target(kernel, request, KERN_INVALID_ARGUMENT)
    return (port.make_send(kernel.ipc, kernel.kern.psets[0].pset_name_self),)


def host_processor_sets(kernel: Kernel, request: Kmsg) -> tuple[tuple[Port, ...]]:
    host_target(kernel, request, KERN_INVALID_ARGUMENT)
    return (tuple([port.make_send(kernel.ipc, pset.pset_name_self) for pset in kernel.kern.psets]),)


def host_processor_set_priv(kernel: Kernel, request: Kmsg, set_name: Right) -> tuple[Port]:
    privileged_host(kernel, request, KERN_INVALID_ARGUMENT)
    pset = ipc_host.pset_name_of(set_name)
    if pset is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    port.release_send(kernel.ipc, set_name)
    return (port.make_send(kernel.ipc, pset.pset_self),)


def processor_set_info(kernel: Kernel, request: Kmsg, flavor: int, room: int) -> tuple[Port, tuple[int, ...]]:
    words = processor_set.info(pset_name_target(request), flavor, room)
    return _host_port(kernel), words


def processor_set_tasks(kernel: Kernel, request: Kmsg) -> tuple[tuple[Port | None, ...]]:
    """None for a task that has ended, or is frozen: a right to it is its mover's alone."""
    tasks = pset_target(request).tasks.values()
    return (tuple([_port_of(kernel, task, task.itk_self) for task in tasks]),)


def processor_set_threads(kernel: Kernel, request: Kmsg) -> tuple[tuple[Port | None, ...]]:
    """As `processor_set_tasks`."""
    threads = pset_target(request).threads.values()
    return (tuple([_port_of(kernel, thread.task, thread.ith_self) for thread in threads]),)


def _port_of(kernel: Kernel, task: Task, kernel_port: Port | None) -> Port | None:
    """A send right to the port of a task or of a thread of it, or None."""
    return None if kernel_port is None or task.frozen else port.make_send(kernel.ipc, kernel_port)


def processor_set_max_priority(kernel: Kernel, request: Kmsg, max_priority: int, change_threads: int) -> tuple[()]:
    processor_set.max_priority(kernel.kern, pset_target(request), max_priority, bool(change_threads))
    return ()


def processor_set_policy_enable(kernel: Kernel, request: Kmsg, policy: int) -> tuple[()]:
    processor_set.policy_enable(pset_target(request), policy)
    return ()


def processor_set_policy_disable(kernel: Kernel, request: Kmsg, policy: int, change_threads: int) -> tuple[()]:
    processor_set.policy_disable(kernel.kern, pset_target(request), policy, bool(change_threads))
    return ()


def no_sets(kernel: Kernel, request: Kmsg, *arguments: object) -> tuple[()]:
    """The real kernel says so to everybody, whatever was asked for by whatever port."""
    raise KernError(KERN_FAILURE)


# Tasks and threads


def task_get_assignment(kernel: Kernel, request: Kmsg) -> tuple[Port]:
    return (port.make_send(kernel.ipc, task_target(request).processor_set.pset_name_self),)


def thread_get_assignment(kernel: Kernel, request: Kmsg) -> tuple[Port]:
    return (port.make_send(kernel.ipc, thread_target(request).processor_set.pset_name_self),)


def task_priority(kernel: Kernel, request: Kmsg, new: int, change_threads: int) -> tuple[()]:
    priority.task_priority(kernel.kern, task_target(request), new, bool(change_threads))
    return ()


def thread_priority(kernel: Kernel, request: Kmsg, new: int, set_max: int) -> tuple[()]:
    priority.thread_priority(kernel.kern, thread_target(request), new, bool(set_max))
    return ()


def thread_max_priority(kernel: Kernel, request: Kmsg, set_port: Right, max_priority: int) -> tuple[()]:
    """Any set's control port will do, as in the real kernel."""
    thread = thread_target(request)
    if ipc_host.pset_of(set_port) is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    priority.thread_max_priority(kernel.kern, thread, max_priority)
    port.release_send(kernel.ipc, set_port)
    return ()


def thread_policy(kernel: Kernel, request: Kmsg, policy: int, data: int) -> tuple[()]:
    priority.thread_policy(kernel.kern, thread_target(request), policy, data)
    return ()


def thread_depress_abort(kernel: Kernel, request: Kmsg) -> tuple[()]:
    kernel.kern.depress_abort(thread_target(request))
    return ()


def thread_wire(kernel: Kernel, request: Kmsg, thread_port: Right, wired: int) -> tuple[()]:
    """Lets the current thread, and no other, have the frames that are kept."""
    privileged_host(kernel, request, KERN_INVALID_ARGUMENT)
    thread = ipc_tt.thread_of(thread_port)
    if thread is None or thread is not kernel.kern.sched.current:
        raise KernError(KERN_INVALID_ARGUMENT)
    kernel.vm.privileged = thread.vm_privilege = bool(wired)
    port.release_send(kernel.ipc, thread_port)
    return ()


def vm_wire(kernel: Kernel, request: Kmsg, task_port: Right, address: int, size: int, access: int) -> tuple[()]:
    host_target(kernel, request)
    privileged = request.remote is kernel.kern.host.host_priv_self
    vm.vm_wire(map_of(task_port), address, size, access, privileged)
    port.release_send(kernel.ipc, task_port)
    return ()
