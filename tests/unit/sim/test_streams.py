"""Random streams: the published generator, begun by seed and name."""

from __future__ import annotations

from collections import Counter

from machemu.sim.graph import Reader, Writer
from machemu.sim.streams import Stream


def test_the_numbers_are_splitmix64_s() -> None:
    stream = Stream(0, "")
    stream.value = 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [stream.word() for _ in published] == published


def test_seed_and_name_make_a_stream() -> None:
    def words(seed: int, name: str) -> list[int]:
        stream = Stream(seed, name)
        return [stream.word() for _ in range(4)]

    assert words(1, "loss") == words(1, "loss")
    every = words(1, "loss") + words(1, "delay") + words(2, "loss")
    assert len(dict.fromkeys(every)) == 12


def test_a_saved_stream_goes_on() -> None:
    stream = Stream(3, "x")
    stream.word()
    again = Reader(Writer().encode(stream)).decode()
    assert [again.word() for _ in range(3)] == [stream.word() for _ in range(3)]


def test_numbers_below_a_limit_are_even_and_chances_come_as_often_as_said() -> None:
    stream = Stream(4, "dice")
    seen = Counter(stream.below(6) for _ in range(6000))
    assert sorted(seen) == list(range(6))
    assert all(850 < count < 1150 for count in seen.values())
    assert 2250 < sum(stream.chance(0.25) for _ in range(10_000)) < 2750
    before = stream.value
    assert not stream.chance(0)
    assert stream.chance(1)
    assert stream.value == before, "what is certain draws nothing"
    assert stream.below(1) == 0
