"""Any sequence of calls by two tasks with three threads each leaves every count right, and nothing when they are gone."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from machemu.abi.errors import KernError
from machemu.abi.types import ByteOrder, VirtAddr
from machemu.ipc import mach_msg, port
from machemu.ipc import mach_port as mp
from machemu.ipc.thread import IpcThread
from tests.support.spaces import BUFFER, IpcWorld, Task

COMPLEX = 0x80000000
BOGUS = 12
NAMES = st.integers(0, BOGUS)
"""Which name: an index among those that the task has."""
SEND_TYPES = st.sampled_from([19, 20, 21, 17, 18, 0])
PORT_TYPES = st.sampled_from([16, 17, 18, 19, 20, 21])
SEND_OPTIONS = st.sampled_from([0x001, 0x011, 0x021, 0x031, 0x081, 0x013, 0x113])
RECEIVE_OPTIONS = st.sampled_from([0x002, 0x102, 0x802, 0x902, 0x302])


class Machine(RuleBasedStateMachine):
    order = ByteOrder.LITTLE

    def __init__(self) -> None:
        super().__init__()
        self.world = IpcWorld(self.order)
        self.ipc = self.world.ipc
        for _ in range(2):
            task = self.world.task()
            task.new_thread()
            task.new_thread()
            kernel_port = self.ipc.make_kernel_port(None)
            mp.copyout_send(self.ipc, task.space, port.make_send(self.ipc, kernel_port))
            name = task.port()
            task.insert(name, name, 20)

    def pick(self, task: Task, index: int, need: int = 0) -> int:
        """A name, if possible of one of the types `need`; now and then one that is none."""
        names = [name for name, entry in sorted(task.space.table.items()) if not need or entry.type & need]
        if index == BOGUS or not names:
            return (0, 0xFFFFFFFF, 7777)[len(task.space.table) % 3]
        return names[index % len(names)]

    def pick_for(self, task: Task, index: int, disposition: int) -> int:
        """A name with the right that a disposition takes."""
        return self.pick(
            task, index, {16: 0x20000, 17: 0x10000, 18: 0x40000, 19: 0x10000, 20: 0x20000, 21: 0x20000}.get(disposition, 0)
        )

    def idle(self, task: Task) -> IpcThread | None:
        return next((thread for thread in task.threads if thread.ith_wait is None), None)

    # Ports

    @rule(task=st.integers(0, 1), kind=st.integers(0, 4))
    def allocate(self, task: int, kind: int) -> None:
        self.call(mp.mach_port_allocate, self.ipc, self.world.tasks[task].space, kind)

    @rule(task=st.integers(0, 1), source=NAMES, place=NAMES, disposition=PORT_TYPES, fresh=st.booleans())
    def insert(self, task: int, source: int, place: int, disposition: int, fresh: bool) -> None:
        own = self.world.tasks[task]
        other = self.world.tasks[1 - task]
        name = 500 + place if fresh else self.pick(other, place)
        self.call(
            mp.insert_right_by_name, self.ipc, own.space, other.space, name, self.pick_for(own, source, disposition), disposition
        )

    @rule(task=st.integers(0, 1), name=NAMES, kind=st.integers(0, 5), delta=st.sampled_from([-2, -1, -1, -1, 0, 1, 65533, 65534]))
    def mod_refs(self, task: int, name: int, kind: int, delta: int) -> None:
        own = self.world.tasks[task]
        self.call(mp.mach_port_mod_refs, self.ipc, own.space, self.pick(own, name, 0x10000 << kind), kind, delta)

    @rule(task=st.integers(0, 1), name=NAMES, how=st.sampled_from([mp.mach_port_destroy, mp.mach_port_deallocate]))
    def give_up(self, task: int, name: int, how: object) -> None:
        own = self.world.tasks[task]
        self.call(how, self.ipc, own.space, self.pick(own, name))

    @rule(task=st.integers(0, 1), old=NAMES, new=st.integers(0, 40))
    def rename(self, task: int, old: int, new: int) -> None:
        own = self.world.tasks[task]
        self.call(mp.mach_port_rename, own.space, self.pick(own, old), new)

    @rule(task=st.integers(0, 1), member=NAMES, after=NAMES)
    def move_member(self, task: int, member: int, after: int) -> None:
        own = self.world.tasks[task]
        self.call(mp.mach_port_move_member, self.ipc, own.space, self.pick(own, member, 0x20000), self.pick(own, after, 0x80000))

    @rule(task=st.integers(0, 1), name=NAMES, limit=st.integers(0, 17))
    def set_qlimit(self, task: int, name: int, limit: int) -> None:
        own = self.world.tasks[task]
        self.call(mp.mach_port_set_qlimit, self.ipc, own.space, self.pick(own, name, 0x20000), limit)

    @rule(task=st.integers(0, 1), name=NAMES, msgh_id=st.sampled_from([69, 70, 72]), sync=st.integers(0, 1), to=NAMES)
    def request(self, task: int, name: int, msgh_id: int, sync: int, to: int) -> None:
        own = self.world.tasks[task]
        self.call(own.notify, self.pick(own, name), msgh_id, sync, self.pick(own, to, 0x20000))

    @rule(task=st.integers(0, 1))
    def look(self, task: int) -> None:
        space = self.world.tasks[task].space
        for name in mp.mach_port_names(space)[0]:
            self.call(mp.mach_port_type, space, name)
            self.call(mp.mach_port_get_receive_status, space, name)
            self.call(mp.mach_port_get_set_status, space, name)

    # Messages

    @rule(
        task=st.integers(0, 1),
        dest=NAMES,
        dest_type=SEND_TYPES,
        reply=NAMES,
        reply_type=SEND_TYPES,
        option=SEND_OPTIONS,
        rights=st.lists(st.tuples(PORT_TYPES, NAMES, st.booleans()), max_size=3),
        extra=NAMES,
    )
    def send(
        self,
        task: int,
        dest: int,
        dest_type: int,
        reply: int,
        reply_type: int,
        option: int,
        rights: list[tuple[int, int, bool]],
        extra: int,
    ) -> None:
        own = self.world.tasks[task]
        thread = self.idle(own)
        if thread is None:
            return
        words: list[int] = []
        for number, (disposition, index, inline) in enumerate(rights):
            name = self.pick_for(own, index, disposition)
            words += [own.item(disposition, 32, 1, inline), name if inline else 0x9000 + 4 * number]
            if not inline:
                own.memory.map(0x9000, 4096)
                own.memory.write(VirtAddr(0x9000 + 4 * number), self.ipc.word.pack(name))
        if extra % 4 == 0:
            words += [own.item(8, 8, 10, False), BUFFER + 100]
        bits = dest_type | reply_type << 8 | (COMPLEX if words else 0)
        reply_name = self.pick_for(own, reply, reply_type) if reply_type else 0
        size = own.put(bits, self.pick_for(own, dest, dest_type), reply_name, 100, *words)
        name = self.pick(own, extra, 0xA0000)
        self.trap(thread, option, size, 128, name, 7, name)

    @rule(
        task=st.integers(0, 1),
        name=NAMES,
        option=RECEIVE_OPTIONS,
        size=st.sampled_from([0, 24, 40, 128]),
        timeout=st.sampled_from([0, 7]),
    )
    def receive(self, task: int, name: int, option: int, size: int, timeout: int) -> None:
        own = self.world.tasks[task]
        thread = self.idle(own)
        if thread is not None:
            picked = self.pick(own, name, 0xA0000)
            self.trap(thread, option, 0, size, picked, timeout, picked)

    def trap(self, thread: IpcThread, option: int, send: int, size: int, name: int, timeout: int, notify: int) -> None:
        result = mach_msg.mach_msg_trap(self.ipc, thread, BUFFER, option, send, size, name, timeout, notify)
        assert (result is None) == (thread.ith_wait is not None)

    @rule(index=st.integers(0, 5), broken=st.booleans())
    def end_wait(self, index: int, broken: bool) -> None:
        waiting = [thread for thread in self.world.threads() if thread.ith_queue is not None]
        if index < len(waiting):
            (mach_msg.interrupted if broken else mach_msg.timed_out)(self.ipc, waiting[index])

    @rule(index=st.integers(0, 5))
    def run(self, index: int) -> None:
        ready = self.world.scheduler.ready
        if index < len(ready):
            thread = ready.pop(index)
            result = mach_msg.continue_wait(self.ipc, thread)
            assert (result is None) == (thread.ith_wait is not None)

    @rule(task=st.integers(0, 1), full=st.booleans())
    def fill_memory(self, task: int, full: bool) -> None:
        self.world.tasks[task].memory.full = full

    def call(self, function: object, *arguments: object) -> None:
        try:
            function(*arguments)  # type: ignore[operator]
        except KernError:
            return

    @invariant()
    def counts_are_right(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.end()


class BigEndianMachine(Machine):
    order = ByteOrder.BIG


SETTINGS = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestMachine = Machine.TestCase
TestMachine.settings = SETTINGS
TestBigEndianMachine = BigEndianMachine.TestCase
TestBigEndianMachine.settings = settings(SETTINGS, max_examples=20)
