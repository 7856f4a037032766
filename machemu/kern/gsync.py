"""Waiting for a word of memory to change, and being woken (GNU Mach's kern/gsync.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_SUCCESS
from machemu.abi.types import Nanoseconds, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.ipc.thread import MsgContinuation
from machemu.kern.task import Task
from machemu.kern.thread import TH_WAIT, Thread
from machemu.sim.state import state
from machemu.vm.map import VmMap
from machemu.vm.object import VmObject

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern


GSYNC_SHARED, GSYNC_QUAD, GSYNC_TIMED, GSYNC_BROADCAST, GSYNC_MUTATE = 1, 2, 4, 8, 16
WORD: Final = 4
NS_PER_MS: Final = 1_000_000

Key = tuple[VmMap | VmObject, int]
"""What a word is known by: its address in one address space, or its offset in an object that several show."""


@state
class Gsync:
    """waiters: the threads that wait for each word, first come, first served; a thread's own key is its `gsync_key`.

    A waiter sits in a routine of the kernel's: its reply message is in ith_kmsg, and ith_state takes what the reply will say.
    """

    __slots__ = ("waiters",)
    waiters: dict[Key, deque[Thread]]

    def __init__(self) -> None:
        self.waiters = {}

    def check_invariants(self) -> None:
        for key, queue in self.waiters.items():
            if not queue or any(thread.gsync_key != key or not thread.state & TH_WAIT for thread in queue):
                raise InvariantError("a thread waits for a word that it does not know of")


def _key(task: Task, address: int, flags: int) -> Key:
    """Also sees to it that the word may be accessed; KERN_INVALID_ADDRESS where it may not."""
    vm_map = task.map
    access = VM_PROT_READ | (VM_PROT_WRITE if flags & GSYNC_MUTATE else 0)
    entry = vm_map.lookup(address) if vm_map is not None and address % WORD == 0 else None
    if vm_map is None or entry is None or access & ~entry.protection:
        raise KernError(KERN_INVALID_ADDRESS)
    if not flags & GSYNC_SHARED:
        return vm_map, address
    obj = entry.object
    if obj is None or (entry.needs_copy and access & VM_PROT_WRITE):
        obj = vm_map.shadow_entry(entry)
    return obj, address - entry.start + entry.offset


def wait(kern: Kern, task: Task, address: int, low: int, high: int, milliseconds: int, flags: int) -> None:
    """gsync_wait: the current thread waits. KERN_INVALID_ARGUMENT where the word is not what it expects."""
    key = _key(task, address, flags)
    word = kern.ipc.word
    expected = word.pack(low) + (word.pack(high) if flags & GSYNC_QUAD else b"")
    if task.memory.read(VirtAddr(address), len(expected)) != expected:
        raise KernError(KERN_INVALID_ARGUMENT)
    thread = kern.current
    _join(kern, thread, key)
    kern.block(thread, MsgContinuation.GSYNC, Nanoseconds(milliseconds * NS_PER_MS) if flags & GSYNC_TIMED else None)


def leave(kern: Kern, thread: Thread) -> tuple[int, bool]:
    """A waiter's wait ends without an answer: the word's address in its task, and whether it is known by its object. Memory that
    the task does not show any more is at address 0."""
    key = thread.gsync_key
    assert key is not None
    where, offset = key
    end_wait(kern, thread, KERN_SUCCESS)
    if isinstance(where, VmMap):
        return offset, False
    entries = thread.task.map.entries if thread.task.map is not None else ()
    shown = (entry for entry in entries if entry.object is where and 0 <= offset - entry.offset < entry.end - entry.start)
    return next((offset - entry.offset + entry.start for entry in shown), 0), True


def join(kern: Kern, thread: Thread, address: int, shared: bool) -> None:
    """A thread waits anew for a word, whatever it holds by now; behind those that wait there. The caller limits the wait."""
    task = thread.task
    try:
        key = _key(task, address, GSYNC_SHARED if shared else 0)
    except KernError:
        assert task.map is not None
        key = task.map, address
    _join(kern, thread, key)
    kern.block(thread, MsgContinuation.GSYNC, None)


def _join(kern: Kern, thread: Thread, key: Key) -> None:
    thread.gsync_key = key
    thread.ith_wait = MsgContinuation.GSYNC
    kern.gsync.waiters.setdefault(key, deque()).append(thread)


def wake(kern: Kern, task: Task, address: int, value: int, flags: int) -> None:
    """gsync_wake: changes the word where it is asked to, and wakes one or all. KERN_INVALID_ARGUMENT where nobody waits."""
    key = _key(task, address, flags)
    if flags & GSYNC_MUTATE:
        task.memory.write(VirtAddr(address), kern.ipc.word.pack(value))
    queue = kern.gsync.waiters.get(key)
    if queue is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    for _ in range(len(queue) if flags & GSYNC_BROADCAST else 1):
        end_wait(kern, queue[0], KERN_SUCCESS)


def requeue(kern: Kern, task: Task, source: int, target: int, wake_one: bool, flags: int) -> None:
    """gsync_requeue: one waiter, or all, go over to another word, behind the first that waits there; with `wake_one` the first of
    them is woken instead. KERN_INVALID_ARGUMENT where nobody waits."""
    old, new = _key(task, source, flags), _key(task, target, flags)
    waiters = kern.gsync.waiters
    queue = waiters.get(old)
    if queue is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    count = len(queue) if flags & GSYNC_BROADCAST else min(len(queue), 1 + wake_one)
    moved = [queue.popleft() for _ in range(count)]
    if not queue:
        del waiters[old]
    there = waiters.setdefault(new, deque())
    first = [there.popleft()] if there else []
    there.extendleft(reversed(first + moved))
    for thread in moved:
        thread.gsync_key = new
    if wake_one:
        end_wait(kern, moved[0], KERN_SUCCESS)


def end_wait(kern: Kern, thread: Thread, code: int) -> None:
    """A waiter leaves its word: its routine answers `code` when it runs again."""
    key, thread.gsync_key = thread.gsync_key, None
    if key is None:
        raise InvariantError(f"thread {thread.number} waits for no word")
    queue = kern.gsync.waiters[key]
    queue.remove(thread)
    if not queue:
        del kern.gsync.waiters[key]
    thread.ith_state = code
    kern.wake(thread)
