"""What docs/real-kernel.md says that machemu answers where the real kernel panics or hangs."""

from __future__ import annotations

from tests.support.guests import Arch
from tests.support.machine import boot, module
from tests.support.modules import comparable

KERN_INVALID_ARGUMENT, KERN_FAILURE, MIG_BAD_ID = 4, 5, -303
MACH_SEND_INVALID_DEST = 0x10000003


def lines_of(arch: Arch) -> list[str]:
    with boot(module(arch, "kernelenders")) as machine:
        machine.run_until("END", 60_000_000_000)
        machine.check()
        return comparable(machine.console).decode().splitlines()[1:-1]


def test_calls_that_end_the_real_kernel_are_answered_and_end_nothing(arch: Arch) -> None:
    gap = 2 * arch.page
    assert lines_of(arch) == [
        f"memory_object_init: 00000000 {KERN_FAILURE}",
        f"memory_object_data_request: 00000000 {KERN_FAILURE}",
        f"memory_object_change_completed: 00000000 {KERN_FAILURE}",
        "a reply right of a dead name -> 10000009",
        "4294967295 rights -> 1000000c",
        "1073741825 rights -> 1000000a",
        f"request 3219 with memory: 00000000 {MIG_BAD_ID}",
        f"invalid mask {gap:x}x",
        "a mask with a gap -> 00000003",
        "the map goes on -> 00000000",
        "a shared page onto itself -> 00000000",
        "a copy of wired memory that may not be read -> 00000000",
        "unwiring memory that was written once wired to be read -> 00000000",
        "unwiring memory that was written once wired and then shared -> 00000000",
        "writing what a task that ended shared -> 00000000",
        "unwiring memory that its manager did not give -> 00000000",
        "contiguous memory below 4 -> 00000006",
        "shared memory is given back -> 00000000",
        "it is read: no, exception 1 code 1",
        "a message beyond the user's addresses -> 10000002",
        "ready with strategy 3 -> 00000000",
        "and 0 -> 00000000",
        "a copy of its memory -> 00000000",
        "an interrupt's null port -> 000009c9",
        f"a task for I/O ports: 00000000 {KERN_INVALID_ARGUMENT if arch.name == 'i386' else MIG_BAD_ID}",
        "I/O ports without senders: " + (f"00000000 {MIG_BAD_ID}" if arch.name == "i386" else f"{MACH_SEND_INVALID_DEST:08x}"),
        *(f"{device} is read -> 000009c9" for device in ("cn", "time", "mem", "irq")),
        "irq handler [-2]: new delivery port (address) entry (address)",
        "line -2 -> 000009c7",
        "a proxy of no bytes: waits",
    ]
