"""What network servers tell each other: it is read as it was written, and what contradicts itself is not read at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.message import PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE, Carried, CarriedMemory, CarriedPort, CarriedPorts
from machemu.user.message import Header, Message
from masix.gns.codec import DELIVER, WireError, decode, encode
from masix.gns.wire import DEAD, NULL, Deliver, Laid, NetRight, RightKind
from tests.support.guests import I386, M68K, Arch

TO = NetRight(RightKind.SEND, 2, 10)
SEND, ONCE, RECEIVE = (
    NetRight(RightKind.SEND, 1, 7),
    NetRight(RightKind.SEND_ONCE, 1, 8),
    NetRight(RightKind.RECEIVE, 1, 9, limit=5, hops=2),
)
WORD = bytes(4)


def deliver(
    arch: Arch, body: bytes, *carried: Carried, answer: NetRight = NULL, to: NetRight = TO, is_complex: bool = True
) -> Deliver:
    return Deliver(to, answer, arch.order, Message(Header(0, 0, 0, 0, 5), body, carried, is_complex))


def item(arch: Arch, name: int, number: int, inline: bool = True, size: int = 32) -> bytes:
    return arch.pack("I", arch.item(name, size, number, inline))


@pytest.mark.parametrize("answer", [NULL, DEAD, SEND, ONCE])
def test_a_message_is_read_as_it_was_written(arch: Arch, answer: NetRight) -> None:
    body = item(arch, PORT_SEND, 2) + 2 * WORD + item(arch, PORT_RECEIVE, 2, False) + WORD + item(arch, 8, 3, False, 8) + WORD
    body += item(arch, 2, 1) + WORD + arch.long_item(PORT_SEND_ONCE, 32, 1) + WORD + item(arch, 8, 0, False, 8) + WORD
    said = deliver(
        arch,
        body,
        CarriedPort(4, PORT_SEND, SEND),
        CarriedPort(8, PORT_SEND, NULL),
        CarriedPorts(16, PORT_RECEIVE, (RECEIVE, DEAD)),
        CarriedMemory(24, 3, b"abc"),
        CarriedPort(48, PORT_SEND_ONCE, ONCE),
        CarriedMemory(56, 0, b""),
        answer=answer,
    )
    assert decode(encode(said)) == said


def broken(arch: Arch) -> list[Deliver]:
    right = item(arch, PORT_SEND, 1) + WORD
    return [
        deliver(arch, right),
        deliver(arch, right, CarriedPort(0, PORT_SEND, SEND)),
        deliver(arch, right, CarriedPort(4, PORT_SEND_ONCE, ONCE)),
        deliver(arch, right, CarriedPort(4, PORT_SEND, RECEIVE)),
        deliver(arch, right, CarriedPort(4, PORT_SEND, SEND), CarriedPort(4, PORT_SEND, SEND)),
        deliver(arch, right, CarriedMemory(4, 4, WORD)),
        deliver(arch, right, CarriedPort(4, PORT_SEND, SEND), is_complex=False),
        deliver(arch, item(arch, PORT_RECEIVE, 1) + WORD, CarriedPort(4, PORT_RECEIVE, SEND)),
        deliver(arch, item(arch, 19, 1) + WORD, CarriedPort(4, 19, SEND)),
        deliver(arch, item(arch, PORT_SEND, 1, size=16) + WORD, CarriedPort(4, PORT_SEND, SEND)),
        deliver(arch, item(arch, PORT_SEND, 2, False) + WORD, CarriedPorts(4, PORT_SEND, (SEND,))),
        deliver(arch, item(arch, PORT_SEND, 1, False) + WORD, CarriedPort(4, PORT_SEND, SEND)),
        deliver(arch, item(arch, 8, 3, False, 8) + WORD, CarriedMemory(4, 2, b"ab")),
        deliver(arch, item(arch, 8, 3, False, 8), CarriedMemory(0, 3, b"abc")),
        deliver(arch, item(arch, 2, 2) + WORD),
        deliver(arch, arch.long_item(2, 32, 0)[:8]),
        deliver(arch, b"\xff\xff\xff"),
        deliver(arch, b"\xff", is_complex=False),
        deliver(arch, b"", answer=RECEIVE),
        deliver(arch, b"", to=RECEIVE),
        deliver(arch, b"", to=NULL),
    ]


@pytest.mark.parametrize("case", range(len(broken(I386))))
def test_a_message_that_contradicts_itself_is_not_read(arch: Arch, case: int) -> None:
    with pytest.raises(WireError):
        decode(encode(broken(arch)[case]))


numbers = st.integers(0, (1 << 31) - 1)
offsets = st.integers(0, (1 << 32) - 1)
rights = st.builds(
    NetRight,
    st.sampled_from(RightKind),
    st.integers(1, 0xFFFE),
    numbers,
    pledge=numbers,
    limit=numbers,
    hops=st.integers(0, 0xFFFF),
)
carried = st.lists(
    st.builds(CarriedPort, offsets, st.integers(0, 255), rights)
    | st.builds(CarriedPorts, offsets, st.integers(0, 255), st.lists(rights, max_size=3).map(tuple))
    | st.builds(lambda offset, data: CarriedMemory(offset, len(data), data), offsets, st.binary(max_size=9))
    | st.builds(lambda offset, size, token: CarriedMemory(offset, size, Laid(token, 5)), offsets, offsets, st.integers(1, 99)),
    max_size=4,
).map(tuple)


@given(rights, rights, st.sampled_from([I386, M68K]), st.binary(max_size=60), carried, st.booleans())
def test_a_message_s_bytes_are_as_described(
    to: NetRight, answer: NetRight, arch: Arch, body: bytes, items: tuple[Carried, ...], is_complex: bool
) -> None:
    said = deliver(arch, body, *items, answer=answer, to=to, is_complex=is_complex)
    data = encode(said)[1:]
    fields = DELIVER.parse(data)
    assert DELIVER.build(fields) == data
    assert (fields.body, fields.id, fields.complex, fields.to.number) == (body, 5, is_complex, to.number)
    assert len(fields.rights) + len(fields.memory) == len(items)


@given(st.data())
def test_bytes_that_are_not_as_described_are_not_read(data: st.DataObject) -> None:
    """A byte that is changed, gone or too many is seen, or what is read is written as it was, but for flags that mean nothing."""
    body = item(I386, PORT_SEND, 1) + WORD + item(I386, 8, 3, False, 8) + WORD
    good = bytearray(encode(deliver(I386, body, CarriedPort(4, PORT_SEND, SEND), CarriedMemory(12, 3, b"abc"))))
    place = data.draw(st.integers(1, len(good) - 1))
    good[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        got = decode(bytes(good))
    except WireError:
        return
    assert isinstance(got, Deliver)
    fields = DELIVER.parse(bytes(good[1:]))
    fields.flags = got.message.header.flags
    assert encode(got) == good[:1] + DELIVER.build(fields)


@given(st.binary(max_size=60), st.sampled_from([I386, M68K]), st.lists(st.integers(0, 15), max_size=3), st.booleans())
def test_whatever_is_read_can_be_written(body: bytes, arch: Arch, places: list[int], is_complex: bool) -> None:
    ports = tuple(CarriedPort(4 * place, PORT_SEND, SEND) for place in sorted(set(places)))
    said = deliver(arch, body, *ports, is_complex=is_complex)
    try:
        got = decode(encode(said))
    except WireError:
        return
    assert got == said
