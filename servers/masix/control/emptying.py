"""The kind of `[[actions]]` that empties a node: `empty`. All its tasks go to others, and then it may stop.

Tasks that programs on the host run are the node's own, and stay without being named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from machemu.abi.errors import UserError
from machemu.abi.types import signed
from machemu.sim.state import U8, U32, Right, state
from machemu.user.kit import Answer, answered
from machemu.user.mach import Mach
from masix.control import options
from masix.control.migration import NODE, NODE_MAX, Operator
from masix.gps.meeting import NAME as GPS
from masix.interfaces import acs, gps_peer, migration, process_manager
from masix.migration import process, report
from masix.migration.node_server import name_at
from masix.migration.state import numbers_of, unpack_tasks

PASSES_MAX: Final = 40
AGAIN_NS: Final = 250_000_000
"""How often, and how long after the last time, it looks for tasks that have begun meanwhile, or could not go just then."""
ELSEWHERE: Final = (report.BLOCKED, report.OTHER_MACHINE, report.NO_SUCH_NODE)
"""Outcomes with which a task may still go to another node."""


@state
class Empty(Operator):
    """`empty`: no task may come to the node any more, and all go to the nodes `to` (names, with spaces between), in turn. What
    stays is named with the reason. If nothing does, the node's part in the table of processes ends, too."""

    __slots__ = ("is_quiet", "moved", "passes", "refused", "server", "stay", "tasks", "to", "turn")
    kind = "empty"
    is_quiet: bool  # there was none left when it looked last
    moved: U32  # how many tasks have gone
    passes: U8
    refused: U8  # how many nodes have refused the first of `tasks`
    server: Right  # the process manager, or 0
    stay: dict[U32, None]  # the numbers of tasks that stay
    tasks: list[tuple[U32, str]]  # those that are still to go in this pass: number and name
    to: tuple[str, ...]
    turn: U32  # which of `to` is next

    def __init__(self, node: int, host: str, to: str) -> None:
        super().__init__(node, host)
        self.to = tuple([options.text("to", each, NODE_MAX, NODE) for each in to.split()]) if isinstance(to, str) else ()
        if not self.to or host in self.to or len({*self.to}) != len(self.to):
            raise UserError(f'to = {to!r}: write the names of other nodes, with spaces between, such as to = "beta gamma"')
        self.moved = self.passes = self.server = self.refused = self.turn = 0
        self.is_quiet = False
        self.stay = {}
        self.tasks = []

    def check_nodes(self, names: Sequence[str]) -> None:
        for each in self.to:
            options.node("to", each, names)

    @staticmethod
    def in_words(words: Sequence[str]) -> dict[str, str]:
        match words:
            case ["to", _, *_]:
                return {"to": " ".join(words[1:])}
        raise ValueError("write to NODE..., of the node that is chosen")

    def begin(self, mach: Mach) -> None:
        self.say(mach, [f"empty: {self.host} gives its tasks to {', '.join(self.to)}"])
        self.ask(mach, self._blocked, self.manager, (True,))

    @answered(migration.MIGRATION_BLOCK)
    def _blocked(self, mach: Mach, answer: Answer) -> None:
        self.ask(mach, self._processes, mach.name_server(), (name_at(process.NAME, self.host.encode()),))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _processes(self, mach: Mach, answer: Answer) -> None:
        self.server = answer.right
        if self.server:
            self._look(mach)
        else:
            self.end(mach, [f"empty: {self.host} has no process manager"])

    def _look(self, mach: Mach) -> None:
        self.passes += 1
        self.ask(mach, self._listed, self.server, ())

    @answered(process_manager.PROCESS_LIST)
    def _listed(self, mach: Mach, answer: Answer) -> None:
        if not answer.results:
            self.end(mach, ["empty: the process manager of this node has ended: see which tasks are left, and empty it again"])
            return
        found = unpack_tasks(mach.order, bytes(answer.results[0].copy or b""))
        self.tasks = [(number, name) for number, name in found if number not in self.stay]
        was_quiet, self.is_quiet = self.is_quiet, not self.tasks
        if self.passes <= PASSES_MAX and not (was_quiet and self.is_quiet):
            self._next(mach)  # one that was to come when the node was closed may still come
            return
        for task in self.tasks:
            self._stays(mach, task, "could not go")
        self._finish(mach)

    def _next(self, mach: Mach) -> None:
        if self.tasks:
            number, _ = self.tasks[0]
            to = self.to[(self.turn + self.refused) % len(self.to)]
            self.ask(mach, self._moved, self.manager, (b"%d" % number, to.encode()))
        else:
            mach.alarm(mach.now() + AGAIN_NS)

    def expired(self, mach: Mach) -> None:
        self._look(mach)

    @answered(migration.MIGRATION_MOVE)
    def _moved(self, mach: Mach, answer: Answer) -> None:
        outcome, words = answer.results or (report.GIVEN_UP, None)
        told = report.report_of(numbers_of(mach.order, words)) if words is not None else report.Report(code=answer.code)
        is_refused = outcome in ELSEWHERE or (outcome == report.STAYS and told.reasons == report.STAY_ELSEWHERE)
        if is_refused and self.refused + 1 < len(self.to):
            self.refused += 1
            self._next(mach)
            return
        task = self.tasks.pop(0)
        self.refused = 0
        if outcome == report.MOVED:
            self.moved += told.tasks
            self.turn += 1
        elif outcome == report.LOST or is_refused or (outcome == report.STAYS and told.reasons != report.STAY_MOVES):
            self._stays(mach, task, report.described(outcome, told))
        self._next(mach)

    def _stays(self, mach: Mach, task: tuple[int, str], why: str) -> None:
        number, name = task
        self.stay[number] = None
        printable = "".join(each if each.isprintable() else "?" for each in name)
        self.say(mach, [f"empty: {number} ({printable}): {why}"])

    # What is left

    def _finish(self, mach: Mach) -> None:
        if self.stay:
            self.end(mach, [f"empty: done: {self.moved} gone, {len(self.stay)} stay"])
        else:
            self.ask(mach, self._found_table, mach.name_server(), (name_at(GPS, self.host.encode()),))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _found_table(self, mach: Mach, answer: Answer) -> None:
        server = answer.right
        if server:
            self.ask(mach, self._has_left, server, ())
        else:
            self._is_empty(mach)

    @answered(gps_peer.GPS_LEAVE)
    def _has_left(self, mach: Mach, answer: Answer) -> None:
        if answer.code:
            why = f"the node still has a part in the table of processes (code {signed(answer.code)})"
            self.end(mach, [f"empty: done: {self.moved} gone, none stays, but {why}"])
        else:
            self._is_empty(mach)

    def _is_empty(self, mach: Mach) -> None:
        self.end(mach, [f"empty: done: {self.moved} gone, none stays: {self.host} may stop"])
