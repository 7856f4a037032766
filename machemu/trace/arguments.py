"""The names of an argument's values: by the argument's name, and where one name means several things by the routine, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from machemu.abi import names

Namer = Callable[[int], str]
"""Gives a value in words."""

DISPOSITIONS: Final = {kind: name.lower().replace("move_", "").replace("_", "-") for kind, name in names.TYPES.items()}
OPTIONS: Final = {bit: name.removeprefix("MACH_") for bit, name in names.OPTIONS.items()}
PROTECTIONS: Final = {1: "READ", 2: "WRITE", 4: "EXECUTE", 0x10: "NOTIFY"}
INHERITANCES: Final = {0: "SHARE", 1: "COPY", 2: "NONE"}
MODES: Final = {1: "D_READ", 2: "D_WRITE", 4: "D_NODELAY", 8: "D_NOWAIT"}


def code_name(code: int) -> str:
    """A kern_return_t, mach_msg_return_t or io_return_t by name."""
    return names.IO_RETURNS.get(code) or names.return_name(code)


def flags_text(value: int, bits: Mapping[int, str], none: str = "0") -> str:
    """A word of single bits, by their names; what has none in hexadecimal. none: said for 0."""
    found = [name for bit, name in bits.items() if value & bit]
    rest = value & ~sum(bits)
    return "|".join(found + ([f"{rest:#x}"] if rest else [])) or none


def _one(values: Mapping[int, str]) -> Namer:
    return lambda value: values.get(value, str(value))


def _flags(bits: Mapping[int, str], none: str = "0") -> Namer:
    return lambda value: flags_text(value, bits, none)


_right = _one(names.RIGHTS)
_type = _one(DISPOSITIONS)
_port_type = _flags(names.PORT_TYPES)
_protection = _flags(PROTECTIONS, "NONE")
_inheritance = _one(INHERITANCES)
_boolean = _one({0: "FALSE", 1: "TRUE"})
_mode = _flags(MODES)

BOOLEANS: Final = (
    "anywhere", "assign_threads", "change_threads", "copy", "dirty", "essential", "inherit_memory", "is_shared", "kernel_copy",
    "may_cache", "object_ready", "precious", "set_max", "set_maximum", "should_flush", "unmap", "wired",
)  # fmt: skip
NAMERS: Final[dict[str, Namer]] = {
    **dict.fromkeys(BOOLEANS, _boolean),
    **dict.fromkeys(
        ("access", "cur_protection", "desired_access", "lock_value", "max_protection", "new_protection", "prot", "protection"),
        _protection,
    ),
    **dict.fromkeys(("inheritance", "new_inheritance"), _inheritance),
    **dict.fromkeys(("RetCode", "error_value", "reason", "result", "return_code"), code_name),
    **dict.fromkeys(("msgt_name", "right_type"), _type),
    **dict.fromkeys(("ptype", "types"), _port_type),
    "copy_strategy": _one({0: "NONE", 1: "CALL", 2: "DELAY", 3: "TEMPORARY"}),
    "exception": _one(names.EXCEPTIONS),
    "mode": _mode,
    "policy": _one({1: "TIMESHARE", 2: "FIXEDPRI"}),
    "right": _right,
    "should_return": _one({0: "NONE", 1: "DIRTY", 2: "ALL"}),
}
"""By an argument's name, whatever the routine."""
ROUTINE_NAMERS: Final[dict[tuple[str, str], Namer | None]] = {
    ("host_info", "flavor"): _one({1: "HOST_BASIC_INFO", 2: "HOST_PROCESSOR_SLOTS", 3: "HOST_SCHED_INFO", 4: "HOST_LOAD_INFO"}),
    ("mach_msg", "option"): _flags(OPTIONS),
    ("mach_port_allocate_name", "right"): _right,
    ("mach_port_insert_right", "right"): None,
    ("mach_port_request_notification", "id"): _one(names.NOTIFICATIONS),
    ("task_get_special_port", "which_port"): _one({1: "TASK_KERNEL_PORT", 3: "TASK_EXCEPTION_PORT", 4: "TASK_BOOTSTRAP_PORT"}),
    ("task_info", "flavor"): _one({1: "TASK_BASIC_INFO", 2: "TASK_EVENTS_INFO", 3: "TASK_THREAD_TIMES_INFO"}),
    ("thread_get_special_port", "which_port"): _one({1: "THREAD_KERNEL_PORT", 3: "THREAD_EXCEPTION_PORT"}),
    ("thread_info", "flavor"): _one({1: "THREAD_BASIC_INFO", 2: "THREAD_SCHED_INFO"}),
    ("thread_switch", "option"): _one({0: "NONE", 1: "DEPRESS", 2: "WAIT"}),
    ("vm_map", "copy"): _boolean,
}
"""By routine or trap, and argument. None: a number after all."""
for _set in ("task_set_special_port", "thread_set_special_port"):
    ROUTINE_NAMERS[_set, "which_port"] = ROUTINE_NAMERS[_set.replace("_set_", "_get_"), "which_port"]


def namer(routine: str, argument: str) -> Namer | None:
    """What says an argument's values in words, None where they are numbers."""
    return ROUTINE_NAMERS.get((routine, argument), NAMERS.get(argument))
