"""What is alike in the runs of both CPUs: who is told of traps, and how a run goes on and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from machemu.abi.types import Instructions, VirtAddr
from machemu.machine.engine import Engine
from machemu.machine.seams import Shares, Supervisor
from machemu.machine.tally import Tally

if TYPE_CHECKING:
    from machemu.machine.accel.interface import NativeExits, NativeTraps


class Runs(Tally):
    """Of one CPU."""

    engine: Engine
    _exits: NativeExits | None  # what the extension does of the ways out of user mode
    _supervisor: Supervisor | None
    _native_call: Callable[[int], int | None]
    _emulated_call: Callable[[int], int | None]
    _system_call: Callable[[int], int | None]  # what a trap of the active thread enters: one of those two
    _redirects: bool  # it is _emulated_call
    _ticks: Callable[[], None] | None  # the present run's `catch_up`
    _error: BaseException | None  # what was raised inside Unicorn, for whoever called `run`

    def __init__(self) -> None:
        super().__init__()
        self._supervisor = self._error = None
        self._redirects = False

    def attach(self, supervisor: Supervisor, traps: NativeTraps | None = None) -> None:
        if self._exits is not None:
            self._exits.join(traps)
        self._supervisor = supervisor
        self._native_call = supervisor.system_call
        self._emulated_call = supervisor.emulated_call
        self._system_call = self._emulated_call if self._redirects else self._native_call

    def shares(self) -> Shares | None:
        return None if self._exits is None else Shares(*self._exits.shares(), executed=self.executed)

    def run(self, budget: Instructions, catch_up: Callable[[], None] | None = None) -> None:
        self.target = self._counted + budget
        self._stopped = False
        self._ticks, self.far = catch_up, catch_up is not None
        while not self._stopped and (self._counted < self.target or self._is_inside()):
            self._start(self.target - self._counted)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
        self.far = False

    def _start(self, count: int) -> None:
        """Runs until the count is used up or something stops it, and takes stock."""
        raise NotImplementedError

    def _is_inside(self) -> bool:
        """The count ended in the middle of what has to be made whole before anything else."""
        return False

    def watch_code(self, address: VirtAddr, call: Callable[[], None]) -> int:
        return self.engine.watch_code(address, call)

    def unwatch_code(self, watch: int) -> None:
        self.engine.unwatch_code(watch)

    def stop(self) -> None:
        self._stopped = True
        self.engine.stop()

    def _redirect(self, redirects: bool) -> None:
        if redirects != self._redirects:
            self._redirects = redirects
            self._system_call = self._emulated_call if redirects else self._native_call

    def _catch_up(self) -> None:
        """Called by the extension where `far` was set, which it has taken back."""
        try:
            assert self._ticks is not None
            self._ticks()
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.stop()
