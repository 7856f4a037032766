"""What is done to threads: create, terminate, suspend, resume, abort, state, info (the routines of Mach's kern/thread.c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INTERRUPTED, KERN_INVALID_ARGUMENT
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port
from machemu.kern import exception_rpc, gsync
from machemu.kern.clock import TICK_NS, time_value
from machemu.kern.processor_set import SCHED_SCALE
from machemu.kern.sched import MICROSECONDS
from machemu.kern.subsystem import Kern
from machemu.kern.thread import POLICY_FIXEDPRI, TH_HALTED, TH_RUN, TH_SUSP, TH_WAIT, Thread

if TYPE_CHECKING:
    from machemu.kern.task import Task


THREAD_BASIC_INFO: Final = 1
THREAD_BASIC_INFO_COUNT: Final = 13
THREAD_SCHED_INFO: Final = 2
THREAD_SCHED_INFO_COUNT: Final = 8
TH_STATE_RUNNING, TH_STATE_STOPPED, TH_STATE_WAITING, TH_STATE_UNINTERRUPTIBLE, TH_STATE_HALTED = range(1, 6)
TH_FLAGS_SWAPPED: Final = 1
LAST_PROCESSOR: Final = 0
"""What a kernel for one processor says."""
TH_USAGE_SCALE: Final = 1000


def cpu_time(nanoseconds: int) -> tuple[int, int]:
    """A time_value_t of CPU time."""
    return time_value(nanoseconds // 1000)


def create(kern: Kern, task: Task) -> Thread:
    """thread_create: a suspended thread; the caller makes what rights it needs to its port."""
    if not task.active:
        raise KernError(KERN_FAILURE)
    kern.thread_serial += 1
    self_port = kern.ipc.make_kernel_port(None)
    maker = kern.sched.current
    pcb = kern.cpu.new_pcb(task.machine, maker.pcb if maker is not None and maker.task is task else None)
    thread = Thread(kern.thread_serial, task, pcb, self_port)
    self_port.kobject = thread
    thread.ith_sself = port.make_send(kern.ipc, self_port)
    thread.creation_time = kern.clock.time_stamp()
    sched = kern.sched
    pset = thread.processor_set
    thread.sched_stamp = sched.second_of(task)
    thread.cpu_usage = MICROSECONDS * SCHED_SCALE // max(pset.load_average, SCHED_SCALE)
    thread.sched_usage = MICROSECONDS * SCHED_SCALE
    thread.max_priority = max(thread.max_priority, pset.max_priority)
    thread.priority = max(task.priority, thread.max_priority)
    sched.compute_priority(thread, True)
    thread.suspend_count = task.suspend_count + 1
    task.threads[thread.number] = pset.threads[thread.number] = thread
    kern.thread_count += 1
    return thread


def halt(kern: Kern, thread: Thread) -> None:
    """thread_halt: brings another thread to a clean point, its interrupted trap's result in its state, and holds it.

    A thread off the CPU is in user mode or at a continuation, so this never waits.
    """
    from machemu.kern.waits import WAITS

    sched = kern.sched
    sched.hold(thread)
    if thread.state & TH_HALTED:
        return
    if thread.continuation is not None:
        result = WAITS[thread.continuation].abort(kern, thread)
        if result is not None:
            thread.retval = result
    thread.continuation = None
    kern.release_held(thread)
    sched.rem_runq(thread)
    thread.state = thread.state & ~TH_RUN | TH_HALTED | TH_SUSP


def terminate(kern: Kern, thread: Thread) -> None:
    """thread_terminate. The current thread ends when it leaves the kernel (`reap`)."""
    if thread is kern.sched.current:
        disable(thread)
        thread.active = False
        kern.sched.ast = True
        return
    if not kern.current.active or not kern.current.task.active:
        terminate(kern, kern.current)
        raise KernError(KERN_FAILURE)
    if not thread.active:
        raise KernError(KERN_FAILURE)
    force_terminate(kern, thread)


def disable(thread: Thread) -> None:
    """Nobody reaches the thread by its port any more (ipc_thread_disable)."""
    if thread.ith_self is not None:
        thread.ith_self.kobject = None


def force_terminate(kern: Kern, thread: Thread) -> None:
    """Ends a thread that is not the current one."""
    disable(thread)
    thread.active = False
    halt(kern, thread)
    reap(kern, thread)


def shut_ipc(kern: Kern, thread: Thread) -> None:
    """ipc_thread_terminate: gives up the thread's own rights and its kernel port."""
    self_port, thread.ith_self = thread.ith_self, None
    if self_port is None:
        return
    for right in (thread.ith_sself, thread.ith_exception):
        if right is not None:
            port.release_send(kern.ipc, right)
    thread.ith_sself = thread.ith_exception = None
    exception_rpc.leave(kern, thread)
    port.dealloc_kernel(kern.ipc, self_port)


def reap(kern: Kern, thread: Thread) -> None:
    """The last of a thread that will not run again: its rights, its place in its task, its times."""
    if thread.gsync_key is not None:
        gsync.end_wait(kern, thread, KERN_INTERRUPTED)
        reply, thread.ith_kmsg = thread.ith_kmsg, None
        if reply is not None:
            kmsgs.destroy(kern.ipc, reply)
    shut_ipc(kern, thread)
    kern.cancel_depress_timer(thread)
    kern.sched.rem_runq(thread)
    thread.state = TH_SUSP | TH_HALTED
    thread.continuation = None
    task = thread.task
    if task.threads.pop(thread.number, None) is not None:
        del thread.processor_set.threads[thread.number]
        kern.thread_count -= 1
    task.user_time += thread.user_time
    task.system_time += thread.system_time


def suspend(kern: Kern, thread: Thread) -> None:
    thread.user_stop_count += 1
    if thread.user_stop_count == 1:
        kern.sched.hold(thread)


def resume(kern: Kern, thread: Thread) -> None:
    if thread.user_stop_count == 0:
        raise KernError(KERN_FAILURE)
    thread.user_stop_count -= 1
    if thread.user_stop_count == 0:
        kern.sched.release(thread)


def abort(kern: Kern, thread: Thread) -> None:
    """thread_abort: a wait ends as interrupted, an exception as handled, a depression at once."""
    if thread is kern.sched.current:
        raise KernError(KERN_INVALID_ARGUMENT)
    halt(kern, thread)
    exception_rpc.abort(kern, thread)
    kern.sched.release(thread)
    kern.depress_abort(thread)


def get_state(kern: Kern, thread: Thread, flavor: int, room: int) -> Sequence[int]:
    """thread_get_state into room for `room` words."""
    _settle_for(kern, thread, flavor)
    words = thread.pcb.get_state(flavor)
    if len(words) > room:
        raise KernError(KERN_INVALID_ARGUMENT)
    return words


def set_state(kern: Kern, thread: Thread, flavor: int, words: Sequence[int]) -> None:
    _settle_for(kern, thread, flavor)
    thread.pcb.set_state(flavor, words)
    reenter(kern, thread)


def _settle_for(kern: Kern, thread: Thread, flavor: int) -> None:
    """`settle`, but a thread may ask for what its machine lets it have of itself."""
    if thread is not kern.sched.current or flavor not in thread.pcb.own_flavors:
        settle(kern, thread)


def settle(kern: Kern, thread: Thread) -> None:
    """Makes `pcb` the truth about a thread that is not the current one; the current one is refused as Mach refuses it."""
    if thread is kern.sched.current:
        raise KernError(KERN_INVALID_ARGUMENT)
    if thread.retval is not None:
        thread.pcb.set_result(thread.retval)
        thread.retval = None


def reenter(kern: Kern, thread: Thread) -> None:
    """The machine state of a thread was changed: where it is the current one, it leaves the CPU and enters it anew."""
    if thread is kern.sched.current:
        kern.sched.ast = True


def run_state(thread: Thread) -> int:
    if thread.state & TH_HALTED:
        return TH_STATE_HALTED
    if thread.state & TH_RUN:
        return TH_STATE_RUNNING
    if thread.state & TH_SUSP:
        return TH_STATE_STOPPED
    return TH_STATE_WAITING if thread.state & TH_WAIT else 0


def info(kern: Kern, thread: Thread, flavor: int, room: int) -> tuple[int, ...]:
    """thread_info: the flavor's words, cut to `room` where Mach lets older callers ask for fewer."""
    sched = kern.sched
    if flavor == THREAD_BASIC_INFO:
        if room < THREAD_BASIC_INFO_COUNT - 1:
            raise KernError(KERN_INVALID_ARGUMENT)
        if not thread.state & TH_RUN and thread.sched_stamp != sched.sched_tick:
            sched.update_priority(thread)
        kind = run_state(thread)
        words = (
            *cpu_time(thread.user_time),
            *cpu_time(thread.system_time),
            thread.cpu_usage // (MICROSECONDS // TH_USAGE_SCALE) * 3 // 5,
            thread.priority,
            thread.sched_pri,
            kind,
            TH_FLAGS_SWAPPED if thread is not sched.current else 0,
            thread.user_stop_count,
            0 if kind == TH_STATE_RUNNING else sched.second_of(thread.task) - thread.sched_stamp,
            *kern.clock.read_time_stamp(thread.creation_time),
        )
        return words[:room]
    if flavor == THREAD_SCHED_INFO:
        if room < THREAD_SCHED_INFO_COUNT - 1:
            raise KernError(KERN_INVALID_ARGUMENT)
        depressed = thread.depress_priority >= 0
        quantum = thread.sched_data * (TICK_NS // 1_000_000) if thread.policy == POLICY_FIXEDPRI else 0
        return (
            *(thread.policy, quantum, thread.priority, thread.max_priority, thread.sched_pri),
            *(int(depressed), thread.depress_priority, LAST_PROCESSOR),
        )
    raise KernError(KERN_INVALID_ARGUMENT)
