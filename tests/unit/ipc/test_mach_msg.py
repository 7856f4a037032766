"""mach_msg in both byte orders: what is moved, who waits, who is woken, what comes back."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    PORT_SEND,
    PORT_SEND_ONCE,
    SIZE_MAX,
    CarriedMemory,
    CarriedPort,
)
from machemu.abi.types import ByteOrder, VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_msg, mqueue, port, right
from machemu.ipc import mach_port as mp
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.ipc.subsystem import MESSAGE_BYTES_MAX
from machemu.ipc.thread import IpcThread
from tests.support.spaces import BUFFER, Copy, IpcWorld, Task, code

COMPLEX = 0x80000000
SEND, RCV, SEND_TIMEOUT, SEND_NOTIFY, SEND_CANCEL = 0x1, 0x2, 0x10, 0x20, 0x80
RCV_TIMEOUT, RCV_NOTIFY, RCV_LARGE = 0x100, 0x200, 0x800
SEND_ONCE_TYPE, DEAD_TYPE, SEND_TYPE, RECEIVE_TYPE = 0x40000, 0x100000, 0x10000, 0x20000


@pytest.fixture(params=[ByteOrder.LITTLE, ByteOrder.BIG], ids=["little", "big"])
def world(request: pytest.FixtureRequest) -> Iterator[IpcWorld]:
    world = IpcWorld(request.param)
    yield world
    world.check()
    world.end()


def pair(world: IpcWorld) -> tuple[Task, int, Task, int]:
    """A client with a send right to a server's port."""
    server, client = world.task(), world.task()
    name = server.port()
    return client, server.give(client, name, MAKE_SEND), server, name


def trap(
    thread: IpcThread, world: IpcWorld, option: int, send: int = 0, size: int = 256, name: int = 0, timeout: int = 0
) -> int | None:
    return mach_msg.mach_msg_trap(world.ipc, thread, BUFFER, option, send, size, name, timeout, 0)


def test_a_call_and_its_reply(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply = mp.mach_reply_port(world.ipc, client.space)
    assert client.send(COPY_SEND | MAKE_SEND_ONCE << 8, to, reply, 77, 5, 6) == 0
    assert server.receive(name) == 0
    bits, size, remote, local, seqno, msgh_id, *body = server.words(8)
    assert (bits, size, local, seqno, msgh_id, body) == (PORT_SEND_ONCE | PORT_SEND << 8, 32, name, 0, 77, [5, 6])
    assert server.type(remote) == SEND_ONCE_TYPE
    assert server.send(MOVE_SEND_ONCE, remote, 0, 177) == 0
    assert server.type(remote) == 0
    assert client.receive(reply) == 0
    assert client.words(6) == (PORT_SEND_ONCE << 8, 24, 0, reply, 0, 177)


def test_a_kernel_port_answers_inside_the_send(world: IpcWorld) -> None:
    task = world.task()
    kernel_port = world.ipc.make_kernel_port(None)
    name = mp.copyout_send(world.ipc, task.space, port.make_send(world.ipc, kernel_port))
    reply = task.port()
    size = task.put(COPY_SEND | MAKE_SEND_ONCE << 8, name, reply, 2000, 1)
    assert task.msg(SEND | RCV, size, 256, reply) == 0
    assert world.kernel.requests == [(2000, world.ipc.word.pack(1))]
    assert task.words(6)[4:] == (0, 2100)
    mp.mach_port_set_qlimit(world.ipc, task.space, reply, 0)
    assert task.send(COPY_SEND | MAKE_SEND_ONCE << 8, name, reply, 2001) == 0
    assert mp.mach_port_get_receive_status(task.space, reply).msgcount == 1


def test_a_waiting_receiver_is_handed_the_message_and_the_cpu(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply = client.port()
    assert trap(server.thread, world, RCV, name=name) is None
    size = client.put(COPY_SEND | MAKE_SEND_ONCE << 8, to, reply, 1)
    assert trap(client.thread, world, SEND | RCV, size, 256, reply) is None
    assert world.scheduler.handed == [server.thread]
    assert mp.mach_port_get_receive_status(server.space, name).msgcount == 1
    assert mach_msg.continue_wait(world.ipc, server.thread) == 0
    assert mp.mach_port_get_receive_status(server.space, name)[1:5] == (1, 1, 5, 0)
    assert server.words(6)[5] == 1


@pytest.mark.parametrize("option", [SEND, SEND | RCV | SEND_TIMEOUT])
def test_other_sends_only_wake_the_receiver(world: IpcWorld, option: int) -> None:
    client, to, server, name = pair(world)
    assert trap(server.thread, world, RCV, name=name) is None
    size = client.put(COPY_SEND, to, 0, 1)
    trap(client.thread, world, option, size)
    assert world.scheduler.ready == [server.thread]
    assert not world.scheduler.handed


def test_the_receiver_that_came_last_is_served_first(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    threads = [server.thread, server.new_thread(), server.new_thread()]
    for thread in threads:
        assert trap(thread, world, RCV, name=name) is None
    for number in range(3):
        assert client.send(COPY_SEND, to, 0, number) == 0
    assert world.scheduler.ready == threads[::-1]
    for number, thread in enumerate(threads[::-1]):
        assert mach_msg.continue_wait(world.ipc, thread) == 0
        assert server.words(6)[4:] == (number, number)


def test_a_full_queue_blocks_senders_until_a_message_is_taken(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    for number in range(5):
        assert client.send(COPY_SEND, to, 0, number) == 0
    late = client.new_thread()
    assert trap(late, world, SEND, client.put(COPY_SEND, to, 0, 5)) is None
    assert server.receive(name) == 0
    assert world.scheduler.ready == [late]
    assert mach_msg.continue_wait(world.ipc, late) == 0
    assert [server.receive(name) or server.words(6)[5] for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_woken_sender_waits_again_where_another_was_faster(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    late = client.new_thread()
    assert trap(late, world, SEND, client.put(COPY_SEND, to, 0, 5)) is None
    server.receive(name)
    assert client.send(COPY_SEND, to, 0, 6) == 0
    assert mach_msg.continue_wait(world.ipc, late) is None
    assert late.ith_queue is not None


def test_a_send_that_times_out_gives_the_message_back(world: IpcWorld) -> None:
    client, to, server, _ = pair(world)
    mine = client.port()
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    name = server.port()
    client_side = server.give(client, name, MAKE_SEND)
    size = client.put(COMPLEX | COPY_SEND | MAKE_SEND << 8, to, mine, 9, client.item(MOVE_SEND, 32, 1), client_side)
    thread = client.new_thread()
    assert trap(thread, world, SEND | SEND_TIMEOUT, size, timeout=3) is None
    assert world.scheduler.blocked[id(thread)] == 3_000_000
    assert client.type(client_side) == 0
    mach_msg.timed_out(world.ipc, thread)
    assert mach_msg.continue_wait(world.ipc, thread) == 0x10000004
    words = client.words(8)
    assert words[0] == COMPLEX | PORT_SEND | PORT_SEND << 8
    assert (words[2], words[3]) == (to, mine)
    assert client.type(words[7]) == SEND_TYPE
    assert client.refs(mine) == 1


def test_an_interrupted_sender_gets_its_message_back(world: IpcWorld) -> None:
    client, to, _, _ = pair(world)
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    thread = client.new_thread()
    assert trap(thread, world, SEND | RCV, client.put(COPY_SEND, to, 0, 9), 256, client.port()) is None
    mach_msg.interrupted(world.ipc, thread)
    assert mach_msg.continue_wait(world.ipc, thread) == 0x10000007
    assert client.words(1)[0] == PORT_SEND


def test_receives_time_out_and_are_interrupted(world: IpcWorld) -> None:
    task = world.task()
    name = task.port()
    assert trap(task.thread, world, RCV | RCV_TIMEOUT, name=name, timeout=1) is None
    mach_msg.timed_out(world.ipc, task.thread)
    assert mach_msg.continue_wait(world.ipc, task.thread) == 0x10004003
    assert trap(task.thread, world, RCV, name=name) is None
    assert world.scheduler.blocked[id(task.thread)] is None
    mach_msg.interrupted(world.ipc, task.thread)
    assert mach_msg.continue_wait(world.ipc, task.thread) == 0x10004005


def test_a_dying_port_ends_every_wait(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    assert trap(server.thread, world, RCV, name=name) is None
    mp.mach_port_mod_refs(world.ipc, server.space, name, 1, -1)
    assert mach_msg.continue_wait(world.ipc, server.thread) == 0x10004009
    client, to, server, name = pair(world)
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    assert trap(client.thread, world, SEND, client.put(COPY_SEND, to, 0, 5)) is None
    mp.mach_port_mod_refs(world.ipc, server.space, name, 1, -1)
    assert mach_msg.continue_wait(world.ipc, client.thread) == 0


def test_a_message_in_a_receivers_hands_survives_its_port(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    assert trap(server.thread, world, RCV, name=name) is None
    assert client.send(COPY_SEND | MAKE_SEND_ONCE << 8, to, client.port(), 3) == 0
    mp.mach_port_mod_refs(world.ipc, server.space, name, 1, -1)
    assert mach_msg.continue_wait(world.ipc, server.thread) == 0
    words = server.words(6)
    assert words[3] == 0xFFFFFFFF
    assert server.type(words[2]) == SEND_ONCE_TYPE


def test_msg_accepted_tells_when_there_was_room(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    notify = client.port()
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    assert client.send(COPY_SEND, to, 0, 5, option=SEND_NOTIFY, notify=notify) == 0x10000005
    assert client.type(to) & 0x40000000
    assert client.send(COPY_SEND, to, 0, 6, option=SEND_NOTIFY, notify=notify) == 0x10000006
    assert client.send(COPY_SEND, to, 0, 6, option=SEND_NOTIFY) == 0x1000000B
    for _ in range(6):
        assert client.receive(notify) == 0x10004003
        assert server.receive(name) == 0
    assert client.receive(notify) == 0
    assert client.words(8)[5:] == (66, client.item(15, 32, 1), to)
    assert not client.type(to) & 0x40000000


def test_a_renamed_or_dropped_name_changes_msg_accepted(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    notify = client.port()
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    client.send(COPY_SEND, to, 0, 5, option=SEND_NOTIFY, notify=notify)
    mp.mach_port_rename(client.space, to, 300)
    mp.mach_port_deallocate(world.ipc, client.space, 300)
    mp.mach_port_mod_refs(world.ipc, server.space, name, 1, -1)
    assert client.receive(notify) == 0
    assert client.words(8)[5:] == (66, client.item(15, 32, 1), 0)


def test_send_cancel_drops_a_dead_name_request_in_silence(world: IpcWorld) -> None:
    client, to, _, _ = pair(world)
    notify = client.port()
    client.notify(to, 72, 0, notify)
    assert client.send(MOVE_SEND, to, 0, 1, option=SEND_CANCEL, notify=notify) == 0
    assert client.receive(notify) == 0x10004003
    client, to, _, _ = pair(world)
    notify = client.port()
    client.notify(to, 72, 0, notify)
    assert client.send(MOVE_SEND, to, 0, 1) == 0
    assert client.receive(notify) == 0
    assert client.words(8)[5:] == (65, client.item(15, 32, 1), to)


def test_receive_notify_watches_the_reply_right(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply, notify = client.port(), server.port()
    client.send(COPY_SEND | MAKE_SEND_ONCE << 8, to, reply, 1)
    assert server.msg(RCV | RCV_NOTIFY, name=name, notify=notify) == 0
    taken = server.words(3)[2]
    assert server.type(taken) == SEND_ONCE_TYPE | 0x80000000
    mp.mach_port_mod_refs(world.ipc, client.space, reply, 1, -1)
    assert server.receive(notify) == 0
    assert server.words(8)[5:] == (72, server.item(15, 32, 1), taken)
    assert server.type(taken) == DEAD_TYPE
    assert server.refs(taken, 4) == 2


def test_receive_notify_without_a_port_loses_the_message(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply = client.port()
    client.send(COPY_SEND | MAKE_SEND_ONCE << 8, to, reply, 1)
    assert server.msg(RCV | RCV_NOTIFY, name=name) == 0x10004007
    assert client.receive(reply) == 0
    assert client.words(6)[5] == 71


def test_sizes_are_told_to_a_waiting_receiver(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    small, large = server.thread, server.new_thread()
    assert trap(large, world, RCV | RCV_LARGE, size=64, name=name) is None
    assert trap(small, world, RCV | RCV_LARGE, size=24, name=name) is None
    client.send(COPY_SEND, to, 0, 1, 0, 0)
    assert mach_msg.continue_wait(world.ipc, small) == 0x10004004
    assert server.words(2)[1] == 32
    assert mach_msg.continue_wait(world.ipc, large) == 0


def test_out_of_line_rights_and_long_descriptors(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    task = client
    mine = task.port()
    task.memory.map(0x8000, 4096)
    task.memory.write(VirtAddr(0x8000), struct.pack(f"{task.prefix}3I", mine, 0, 0xFFFFFFFF))
    long_word = 0x60000000 if world.order is ByteOrder.LITTLE else 0x6
    longform = struct.unpack(f"{task.prefix}3I", struct.pack(f"{task.prefix}IHHI", long_word, MAKE_SEND, 32, 3))
    assert task.send(COMPLEX | COPY_SEND, to, 0, 1, *longform, 0x8000, task.item(8, 8, 3), 0x01020304) == 0
    assert 8 not in task.memory.pages
    assert server.receive(name) == 0
    words = server.words(12)
    head, kind, size, number = struct.unpack(f"{task.prefix}IHHI", struct.pack(f"{task.prefix}3I", *words[6:9]))
    assert (head, kind, size, number) == (long_word, PORT_SEND, 32, 3)
    taken, null, dead = server.words(3, words[9])
    assert (server.type(taken), null, dead) == (SEND_TYPE, 0, 0xFFFFFFFF)
    assert words[11] == 0x01020304


@pytest.mark.parametrize(("number", "rest"), [(0x40000000, 0), (0x40000001, 4)])
def test_of_an_item_of_4_gib_and_more_only_the_rest_counts(world: IpcWorld, number: int, rest: int) -> None:
    """As on the real kernel, whose lengths in bytes are words; names of which there are so many are no rights."""
    client, to, server, name = pair(world)
    little = world.order is ByteOrder.LITTLE

    def longform(kind: int, inline: bool) -> tuple[int, int, int]:
        first = 0x20000000 | inline << 28 if little else 0x4 | inline << 3
        return struct.unpack(f"{client.prefix}3I", struct.pack(f"{client.prefix}IHHI", first, kind, 32, number))

    client.memory.map(0x8000, 4096)
    client.memory.write(VirtAddr(0x8000), b"rest")
    assert client.send(COMPLEX | COPY_SEND, to, 0, 1, *longform(2, True), *[7] * (rest // 4)) == 0
    assert client.send(COMPLEX | COPY_SEND, to, 0, 2, *longform(2, False), 0x8000) == 0
    assert client.send(COMPLEX | COPY_SEND, to, 0, 3, *longform(COPY_SEND, True), *[to] * (rest // 4)) == 0x1000000A
    assert server.receive(name) == 0
    assert server.words(1)[0] & COMPLEX == 0
    assert server.receive(name) == 0
    address = server.words(10)[9]
    assert server.memory.read(VirtAddr(address), rest) == b"rest"[:rest] if rest else address == 0


def test_memory_that_finds_no_place_is_told_item_by_item(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    client.memory.map(0x8000, 4096)
    mine = client.port()
    client.memory.write(VirtAddr(0x8000), struct.pack(f"{client.prefix}I", mine))
    items = (client.item(8, 8, 5, False), 0x8010, client.item(MAKE_SEND, 32, 1, False), 0x8000, client.item(2, 32, 1), 9)
    assert client.send(COMPLEX | COPY_SEND, to, 0, 1, *items) == 0
    server.memory.full = True
    assert server.receive(name) == 0x1000400C | 0x1000
    deallocate = client.item(8, 0, 5, False, True), 0, client.item(PORT_SEND, 0, 1, False, True), 0
    assert server.words(12)[6:] == (*deallocate, client.item(2, 32, 1), 9)
    assert mp.mach_port_get_receive_status(client.space, mine).srights == 0


def test_a_dead_name_travels_as_dead(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    dead = mp.mach_port_allocate(world.ipc, client.space, 4)
    assert client.send(COMPLEX | COPY_SEND, to, 0, 1, client.item(MOVE_SEND, 32, 1), dead) == 0
    assert client.type(dead) == 0
    assert server.receive(name) == 0
    assert server.words(8)[7] == 0xFFFFFFFF


def test_a_body_failure_destroys_what_was_taken(world: IpcWorld) -> None:
    client, _, server, name = pair(world)
    mine, reply = client.port(), client.port()
    once = server.give(client, name, MAKE_SEND_ONCE)
    body = (client.item(MAKE_SEND, 32, 1), mine, client.item(MOVE_SEND, 32, 2), mine, 7777)
    assert client.send(COMPLEX | MOVE_SEND_ONCE | MAKE_SEND_ONCE << 8, once, reply, 1, *body) == 0x1000000A
    status = mp.mach_port_get_receive_status(client.space, mine)
    assert (status.srights, status.mscount) == (0, 1)
    assert client.type(mine) == RECEIVE_TYPE
    assert client.receive(reply) == 0
    assert client.words(6)[5] == 71
    assert server.receive(name) == 0
    assert server.words(6)[5] == 71


def test_a_port_sent_to_itself_is_destroyed(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    inner = server.port()
    server.insert(inner, inner, MAKE_SEND)
    assert server.send(COMPLEX | COPY_SEND, inner, 0, 1, server.item(MOVE_RECEIVE, 32, 1), name) == 0
    assert server.send(COMPLEX | COPY_SEND, inner, 0, 1, server.item(MOVE_RECEIVE, 32, 1), inner) == 0
    assert client.type(to) == DEAD_TYPE
    assert server.type(inner) == DEAD_TYPE


def test_a_deep_chain_of_ports_in_messages_dies_without_recursion(world: IpcWorld) -> None:
    task = world.task()
    outer = task.port()
    task.insert(outer, outer, MAKE_SEND)
    for _ in range(5000):
        inner = task.port()
        task.insert(inner, inner, MAKE_SEND)
        assert task.send(COMPLEX | COPY_SEND, inner, 0, 1, task.item(MOVE_RECEIVE, 32, 1), outer) == 0
        mp.mach_port_deallocate(world.ipc, task.space, outer)
        outer = inner
    mp.mach_port_destroy(world.ipc, task.space, outer)
    assert not world.ipc.ports


def test_ten_thousand_rights_in_one_message(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    ports = [client.port() for _ in range(2500)]
    descriptors = [word for first in ports for word in (client.item(MAKE_SEND, 32, 4), *[first] * 4)]
    client.memory.map(0x100000, 1 << 18)
    data = struct.pack(f"{client.prefix}{6 + len(descriptors)}I", COMPLEX | COPY_SEND, 0, to, 0, 0, 1, *descriptors)
    client.memory.write(VirtAddr(0x100000), data)
    assert mach_msg.mach_msg_trap(world.ipc, client.thread, 0x100000, SEND, len(data), 0, 0, 0, 0) == 0
    server.memory.map(0x100000, 1 << 18)
    assert mach_msg.mach_msg_trap(world.ipc, server.thread, 0x100000, RCV, 0, len(data), name, 0, 0) == 0
    received = struct.unpack(f"{client.prefix}{len(descriptors)}I", server.memory.read(VirtAddr(0x100000 + 24), len(data) - 24))
    assert len(set(received)) == 2501
    assert server.refs(received[1]) == 4


def test_messages_cannot_take_all_memory(world: IpcWorld) -> None:
    task = world.task()
    assert task.msg(SEND, 1 << 30) == 0x1000000D
    assert task.msg(SEND, 0xFFFFFFFC) == 0x1000000D
    world.ipc.message_bytes += MESSAGE_BYTES_MAX - 24
    name = task.port()
    assert task.send(MAKE_SEND, name, 0, 1, 0) == 0x1000000D
    assert task.send(MAKE_SEND, name, 0, 1) == 0
    world.ipc.message_bytes -= MESSAGE_BYTES_MAX - 24


def test_the_kernels_own_message_carries_memory_and_rights(world: IpcWorld) -> None:
    task = world.task()
    name = task.port()
    target = task.space.table[name].port()
    held = world.ipc.make_kernel_port(None)
    carried = (
        CarriedPort(4, PORT_SEND, port.make_send(world.ipc, held)),
        CarriedPort(8, PORT_SEND, None),
        CarriedMemory(16, 5, Copy(world, b"hello", 7)),
    )
    world.copies += 1
    body = world.ipc.word.pack(task.item(PORT_SEND, 32, 2)) + bytes(8)
    body += world.ipc.word.pack(task.item(8, 8, 5, False, True)) + bytes(4)
    for _ in range(7):
        kmsgs.kernel_send(world.ipc, kmsgs.make(world.ipc, port.make_send(world.ipc, target), PORT_SEND, None, 0, 5))
    taken = port.make_send(world.ipc, target)
    kmsgs.kernel_send(world.ipc, kmsgs.make(world.ipc, taken, PORT_SEND, None, 0, 6, body, carried))
    for _ in range(8):
        assert task.receive(name) == 0
    words = task.words(11)
    assert words[0] == COMPLEX | PORT_SEND << 8
    assert task.space.table[words[7]].object is held
    assert words[8] == 0
    assert words[10] % 4096 == 7
    assert task.memory.read(VirtAddr(words[10]), 5) == b"hello"


def test_the_kernel_waits_for_a_reply(world: IpcWorld) -> None:
    task = world.task()
    reply_port = world.ipc.make_kernel_port(None, reply=True)
    once = right.copyout(task.space, port.make_sonce(world.ipc, reply_port), PORT_SEND_ONCE)
    waiting = task.new_thread()
    mqueue.wait_for_kernel_reply(world.ipc, waiting, reply_port)
    world.scheduler.blocked[id(waiting)] = None
    assert task.send(MOVE_SEND_ONCE, once, 0, 9) == 0
    assert world.scheduler.ready == [waiting]
    reply = mqueue.kernel_reply(world.ipc, waiting)
    assert reply is not None
    assert reply.id == 9
    kmsgs.destroy_right(world.ipc, reply.remote, reply.remote_type)
    kmsgs.consume(world.ipc, reply)
    world.scheduler.ready.clear()
    port.dealloc_kernel(world.ipc, reply_port)


def test_protected_payloads_come_instead_of_the_name(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    mp.mach_port_set_protected_payload(server.space, name, 0xABCD)
    client.send(COPY_SEND, to, 0, 1)
    client.send(COPY_SEND, to, 0, 2)
    assert server.receive(name) == 0
    assert server.words(4) == (23 << 8, 24, 0, 0xABCD)
    mp.mach_port_clear_protected_payload(server.space, name)
    assert server.receive(name) == 0
    assert server.words(4) == (PORT_SEND << 8, 24, 0, name)


def test_one_name_as_destination_and_reply(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    again = server.give(client, name, MAKE_SEND)
    assert again == to
    assert client.send(MOVE_SEND | MOVE_SEND << 8, to, to, 1) == 0
    assert client.type(to) == 0
    to = server.give(client, name, MAKE_SEND)
    assert client.send(MOVE_SEND | MOVE_SEND << 8, to, to, 2) == 0x10000003
    assert client.send(COPY_SEND | MOVE_SEND << 8, to, to, 2) == 0
    assert client.type(to) == 0
    own = client.port()
    assert client.send(MAKE_SEND | MAKE_SEND_ONCE << 8, own, own, 3) == 0
    once = server.give(client, name, MAKE_SEND_ONCE)
    assert client.send(MOVE_SEND_ONCE | MOVE_SEND_ONCE << 8, once, once, 3) == 0x10000003
    assert client.type(once) == SEND_ONCE_TYPE


def test_sets_take_messages_over_and_give_them_back(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    pset = mp.mach_port_allocate(world.ipc, server.space, 3)
    for number in range(3):
        client.send(COPY_SEND, to, 0, number)
    mp.mach_port_move_member(world.ipc, server.space, name, pset)
    assert server.receive(pset) == 0
    mp.mach_port_mod_refs(world.ipc, server.space, pset, 3, -1)
    assert server.receive(name) == 0
    assert server.words(6)[4:] == (1, 1)
    pset = mp.mach_port_allocate(world.ipc, server.space, 3)
    waiting, direct = server.thread, server.new_thread()
    server.receive(name)
    assert trap(waiting, world, RCV, name=pset) is None
    assert trap(direct, world, RCV, name=name) is None
    mp.mach_port_move_member(world.ipc, server.space, name, pset)
    assert mach_msg.continue_wait(world.ipc, direct) == 0x10004006
    client.send(COPY_SEND, to, 0, 9)
    assert mach_msg.continue_wait(world.ipc, waiting) == 0
    assert server.words(6)[3:] == (name, 3, 9)
    assert trap(waiting, world, RCV, name=pset) is None
    mp.mach_port_destroy(world.ipc, server.space, pset)
    assert mach_msg.continue_wait(world.ipc, waiting) == 0x10004009


class Watcher:
    def __init__(self) -> None:
        self.seen: list[tuple[str, IpcThread | None, int]] = []

    def sent(self, thread: IpcThread | None, kmsg: Kmsg) -> None:
        assert isinstance(kmsg.remote, Port)
        self.seen.append(("sent", thread, kmsg.id))

    def received(self, thread: IpcThread, kmsg: Kmsg) -> None:
        self.seen.append(("received", thread, kmsg.id))


def test_an_observer_sees_each_message_once(world: IpcWorld) -> None:
    watcher = world.ipc.observer = Watcher()
    client, to, server, name = pair(world)
    once = server.give(client, name, MAKE_SEND_ONCE)
    client.send(COPY_SEND, to, 0, 5)
    mp.mach_port_deallocate(world.ipc, client.space, once)
    server.receive(name)
    server.receive(name)
    assert watcher.seen == [
        ("sent", client.thread, 5),
        ("sent", None, 71),
        ("received", server.thread, 5),
        ("received", server.thread, 71),
    ]
    world.ipc.observer = None


def test_seqno_and_mscount_count_round(world: IpcWorld) -> None:
    task = world.task()
    name = task.port()
    mp.mach_port_set_seqno(task.space, name, SIZE_MAX)
    mp.mach_port_set_mscount(task.space, name, SIZE_MAX)
    task.send(MAKE_SEND, name, 0, 1)
    assert task.receive(name) == 0
    assert task.words(6)[4] == SIZE_MAX
    assert mp.mach_port_get_receive_status(task.space, name)[1:3] == (0, 0)


def test_a_receiver_whose_buffer_is_gone_loses_the_message_but_no_count(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    client.send(COPY_SEND | MAKE_SEND_ONCE << 8, to, client.port(), 1)
    server.memory.deallocate(VirtAddr(BUFFER), 4096)
    assert server.receive(name) == 0x10004008
    assert code(mp.mach_port_type, server.space, 2) == 0


def test_a_sender_is_woken_only_below_the_limit(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    for number in range(5):
        client.send(COPY_SEND, to, 0, number)
    assert trap(client.thread, world, SEND, client.put(COPY_SEND, to, 0, 5)) is None
    mp.mach_port_set_qlimit(world.ipc, server.space, name, 4)
    assert server.receive(name) == 0
    assert not world.scheduler.ready
    assert server.receive(name) == 0
    assert world.scheduler.ready == [client.thread]


def test_a_moved_receive_right_counts_from_zero(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    for number in range(3):
        client.send(COPY_SEND, to, 0, number)
    assert server.receive(name) == 0
    assert mp.mach_port_get_receive_status(server.space, name)[1:3] == (1, 1)
    assert server.give(client, name, MOVE_RECEIVE) == to
    assert mp.mach_port_get_receive_status(client.space, to)[1:5] == (0, 0, 5, 2)
    assert client.receive(to) == 0
    assert client.words(6)[4:] == (0, 1)


@pytest.mark.parametrize("flaw", ["deallocate inline", "unused bit", "short fields in the long form"])
def test_descriptors_that_make_no_sense(world: IpcWorld, flaw: str) -> None:
    client, to, _, _ = pair(world)
    little = world.order is ByteOrder.LITTLE
    word = client.item(2, 32, 1, True, flaw == "deallocate inline")
    if flaw == "unused bit":
        word |= 0x80000000 if little else 1
    if flaw.startswith("short"):
        word |= 0x20000000 if little else 4
    assert client.send(COMPLEX | COPY_SEND, to, 0, 1, word, 0, 0, 0) == 0x1000000F


def test_receive_notify_asks_nothing_for_a_right_that_is_known(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply, notify = client.port(), server.port()
    known = client.give(server, reply, MAKE_SEND)
    client.send(COPY_SEND | MAKE_SEND << 8, to, reply, 1)
    assert server.msg(RCV | RCV_NOTIFY, name=name, notify=notify) == 0
    assert server.words(3)[2] == known
    assert server.type(known) == SEND_TYPE
    assert mp.mach_port_get_receive_status(server.space, notify).sorights == 0


def test_send_cancel_wants_a_port(world: IpcWorld) -> None:
    client, to, _, _ = pair(world)
    assert client.send(COPY_SEND, to, 0, 1, option=SEND_CANCEL) == 0x1000000B
    assert client.send(COPY_SEND, to, 0, 1, option=SEND_CANCEL, notify=to) == 0x1000000B


def test_a_reply_that_waits_for_the_next_request_hands_off(world: IpcWorld) -> None:
    client, to, server, name = pair(world)
    reply = client.port()
    size = client.put(COPY_SEND | MAKE_SEND_ONCE << 8, to, reply, 1)
    assert trap(client.thread, world, SEND | RCV, size, 256, reply) is None
    assert server.receive(name) == 0
    size = server.put(MOVE_SEND_ONCE, server.words(3)[2], 0, 101)
    assert trap(server.thread, world, SEND | RCV, size, 256, name) is None
    assert world.scheduler.handed == [client.thread]
