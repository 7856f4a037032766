"""A stream is a function of its seed and name, and its numbers are those of xoshiro256**."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError
from machemu.sim.saved import Reader, Writer
from machemu.sim.streams import Stream

MASK = (1 << 64) - 1


def rotate(value: int, count: int) -> int:
    return (value << count | value >> 64 - count) & MASK


def reference(words: list[int]) -> int:
    """One step of the published algorithm, in place."""
    result = rotate(words[1] * 5 & MASK, 7) * 9 & MASK
    shifted = words[1] << 17 & MASK
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = rotate(words[3], 45)
    return result


def test_the_numbers_are_those_of_the_published_algorithm() -> None:
    stream = Stream(1, "a")
    stream.words = [1, 2, 3, 4]
    assert [stream.bits() for _ in range(4)] == [11520, 0, 1509978240, 1215971899390074240]


@given(st.lists(st.integers(0, MASK), min_size=4, max_size=4).filter(any))
def test_any_state_steps_like_the_reference(words: list[int]) -> None:
    stream = Stream(0, "x")
    stream.words = list(words)
    model = list(words)
    for _ in range(5):
        assert stream.bits() == reference(model)
        assert stream.words == model
    stream.check_invariants()


def draw(stream: Stream) -> list[int]:
    return [stream.bits() for _ in range(8)]


def test_seed_and_name_make_the_stream() -> None:
    assert draw(Stream(1, "lan")) == draw(Stream(1, "lan"))
    runs = [draw(Stream(seed, name)) for seed, name in ((1, "lan"), (2, "lan"), (1, "disk"), (11, "lan"), (-1, "lan"))]
    assert len({tuple(run) for run in runs}) == len(runs)


def test_a_loaded_stream_goes_on_where_it_was() -> None:
    stream = Stream(1, "lan")
    draw(stream)
    assert draw(Reader(Writer().encode(stream)).decode()) == draw(stream)


@given(st.integers(1, 1 << 64), st.integers())
def test_below_stays_below(limit: int, seed: int) -> None:
    assert 0 <= Stream(seed, "x").below(limit) < limit


def test_every_number_below_comes_as_often() -> None:
    stream = Stream(5, "dice")
    counts = [0] * 6
    for _ in range(6000):
        counts[stream.below(6)] += 1
    assert all(850 < count < 1150 for count in counts)


def test_chances_are_sure_at_the_ends() -> None:
    stream = Stream(5, "loss")
    assert all(stream.chance(7, 7) for _ in range(50))
    assert not any(stream.chance(0, 7) for _ in range(50))


@pytest.mark.parametrize("limit", [0, -1, (1 << 64) + 1])
def test_there_is_no_number_below_nothing(limit: int) -> None:
    with pytest.raises(InvariantError):
        Stream(1, "x").below(limit)
