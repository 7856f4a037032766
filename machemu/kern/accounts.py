"""What a task and a thread have besides memory, rights, registers and waits: priorities, times and counts, as words.

A task that moves takes them along. A word is unsigned; a number of 64 bits is two, the lower one first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.migrate import FOREVER, NONE
from machemu.abi.types import signed
from machemu.kern import task_control
from machemu.kern.clock import HZ
from machemu.kern.pc_sample import MAX_PC_SAMPLES, PcSample
from machemu.kern.redo import time_left
from machemu.kern.task import TASK_EVENTS_INFO_COUNT, TASK_IPC_INFO_COUNT
from machemu.kern.thread import NRQS, POLICY_FIXEDPRI, POLICY_TIMESHARE, TH_HALTED

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task
    from machemu.kern.thread import Thread

WORD: Final = 0xFFFFFFFF
STOPS_MAX: Final = 0x7FFFFFFF
"""Also of seconds."""
OF_THREAD: Final = (
    "user_stop_count", "priority", "max_priority", "sched_pri", "policy", "sched_data", "vm_privilege", "depress_priority",
    "cpu_usage", "sched_usage", "cpu_delta", "sched_delta", "user_time", "system_time", "time_saved", "creation_time",
)  # fmt: skip
"""A thread's, in their order; then how many seconds ago its usage aged, the milliseconds of its depression that are left, or
FOREVER, whether it is halted, and the samples of its program counter."""
OF_TASK: Final = ("user_stop_count", "priority", "essential", "user_time", "system_time", "creation_time")
"""A task's; then how many clock ticks it is into a second of its own, what TASK_EVENTS_INFO and TASK_IPC_INFO count, and the
samples of its threads."""
SAMPLES_HEAD: Final = 3
SAMPLE_WORDS: Final = 4
WIDE: Final = frozenset((
    "cpu_usage", "sched_usage", "cpu_delta", "sched_delta", "user_time", "system_time", "time_saved", "creation_time",
))  # fmt: skip
"""Those of 64 bits."""


def _words(of: object, names: Sequence[str]) -> list[int]:
    words: list[int] = []
    for name in names:
        value = int(getattr(of, name))
        words += (value & WORD, value >> 32 & WORD) if name in WIDE else (value & WORD,)
    return words


def _values(words: deque[int], names: Sequence[str]) -> dict[str, int]:
    """KERN_INVALID_ARGUMENT where there are too few words."""
    if len(words) < len(names) + len(WIDE.intersection(names)):
        raise KernError(KERN_INVALID_ARGUMENT)
    return {name: words.popleft() | (words.popleft() << 32 if name in WIDE else 0) for name in names}


def of_thread(kern: Kern, thread: Thread) -> tuple[int, ...]:
    idle, depressed = _second(kern, thread.task) - thread.sched_stamp, time_left(kern, thread.depress_timer)
    halted = int(thread.state & TH_HALTED > 0)
    return (*_words(thread, OF_THREAD), idle, depressed, halted, *_samples(thread, thread.task))


def set_thread(kern: Kern, thread: Thread, words: Sequence[int]) -> None:
    """Of a thread that is held. KERN_INVALID_ARGUMENT for what no thread has."""
    rest = deque(words)
    values = _values(rest, OF_THREAD)
    values["depress_priority"] = signed(values["depress_priority"])
    good = (
        len(rest) >= 3
        and rest[0] <= STOPS_MAX
        and rest[2] <= 1
        and values["user_stop_count"] <= STOPS_MAX
        and all(values[name] < NRQS for name in ("priority", "max_priority", "sched_pri"))
        and -1 <= values["depress_priority"] < NRQS
        and values["policy"] in (POLICY_TIMESHARE, POLICY_FIXEDPRI)
        and values["time_saved"] <= values["user_time"] + values["system_time"]
    )
    if not good:
        raise KernError(KERN_INVALID_ARGUMENT)
    idle, depressed, halted, samples = rest.popleft(), rest.popleft(), rest.popleft(), _sample(rest, thread.task)
    stops = values.pop("user_stop_count")
    if bool(stops) != bool(thread.user_stop_count):
        (kern.sched.hold if stops else kern.sched.release)(thread)
    thread.user_stop_count = stops
    values["sched_data"] = signed(values["sched_data"])
    thread.vm_privilege = bool(values.pop("vm_privilege"))
    for name, value in values.items():
        setattr(thread, name, value)
    thread.pc_sample = samples
    thread.state = thread.state & ~TH_HALTED | (TH_HALTED if halted else 0)
    thread.sched_stamp = _second(kern, thread.task) - idle
    kern.cancel_depress_timer(thread)
    if depressed != FOREVER and thread.depress_priority >= 0:
        kern.limit_depression(thread, depressed)


def _second(kern: Kern, task: Task) -> int:
    """The second that a task is in; a frozen one is for it in the one in which it was frozen."""
    return task.own_ticks // HZ if task.frozen else kern.sched.second_of(task)


def of_task(kern: Kern, task: Task) -> tuple[int, ...]:
    own_ticks = task.own_ticks if task.frozen else kern.ticks - task.phase
    return (*_words(task, OF_TASK), own_ticks % HZ, *[count & WORD for count in task.events], *_samples(task, task))


def set_task(kern: Kern, task: Task, words: Sequence[int]) -> None:
    """Of a task that is frozen. KERN_INVALID_ARGUMENT for what no task has."""
    rest = deque(words)
    values = _values(rest, OF_TASK)
    events = TASK_EVENTS_INFO_COUNT + TASK_IPC_INFO_COUNT
    if len(rest) <= events or rest[0] >= HZ or values["user_stop_count"] > STOPS_MAX or values["priority"] >= NRQS:
        raise KernError(KERN_INVALID_ARGUMENT)
    into = rest.popleft()
    counts = [rest.popleft() for _ in range(events)]
    samples = _sample(rest, task)
    stops = values.pop("user_stop_count")
    if bool(stops) != bool(task.user_stop_count):
        (task_control.hold if stops else task_control.release)(kern, task)
    task.user_stop_count = stops
    task.essential = bool(values.pop("essential"))
    task.own_ticks += into - task.own_ticks % HZ
    for name, value in values.items():
        setattr(task, name, value)
    task.events = tuple(counts)
    task.pc_sample = samples


# Samples of program counters: none, or which are taken and how many there have been, and of each that is kept the place of its
# thread among the task's or NONE, the thread's number, the program counter, and what it is.


def _samples(of: Task | Thread, task: Task) -> tuple[int, ...]:
    sample = of.pc_sample
    if sample is None:
        return ()
    places = {thread.number: place for place, thread in enumerate(task.threads.values())}
    kept = [word for number, pc, kind in sample.samples for word in (places.get(number, NONE), number & WORD, pc, kind)]
    return (sample.types & WORD, sample.seqno & WORD, sample.seqno >> 32 & WORD, *kept)


def _sample(words: deque[int], task: Task) -> PcSample | None:
    """Takes all words. A thread that has come with the task has another number here. KERN_INVALID_ARGUMENT for no samples."""
    if not words:
        return None
    if len(words) < SAMPLES_HEAD or (len(words) - SAMPLES_HEAD) % SAMPLE_WORDS:
        raise KernError(KERN_INVALID_ARGUMENT)
    numbers = [thread.number for thread in task.threads.values()]
    types, low, high, *kept = words
    sample = PcSample(types)
    sample.seqno = low | high << 32
    for at in range(0, len(kept), SAMPLE_WORDS):
        place, number, pc, kind = kept[at : at + SAMPLE_WORDS]
        if place >= len(numbers) and place != NONE:
            raise KernError(KERN_INVALID_ARGUMENT)
        sample.samples.append((number if place == NONE else numbers[place], pc, kind))
    if len(sample.samples) > min(sample.seqno, MAX_PC_SAMPLES):
        raise KernError(KERN_INVALID_ARGUMENT)
    return sample
