"""What IPC needs of the layers it may not import; core joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from machemu.abi.errors import MustWait
from machemu.abi.types import Nanoseconds, VirtAddr

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.thread import IpcThread, MsgContinuation


class MapCopy(Protocol):
    """Memory under way (Mach's vm_map_copy_t): owned by whoever holds it, until copied out or discarded."""

    @property
    def size(self) -> int: ...

    def discard(self) -> None:
        """Gives the memory back; the copy is not used again."""


class TaskMemory(Protocol):
    """One task's address space as IPC uses it. Addresses are user addresses of any alignment; every failure is a KernError.

    read, write and copyin raise MustWait where they have to be tried again later.
    """

    def read(self, address: VirtAddr, size: int) -> bytes:
        """Copies in; KERN_INVALID_ADDRESS where any byte cannot be read."""

    def write(self, address: VirtAddr, data: bytes | bytearray | memoryview) -> None:
        """Copies out; KERN_INVALID_ADDRESS where any byte cannot be written (bytes before it may have been)."""

    def ready(self, address: VirtAddr, size: int, writes: bool) -> bool:
        """Whether `read` or `write` would not wait; what is missing has been asked for."""

    def copyin(self, address: VirtAddr, size: int, deallocate: bool) -> MapCopy:
        """Takes `size` > 0 bytes as out-of-line data (copy-on-write); with `deallocate` the sender loses the pages."""

    def copyout(self, copy: MapCopy) -> VirtAddr:
        """Maps the copy anywhere and consumes it, also on failure; the address keeps the offset in the page."""

    def allocate(self, size: int) -> VirtAddr:
        """Zero-filled memory anywhere, for out-of-line arrays of port names; the next write to it does not wait."""

    def deallocate(self, address: VirtAddr, size: int) -> None:
        """Unmaps the pages that hold [address, address + size)."""


class Scheduler(Protocol):
    """How IPC blocks and wakes threads. A blocked thread is data: `continuation` says what is done when it runs again."""

    def block(self, thread: IpcThread, continuation: MsgContinuation, timeout: Nanoseconds | None) -> None:
        """The current thread waits (Mach's thread_will_wait and thread_block). After `timeout`, IPC's `timed_out` is called."""

    def wait(self, thread: IpcThread, continuation: MsgContinuation, wait: MustWait) -> None:
        """The current thread waits for what `wait` says, without a limit."""

    def wake(self, thread: IpcThread) -> None:
        """Makes a waiting thread runnable (thread_go); its time-out is cancelled. It runs its continuation when dispatched."""

    def hand_off(self, thread: IpcThread) -> bool:
        """As `wake`, and where the current thread blocks in this same trap, `thread` runs next (thread_handoff).

        False, and nothing done, where it may not run.
        """


class KernelObjects(Protocol):
    """The kernel's side of ports whose receiver is the kernel (ipc_kobject_server)."""

    def serve(self, request: Kmsg) -> Kmsg | None:
        """Performs a request and consumes it; the reply, already addressed, or None where none is due.

        Where the routine makes the current thread wait, its ith_wait is MsgContinuation.GSYNC, and `finish` follows. Raises
        MustWait and consumes nothing where the request is to be served again later.
        """

    def finish(self, thread: IpcThread) -> Kmsg | None:
        """The reply of a routine in which the thread has waited."""

    def died(self, port: Port) -> None:
        """A port of a user's that stands for something in the kernel is dead (ipc_kobject_destroy)."""
