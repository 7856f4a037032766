"""Names of the ABI's numbers, for messages: tables from number to name, in the order of their numbers' definitions."""

from types import ModuleType
from typing import Final

from machemu.abi import device, exception, kern_return, message, port
from machemu.abi.message import MACH_MSG_MASK


def _names(module: ModuleType, *prefixes: str) -> dict[int, str]:
    return {value: name for name, value in vars(module).items() if name.startswith(prefixes)}


MSG_RETURNS: Final = {code: name for code, name in _names(message, "MACH_SEND_", "MACH_RCV_").items() if code >= 0x10000000}
"""mach_msg's errors."""
REPLY: Final = " reply"
"""How the name of a routine's reply ends: `mach_port_names reply`."""
RETURNS: Final = _names(kern_return, "KERN_", "MIG_") | MSG_RETURNS
IO_RETURNS: Final = {code: name for code, name in _names(device, "D_").items() if code >= device.D_IO_ERROR}
"""io_return_t's errors."""
EXCEPTIONS: Final = _names(exception, "EXC_")
OPTIONS: Final = {code: name for code, name in _names(message, "MACH_SEND_", "MACH_RCV_").items() if code < 0x10000000}
"""mach_msg's options, one bit each."""
TYPES: Final = {
    value: name.removeprefix("MSG_TYPE_") for value, name in _names(message, "MSG_TYPE_", "MOVE_", "COPY_", "MAKE_").items()
}
RIGHTS: Final = {value: name.removeprefix("RIGHT_") for value, name in _names(port, "RIGHT_").items()}

PORT_TYPES: Final = {value: name.removeprefix("TYPE_") for value, name in _names(port, "TYPE_").items() if value}
"""One bit each."""
NOTIFICATIONS: Final = {value: f"MACH_{name}" for value, name in _names(port, "NOTIFY_").items()}


def return_name(code: int) -> str:
    """A kern_return_t or mach_msg_return_t by name; mach_msg's added bits, and a code without a name, in hexadecimal."""
    name = RETURNS.get(code)
    if name is None and code & ~MACH_MSG_MASK in RETURNS:
        return f"{RETURNS[code & ~MACH_MSG_MASK]}|{code & MACH_MSG_MASK:#x}"
    return name or f"{code:#x}"
