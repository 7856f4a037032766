"""What name servers write down for each other: it is read as it was written, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.user.kit import Legacy
from masix.acs.estate import ESSENTIAL, IS_THERE, REGISTERED, SIGNED, Estate, Name, Watching, is_whole, pack, unpack

NUMBERS = st.integers(0, 0xFFFFFFFF)
CLIENTS = st.none() | st.integers(0, 0xFFFFFFFE)
TEXTS = st.binary(min_size=1, max_size=80).filter(lambda text: 0 not in text)
FLAGS = st.just(0) | st.lists(st.sampled_from([ESSENTIAL, REGISTERED, SIGNED]), unique=True).map(
    lambda more: IS_THERE + sum(more)
)
WHOLE = Estate(
    7, (3, 4), (Name(b"a", None, IS_THERE | REGISTERED), Name(b"b" * 80, 3, 0)), (Watching(None, (b"a",), (b"b" * 80,)),)
)
RIGHTS = Legacy((11, 12, 13, 14), (21, 22), pack(WHOLE))


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    names = draw(st.lists(st.builds(Name, TEXTS, CLIENTS, FLAGS), max_size=5, unique_by=lambda name: name.text))
    texts = [name.text for name in names]
    some = st.lists(st.sampled_from(texts), unique=True).map(tuple) if texts else st.just(())
    watchers = draw(st.lists(st.builds(Watching, CLIENTS, some, some), max_size=3))
    return Estate(draw(NUMBERS), tuple(draw(st.lists(NUMBERS, max_size=3))), tuple(names), tuple(watchers))


@given(estates())
def test_it_is_read_as_it_was_written(left: Estate) -> None:
    assert unpack(pack(left)) == left
    assert is_whole(Legacy(tuple(range(1, 1 + left.receives())), tuple(range(1, 1 + left.sends())), pack(left)))


@given(estates().map(pack) | st.binary(max_size=64), st.data())
def test_other_bytes_are_refused_or_are_some_other_estate(data: bytes, draws: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draws.draw(st.integers(0, 3))):
        if changed:
            changed[draws.draw(st.integers(0, len(changed) - 1))] = draws.draw(st.integers(0, 255))
    del changed[draws.draw(st.integers(0, len(changed))) :]
    try:
        left = unpack(bytes(changed))
    except ValueError:
        return
    assert unpack(pack(left)) == left


def test_its_bytes_are_those_that_the_guest_reads() -> None:
    words = (7, 2, 2, 1, 3, 4)
    names = b"a".ljust(80, b"\0") + b"\xff" * 4 + bytes([0, 0, 0, 5]) + b"b" * 80 + bytes([0, 0, 0, 3, 0, 0, 0, 0])
    watcher = b"\xff" * 4 + b"".join(number.to_bytes(4, "big") for number in (1, 1, 0, 1))
    assert pack(WHOLE) == b"".join(number.to_bytes(4, "big") for number in words) + names + watcher


@pytest.mark.parametrize(
    "wrong",
    [
        RIGHTS._replace(data=b""),
        RIGHTS._replace(data=RIGHTS.data + b"\0\0\0\0"),
        RIGHTS._replace(data=RIGHTS.data[:-4]),
        RIGHTS._replace(data=b"\xff" * len(RIGHTS.data)),
        RIGHTS._replace(data=RIGHTS.data[:-4] + bytes([0, 0, 0, 2])),
        RIGHTS._replace(receives=RIGHTS.receives[1:]),
        RIGHTS._replace(receives=(0, *RIGHTS.receives[1:])),
        RIGHTS._replace(receives=(0xFFFFFFFF, *RIGHTS.receives[1:])),
        RIGHTS._replace(sends=(*RIGHTS.sends, 23)),
        RIGHTS._replace(sends=(0, *RIGHTS.sends[1:])),
        RIGHTS._replace(onces=(31,)),
        RIGHTS._replace(data=pack(WHOLE._replace(names=(WHOLE.names[0], WHOLE.names[1]._replace(flags=ESSENTIAL))))),
        RIGHTS._replace(data=RIGHTS.data.replace(b"b" * 80, bytes(80))),
        RIGHTS._replace(data=RIGHTS.data.replace(b"b" * 80, b"a".ljust(80, b"\0"))),
    ],
)
def test_what_lacks_a_part_or_a_right_is_not_whole(wrong: Legacy) -> None:
    assert is_whole(RIGHTS)
    assert not is_whole(wrong)


def test_a_dead_service_is_no_reason_to_refuse() -> None:
    assert is_whole(RIGHTS._replace(sends=(0xFFFFFFFF, *RIGHTS.sends[1:])))
