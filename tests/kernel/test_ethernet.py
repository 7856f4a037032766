"""Ethernet as a task sees it: frames out, frames in by filters, queues that are full, ports that die, saved state."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.device import (
    CUT_IPV4,
    D_INVALID_OPERATION,
    D_INVALID_SIZE,
    D_NO_MEMORY,
    D_NO_SUCH_DEVICE,
    NET_ADDRESS,
    NET_FLAGS,
    NET_STATUS,
)
from machemu.abi.errors import UserError
from machemu.abi.message import decode_type_word
from machemu.device import bpf
from machemu.device.bpf import Instruction
from machemu.device.ethernet import ARRIVED_MAX, TRANSMIT_MAX, EthernetDriver
from machemu.device.fragments import cut
from machemu.device.net_filter import NETF_BPF, NETF_IN, NETF_JOIN, NETF_OUT, PUSHLIT, PUSHWORD, Op
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.port import Port
from machemu.machine.nic import EthernetNic
from machemu.mig.interfaces import device
from masix.net.frames import make
from tests.support.devices import User
from tests.support.guests import I386, Arch
from tests.support.machine import Machine, load, new_node

OWN, OTHER, ALL = bytes.fromhex("0800 2b01 0203"), bytes.fromhex("0800 2b99 9999"), b"\xff" * 6
TAKE_ALL = (NETF_IN, PUSHLIT, 1)
BROADCASTS, UP = 0x1002, 0x241


def frame(target: bytes, text: bytes, kind: int = 0x0800) -> bytes:
    return target + OTHER + struct.pack(">H", kind) + text


def take_kind(arch: Arch, kind: int, flags: int = NETF_IN) -> tuple[int, ...]:
    """A filter for an Ethernet type, whose bytes the guest sees in its own order."""
    [seen] = arch.unpack("H", struct.pack(">H", kind))
    return (flags, PUSHWORD + 1, Op.EQ << 10 | PUSHLIT, seen)


def descriptor(arch: Arch, count: int) -> bytes:
    """mach_msg_type_t of so many bytes inline."""
    return arch.pack("I", arch.item(9, 8, count))


def words_of(arch: Arch, *program: Instruction) -> tuple[int, ...]:
    return arch.unpack(f"{4 * len(program)}H", b"".join(arch.pack("HBBI", *step) for step in program))


class Net:
    """A machine with eth0 open, what it sent, and a task."""

    def __init__(self, machine: Machine, user: User, port: Port | None = None) -> None:
        self.machine = machine
        self.user = user
        driver = machine.kernel.devices.drivers[0]
        assert isinstance(driver, EthernetDriver) and isinstance(driver.nic, EthernetNic)
        self.driver, self.nic = driver, driver.nic
        self.sent: list[bytes] = []
        self.nic.sink = lambda frame, delay: self.sent.append(frame)
        self.port = port or user.open("eth0")

    def filter(self, program: tuple[int, ...], priority: int = 1, port: Port | None = None) -> tuple[Port, int]:
        """Sets a filter for a port, a new one without one; the port and the code."""
        port = port or self.user.make_port()
        signed = tuple(word - 0x10000 if word >> 15 else word for word in program)
        right = ports.make_send(self.user.ipc, port)
        code = self.user.call(self.port, device.DEVICE_SET_FILTER, right, priority, signed)[0]
        self.machine.check()
        return port, code

    def status(self, flavor: int, room: int) -> tuple[Any, ...]:
        return self.user.call(self.port, device.DEVICE_GET_STATUS, flavor, room)

    def arrive(self, *frames: bytes) -> None:
        for data in frames:
            self.nic.receive(data)
        self.machine.run(1)
        self.machine.check()

    def packets(self, port: Port) -> list[bytes]:
        """The packets, after their packet headers, that lie at a port."""
        found = []
        while (body := self.user.discard(port)) is not None:
            kind = decode_type_word(self.machine.arch.unpack("I", body, 68)[0], self.user.ipc.order)
            start, size = (80, self.machine.arch.unpack("I", body, 76)[0]) if kind.longform else (72, kind.number)
            found.append(body[start + 4 : start + size])
        return found


def net(arch: Arch) -> Net:
    machine = Machine(new_node(arch, nics={"eth0": EthernetNic(OWN)}))
    return Net(machine, User(machine))


def test_status_address_and_flags(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        status = eth.status
        refused = (D_INVALID_OPERATION,)
        assert status(NET_STATUS, 7) == status(NET_STATUS, 9) == (0, (14, 1514, 1, 14, 6, 0x41, 0))
        assert status(NET_STATUS, 6) == status(NET_ADDRESS, 1) == status(99, 9) == refused
        assert status(NET_ADDRESS, 2) == (0, (0x08002B01, 0x02030000))
        assert status(NET_FLAGS, 1) == (0, (BROADCASTS | UP,))
        assert status(NET_FLAGS, 2) == (D_INVALID_SIZE,)
        assert eth.user.call(eth.port, device.DEVICE_SET_STATUS, NET_FLAGS, (0x100, 0)) == (D_INVALID_SIZE,)
        assert eth.user.call(eth.port, device.DEVICE_SET_STATUS, NET_STATUS, (0,) * 7) == refused
        assert eth.user.call(eth.port, device.DEVICE_SET_STATUS, NET_FLAGS, (0x100,)) == (0,)
        assert status(NET_FLAGS, 1) == (0, (0x101,))
        assert status(NET_STATUS, 7)[1][5] == 0x101


def test_what_an_interface_does_not_do(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        call, refused = eth.user.call, (D_INVALID_OPERATION,)
        assert call(eth.port, device.DEVICE_READ, 0, 0, 100) == call(eth.port, device.DEVICE_READ_INBAND, 0, 0, 100) == refused
        assert call(eth.port, device.DEVICE_WRITE_INBAND, 0, 0, bytes(60)) == refused
        assert call(eth.port, device.DEVICE_MAP, 8, 0, 0, 0) == refused
        assert eth.user.call(eth.port, device.DEVICE_CLOSE) == (0,)
        assert eth.port.active and eth.user.open("eth0") is eth.port, "it stays open for ever"
        assert call(eth.user.devices.master_port, device.DEVICE_OPEN, 3, b"eth1") == (D_NO_SUCH_DEVICE,)


def test_frames_go_out_in_turn_and_are_filled_up(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        small, large = frame(ALL, b"hello"), frame(OTHER, bytes(1500))
        for data in (large, small):
            eth.user.ask(eth.port, device.DEVICE_WRITE, 0, 0, eth.user.memory(data))
        eth.machine.run(1514 * eth.driver.byte_ns - 100_000)
        assert eth.sent == [] and eth.user.answer(device.DEVICE_WRITE) is None
        eth.machine.settle()
        assert eth.user.answer(device.DEVICE_WRITE) == (0, 1514)
        assert eth.user.answer(device.DEVICE_WRITE) == (0, 19)
        assert eth.sent == [large, small.ljust(60, b"\0")] and eth.nic.sent == 2
        for size in (0, 13, 1515, 1 << 20):
            assert eth.user.write(eth.port, 0, bytes(size)) == (D_INVALID_SIZE,)


def test_a_flood_of_frames_out_is_refused(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        for _ in range(TRANSMIT_MAX + 1):
            eth.user.ask(eth.port, device.DEVICE_WRITE, 0, 0, eth.user.memory(bytes(100)))
        assert eth.user.answer(device.DEVICE_WRITE) == (D_NO_MEMORY,)
        eth.machine.settle()
        assert len(eth.sent) == TRANSMIT_MAX


def packet(target: bytes, size: int) -> bytes:
    """A frame with a UDP datagram of so many bytes, too long for the wire."""
    return make(target + OTHER, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)), 7, 7, bytes(range(250)) * (size // 250), 5)


def test_a_long_packet_goes_out_in_frames_for_who_asks_for_it(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        data = packet(OTHER, 60_000)

        def write(mode: int, what: bytes) -> tuple[Any, ...]:
            return eth.user.call(eth.port, device.DEVICE_WRITE, mode, 0, eth.user.memory(what))

        assert write(0, data) == write(CUT_IPV4, data + b"x") == write(CUT_IPV4, bytes(5000)) == (D_INVALID_SIZE,)
        assert write(CUT_IPV4, frame(OTHER, b"short")) == (0, 19)
        sent, _ = eth.filter((NETF_OUT, PUSHLIT, 1))
        began = eth.machine.kernel.kern.clock.now()
        assert write(CUT_IPV4, data) == (0, len(data))
        pieces = cut(data) or []
        assert eth.sent[1:] == pieces and len(pieces) == 41
        assert eth.packets(sent) == [piece[14:] for piece in pieces[:5]], "as many as a queue takes"
        assert eth.machine.kernel.kern.clock.now() - began >= sum(map(len, pieces)) * eth.driver.byte_ns


def test_a_packet_in_fragments_comes_whole_to_who_asks_for_it_and_as_it_is_to_others(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        data = packet(OWN, 40_000)
        pieces = cut(data) or []
        whole, code = eth.filter((NETF_IN | NETF_JOIN, PUSHLIT, 1))
        assert code == 0
        eth.arrive(*reversed(pieces[1:]))
        assert eth.packets(whole) == [] and not list(eth.driver.awaits())
        eth.arrive(pieces[0], frame(OWN, b"after"))
        assert eth.packets(whole) == [data[14:], b"after"]
        plain, _ = eth.filter(TAKE_ALL)
        eth.arrive(*pieces[:3])
        assert eth.packets(plain) == eth.packets(whole) == [piece[14:] for piece in pieces[:3]]
        eth.arrive(*pieces[3:])
        assert data[14:] not in eth.packets(plain)


def test_a_machine_saved_between_fragments_takes_the_packet_whole(arch: Arch, tmp_path: Path) -> None:
    eth = net(arch)
    data = packet(OWN, 5_000)
    pieces = cut(data) or []
    with eth.machine:
        eth.filter((NETF_IN | NETF_JOIN, PUSHLIT, 1))
        eth.arrive(*pieces[:-1])
        eth.machine.node.save(tmp_path / "saved")
    with load(tmp_path / "saved") as machine:
        driver = machine.kernel.devices.drivers[0]
        assert isinstance(driver, EthernetDriver)
        driver.nic.receive(pieces[-1])
        assert list(driver.arrived) == [data]


def test_a_packet_is_a_message_as_net_rcv_msg_has_it(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        port, code = eth.filter(TAKE_ALL)
        assert code == 0
        data = frame(OWN, b"abcde", 0x0806)
        eth.arrive(data)
        kmsg = eth.user.take(port)
        assert kmsg is not None and kmsg.id == 2999 and not kmsg.complex and kmsg.local is None
        assert kmsg.size == 24 + 4 + 64 + 4 + 12
        packet = arch.pack("H", 9) + b"\x08\x06" + b"abcde"
        assert bytes(kmsg.body) == descriptor(arch, 64) + data[:14].ljust(64, b"\0") + descriptor(arch, 9) + packet + bytes(3)
        kmsgs.destroy(eth.user.ipc, kmsg)


def test_only_frames_for_this_station_come_in_unless_it_is_promiscuous(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        port, _ = eth.filter(TAKE_ALL)
        frames = [frame(OWN, b"own"), frame(OTHER, b"other"), frame(ALL, b"all"), frame(b"\x01\0\x5e\0\0\1", b"some")]
        eth.arrive(*frames, bytes(13), bytes(1515))
        assert eth.packets(port) == [b"own", b"some", b"all"], "broadcasts come last"
        eth.user.call(eth.port, device.DEVICE_SET_STATUS, NET_FLAGS, (0x100,))
        eth.arrive(*frames)
        assert eth.packets(port) == [b"own", b"other", b"some", b"all"]


def test_filters_are_asked_by_priority_and_one_of_high_priority_ends_it(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        low, _ = eth.filter(TAKE_ALL, 1)
        equal, _ = eth.filter(TAKE_ALL, 1)
        high, _ = eth.filter(take_kind(arch, 0x0806), 100)
        eth.arrive(frame(OWN, b"ip"), frame(OWN, b"arp", 0x0806))
        assert eth.packets(high) == [b"arp"]
        assert eth.packets(low) == eth.packets(equal) == [b"ip"]


def test_a_port_has_one_filter_and_a_dead_port_none(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        port, _ = eth.filter(take_kind(arch, 0x0800))
        eth.filter(take_kind(arch, 0x0806), port=port)
        eth.arrive(frame(OWN, b"ip"), frame(OWN, b"arp", 0x0806))
        assert eth.packets(port) == [b"arp"] and len(eth.driver.filters) == 1
        eth.user.destroy_port(port)
        eth.arrive(frame(OWN, b"arp", 0x0806))
        assert not eth.driver.filters
        doomed = [eth.filter(take_kind(arch, 1))[0] for _ in range(5)]
        for each in doomed:
            eth.user.destroy_port(each)
        kept, _ = eth.filter(TAKE_ALL)
        assert [entry.receivers for entry in eth.driver.filters] == [[((), kept)]]


def test_a_full_queue_drops_packets(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        port, _ = eth.filter(TAKE_ALL)
        eth.arrive(*(frame(OWN, b"%d" % n) for n in range(9)))
        assert eth.packets(port) == [b"0", b"1", b"2", b"3", b"4"]
        eth.arrive(*(frame(OWN, b"x") for _ in range(ARRIVED_MAX + 9)))
        assert len(eth.packets(port)) == 5


def test_a_filter_for_what_is_sent_sees_the_task_s_own_frames(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        outgoing, _ = eth.filter((NETF_OUT, PUSHLIT, 1))
        incoming, _ = eth.filter(TAKE_ALL)
        both, _ = eth.filter((NETF_IN | NETF_OUT, PUSHLIT, 1))
        eth.user.write(eth.port, 0, frame(OTHER, b"out"))
        eth.arrive(frame(OWN, b"in"))
        assert eth.packets(outgoing) == [b"out"] and eth.packets(incoming) == [b"in"] and eth.packets(both) == [b"out", b"in"]


def test_a_bpf_filter_says_how_much_of_a_packet_it_wants(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        begin, kind = Instruction(NETF_BPF | NETF_IN, 0, 0, 0), Instruction(0x28, 0, 0, 12)
        program = (begin, kind, Instruction(0x15, 0, 1, 0x0806), Instruction(6, 0, 0, 3), Instruction(6, 0, 0, 0))
        port, code = eth.filter(words_of(arch, *program))
        assert code == 0
        eth.arrive(frame(OWN, b"abcdef", 0x0806), frame(OWN, b"abcdef"), frame(OWN, b"g", 0x0806))
        assert eth.packets(port) == [b"abc", b"g"]


def shared(arch: Arch, key: int) -> tuple[int, ...]:
    """A BPF filter for frames whose first byte of data is `key`, in the way in which several receivers share one."""
    steps = (Instruction(0x30, 0, 0, 14), Instruction(0x02, 0, 0, 0), Instruction(bpf.MATCH_IMM, 1, 0, 0xFFFF))
    last = Instruction(6, 0, 0, 0)
    return words_of(arch, Instruction(NETF_BPF | NETF_IN, 0, 0, 0), *steps, Instruction(bpf.KEY, 0, 0, key), last)


def test_receivers_with_different_keys_share_a_filter(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        first, second = eth.filter(shared(arch, 1))[0], eth.filter(shared(arch, 2))[0]
        assert len(eth.driver.filters) == 1
        eth.arrive(frame(OWN, b"\1one"), frame(OWN, b"\2two"), frame(OWN, b"\3"))
        assert eth.packets(first) == [b"\1one"] and eth.packets(second) == [b"\2two"]
        eth.filter(shared(arch, 3), port=first)
        eth.arrive(frame(OWN, b"\1"), frame(OWN, b"\3"))
        assert eth.packets(first) == [b"\3"]
        eth.user.destroy_port(second)
        eth.arrive(frame(OWN, b"\2"))
        assert len(eth.driver.filters[0].receivers) == 1
        for priority in range(2, 5):
            assert eth.filter(shared(arch, 1), priority)[1] == 0
        assert eth.filter(shared(arch, 1), 9)[1] == D_NO_MEMORY, "four filters with a match are all there are"
        eth.user.destroy_port(first)
        assert eth.filter(shared(arch, 8))[1] == 0


@pytest.mark.parametrize(
    "program",
    [(), (0, PUSHLIT, 1), (4, PUSHLIT, 1), (NETF_IN, PUSHLIT), (NETF_IN | 2 << 10,), (NETF_IN, 63 << 10), (NETF_IN | NETF_BPF,),
     (NETF_IN | NETF_BPF, 0, 0, 0), (NETF_IN | NETF_BPF, *[0xFFFF] * 7), (NETF_IN, *[PUSHLIT, 1] * 60)],
)  # fmt: skip
def test_bad_filters_are_refused_and_keep_no_right(arch: Arch, program: tuple[int, ...]) -> None:
    eth = net(arch)
    with eth.machine:
        port, code = eth.filter(program)
        assert code == D_INVALID_OPERATION and not eth.driver.filters and not port.srights


def test_a_filter_for_no_port_is_refused(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        assert eth.user.call(eth.port, device.DEVICE_SET_FILTER, None, 1, TAKE_ALL) == (D_INVALID_OPERATION,)


def test_a_filter_may_name_a_port_of_the_kernel(arch: Arch) -> None:
    eth = net(arch)
    with eth.machine:
        right = ports.copy_send(eth.user.ipc, eth.port)
        assert eth.user.call(eth.port, device.DEVICE_SET_FILTER, right, 1, TAKE_ALL) == (0,)
        eth.arrive(frame(OWN, b"to the interface itself"))


def test_frames_on_their_way_are_saved(arch: Arch, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    eth = net(arch)
    with eth.machine:
        port, _ = eth.filter(take_kind(arch, 0x0800))
        bpf_port, _ = eth.filter(shared(arch, ord("f")))
        eth.user.ask(eth.port, device.DEVICE_WRITE, 0, 0, eth.user.memory(frame(OTHER, b"out")))
        eth.nic.receive(frame(OWN, b"first in"))
        eth.nic.receive(frame(OWN, b"second in"))
        number, bpf_number = port.number, bpf_port.number
        eth.machine.node.save(saved)
        eth.machine.settle()
        digest = eth.machine.node.digest()
    with load(saved) as again:
        user = User(again, again.tasks[0])
        loaded = Net(again, user, next(device.port for device in again.kernel.devices.opened.values()))
        again.settle()
        assert again.node.digest() == digest
        assert loaded.sent == [frame(OTHER, b"out").ljust(60, b"\0")]
        assert user.answer(device.DEVICE_WRITE) == (0, 17)
        assert loaded.packets(user.ipc.ports[number]) == [b"first in", b"second in"]
        assert loaded.packets(user.ipc.ports[bpf_number]) == [b"first in"]


def test_frames_for_an_interface_that_is_not_open_are_lost(arch: Arch) -> None:
    with Machine(new_node(arch, nics={"eth0": EthernetNic(OWN)})) as machine:
        driver = machine.kernel.devices.drivers[0]
        assert isinstance(driver, EthernetDriver)
        driver.nic.receive(frame(OWN, b"?"))
        assert not driver.arrived


@pytest.mark.parametrize("name", ("eth", "eth4", "hd0", ""))
def test_an_interface_cannot_have_any_name(name: str) -> None:
    with pytest.raises(UserError, match="no device"):
        new_node(I386, nics={name: EthernetNic(OWN)})
