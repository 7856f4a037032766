"""A small machine whose tasks make the calls that they are given: guests by real traps, host-side tasks from Python."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, cast

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.types import VirtAddr
from machemu.boot.node import RAM_MIN, Node
from machemu.core import invariants
from machemu.core.kernel import runnable
from machemu.core.routines.table import Row, routines_on
from machemu.device.block import DiskDriver
from machemu.device.ethernet import EthernetDriver
from machemu.device.irq import IrqDriver
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Right
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.disk import ImageDisk
from machemu.machine.nic import EthernetNic
from machemu.machine.profile import load_profile
from machemu.user.own import KernelView, Memory
from machemu.vm import routines as vm
from tools.fuzz.children import Board
from tools.fuzz.traps_callers import NOTHING, PULL, Call, Caller, Place, Source, stub, tried
from tools.fuzz.world import PROFILES

RAM: Final = RAM_MIN
DISK_BYTES: Final = 64 << 12
DEVICES: Final = ("time", "cn0", "console", "kmsg", "mem", "irq", "hd0", "eth0")
TASKS: Final = 4
THREADS: Final = 2
"""Of callers: so many tasks, every second one a guest, and threads in each."""
CODE, CODE_SIZE = 0x10000, 0x4000
MAIL: Final = 0x12000
MAIL_SIZE: Final = 16
AREA, AREA_SIZE = 0x40000, 0x8000
"""Each thread of a task has an area of its own: a message, what it carries, words for results, a stack."""
DATA, WORDS, STACK = 0x2000, 0x6000, 0x7800
PLAY, PLAY_SIZE = 0x100000, 0x10000
"""Memory that calls are about."""
REGIONS: Final = ((CODE, CODE_SIZE), (AREA, THREADS * AREA_SIZE), (PLAY, PLAY_SIZE))
SLICE_NS: Final = 2_000_000
SLICE_TRAPS: Final = 60
PATIENCE_NS: Final = 20_000_000
"""A call that waits for longer is broken off."""
LAST_SLICES: Final = 50
"""So long the last calls have to end."""
CHECK_STEPS: Final = 100
"""After so many calls the machine is recounted, and something comes in from outside."""
INPUT: Final = b"input\n"
FRAME: Final = b"\xff" * 6 + bytes(100)
STUCK: Final = 12
"""So many slices without a call: nobody can make one any more."""
SETTLE_NS: Final = 1_000_000_000
AFTER_NS: Final = 3_000_000


class TrapWorld:
    """The machine. callers: the threads that make calls, by number. checked: the call up to which it was recounted.

    before: what is there of a machine whose every task has ended.
    pending: the call that each of them is in, and since when. step: how many calls have begun; is_through: no other one will.
    """

    def __init__(self, architecture: str, board: Board) -> None:
        self.architecture = architecture
        self.board = board
        self.nic = EthernetNic(b"\2\0\0\0\0\1")
        disks, nics = {"hd0": ImageDisk.of_bytes(bytes(DISK_BYTES))}, {"eth0": self.nic}
        self.node = Node(load_profile(PROFILES[architecture]), RAM, disks, nics)
        self.kernel = self.node.kernel
        self.kern = self.kernel.kern
        with Node(load_profile(PROFILES[architecture]), RAM) as empty:
            task_control.terminate(empty.kernel.kern, empty.kernel.kern.kernel_task)
            self.before = invariants.usage(empty.kernel)
        self.callers: dict[int, Place] = {}
        self.pending: dict[int, tuple[Call, int]] = {}
        self.performed: dict[int, int | None] = {}
        self.source: Source | None = None
        self.step = self.halts = self.checked = 0
        self.is_through = False
        for driver in self.kernel.devices.drivers:
            if isinstance(driver, DiskDriver):
                driver.open(("hd0",))  # a disk's first opening takes time, and who gives a right to it has none
        self.kernel.entry = self
        self.kernel.observer = self
        self.kernel.cpu.attach(self)
        self.kernel.routines = {number: self._watched(row) for number, row in self.kernel.routines.items()}

    def close(self) -> None:
        self.node.close()

    # The run

    def play(self, source: Source) -> None:
        """Lets the callers make all the calls there are."""
        self.source = source
        idle = last = 0
        while not self.is_through or (self.pending and last < LAST_SLICES):
            last += self.is_through
            self._keep_up()
            step = self.step
            self.kernel.run(self.kern.clock.now() + SLICE_NS, SLICE_TRAPS)
            if self.kernel.halted is not None:
                self.halts += 1
                self.kernel.halted = None
            idle = idle + 1 if self.step == step else 0
            if idle > STUCK and not self.is_through:
                self._end_all()
                idle = 0
        self._drop(set())
        self.source = None
        for thread in self.callers_left():
            if isinstance(thread.program, Caller):
                thread.program.give = None

    def callers_left(self) -> list[Thread]:
        threads = [thread for task in self.kern.tasks.values() for thread in task.threads.values()]
        return [thread for thread in threads if thread.number in self.callers and thread.active and thread.task.active]

    def area(self, thread: Thread) -> int:
        return AREA + self.callers[thread.number].thread * AREA_SIZE

    def _keep_up(self) -> None:
        """Makes new callers for those that ended, and gets on those that stand."""
        for thread in self.callers_left():
            if not thread.task.active:
                continue  # it has just gone for another of its threads
            while thread.task.user_stop_count:
                task_control.resume(self.kern, thread.task)
            while thread.user_stop_count:
                thread_control.resume(self.kern, thread)
            if not self._has_memory(thread.task):
                self._end(thread.task)
            elif thread.number in self.pending and self.kern.clock.now() - self.pending[thread.number][1] > PATIENCE_NS:
                self._abort(thread)
        left = self.callers_left()
        self._drop({thread.number for thread in left})
        alive = {self.callers[thread.number].task for thread in left}
        for number in range(TASKS):
            if number not in alive:
                self._task(number)
        if self.step >= self.checked + CHECK_STEPS:
            self.checked = self.step
            self.check()
            self.kernel.console.receive(INPUT)
            self.nic.receive(FRAME)

    def _drop(self, alive: set[int]) -> None:
        """Counts the calls of threads that have ended in them."""
        for number in [number for number in self.pending if number not in alive]:
            call, _ = self.pending.pop(number)
            self.performed.pop(number, None)
            if self.source is not None:
                self.source.ended(call, number, None, None)

    def _abort(self, thread: Thread) -> None:
        """Breaks its call off; a thread that cannot be waits for memory or an answer to its exception, and goes with its task."""
        if thread is self.kern.sched.current:
            self.kernel.run(self.kern.clock.now() + 1)
        if thread is self.kern.sched.current or thread.continuation is None or not thread.active:
            return
        try:
            thread_control.abort(self.kern, thread)
        except KernError:
            return
        if thread.retval is not None:
            self.resumed(thread, thread.retval)

    def _has_memory(self, task: Task) -> bool:
        assert task.map is not None
        for address, size in REGIONS:
            place = address
            while place < address + size:
                entry = task.map.lookup(place)
                if entry is None or entry.protection & 3 != 3:
                    break
                place = entry.end
            else:
                continue
            if address == CODE:
                return False
            if tried(self._allocate, task, address, size) is None:
                return False
        return True

    @staticmethod
    def _allocate(task: Task, address: int, size: int) -> int:
        assert task.map is not None
        vm.vm_deallocate(task.map, address, size)
        return vm.vm_allocate(task.map, address, size, False)

    def _task(self, number: int) -> None:
        """A new task of callers."""
        is_guest = bool(number % 2)
        task = task_control.create(self.kern, None, False, f"caller {number}")

        def fill() -> bool:
            for address, size in REGIONS:
                self._allocate(task, address, size)
            for place in range(THREADS):
                thread = thread_control.create(self.kern, task)
                self.callers[thread.number] = Place(number, place)
                if is_guest:
                    code = CODE + place * 256
                    task.memory.write(VirtAddr(code), stub(self.architecture, MAIL + place * MAIL_SIZE))
                    thread.pcb.set_entry(VirtAddr(code), VirtAddr(self.area(thread) + STACK))
                else:
                    thread.program = caller = Caller()
                    caller.give = self._give
                thread_control.resume(self.kern, thread)
            return True

        if tried(fill) is None:
            self._end(task)

    def _end(self, task: Task) -> None:
        while (current := self.kern.sched.current) is not None:
            if current.active and current.task.active and runnable(current) and current.continuation is None:
                break
            self.kernel.run(self.kern.clock.now() + 1)  # it goes on, leaves the processor, or the last of it goes
        if task.active:
            task_control.terminate(self.kern, task)

    def _end_all(self) -> None:
        for task in list(self.kern.tasks.values()):
            if task is not self.kern.kernel_task:
                self._end(task)
        self.kernel.run(self.kern.clock.now() + 1)

    # Calls

    def _next(self, thread: Thread) -> Call | None:
        """The thread's next call, with all that it needs in its memory."""
        self._over(thread, None)
        if self.source is None or self.is_through:
            return None
        self.step += 1
        self.board.at("play", self.step, self.kern.clock.now())
        call = self.source.next(thread)
        if call is None:
            self.is_through = True
            self.step -= 1
            self.kernel.stop()
            return None
        for address, data in call.writes:
            if not self._write(thread, address, data):
                self.source.ended(call, thread.number, None, None)
                return None
        self.pending[thread.number] = call, self.kern.clock.now()
        return call

    def _give(self, kernel: KernelView, memory: Memory) -> Call | None:
        thread = self.kern.current
        call = self._next(thread)
        return NOTHING if call is None and not self.is_through else call

    def _mail(self, thread: Thread) -> None:
        """Puts a guest's next call where its stub finds it."""
        _, number, arguments, *_ = self._next(thread) or NOTHING
        order = self.kernel.cpu.order.prefix
        stack = self.area(thread) + STACK
        mail = MAIL + self.callers[thread.number].thread * MAIL_SIZE
        words = struct.pack(f"{order}{1 + len(arguments)}I", 0, *arguments)
        if not (self._write(thread, stack, words) and self._write(thread, mail, struct.pack(order + "iI", -number, stack))):
            self._over(thread, None)

    @staticmethod
    def _write(thread: Thread, address: int, data: bytes) -> bool:
        """Whether it could be done at once."""

        def write() -> bool:
            thread.memory.write(VirtAddr(address), data)
            return True

        return bool(tried(write))

    def _over(self, thread: Thread, result: int | None) -> None:
        """The call that the thread was in has ended."""
        call, _ = self.pending.pop(thread.number, (None, 0))
        performed = self.performed.pop(thread.number, None)
        if call is not None and self.source is not None:
            code = self._replied(thread, call) if performed is None and result == 0 else performed
            self.source.ended(call, thread.number, result, code)

    def _replied(self, thread: Thread, call: Call) -> int | None:
        """The code that the reply has, of a routine that was answered later."""
        address, msgh_id = call.reply
        if not address:
            return None
        data = tried(thread.memory.read, VirtAddr(address), 32)
        if data is None:
            return None
        words = struct.unpack(self.kernel.cpu.order.prefix + "8I", data)
        return int(words[7]) if words[5] == msgh_id else None

    def _watched(self, row: Row) -> Row:
        """The row, whose handler's results are kept: 0, a code, or nothing where it answers later."""

        def handler(kernel: object, request: Kmsg, *values: object) -> tuple[object, ...] | None:
            current = self.kern.sched.current
            number = current.number if current is not None else 0
            call, _ = self.pending.get(number, (None, 0))
            asked = request.local
            results: tuple[object, ...] | None = None
            code: int | None = None
            try:
                results = row.handler(kernel, request, *values)
                code = None if results is None else 0
            except KernError as error:
                code = None if asked is not None and request.local is None else error.code
                raise
            finally:
                if call is not None and call.operation == row.routine.name:
                    self.performed[number] = code
            return results

        return Row(row.routine, handler)

    # machine.seams.Supervisor

    def system_call(self, number: int) -> int | None:
        thread = self.kern.current
        if number == PULL and thread.program is None and thread.number in self.callers:
            self._mail(thread)
            return self.kernel.system_call(number)
        result = self.kernel.system_call(number)
        outcome = thread.retval if result is None and thread.continuation is None else result
        if outcome is not None:
            self._over(thread, outcome)
        return result

    def emulated_call(self, number: int) -> int | None:
        thread = self.kern.current
        vector = thread.task.eml_dispatch
        if vector is None or not vector.handler(-number):
            return self.system_call(number)
        return self.kernel.emulated_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        return self.kernel.fault(address, access)

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        return self.kernel.exception(exception, code, subcode)

    def cycles(self) -> int:
        return self.kernel.cycles()

    def print(self, data: bytes) -> None:
        self.kernel.print(data)

    # core.parts.KernelObserver

    def resumed(self, thread: Thread, result: int) -> None:
        self._over(thread, result)

    def raised(self, thread: Thread, what: tuple[int, int, int]) -> None:
        self._over(thread, None)

    def noted(self, thread: Thread, what: str) -> None: ...

    def ended(self, thread: Thread) -> None:
        self._over(thread, None)

    # The end

    def unwatch(self) -> None:
        """From now on nobody watches the machine."""
        self.kernel.entry = self.kernel
        self.kernel.observer = None
        self.kernel.cpu.attach(self.kernel)
        self.kernel.routines = routines_on(self.kern.kernel_task.machine)

    def check(self) -> None:
        invariants.check(self.kernel)

    def saved_and_loaded(self, path: Path) -> str:
        """Saves the machine and goes on with the one that is loaded, if both are equal then and later; else what differs."""
        self.unwatch()
        digest = self.node.digest()
        self.node.save(path)
        other = Node.load(path)
        if other.digest() != digest:
            return "the loaded machine has another digest"
        for node in (self.node, other):
            node.kernel.run(node.kernel.kern.clock.now() + AFTER_NS)
        if other.digest() != self.node.digest():
            return "the loaded machine goes on otherwise"
        self.node.close()
        self.node, self.kernel, self.kern = other, other.kernel, other.kernel.kern
        return ""

    def leaves(self) -> str:
        """Ends all that is there; what is left of it, "" for nothing. InvariantError where the kernel is wrong."""
        kernel = self.kernel
        kernel.halted = None
        self._end_all()
        rights = [self.kern.new_task_notification, cast("Right", kernel.vm.default_manager)]
        self.kern.new_task_notification = kernel.vm.default_manager = None
        for driver in kernel.devices.drivers:  # what was registered there stays for ever
            if isinstance(driver, IrqDriver):
                rights += [port for _, port in driver.ports]
                driver.ports.clear()
            elif isinstance(driver, EthernetDriver):
                rights += [port for each in driver.filters for _, port in each.receivers]
                driver.filters.clear()
        for right in rights:
            ports.release_send(kernel.ipc, right)
        if self.kern.kernel_task.active:
            task_control.terminate(self.kern, self.kern.kernel_task)  # callers may have given it memory, names and threads
        self._settle()
        self.check()
        after = invariants.usage(kernel)
        after = after._replace(ports=after.ports - len(kernel.devices.opened))
        return "" if after == self.before else f"{after} after it, {self.before} before"

    def _settle(self) -> None:
        for _ in range(20):
            self.kernel.run(self.kern.clock.now() + 1)
            if not self.kernel.devices.busy:
                return
            self.kernel.run(self.kern.clock.now() + SETTLE_NS)
        raise InvariantError("a device is busy for ever")
