"""What a network server hears of two nodes that do not know yet what the other one has just done."""

from __future__ import annotations

from machemu.abi.message import MOVE_SEND
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns.codec import encode
from masix.gns.wire import Deliver, NetRight, RightKind, Unused
from tests.support.guests import Arch
from tests.support.net import Program, look_up, net, register, send


def test_a_message_comes_though_its_right_was_the_last(arch: Arch) -> None:
    """The server hears of both at once: the message, and that its node has no right to the port any more."""

    def send_and_forget(program: Program, mach: Mach) -> None:
        mach.send(Message(Header(program.found, MOVE_SEND, 0, 0, 650), b"", (), False))

    service = Program(register)
    client = Program(look_up, send_and_forget)
    with net((arch, arch), [client], [service]):
        assert [message.header.id for message in service.received] == [650]


def test_a_message_for_a_port_whose_death_was_not_told_yet_is_destroyed(arch: Arch) -> None:
    """Its rights, too, and the one to that port that it brings home."""
    service, client = Program(register), Program(look_up)
    with net((arch, arch), [client], [service]) as made:
        (number,) = made.servers[1].tables.exports
        port = NetRight(RightKind.SEND, 2, number)
        message = Message(Header(0, 0, 0, 0, 651), b"", (), False)
        for answer in (port, NetRight(RightKind.SEND_ONCE, 1, 77)):
            made.links[1].inbox.append((1, encode(Deliver(port, answer, arch.order, message))))
        made.wake(1)
        made.end(1, "program 0")
        made.run()
        assert made.servers[1].tables.exports == {} and service.received == []


def test_a_node_that_is_lost_right_after_its_call_does_no_harm(arch: Arch) -> None:
    """Of the call's reply right nothing is left when the call is to be sent on."""
    service = Program(register)
    with net((arch, arch), [Program(look_up)], [service]) as made:
        (number,) = made.servers[1].tables.exports
        message = Message(Header(0, 0, 0, 0, 653), b"", (), False)
        call = Deliver(NetRight(RightKind.SEND, 2, number), NetRight(RightKind.SEND_ONCE, 1, 77), arch.order, message)
        made.links[1].inbox += [(1, encode(call)), (1, None)]
        made.wake(1)
        made.run()
        assert made.servers[1].tables.proxies == {}


def test_a_late_word_about_a_send_right_takes_no_send_once_right_of_the_same_number(arch: Arch) -> None:
    """The number was another port's when the word was sent."""
    service = Program(register)
    with net((arch, arch), [Program(look_up, send)], [service]) as made:
        (number,) = (name for name, export in made.servers[0].tables.exports.items() if export.kind is RightKind.SEND_ONCE)
        made.links[0].inbox.append((2, encode(Unused(number, 1))))
        made.wake(0)
        made.run()
        assert made.servers[0].tables.exports[number].kind is RightKind.SEND_ONCE
