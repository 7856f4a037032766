"""The device interface's routines (Mach's ds_routines): open, close, read, write, status, for the devices that a node has."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MigReturn
from machemu.device.console import Console, PendingRead
from machemu.ipc import kmsg, port
from machemu.ipc.port import Port
from machemu.ipc.subsystem import Ipc
from machemu.sim.state import state

D_NO_SUCH_DEVICE: Final = 2502
D_INVALID_OPERATION: Final = 2505
D_INVALID_SIZE: Final = 2507

IO_INBAND_MAX: Final = 128
READ_MAX: Final = 1 << 20
"""The most that one read of the console allocates for, in bytes."""

TTY_STATUS: Final = (ord("t") << 16) + 1
TTY_FLUSH: Final = TTY_STATUS + 2
B9600: Final = 12
TTY_FLAGS: Final = 0x2 | 0x4 | 0x80 | 0x100
"""Either parity, echo left to the user, carriage return with each line feed."""
NO_REPLY: Final = int(MigReturn.MIG_NO_REPLY)


@state
class MasterDevice:
    """What the master device port stands for: the right to open devices."""

    __slots__ = ()


@state
class Device:
    """An open device: its port's kernel object. `opens` counts device_open calls not yet closed."""

    __slots__ = ("name", "driver", "port", "opens")

    def __init__(self, name: str, driver: Console, device_port: Port) -> None:
        self.name = name
        self.driver = driver
        self.port = device_port
        self.opens = 1


@state
class Devices:
    """A node's devices. drivers: by name, there from power-on; opened: the open ones. master_port: the kernel holds its right."""

    __slots__ = ("drivers", "opened", "master_port")

    def __init__(self, ipc: Ipc, drivers: dict[str, Console]) -> None:
        self.drivers = drivers
        self.opened: dict[str, Device] = {}
        self.master_port = ipc.make_kernel_port(MasterDevice())


def device_open(ipc: Ipc, devices: Devices, target: object, name: bytes) -> object:
    """A send right to the device's port. A device that is open is shared."""
    if target is not devices.master_port:
        raise KernError(D_INVALID_OPERATION)
    text = name.split(b"\0", 1)[0].decode("latin-1")
    driver = devices.drivers.get(text)
    if driver is None:
        raise KernError(D_NO_SUCH_DEVICE)
    device = devices.opened.get(text)
    if device is None:
        device_port = ipc.make_kernel_port(None)
        device = devices.opened[text] = Device(text, driver, device_port)
        device_port.kobject = device
    else:
        device.opens += 1
    return port.make_send(ipc, device.port)


def device_close(ipc: Ipc, devices: Devices, device: Device) -> None:
    """The last close destroys the device's port; reads that wait get no answer."""
    device.opens -= 1
    if device.opens:
        return
    del devices.opened[device.name]
    while device.driver.pending:
        read = device.driver.pending.popleft()
        kmsg.destroy_right(ipc, read.reply_port, read.reply_type)
    port.dealloc_kernel(ipc, device.port)


def device_write(device: Device, data: bytes) -> int:
    """Writes to the device and returns how many bytes it took."""
    device.driver.write(data)
    return len(data)


def device_read(device: Device, reply_port: object, reply_type: int, count: int, inband: bool) -> bytes | None:
    """Input that is there, or None: the reply comes later and `reply_port` is the device's until then.

    D_NOWAIT changes nothing: the real kernel looks at it only while a line has no carrier.
    """
    if count < 0 or count > READ_MAX:
        raise KernError(D_INVALID_SIZE)
    driver = device.driver
    limit = min(count, IO_INBAND_MAX) if inband else count
    if driver.input:
        return driver.take(limit)
    if not isinstance(reply_port, Port):
        raise KernError(NO_REPLY)
    driver.pending.append(PendingRead(reply_port, reply_type, inband, limit))
    return None


def get_status(device: Device, flavor: int, room: int) -> tuple[int, ...]:
    """device_get_status: the tty's speeds, break characters' place and flags."""
    if flavor != TTY_STATUS or room < 4:
        raise KernError(D_INVALID_OPERATION)
    del device
    return (B9600, B9600, 0, TTY_FLAGS)


def set_status(device: Device, flavor: int, words: tuple[int, ...]) -> None:
    """device_set_status: flushing input is the one thing that the console can be told."""
    if flavor == TTY_FLUSH:
        device.driver.input.clear()
    elif flavor != TTY_STATUS or len(words) < 4:
        raise KernError(D_INVALID_OPERATION)
