"""Codecs: what a message's bytes mean, what MIG refuses, and that both byte orders say the same."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machemu.mig
from machemu.abi.errors import InvariantError, KernError
from machemu.abi.message import PORT_DEAD, CarriedMemory, CarriedPort, CarriedPorts
from machemu.abi.types import ByteOrder
from machemu.mig.codec import slot_codes
from machemu.mig.interfaces import (
    device,
    device_reply,
    exc,
    gnumach,
    mach,
    mach4,
    mach_debug,
    mach_host,
    mach_i386,
    mach_port,
    notify,
)
from machemu.mig.runtime import (
    COUNTED,
    EITHER,
    FIXED,
    OUT_OF_LINE,
    POLYMORPHIC,
    RETCODE,
    Message,
    OutOfLine,
    PolyPort,
    Type,
)

LITTLE, BIG = ByteOrder.LITTLE, ByteOrder.BIG
INTERFACES = sorted(p.stem for p in (Path(machemu.mig.__file__).parent / "interfaces").glob("*.py") if p.stem != "__init__")
MESSAGES: list[tuple[str, Message]] = []
for _name in INTERFACES:
    for _routine in importlib.import_module(f"machemu.mig.interfaces.{_name}").ROUTINES.values():
        MESSAGES.append((f"{_routine.name} request", _routine.request))
        if _routine.reply is not None:
            MESSAGES.append((f"{_routine.name} reply", _routine.reply))

INT = 0x10012002


def _words(*words: int, order: ByteOrder = LITTLE) -> bytes:
    return struct.pack(f"{order.prefix}{len(words)}I", *words)


def _refuses(
    message: Message, body: bytes, carried: tuple[Any, ...] = (), complex_bit: bool = False, order: ByteOrder = LITTLE
) -> None:
    with pytest.raises(KernError) as caught:
        message.unpack(order, body, carried, complex_bit)
    assert caught.value.code == -304


def test_a_plain_request_in_both_byte_orders() -> None:
    message = mach.VM_ALLOCATE.request
    assert message.names == ("address", "size", "anywhere")
    little = _words(INT, 0xFFFFF000, INT, 4096, 0x10012000, 1)
    big = _words(0x02200018, 0xFFFFF000, 0x02200018, 4096, 0x00200018, 1, order=BIG)
    assert message.unpack(LITTLE, little, (), False) == (0xFFFFF000, 4096, 1)
    assert message.unpack(BIG, big, (), False) == (0xFFFFF000, 4096, 1)
    assert message.pack(LITTLE, (0xFFFFF000, 4096, 1)) == (little, ())
    assert message.pack(BIG, (0xFFFFF000, 4096, 1)) == (big, ())


def test_integers_are_signed_as_declared() -> None:
    delta = mach_port.MACH_PORT_MOD_REFS.request
    body, _ = delta.pack(LITTLE, (3, 4, -1))
    assert delta.unpack(LITTLE, body, (), False) == (3, 4, -1)
    address = mach.VM_DEALLOCATE.request
    body, _ = address.pack(LITTLE, (-4096, 1))
    assert address.unpack(LITTLE, body, (), False) == (0xFFFFF000, 1)


@pytest.mark.parametrize("word", range(0, 24, 8))
@pytest.mark.parametrize("bit", range(32))
def test_any_other_descriptor_is_refused(word: int, bit: int) -> None:
    body = bytearray(mach.VM_ALLOCATE.request.pack(LITTLE, (1, 2, 3))[0])
    body[word + bit // 8] ^= 1 << bit % 8
    _refuses(mach.VM_ALLOCATE.request, bytes(body))


def test_other_sizes_and_a_wrong_complex_bit_are_refused() -> None:
    message = mach.VM_ALLOCATE.request
    body, _ = message.pack(LITTLE, (1, 2, 3))
    _refuses(message, body[:-4])
    _refuses(message, body + bytes(4))
    _refuses(message, b"")
    _refuses(message, body, (), True)
    body, carried = exc.EXCEPTION_RAISE.request.pack(LITTLE, ("thread", "task", 1, 2, 3))
    _refuses(exc.EXCEPTION_RAISE.request, body, carried, False)


def test_rights_under_way() -> None:
    message = exc.EXCEPTION_RAISE.request
    body, carried = message.pack(LITTLE, ("thread", None, 1, 2, -3))
    assert body == _words(0x10012011, 0, 0x10012011, 0, INT, 1, INT, 2, INT, 0xFFFFFFFD)
    assert carried == (CarriedPort(4, 17, "thread"), CarriedPort(12, 17, None))
    assert message.unpack(LITTLE, body, carried, True) == ("thread", None, 1, 2, -3)
    moved = notify.MACH_NOTIFY_PORT_DESTROYED.request.pack(BIG, ("right",))
    assert moved == (_words(0x10200018, 0, order=BIG), (CarriedPort(4, 16, "right"),))


def test_null_and_dead_rights_need_not_be_carried() -> None:
    message = exc.EXCEPTION_RAISE.request
    body = _words(0x10012011, 0, 0x10012011, 0xFFFFFFFF, INT, 1, INT, 2, INT, 3)
    assert message.unpack(LITTLE, body, (), True) == (None, PORT_DEAD, 1, 2, 3)


def test_polymorphic_rights_keep_their_disposition() -> None:
    message = mach_port.MACH_PORT_INSERT_RIGHT.request
    body, carried = message.pack(LITTLE, (7, PolyPort("port", 18)))
    assert body == _words(0x1001200F, 7, 0x10012012, 0)
    assert message.unpack(LITTLE, body, carried, True) == (7, PolyPort("port", 18))
    _refuses(message, body, carried, False)
    assert message.unpack(LITTLE, _words(0x1001200F, 7, 0x10012063, 5), (), False) == (7, PolyPort(5, 0x63))
    _refuses(message, _words(0x1001200F, 7, 0x10022011, 5, 6), (), True)
    reply, carried = mach_port.MACH_PORT_EXTRACT_RIGHT.reply.pack(LITTLE, (0, PolyPort("port", 17)))  # type: ignore[union-attr]
    assert (reply[8:], carried) == (_words(0x10012011, 0), (CarriedPort(12, 17, "port"),))


def test_the_receivers_disposition_counts_where_the_sender_chose() -> None:
    _, carried = mach_port.MACH_PORT_REQUEST_NOTIFICATION.request.pack(LITTLE, (1, 72, 0, "once"))
    assert carried == (CarriedPort(28, 18, "once"),)
    _, carried = mach.MEMORY_OBJECT_LOCK_REQUEST.request.pack(LITTLE, (0, 4096, 0, 0, 0, PolyPort("send", 17)))
    assert carried == (CarriedPort(44, 17, "send"),)
    _, carried = mach.MEMORY_OBJECT_LOCK_REQUEST.request.pack(LITTLE, (0, 4096, 0, 0, 0, "once"))
    assert carried == (CarriedPort(44, 18, "once"),)


def test_counted_arrays() -> None:
    message = mach.THREAD_SET_STATE.request
    body, _ = message.pack(LITTLE, (1, (7, 0xFFFFFFFF, 9)))
    assert body == _words(INT, 1, 0x10032002, 7, 0xFFFFFFFF, 9)
    assert message.unpack(LITTLE, body, (), False) == (1, (7, 0xFFFFFFFF, 9))
    assert message.unpack(LITTLE, _words(INT, 1, 0x10002002), (), False) == (1, ())
    _refuses(message, body[:-4])
    _refuses(message, body + bytes(4))
    _refuses(message, body[:10])
    filters = device.DEVICE_SET_FILTER.request
    body, carried = filters.pack(BIG, ("port", 1, (1, -2, 3)))
    assert filters.unpack(BIG, body, carried, True) == ("port", 1, (1, -2, 3))


def test_counts_are_clamped_to_the_arrays_limit() -> None:
    message = mach.TASK_INFO.request
    assert message.names == ("flavor", "task_info_outCnt")
    assert message.unpack(LITTLE, _words(INT, 1, INT, 0xFFFFFFFF), (), False) == (1, 1024)
    assert message.unpack(LITTLE, _words(INT, 1, INT, 3), (), False) == (1, 3)


def test_characters_and_strings() -> None:
    message = device.DEVICE_WRITE_INBAND.request
    body, _ = message.pack(LITTLE, (0, 0, b"hello"))
    assert body[16:] == _words(0x10050808) + b"hello\0\0\0"
    assert message.unpack(LITTLE, body, (), False) == (0, 0, b"hello")
    name = device.DEVICE_OPEN.request
    body, _ = name.pack(LITTLE, (3, b"console"))
    assert len(body) == 148
    assert body[8:20] == _words(0x30000000, 12 | 1024 << 16, 1)
    assert name.unpack(LITTLE, body, (), False) == (3, b"console")
    assert name.unpack(LITTLE, body[:20] + b"x" * 128, (), False) == (3, b"x" * 127)
    body, _ = name.pack(LITTLE, (3, b"y" * 200))
    assert name.unpack(LITTLE, body, (), False) == (3, b"y" * 127)
    task = gnumach.TASK_SET_NAME.request
    body, _ = task.pack(LITTLE, (b"init",))
    assert body == _words(0x1005080C) + b"init\0\0\0\0"
    assert task.unpack(LITTLE, body, (), False) == (b"init",)


def test_structs_and_arrays_of_structs() -> None:
    reply = mach_port.MACH_PORT_GET_RECEIVE_STATUS.reply
    assert reply is not None
    status = (1, 2, 3, 4, 5, 6, 1, 0, 1)
    body, _ = reply.pack(LITTLE, (0, status))
    assert body[8:12] == _words(0x10092002)
    assert reply.unpack(LITTLE, body, (), False) == (0, status)
    ldt = mach_i386.I386_SET_LDT.request
    body, _ = ldt.pack(LITTLE, (8, ((1, 2), (3, 4))))
    assert body[8:] == _words(0x30000000, 2 | 32 << 16, 4, 1, 2, 3, 4)
    assert ldt.unpack(LITTLE, body, (), False) == (8, ((1, 2), (3, 4)))
    _refuses(ldt, body[:16] + _words(3) + body[20:32])
    info = mach_debug.HOST_SLAB_INFO.reply
    assert info is not None
    entry = (*range(11), b"kmem".ljust(32, b"\0"))
    body, _ = info.pack(BIG, (0, (entry, entry)))
    assert info.unpack(BIG, body, (), False) == (0, (entry, entry))
    time = mach_host.HOST_GET_TIME.reply
    assert time is not None
    assert time.pack(LITTLE, (0, (5, -6)))[0] == _words(INT, 0, 0x10022002, 5, 0xFFFFFFFA)


def test_out_of_line_memory() -> None:
    message = mach.VM_WRITE.request
    body, carried = message.pack(LITTLE, (4096, OutOfLine("copy", 8192)))
    assert body == _words(INT, 4096, 0x60000000, 9 | 8 << 16, 8192, 0)
    assert carried == (CarriedMemory(20, 8192, "copy"),)
    assert message.unpack(LITTLE, body, carried, True) == (4096, OutOfLine("copy", 8192))
    undeallocated = body[:8] + _words(0x20000000) + body[12:]
    assert message.unpack(LITTLE, undeallocated, carried, True) == (4096, OutOfLine("copy", 8192))
    empty = body[:16] + _words(0, 0)
    assert message.unpack(LITTLE, empty, (), True) == (4096, OutOfLine(None, 0))
    _refuses(message, body, (), True)
    _refuses(message, body, carried, False)
    _refuses(message, body[:8] + _words(0x70000000) + body[12:], carried, True)
    with pytest.raises(InvariantError):
        message.pack(LITTLE, (4096, b"bytes"))


def test_arrays_of_rights() -> None:
    message = mach.MACH_PORTS_REGISTER.request
    body, carried = message.pack(LITTLE, (("a", None),))
    assert body == _words(0x60000000, 17 | 32 << 16, 2, 0)
    assert carried == (CarriedPorts(12, 17, ("a", None)),)
    assert message.unpack(LITTLE, body, carried, True) == (("a", None),)
    _refuses(message, body, (CarriedMemory(12, 8, "copy"),), True)
    proxy = mach4.MEMORY_OBJECT_CREATE_PROXY.request
    values = (1, ("a", "b"), (0, 4096), (0,), ())
    body, carried = proxy.pack(BIG, values)
    assert carried == (CarriedPort(12, 17, "a"), CarriedPort(16, 17, "b"))
    assert proxy.unpack(BIG, body, carried, True) == values
    none = (1, (), (), (), ())
    assert proxy.unpack(BIG, proxy.pack(BIG, none)[0], (), True) == none


def test_real_numbers_and_odd_structs() -> None:
    single, double = Type(10, 10, 32, 1, "f"), Type(10, 10, 64, 2, "2d")
    message = Message(1, (("single", single), ("double", double), ("mixed", Type(2, 2, 32, 5, "iQ8s"))))
    values = (0.5, (1.25, -2.0), (-1, 1 << 63, b"12345678"))
    for order in ByteOrder:
        body, _ = message.pack(order, values)
        assert len(body) == 8 + 20 + 24
        assert message.unpack(order, body, (), False) == values


def test_replies() -> None:
    assert RETCODE.pack(LITTLE, (-304,))[0] == _words(INT, 0xFFFFFED0)
    routine = mach.VM_ALLOCATE
    assert routine.reply is not None
    body, carried = routine.reply.pack(LITTLE, (0, 0x1000))
    assert routine.unpack_reply(LITTLE, body, carried, False) == (0x1000,)
    for answer, code in ((_words(INT, 3), 3), (_words(INT, 0), -300), (_words(INT), -300), (_words(INT, 5, INT, 0), 5)):
        with pytest.raises(KernError) as caught:
            routine.unpack_reply(LITTLE, answer, (), False)
        assert caught.value.code == code
    with pytest.raises(KernError):
        routine.unpack_reply(LITTLE, _words(INT, 3), (), True)
    with pytest.raises(InvariantError):
        device_reply.DEVICE_OPEN_REPLY.unpack_reply(LITTLE, b"", (), False)


def test_a_wrong_number_of_values_is_our_own_fault() -> None:
    for message, values in ((mach.VM_ALLOCATE.request, (1, 2)), (mach.VM_WRITE.request, (1,))):
        with pytest.raises(InvariantError):
            message.pack(LITTLE, values)


def _value(kind: Type) -> st.SearchStrategy[Any]:
    """Values that a type can carry and that come back unchanged."""
    if kind.is_port:
        port = st.sampled_from(["a", "b", None])
        if kind.form == FIXED:
            poly = kind.receive == POLYMORPHIC
            return st.builds(PolyPort, port, st.sampled_from([16, 17, 18])) if poly else port
        return st.lists(port, max_size=5).map(tuple)
    memory = st.builds(OutOfLine, st.just("copy"), st.integers(0, 3).map(lambda n: n * kind.number * kind.size // 8))
    if kind.form == OUT_OF_LINE:
        return memory
    if kind.form == FIXED:
        return _element(kind)
    if kind.format == "s":
        data = st.binary(max_size=20)
        return data.map(lambda text: text.replace(b"\0", b".")) if kind.string else data
    inline = st.lists(_element(kind._replace(limit=0)), max_size=4).map(tuple)
    return st.one_of(inline, memory) if kind.form == EITHER else inline


def _element(kind: Type) -> st.SearchStrategy[Any]:
    made = [_slot(code, kind) for code in slot_codes(kind.format)]
    return made[0] if len(made) == 1 else st.tuples(*made)


def _slot(code: str, kind: Type) -> st.SearchStrategy[Any]:
    if code.endswith("s"):
        size = int(code[:-1] or 1)
        if kind.string:
            return st.binary(max_size=min(size - 1, 20)).map(lambda text: text.replace(b"\0", b"."))
        return st.binary(min_size=size, max_size=size)
    bits = 8 * struct.calcsize("=" + code)
    if kind.limit:
        return st.integers(0, kind.limit)
    return st.integers(0, (1 << bits) - 1) if code.isupper() else st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


@pytest.mark.parametrize(("name", "message"), MESSAGES, ids=[name for name, _ in MESSAGES])
def test_what_is_packed_is_unpacked(name: str, message: Message) -> None:
    @settings(max_examples=25)
    @given(st.tuples(*[_value(kind) for kind in message.types]), st.sampled_from(ByteOrder))
    def check(values: tuple[Any, ...], order: ByteOrder) -> None:
        body, carried = message.pack(order, values)
        assert len(body) % 4 == 0
        always = any(kind.form == OUT_OF_LINE or (kind.is_port and kind.form == COUNTED) for kind in message.types)
        assert message.unpack(order, body, carried, bool(carried) or always) == values
        assert repr(message.unpack(order, bytearray(body), carried, bool(carried) or always)) == repr(values)

    check()


@given(st.sampled_from(MESSAGES), st.binary(max_size=200), st.booleans(), st.sampled_from(ByteOrder), st.integers(0, 60))
def test_any_bytes_are_decoded_or_refused(
    entry: tuple[str, Message], body: bytes, complex_bit: bool, order: ByteOrder, offset: int
) -> None:
    try:
        entry[1].unpack(order, body, (CarriedPort(offset, 17, "port"),), complex_bit)
    except KernError as error:
        assert error.code == -304


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_some_bytes_changed_is_decoded_or_refused(entry: tuple[str, Message], data: st.DataObject) -> None:
    values = data.draw(st.tuples(*[_value(kind) for kind in entry[1].types]))
    body, carried = entry[1].pack(LITTLE, values)
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        entry[1].unpack(LITTLE, bytes(changed), carried, bool(carried))
    except KernError as error:
        assert error.code == -304
