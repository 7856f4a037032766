"""The stack language of packet filters, against a small machine with the stack as an array, as the header describes it."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from machemu.device import net_filter
from machemu.device.net_filter import NETF_IN, NOPUSH, PUSHHDR, PUSHHDRIND, PUSHIND, PUSHLIT, PUSHSTK, PUSHWORD, PUSHZERO, Op

WORD = 0xFFFFFFFF
HEADER = tuple(range(0x100, 0x120))


def signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


BINARY: dict[int, Callable[[int, int], int]] = {
    Op.EQ: lambda s, t: int(s == t),
    Op.NEQ: lambda s, t: int(s != t),
    Op.LT: lambda s, t: int(s < t),
    Op.LE: lambda s, t: int(s <= t),
    Op.GT: lambda s, t: int(s > t),
    Op.GE: lambda s, t: int(s >= t),
    Op.AND: lambda s, t: s & t,
    Op.OR: lambda s, t: s | t,
    Op.XOR: lambda s, t: s ^ t,
    Op.LSH: lambda s, t: s * 2 ** (t % 32),
    Op.RSH: lambda s, t: signed(s) // 2 ** (t % 32),
    Op.ADD: lambda s, t: s + t,
    Op.SUB: lambda s, t: s - t,
}
SHORT = {Op.COR: (True, True), Op.CAND: (False, False), Op.CNOR: (True, False), Op.CNAND: (False, True)}
"""Whether it ends the filter on equal words, and with what."""


def reference(program: tuple[int, ...], packet: tuple[int, ...]) -> bool:
    """The stack grows downwards from its one word, as in C; what lies above it is not there."""
    stack = {32: 1}
    sp = 32
    words = list(program[1:])
    try:
        while words:
            word = words.pop(0)
            operator, argument = word // 1024, word % 1024
            if argument in (NOPUSH, PUSHIND, PUSHHDRIND):
                value = stack[sp]
                sp += 1
                if argument == PUSHIND:
                    value = packet[value]
                if argument == PUSHHDRIND:
                    value = HEADER[value]
            elif argument == PUSHLIT:
                value = words.pop(0)
            elif argument == PUSHZERO:
                value = 0
            elif argument >= PUSHSTK:
                value = stack[sp + argument - PUSHSTK]
            elif argument >= PUSHHDR:
                value = HEADER[argument - PUSHHDR]
            elif argument >= PUSHWORD:
                value = packet[argument - PUSHWORD]
            else:
                return False
            if operator == Op.NOP:
                sp -= 1
                stack[sp] = value
            elif operator in SHORT:
                on_equal, result = SHORT[Op(operator)]
                top = stack[sp]
                sp += 1
                if (top == value) == on_equal:
                    return result
            else:
                stack[sp] = BINARY[Op(operator)](stack[sp], value) & WORD
            for above in [at for at in stack if at < sp]:
                del stack[above]
        return stack[sp] != 0 if sp <= 32 else False
    except (KeyError, IndexError):
        return False


ARGUMENTS = st.one_of(
    st.sampled_from((NOPUSH, PUSHLIT, PUSHZERO, PUSHIND, PUSHHDRIND, PUSHSTK, PUSHSTK + 1, PUSHWORD, PUSHWORD + 1, PUSHHDR)),
    st.integers(0, 1023),
)
STEPS = st.builds(lambda operator, argument: operator << 10 | argument, st.integers(0, 18), ARGUMENTS)
SMALL = st.integers(0, 40)
PROGRAMS = st.lists(st.one_of(STEPS, SMALL), max_size=40).map(lambda words: (NETF_IN, *words))
PACKETS = st.lists(st.one_of(SMALL, st.integers(0, 0xFFFF)), max_size=20).map(tuple)


@settings(max_examples=1500, deadline=None)
@given(PROGRAMS, PACKETS)
@example((NETF_IN,), ())
@example((NETF_IN, PUSHLIT, 0xFFFF, Op.LSH << 10 | PUSHLIT, 16, Op.RSH << 10 | PUSHLIT, 31), ())
def test_a_valid_filter_says_what_the_small_machine_says(program: tuple[int, ...], packet: tuple[int, ...]) -> None:
    if net_filter.is_valid(program):
        assert net_filter.run(program, HEADER, packet) == reference(program, packet)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=128).map(tuple), PACKETS)
def test_no_words_at_all_make_the_filter_fail(program: tuple[int, ...], packet: tuple[int, ...]) -> None:
    if net_filter.is_valid(program):
        assert net_filter.run(program, HEADER, packet) in (True, False)


def test_each_operator() -> None:
    cases = [
        (Op.EQ, 5, 5, 1), (Op.EQ, 5, 6, 0), (Op.NEQ, 5, 6, 1), (Op.LT, 5, 6, 1), (Op.LT, 6, 6, 0), (Op.LE, 6, 6, 1),
        (Op.GT, 7, 6, 1), (Op.GT, 6, 6, 0), (Op.GE, 6, 6, 1), (Op.AND, 12, 10, 8), (Op.OR, 12, 10, 14), (Op.XOR, 12, 10, 6),
        (Op.LSH, 3, 2, 12), (Op.RSH, 12, 2, 3), (Op.ADD, 3, 4, 7), (Op.SUB, 7, 3, 4),
    ]  # fmt: skip
    for operator, left, right, result in cases:
        program = (NETF_IN, PUSHLIT, left, operator << 10 | PUSHLIT, right, Op.EQ << 10 | PUSHLIT, result)
        assert net_filter.is_valid(program)
        assert net_filter.run(program, HEADER, ()), operator


def test_conditional_operators_end_the_filter_early() -> None:
    for operator, equal, other in ((Op.COR, True, None), (Op.CAND, None, False), (Op.CNOR, False, None), (Op.CNAND, None, True)):
        for right, expected in ((5, equal), (6, other)):
            for last in (0, 1):
                program = (NETF_IN, PUSHLIT, 5, operator << 10 | PUSHLIT, right, Op.AND << 10 | PUSHLIT, last)
                assert net_filter.run(program, HEADER, ()) == (bool(last) if expected is None else expected)


def test_what_the_kernel_refuses() -> None:
    nothing = Op.NOP << 10
    assert not net_filter.is_valid((NETF_IN, PUSHLIT)), "a literal is missing"
    assert not net_filter.is_valid((NETF_IN, 18 << 10 | PUSHZERO)), "no such operator"
    assert not net_filter.is_valid((NETF_IN, *[nothing | PUSHZERO] * 31)), "the stack overflows"
    assert net_filter.is_valid((NETF_IN, *[nothing | PUSHZERO] * 30))
    assert not net_filter.is_valid((NETF_IN, nothing | PUSHSTK + 1)), "it looks above the stack"
    assert net_filter.is_valid((NETF_IN, nothing | PUSHSTK))
    assert not net_filter.is_valid((NETF_IN, *[Op.AND << 10] * 96)), "it takes more off the stack than the kernel counts to"
    assert net_filter.is_valid((NETF_IN, *[Op.AND << 10] * 95))


def test_a_filter_that_runs_out_of_words_takes_nothing() -> None:
    program = (NETF_IN, Op.OR << 10, PUSHLIT, 1)
    assert net_filter.is_valid(program) and not net_filter.run(program, HEADER, ())


def test_a_packet_too_short_is_not_taken() -> None:
    assert not net_filter.run((NETF_IN, PUSHWORD + 3), HEADER, (1, 1, 1))
    assert net_filter.run((NETF_IN, PUSHWORD + 3), HEADER, (1, 1, 1, 1))
    assert not net_filter.run((NETF_IN, 3), HEADER, (1,) * 2000), "arguments that are no words of the packet"
