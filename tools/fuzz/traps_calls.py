"""Chooses calls: which trap or routine comes next, and how it went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

from machemu.abi import names
from machemu.abi.message import MACH_MSG_MASK
from machemu.kern.thread import Thread
from tools.fuzz.traps_callers import NOTHING, Call
from tools.fuzz.traps_pool import Pool
from tools.fuzz.traps_requests import Requests
from tools.fuzz.traps_table import ALWAYS, Operation, operations
from tools.fuzz.traps_traps import Traps
from tools.fuzz.traps_world import TrapWorld

CALLS: Final = 500
"""In one machine."""
NAMES_MAX, TASKS_MAX, ENTRIES_MAX = 70, 14, 40
"""Beyond these a machine is kept small."""
KINDS: Final = 8
SUCCESS: Final = "success"
CODES: Final = names.RETURNS | names.IO_RETURNS


@dataclass(frozen=True)
class Job:
    """A machine of a seed, which makes so many calls but those skipped. tells: whether it says what they are."""

    seed: int
    number: int
    calls: int = CALLS
    skipped: frozenset[int] = frozenset()
    tells: bool = False


class Calls:
    """traps_world.Source: the calls of one machine, each of them chosen by the seed, the machine and the call's number.

    outcomes: by operation how many calls ended how. told: what the calls were, where somebody wants to know.
    """

    def __init__(self, world: TrapWorld, job: Job) -> None:
        self.world = world
        self.job = job
        self.key = f"{job.seed} {job.number}"
        self.random = Random()
        pool = Pool(world, self.random)
        self.requests = Requests(pool)
        self.traps = Traps(pool, self.requests)
        self.table = {operation.name: operation for operation in operations(world.architecture)}
        order = Random(f"{self.key} order")
        # Every second machine makes few kinds of calls, so that they meet each other more often.
        self.round = order.sample(list(self.table), len(self.table) // (KINDS if job.number % 2 else 1))
        self.outcomes: dict[str, Counter[str]] = {}
        self.told: list[str] | None = [] if job.tells else None

    def next(self, thread: Thread) -> Call | None:
        step = self.world.step
        if step > self.job.calls:
            return None
        if step in self.job.skipped:
            return NOTHING
        self.random.seed(f"{self.key} {step}")
        operation = self.table[self._operation(thread, step)]
        if operation.routine is not None:
            call = self.requests.request(operation.routine, thread)
        else:
            assert operation.trap is not None
            call = self.traps.call(operation.name, operation.trap, thread)
        if self.told is not None:
            self.told.append(f"{step}: {thread.task.name}, thread {thread.number}: {call.text}")
        return call

    def ended(self, call: Call, thread: int, result: int | None, code: int | None) -> None:
        if not call.operation:
            return
        outcome = outcome_of(self.table[call.operation], result, code)
        self.outcomes.setdefault(call.operation, Counter())[outcome] += 1
        if self.told is not None:
            self.told.append(f"  thread {thread}, {call.operation}: {outcome}")

    def _operation(self, thread: Thread, step: int) -> str:
        """The next of a round of all; or what keeps the machine small, or its messages moving."""
        chance = self.random.random()
        if chance < 0.1 and len(thread.space.table) > NAMES_MAX:
            return "mach_port_destroy"
        if chance < 0.2 and len(self.world.kern.tasks) > TASKS_MAX:
            return "task_terminate"
        if chance < 0.3 and thread.task.map is not None and len(thread.task.map.entries) > ENTRIES_MAX:
            return "vm_deallocate"
        if chance > 0.92:
            return "trap mach_msg"
        return self.round[step % len(self.round)]


def outcome_of(operation: Operation, result: int | None, code: int | None) -> str:
    """SUCCESS, or what came of a call otherwise. result: the trap's, None where it was broken off; code: the routine's."""
    if result is None and code is None:
        return "broken off"
    number = result or 0
    if operation.trap is not None:
        kind = operation.trap.result
        is_well = operation.trap.name in ALWAYS or kind == "boolean" or (number != 0 if kind == "name" else number == 0)
    elif code is None and number == 0:
        return "no answer yet"
    else:
        number = number if code is None else code
        is_well = number == 0
    number -= 1 << 32 if number >> 31 == 1 else 0
    return SUCCESS if is_well else CODES.get(number) or CODES.get(number & ~MACH_MSG_MASK) or f"{number:#x}"
