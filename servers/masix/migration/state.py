"""What a process manager says to another one of a task: accounts, emulation vector, and of each thread account, context and wait.

All is in the byte order of the machine, since tasks move between machines of one architecture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from machemu.abi.types import ByteOrder
from machemu.mig.runtime import OutOfLine

NO_REPLY, REPLY_SEND, REPLY_SEND_ONCE = range(3)
"""The right that a thread's wait has to answer somebody else by: none, the next of the send or the send-once rights."""
PARTS_OF_THREAD: Final = 5
"""As `pack` writes one."""


class ThreadState(NamedTuple):
    account: tuple[int, ...]
    context: bytes
    wait: tuple[int, ...]
    data: bytes  # the wait's
    reply: int  # NO_REPLY, REPLY_SEND or REPLY_SEND_ONCE
    answers: bool  # it has a port where its exceptions are answered


class TaskState(NamedTuple):
    account: tuple[int, ...]
    vector: tuple[int, ...]  # the number of the first trap and the handlers of the redirected ones; empty for none
    threads: tuple[ThreadState, ...]


def pack(order: ByteOrder, state: TaskState) -> bytes:
    parts: list[bytes] = [_words(order, state.account), _words(order, state.vector)]
    for thread in state.threads:
        parts += _words(order, thread.account), thread.context, _words(order, thread.wait), thread.data
        parts.append(_words(order, (thread.reply, thread.answers)))
    return b"".join(struct.pack(order.prefix + "I", len(part)) + part for part in parts)


def unpack(order: ByteOrder, data: bytes) -> TaskState:
    """ValueError for what `pack` did not make."""
    parts = list(_parts(order, data))
    if len(parts) % PARTS_OF_THREAD != 2:
        raise ValueError("parts of a task are missing")
    account, vector, *rest = parts
    threads = []
    for place in range(0, len(rest), PARTS_OF_THREAD):
        its, context, wait, more, reply = rest[place : place + PARTS_OF_THREAD]
        which, answers = _numbers(order, reply)
        if which > REPLY_SEND_ONCE:
            raise ValueError("there is no such right of a wait")
        threads.append(ThreadState(_numbers(order, its), context, _numbers(order, wait), more, which, bool(answers)))
    return TaskState(_numbers(order, account), _numbers(order, vector), tuple(threads))


def _parts(order: ByteOrder, data: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        if place + 4 > len(data):
            raise ValueError("it ends early")
        (size,) = struct.unpack_from(order.prefix + "I", data, place)
        place += 4
        if size > len(data) - place:
            raise ValueError("it ends early")
        yield data[place : place + size]
        place += size


def pack_tasks(order: ByteOrder, tasks: Iterable[tuple[int, bytes]]) -> bytes:
    """Tasks by their numbers and names."""
    return b"".join(struct.pack(order.prefix + "I64s", *task) for task in tasks)


def unpack_tasks(order: ByteOrder, data: bytes) -> list[tuple[int, str]]:
    """What `pack_tasks` made. ValueError for what it did not."""
    listed = struct.Struct(order.prefix + "I64s")
    if len(data) % listed.size:
        raise ValueError("a task is cut")
    return [(number, name.rstrip(b"\0").decode("utf-8", "replace")) for number, name in listed.iter_unpack(data)]


def words_of(order: ByteOrder, numbers: Sequence[int]) -> OutOfLine:
    """An array of words to be sent out of line."""
    return OutOfLine(_words(order, numbers), 4 * len(numbers))


def numbers_of(order: ByteOrder, words: OutOfLine) -> tuple[int, ...]:
    """What an array of words that has come out of line says."""
    return _numbers(order, bytes(words.copy or b""))  # type: ignore[call-overload]


def _words(order: ByteOrder, words: Sequence[int]) -> bytes:
    return struct.pack(f"{order.prefix}{len(words)}I", *[word & 0xFFFFFFFF for word in words])


def _numbers(order: ByteOrder, data: bytes) -> tuple[int, ...]:
    if len(data) % 4:
        raise ValueError("words are cut")
    return struct.unpack(f"{order.prefix}{len(data) // 4}I", data)
