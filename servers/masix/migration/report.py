"""What becomes of a move, as the migration manager tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from machemu.abi.kern_return import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_TASK,
    KERN_NAME_EXISTS,
    KERN_NO_SPACE,
    KERN_RESOURCE_SHORTAGE,
    MIG_BAD_ID,
    MIG_SERVER_DIED,
)
from machemu.abi.message import MACH_SEND_INVALID_DEST
from machemu.abi.migrate import (
    STAY_CACHED,
    STAY_COPY,
    STAY_DEFAULT_PAGER,
    STAY_DEVICE,
    STAY_ESSENTIAL,
    STAY_GONE,
    STAY_HOST_SIDE,
    STAY_IO_PERM,
    STAY_PROXY,
    STAY_SHARED,
    STAY_V86,
)
from machemu.abi.names import return_name
from machemu.abi.types import signed
from machemu.sim.state import U32, state
from masix.migration.rights import KINDS

MOVED, NO_SUCH_TASK, SEVERAL_TASKS, STAYS, NO_SUCH_NODE, BLOCKED, OTHER_MACHINE, GIVEN_UP, LOST = range(9)
"""Outcomes: of one that is GIVEN_UP the tasks go on where they were, of one that is LOST they are gone."""
OUTCOMES: Final = (
    "moved", "there is no such task", "several tasks have that name: give a number", "has to stay",
    "the node is not there, or has no managers of tasks",
    "the node takes no tasks", "the node has another architecture or page size", "given up", "the tasks are lost",
)  # fmt: skip
STAY_OPERATOR, STAY_RIGHTS, STAY_MOVES, STAY_SEDENTARY, STAY_PROCESSES, STAY_ELSEWHERE = (1 << bit for bit in range(16, 22))
"""Reasons beside the kernel's: the operator said so; the network servers could not keep what it brings; it is
moving. And the process server's: it is sedentary; two of the tasks are processes; the node does not run it."""
REASONS: Final = {
    STAY_IO_PERM: "may use I/O ports",
    STAY_DEVICE: "has mapped a device",
    STAY_V86: "has a thread in virtual-8086 mode",
    STAY_ESSENTIAL: "is essential",
    STAY_DEFAULT_PAGER: "is the default pager",
    STAY_HOST_SIDE: "has a program that runs on the host",
    STAY_COPY: "has a copy of memory that its family manages",
    STAY_SHARED: "shares memory with a program that runs on the host",
    STAY_CACHED: "manages memory that nobody maps and its node keeps",
    STAY_PROXY: "has a right to a proxy of a memory object",
    STAY_GONE: "has a thread that waits for memory that it does not show any more",
    STAY_OPERATOR: "was told to stay",
    STAY_RIGHTS: "has too many port rights",
    STAY_MOVES: "is moving already",
    STAY_SEDENTARY: "is a sedentary process",
    STAY_PROCESSES: "can only move together with other processes",
    STAY_ELSEWHERE: "is a process, and the node has no server for it or does not run its personality",
}


@state
class Dependency(NamedTuple):
    """kind: a place among KINDS from 1 on, or 0."""

    node: U32
    kind: U32
    rights: U32


@state
class Report(NamedTuple):
    """Of a move. dependencies: send rights of the tasks that lead to other nodes."""

    tasks: U32 = 0
    total_us: U32 = 0
    freeze_us: U32 = 0
    pages: U32 = 0
    page_size: U32 = 0
    code: U32 = 0  # of what went wrong, a kernel return code
    reasons: U32 = 0  # why the tasks have to stay: STAY_ bits
    dependencies: tuple[Dependency, ...] = ()

    def words(self) -> tuple[int, ...]:
        return (*self[:-1], *(word for each in self.dependencies for word in each))


def report_of(words: Sequence[int]) -> Report:
    """ValueError for words that are no report."""
    plain = Report._fields[:-1]
    rest = words[len(plain) :]
    if len(words) < len(plain) or len(rest) % len(Dependency._fields):
        raise ValueError("these are no words of a report")
    return Report(**dict(zip(plain, words[: len(plain)], strict=True)), dependencies=dependencies_of(rest))


def dependencies_of(words: Sequence[int]) -> tuple[Dependency, ...]:
    step = len(Dependency._fields)
    return tuple([Dependency(*words[at : at + step]) for at in range(0, len(words), step)])


def described(outcome: int, report: Report) -> str:
    """One line of what became of it."""
    said = OUTCOMES[outcome] if outcome < len(OUTCOMES) else f"outcome {outcome}"
    if outcome == STAYS:
        said += ": it " + ", ".join(text for bit, text in REASONS.items() if report.reasons & bit)
    return f"{said}: {refusal(report.code)}" if report.code else said


def refusal(code: int) -> str:
    """What a code of a manager's says, or of one that does not answer."""
    return f"{CODES.get(signed(code), 'a manager refused')} ({return_name(signed(code))})"


CODES: Final = {
    KERN_INVALID_NAME: OUTCOMES[NO_SUCH_TASK],
    KERN_NAME_EXISTS: OUTCOMES[SEVERAL_TASKS],
    KERN_INVALID_TASK: "it is moving already",
    **dict.fromkeys((KERN_INVALID_ARGUMENT, KERN_INVALID_RIGHT), "one of its tasks has ended meanwhile, here or there"),
    **dict.fromkeys((KERN_NO_SPACE, KERN_RESOURCE_SHORTAGE), "a node has too little memory free"),
    **dict.fromkeys(
        (KERN_FAILURE, MACH_SEND_INVALID_DEST, MIG_SERVER_DIED),
        "one of the managers is not there, here or on the other node: ask again when it is",
    ),
    MIG_BAD_ID: "a node has managers of another version",
}
"""What the usual codes mean of a move."""


def table(report: Report, number: int, home: str) -> Iterator[str]:
    """The lines of a table of what a move cost, and on whom the tasks depend now. home: the name of the node of this number."""
    yield f"total time  {report.total_us / 1000:12.3f} ms"
    yield f"freeze time {report.freeze_us / 1000:12.3f} ms"
    yield f"bytes       {report.pages * report.page_size:12}"
    yield f"pages       {report.pages:12}"
    for node, kind, count in report.dependencies:
        what = KINDS[kind - 1] if 0 < kind <= len(KINDS) else "other rights"
        yield f"depends on {home if node == number else f'node {node}'}: {count} x {what}"
