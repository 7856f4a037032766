"""Whatever a task sends or asks for: it gets a code, nobody else is harmed, nothing leaks."""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machemu.abi.message import HEADER_SIZE, MACH_MSG_MASK, MACH_MSG_SUCCESS, MAKE_SEND
from machemu.abi.names import MSG_RETURNS
from machemu.abi.types import ByteOrder, VirtAddr
from machemu.ipc import mach_msg
from machemu.ipc import mach_port as mp
from machemu.ipc.thread import IpcThread
from tests.support.spaces import BUFFER, IpcWorld, Task, code

CODES = {MACH_MSG_SUCCESS, *MSG_RETURNS}
WORDS = st.integers(0, 0xFFFFFFFF)
NAMES = st.sampled_from([1, 2, 3, 4, 0, 0xFFFFFFFF, 99])
ADDRESSES = st.sampled_from([BUFFER, BUFFER + 3, BUFFER + 0xFF0, 0, 0xFFFFFFF0, 0x9000])
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def descriptors(draw: st.DrawFn, order: ByteOrder) -> bytes:
    """A descriptor with its data, well formed more often than not."""
    name = draw(st.sampled_from([2, 8, 15, 16, 17, 18, 19, 20, 21, 22, 23, 255]))
    size = draw(st.sampled_from([32, 32, 32, 8, 0, 1, 255]))
    inline, longform, deallocate, unused = (draw(st.sampled_from(c)) for c in ((0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 0, 0, 0, 1)))
    number = draw(st.sampled_from([0, 1, 1, 2, 7, 4095, *([0x40000000, 0x40000001, 0xFFFFFFFF] if longform else [])]))
    if order is ByteOrder.LITTLE:
        flags, short = inline << 28 | longform << 29 | deallocate << 30 | unused << 31, name | size << 8 | number << 16
    else:
        flags, short = inline << 3 | longform << 2 | deallocate << 1 | unused, name << 24 | size << 16 | number << 4
    prefix = order.prefix
    head = struct.pack(prefix + "IHHI", flags, name, size, number) if longform else struct.pack(prefix + "I", flags | short)
    if not inline:
        return head + struct.pack(prefix + "I", draw(ADDRESSES))
    count = draw(st.integers(0, 3)) if number > 100 else (number * size + 31) // 32
    return head + struct.pack(f"{prefix}{count}I", *[draw(NAMES) for _ in range(count)])


def world_of(order: ByteOrder) -> tuple[IpcWorld, Task, Task]:
    world = IpcWorld(order)
    victim, attacker = world.task(), world.task()
    theirs, mine = victim.port(), attacker.port()
    victim.give(attacker, theirs, MAKE_SEND)
    attacker.insert(mine, mine, MAKE_SEND)
    mp.mach_port_allocate(world.ipc, attacker.space, 3)
    attacker.memory.map(0x9000, 4096)
    attacker.memory.write(VirtAddr(0x9000), struct.pack(f"{order.prefix}8I", 1, 2, 3, 0, 0xFFFFFFFF, 4, 1, 2))
    return world, victim, attacker


def known(result: int | None) -> bool:
    return result is None or result & ~MACH_MSG_MASK in CODES


def take_everything(task: Task) -> None:
    for name in list(task.space.table):
        for _ in range(6):
            assert known(task.receive(name, size=0x800))


@given(data=st.data(), order=st.sampled_from(list(ByteOrder)))
@SETTINGS
def test_messages_of_random_items(data: st.DataObject, order: ByteOrder) -> None:
    world, victim, attacker = world_of(order)
    for _ in range(3):
        body = b"".join(data.draw(st.lists(descriptors(order), max_size=5)))
        bits = data.draw(st.sampled_from([0x80000013, 0x80000014, 0x80001513, 0xFFFFFF13, 0x80001413, 0xC0001113]))
        header = struct.pack(f"{order.prefix}6I", bits, data.draw(WORDS), data.draw(NAMES), data.draw(NAMES), 7, 8)
        attacker.memory.map(BUFFER, 4096)
        attacker.memory.write(VirtAddr(BUFFER), header + body)
        size = HEADER_SIZE + len(body) - data.draw(st.sampled_from([0, 0, 0, 4, 8]))
        assert known(attacker.msg(0x11 | data.draw(st.sampled_from([0, 0x20, 0x80])), max(size, 0), notify=1))
        world.check()
    take_everything(victim)
    take_everything(attacker)
    world.end()


@given(
    raw=st.binary(min_size=0, max_size=200),
    option=WORDS,
    size=st.integers(0, 220),
    name=NAMES,
    order=st.sampled_from(list(ByteOrder)),
)
@SETTINGS
def test_random_bytes_as_messages(raw: bytes, option: int, size: int, name: int, order: ByteOrder) -> None:
    world, victim, attacker = world_of(order)
    attacker.memory.write(VirtAddr(BUFFER), raw)
    assert known(mach_msg.mach_msg_trap(world.ipc, attacker.thread, BUFFER, option, size, size, name, 0, name))
    world.check()
    take_everything(victim)
    world.end()


@given(arguments=st.tuples(WORDS, st.integers(0, 0xFFF), WORDS, WORDS, WORDS, WORDS, WORDS))
@SETTINGS
def test_random_trap_arguments(arguments: tuple[int, int, int, int, int, int, int]) -> None:
    world, _, attacker = world_of(ByteOrder.LITTLE)
    assert known(mach_msg.mach_msg_trap(world.ipc, attacker.thread, *arguments))
    world.end()


@given(
    numbers=st.lists(
        st.sampled_from([0, 1, 2, 3, 4, 5, 16, 18, 20, 70, 99, 0x7FFFFFFF, -0x80000000, 0xFFFFFFFF]), min_size=4, max_size=4
    )
)
@SETTINGS
def test_random_arguments_of_the_port_routines(numbers: list[int]) -> None:
    world, victim, attacker = world_of(ByteOrder.LITTLE)
    a, b, c, d = numbers
    ipc, space = world.ipc, attacker.space
    assert code(mp.mach_port_allocate, ipc, space, a) <= 28
    code(mp.mach_port_allocate_name, ipc, space, a, abs(b))
    code(mp.insert_right_by_name, ipc, space, victim.space, abs(a), abs(b), abs(c))
    code(mp.mach_port_get_refs, space, a, b)
    code(attacker.notify, a, b, c, 2)
    code(mp.mach_port_set_qlimit, ipc, space, abs(a), abs(b))
    code(mp.mach_port_move_member, ipc, space, a, b)
    code(mp.mach_port_rename, space, a, abs(b))
    code(mp.mach_port_mod_refs, ipc, space, a, b, c)
    code(mp.mach_port_destroy, ipc, space, d)
    world.check()
    world.end()


def test_a_task_may_end_while_its_threads_wait_and_its_messages_lie_about() -> None:
    world, victim, attacker = world_of(ByteOrder.LITTLE)
    for number in range(5):
        assert attacker.send(0x80000013, 2, 0, number, attacker.item(MAKE_SEND, 32, 1), 1) == 0
    waiting: list[IpcThread] = [attacker.new_thread(), victim.new_thread()]
    assert mach_msg.mach_msg_trap(world.ipc, waiting[0], BUFFER, 1, 32, 0, 0, 0, 0) is None
    world.end()
