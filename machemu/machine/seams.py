"""The whole seam to the machine: what the kernel above sees of a CPU and its memory management unit.

Everything above `machine/` is written against these protocols alone. The CPU calls the kernel (`Supervisor`) while a guest
thread runs; the kernel answers at once or takes the CPU away. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

from machemu.abi.exception import Raised
from machemu.abi.types import ByteOrder, Frame, Instructions, PhysAddr, VirtAddr
from machemu.machine.memory import PhysicalMemory

if TYPE_CHECKING:
    from machemu.machine.accel.interface import NativeTraps


class UserFault(Exception):
    """The current thread's user memory at `address` cannot be read or written (`access`: VM_PROT_READ or VM_PROT_WRITE)."""

    def __init__(self, address: VirtAddr, access: int) -> None:
        super().__init__(address, access)
        self.address = address
        self.access = access


class MachineTask(Protocol):
    """What a task has of the machine: plain data, saved with the task (Mach's machine_task)."""


class Pcb(Protocol):
    """A thread's machine state while it does not run: plain data, saved with the thread (Mach's pcb)."""

    def set_result(self, value: int) -> None:
        """Puts a trap's result (kern_return_t or mach_msg_return_t, as an unsigned or negative int) where the ABI wants it."""

    def redirect(self, number: int, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> None:
        """Makes the thread, which has made a trap with a (positive) number, go on at a handler.

        Where to go back is pushed onto its stack by `write`.
        """

    def set_entry(self, pc: VirtAddr, sp: VirtAddr) -> None:
        """Makes the thread start at `pc` with stack pointer `sp`, every other register as Mach gives it to a new thread."""

    def get_state(self, flavor: int) -> Sequence[int]:
        """thread_get_state: the flavor's words; KernError(KERN_INVALID_ARGUMENT) for an unknown flavor."""

    def set_state(self, flavor: int, words: Sequence[int]) -> None:
        """thread_set_state: as far as user mode may change them; KernError(KERN_INVALID_ARGUMENT) for what is refused."""

    def context(self) -> Self:
        """All of it for a thread of another kernel, without what is its task's; to be read alone."""

    def take_context(self, context: Self) -> None:
        """Takes over another one's context, as far as user mode may have it. The other is not used again."""

    @property
    def own_flavors(self) -> tuple[int, ...]:
        """What a thread may get and set of itself while it runs."""

    @property
    def pc(self) -> VirtAddr: ...

    @property
    def sp(self) -> VirtAddr: ...


@runtime_checkable
class DescriptorTables(Protocol):
    """A Pcb of a machine with segments: what subsystem mach_i386 does to it. A descriptor is its two words, signed."""

    @property
    def in_v86(self) -> bool:
        """Whether the thread is in virtual-8086 mode."""

    def set_ldt(self, first: int, descriptors: Sequence[tuple[int, int]], is_current: bool) -> None: ...

    def get_ldt(self, first: int, count: int) -> Sequence[tuple[int, int]]: ...

    def set_gdt(self, selector: int, descriptor: tuple[int, int]) -> int: ...

    def get_gdt(self, selector: int) -> tuple[int, int]: ...


@runtime_checkable
class IoPorts(Protocol):
    """A MachineTask of a machine with I/O ports."""

    def uses_io(self) -> bool:
        """Whether there is a port that the task's threads may use."""

    def io_perm_modify(self, first: int, last: int, enable: bool) -> None:
        """Lets the task's threads use the ports `first` to `last`, both included, or no longer."""


class Pmap(Protocol):
    """One address space's page tables in the node's RAM (Mach's pmap.h). Addresses are page-aligned unless said otherwise."""

    def enter(self, address: VirtAddr, frame: Frame, protection: int, wired: bool = False) -> None:
        """Maps a page; replaces what was there. `protection` is of VM_PROT_*; raises OutOfFrames where no table fits."""

    def remove(self, start: VirtAddr, end: VirtAddr) -> None:
        """Unmaps all pages in [start, end)."""

    def protect(self, start: VirtAddr, end: VirtAddr, protection: int) -> None:
        """Lowers the protection of all mapped pages in [start, end). Without VM_PROT_READ, which a mapping always gives, it
        removes them."""

    def access(self, address: VirtAddr) -> int:
        """What a page's mapping allows, of VM_PROT_READ and VM_PROT_WRITE; VM_PROT_NONE where it is not mapped."""

    def translate(self, address: VirtAddr, access: int) -> PhysAddr | None:
        """The physical address of any user byte address, or None where the page tables refuse `access`. Hot."""

    def resident_count(self) -> int:
        """How many pages are mapped."""

    def check_invariants(self) -> None:
        """InvariantError where the page tables are not what the kernel was told to put into them."""

    def destroy(self) -> None:
        """Gives every page table back; the pmap is not used again."""


class Mmu(Protocol):
    """The memory management unit: makes pmaps and answers for physical frames, over all pmaps that map them."""

    def create(self) -> Pmap: ...

    def page_protect(self, frame: Frame, protection: int) -> None:
        """Lowers the protection of the frame in every pmap; without VM_PROT_READ it removes every mapping."""

    def forget(self, frame: Frame) -> None:
        """Removes every mapping of the frame, and forgets whether it was modified or referenced."""

    def is_modified(self, frame: Frame) -> bool: ...

    def clear_modified(self, frame: Frame) -> None: ...

    def is_referenced(self, frame: Frame) -> bool: ...

    def clear_referenced(self, frame: Frame) -> None: ...

    def check_invariants(self) -> None: ...


class Supervisor(Protocol):
    """The kernel, as the CPU enters it. Called only inside `Cpu.run`, on behalf of the active thread.

    An answer of None or False says that the thread does not go on now: the kernel has called `Cpu.stop`.
    """

    def system_call(self, number: int) -> int | None:
        """A trap with the (positive) Mach trap number; the result for the guest, or None."""

    def emulated_call(self, number: int) -> int | None:
        """As `system_call`, for a thread that was activated as redirecting traps; `number` may be any that fits 32 bits."""

    def fault(self, address: VirtAddr, access: int) -> bool:
        """A page fault at a user address; True when the access may be tried again at once."""

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        """A CPU exception in Mach's terms; True when the thread goes on where its (possibly changed) state says."""

    def cycles(self) -> int:
        """What a time-stamp counter shows: virtual time since power-on, counted in times of one instruction."""

    def print(self, data: bytes) -> None:
        """The machine has something to say on the kernel's console."""


class Shares(NamedTuple):
    """Of what ran: traps that the extension in C did whole, those that it entered and Python did, and all others; instructions of
    threads for which it works, and of all."""

    whole: int
    entered: int
    left: int
    instructions: int
    executed: int


class Cpu(Protocol):
    """One processor. One thread at a time is active on it; its registers live in the CPU until `deactivate`."""

    architecture: str
    """Its name, as executables and profiles have it."""
    order: ByteOrder
    page_size: int
    user_range: tuple[VirtAddr, VirtAddr]
    """First user address and the first beyond."""
    stack_top: VirtAddr
    """Where the first task's stack ends, and its size in bytes."""
    stack_size: int
    own_memory: int
    """Bytes at the start of RAM that are the CPU's own: no guest reaches them, and a new CPU makes them anew."""

    @property
    def mmu(self) -> Mmu: ...

    def attach(self, supervisor: Supervisor, traps: NativeTraps | None = None) -> None:
        """Names the kernel that traps and faults enter. traps: what the extension does of its traps, of which it is not told."""

    def shares(self) -> Shares | None:
        """What the extension has done since the CPU was made; None where it is not there."""

    def resume(self, memory: PhysicalMemory, mmu: Mmu) -> None:
        """Goes on, no thread being active, with a restored state of its memory and mmu. `memory` has the same bytes as before."""

    def new_task(self) -> MachineTask:
        """The machine's part of a task just created."""

    def new_pcb(self, task: MachineTask, maker: Pcb | None = None) -> Pcb:
        """The state of a thread just created, by the active thread `maker` where that is one of the same task."""

    def activate(self, pcb: Pcb, pmap: Pmap, redirects: bool = False) -> None:
        """Makes a thread the active one: its state is loaded, its address space current.

        redirects: its task has an emulation vector. Then its traps enter `emulated_call`, and so do those instructions that
        the architecture makes traps by that (`int $0x80`).
        """

    def deactivate(self) -> None:
        """Writes the active thread's state back to its pcb."""

    target: int
    """What `executed` is when `run` ends. Inside a Supervisor call the kernel may lower it, for time that it took itself."""

    @property
    def passes_ticks(self) -> bool:
        """Whether a run can pass clock ticks now."""

    def run(self, budget: Instructions, catch_up: Callable[[], None] | None = None) -> None:
        """Runs the active thread in user mode until it has begun `budget` more instructions or `stop` was called.

        catch_up: the run may pass clock ticks. Once, before it enters the kernel or ends, this takes those that lie before the
        last instruction begun, and puts `target` at the next one.
        """

    def stop(self) -> None:
        """Called by the kernel inside a Supervisor call: `run` returns before another user instruction."""

    @property
    def executed(self) -> Instructions:
        """User instructions completed or trapped since power-on, exact also inside Supervisor calls."""

    def arguments(self, count: int) -> tuple[int, ...]:
        """The current trap's first `count` argument words, unsigned. Raises UserFault. Only inside system_call."""

    def redirect(self, handler: VirtAddr, write: Callable[[VirtAddr, bytes], None]) -> int:
        """Makes the current trap return to a handler in user mode, where to go back pushed onto the stack by `write`.

        Gives what is to stay in the result's register. `write` copies out to the thread's memory, with KernError; where that is
        KERN_INVALID_ADDRESS, UserFault at the new top of the stack is raised, and nothing has changed. Only inside emulated_call.
        """

    def pc(self) -> VirtAddr:
        """Where the active thread is. Only inside `fault`."""

    def where(self) -> VirtAddr:
        """Where the active thread is, or goes on: for people, at any moment."""

    def result(self) -> int:
        """What the result's register holds. Only inside emulated_call."""

    def watch_code(self, address: VirtAddr, call: Callable[[], None]) -> int:
        """Calls a function whenever an instruction at a user address begins, in any address space; what `unwatch_code` takes.

        `executed` counts the instruction then. One that faults begins again. Not inside `run`; no guest can tell.
        """

    def unwatch_code(self, watch: int) -> None:
        """Not inside `run`."""

    def bad_trap(self, number: int) -> Raised:
        """The exception, code and subcode that a trap of a number out of range raises."""

    def bad_arguments(self, number: int, code: int, address: VirtAddr) -> Raised:
        """The exception that a trap raises whose arguments cannot be read: an access at `address` failed with `code`."""

    def close(self) -> None:
        """Gives the engine's host memory back."""


class DiskError(Exception):
    """The medium cannot be read or written there."""


class Disk(Protocol):
    """A disk of `sectors` sectors of 512 bytes. It answers at once: its owner lets virtual time pass."""

    sectors: int
    writable: bool
    """Whether what is written changes the medium itself, so that it cannot go back."""

    @property
    def is_cd(self) -> bool:
        """Whether a new machine has it in a CD drive."""

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors from `sector` on, all of them on the disk. Raises DiskError."""

    def write(self, sector: int, data: bytes) -> None:
        """Writes whole sectors, all of them on the disk. Raises DiskError; then some may have been written."""

    def attach(self, name: str, given: Disk | None) -> None:
        """Finds the medium again after a load: that of `given`, which stays the caller's and is what the user calls `name` now.

        Raises UserError.
        """

    def take_over(self, old: Disk) -> None:
        """After a restore: the medium of `old`, this disk before."""

    def close(self) -> None:
        """Gives the host's resources back."""


class FrameReceiver(Protocol):
    """Who takes the frames that come in."""

    def accepts(self, frame: bytes) -> bool:
        """Whether a frame that came in now would change anything."""

    def frame_arrived(self, frame: bytes) -> None:
        """A whole frame has come in now; whether anybody wants it is the receiver's to find out."""


class Nic(Protocol):
    """An Ethernet interface. Frames begin with the 14-byte Ethernet header and have no checksum."""

    address: bytes
    """Its own hardware address, 6 bytes."""
    receiver: FrameReceiver | None

    def transmit(self, frame: bytes, delay: int = 0) -> None:
        """A frame of 14 to 1514 bytes goes out in `delay` nanoseconds, after those before; on the wire it has 60 at least."""

    def receive(self, frame: bytes) -> None:
        """The segment brings a frame."""

    def attach(self) -> None:
        """Forgets the host's side after a load; whoever owns the segment joins the interface again."""

    def take_over(self, old: Nic) -> None:
        """After a restore: what `old`, this interface before, is joined to."""
