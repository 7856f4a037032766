"""What virtual memory needs of the layers that it may not import; core joins them. Ports are opaque here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from machemu.vm.map import VmMap
    from machemu.vm.map_copy import VmMapCopy
    from machemu.vm.object import VmObject
    from machemu.vm.pager import Pager


class MemoryManagers(Protocol):
    """Messages to memory managers, the ports that stand for memory objects, and the threads that wait.

    Offsets are in the memory object, lengths in bytes. A message to a manager never waits; one to a dead port is lost.
    """

    def wake(self, thread: object) -> None:
        """Makes a waiting thread runnable."""

    def name_port(self, obj: VmObject) -> object:
        """A new port that stands for the object's name; the kernel has the receive right."""

    def dealloc(self, port: object) -> None:
        """The kernel gives up a port of its own, which dies."""

    def memory_object_port(self) -> object:
        """A new port to be a memory object, its receive right with the kernel; the caller has a send right too."""

    def release_send(self, right: object) -> None:
        """Gives a send right up."""

    def is_alive(self, right: object) -> bool:
        """Whether a send right is one to a port that lives."""

    def part_of(self, memory_object: object, offset: int, size: int, copy: bool) -> tuple[object, int, int]:
        """What is mapped where a memory object or a proxy of one is to be: the memory object, the offset there, and the access
        (VM_PROT_*) that the mapping may have.

        KERN_INVALID_ARGUMENT for more than the proxy has; KERN_PROTECTION_FAILURE for a copy of what it does not let be read;
        KERN_MEMORY_ERROR for a port that has died, also behind a proxy.
        """

    def pager_of(self, memory_object: object) -> Pager | None:
        """The pager that a memory object's port stands for, None for one that was never mapped.

        KERN_INVALID_ARGUMENT where the port stands for something else.
        """

    def begin(self, pager: Pager, memory_object: object) -> None:
        """Ties a pager to its memory object's port, of which it gets a send right, and makes its control port."""

    def surrender(self, pager: Pager) -> tuple[object, object, object]:
        """A pager's send right to its memory object, and the receive rights of its control and name ports, all None there and
        standing for nothing afterwards. The caller owns them. KERN_INVALID_ARGUMENT for a device's."""

    def adopt(self, pager: Pager, memory_object: object, control: object, name: object) -> None:
        """Ties a pager to the ports that `surrender` gave elsewhere. Consumes the receive rights."""

    def name_object(self, name: object, obj: VmObject) -> None:
        """A name port stands for another object from now on."""

    def init(self, pager: Pager) -> None:
        """memory_object_init."""

    def create(self, pager: Pager) -> None:
        """memory_object_create, to the default memory manager, which gets the memory object's receive right."""

    def terminate(self, pager: Pager) -> None:
        """memory_object_terminate: the pager's ports go to the manager. Its memory object is None afterwards."""

    def copy(self, pager: Pager, offset: int, length: int, new_memory_object: object) -> None:
        """memory_object_copy: the manager gets the new memory object's receive right."""

    def data_request(self, pager: Pager, offset: int, length: int, access: int) -> None:
        """memory_object_data_request."""

    def data_unlock(self, pager: Pager, offset: int, length: int, access: int) -> None:
        """memory_object_data_unlock."""

    def data_return(self, pager: Pager, offset: int, copy: VmMapCopy, dirty: bool, kernel_copy: bool) -> None:
        """memory_object_data_return. Consumes the copy, which is lost where the manager is gone."""

    def print(self, line: str) -> None:
        """The kernel says a line on its console."""

    def no_room(self, map_: VmMap) -> None:
        """The kernel says that a map has no more room."""

    def pageout(self) -> None:
        """The kernel is to leave the current thread, and replace pages before it runs on."""
