"""A machine's place, code and memory as lines."""

from __future__ import annotations

from collections.abc import Iterator

from machemu.kern.thread import TH_WAIT, Thread
from machemu.lab.looks import Looks
from machemu.lab.report import describe_thread
from machemu.sim.units import counted, time_text
from machemu.trace.words import task_text

ROW = 16


def location(machine: Looks) -> Iterator[str]:
    """When and where the machine is; the next instruction where a thread is about to do one."""
    kernel = machine.kernel
    when = f"{time_text(machine.kernel.kern.clock.now())}, {counted(machine.kernel.trap_count, 'trap')}"
    thread = kernel.kern.sched.current
    if thread is None:
        yield f"{when}: no thread has the CPU"
        return
    who = f"{task_text(thread.task.number, thread.task.name)} thread {thread.number}"
    if thread.state & TH_WAIT or thread.continuation is not None or thread.program is not None:
        yield f"{when}: {who} {describe_thread(kernel, thread)}"
        return
    yield f"{when}: {who}"
    yield from instruction_lines(machine, thread, 1, None)


def instruction_lines(machine: Looks, thread: Thread, count: int, address: int | None) -> Iterator[str]:
    symbols = machine.symbols
    for place, code, text in machine.disassemble(thread.number, count, address):
        yield f"  {place:#010x} {symbols.at(thread.task.number, place):<24} {code.hex(' '):<24} {text}".rstrip()


def dump(address: int, data: bytes) -> Iterator[str]:
    """Rows of bytes, and the characters among them."""
    for start in range(0, len(data), ROW):
        row = data[start : start + ROW]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"  {address + start:#010x}  {row.hex(' '):<{3 * ROW - 1}}  {text}"
