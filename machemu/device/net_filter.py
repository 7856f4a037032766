"""The packet filter language of CMU and Stanford (CSPF): a stack machine over 16-bit words (Mach's net_status.h, NETF_*).

A filter's first word has flags; each other one is an operator (upper 6 bits) and an argument (lower 10 bits) that is pushed
first. Words of a packet are in the machine's byte order, as C programs on it see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

NETF_IN: Final = 1
NETF_OUT: Final = 2
NETF_JOIN: Final = 4
"""Not Mach's, which does not look at it: the receiver takes IPv4 packets of which fragments came in as a whole."""
TYPE_MASK: Final = 0xFC00
NETF_BPF: Final = 1 << 10

STACK_DEPTH: Final = 32
STACK_LIMIT: Final = 126
HEADER_WORDS: Final = 32
WORD: Final = 0xFFFFFFFF

NOPUSH, PUSHLIT, PUSHZERO, PUSHIND, PUSHHDRIND, PUSHWORD, PUSHHDR, PUSHSTK = 0, 1, 2, 14, 15, 16, 960, 992


class Op(IntEnum):
    """The operators. Those beginning with C end the filter, or take their two words off the stack."""

    NOP, EQ, LT, LE, GT, GE, AND, OR, XOR, COR, CAND, CNOR, CNAND, NEQ, LSH, RSH, ADD, SUB = range(18)


def is_valid(program: Sequence[int]) -> bool:
    """Whether the real kernel accepts a filter: known operators, literals inside it, no overflow of the stack.

    It counts the conditional operators as taking one word where they take two, so that a valid filter can run out of words.
    """
    words = iter(program[1:])
    free = STACK_DEPTH
    for word in words:
        operator, argument = word >> 10, word & 0x3FF
        if argument == PUSHLIT and next(words, None) is None:
            return False
        if argument not in (NOPUSH, PUSHIND, PUSHHDRIND):
            if argument >= PUSHSTK and argument - PUSHSTK + free > STACK_DEPTH:
                return False
            free -= 1
        if free < 2:
            return False
        if operator == Op.NOP:
            continue
        if free > STACK_LIMIT or operator > Op.SUB:
            return False
        free += 1
    return True


def run(program: Sequence[int], header: Sequence[int], packet: Sequence[int]) -> bool:
    """Whether a valid filter takes a packet. header: HEADER_WORDS words; packet: its words, the packet header's first.

    A packet too short for what the filter looks at is not taken, nor is any by a filter that runs out of words.
    """
    stack = [1]
    at, end = 1, len(program)
    while at < end:
        operator, argument = program[at] >> 10, program[at] & 0x3FF
        at += 1
        if argument in (NOPUSH, PUSHIND, PUSHHDRIND):
            if not stack:
                return False
            value = stack.pop()
            if argument != NOPUSH:
                source = packet if argument == PUSHIND else header
                if value >= len(source):
                    return False
                value = source[value]
        elif argument == PUSHLIT:
            value = program[at]
            at += 1
        elif argument == PUSHZERO:
            value = 0
        elif argument >= PUSHSTK:
            if argument - PUSHSTK >= len(stack):
                return False
            value = stack[PUSHSTK - argument - 1]
        elif argument >= PUSHHDR:
            value = header[argument - PUSHHDR]
        else:
            if not 0 <= argument - PUSHWORD < len(packet):
                return False
            value = packet[argument - PUSHWORD]
        if operator == Op.NOP:
            stack.append(value)
            continue
        if not stack:
            return False
        top = stack.pop()
        if Op.COR <= operator <= Op.CNAND:
            if (top == value) == (operator in (Op.COR, Op.CNOR)):
                return operator in (Op.COR, Op.CNAND)
            continue
        stack.append(_combine(operator, top, value))
    return bool(stack and stack[-1])


def _combine(operator: int, top: int, value: int) -> int:
    """A binary operator on 32-bit words, unsigned but for the right shift's left side; shifts count modulo 32, as the i386's."""
    match operator:
        case Op.EQ:
            return int(top == value)
        case Op.NEQ:
            return int(top != value)
        case Op.LT:
            return int(top < value)
        case Op.LE:
            return int(top <= value)
        case Op.GT:
            return int(top > value)
        case Op.GE:
            return int(top >= value)
        case Op.AND:
            return top & value
        case Op.OR:
            return top | value
        case Op.XOR:
            return top ^ value
        case Op.LSH:
            return top << (value & 31) & WORD
        case Op.RSH:
            return ((top ^ 0x80000000) - 0x80000000 >> (value & 31)) & WORD
        case Op.ADD:
            return top + value & WORD
        case _:
            return top - value & WORD
