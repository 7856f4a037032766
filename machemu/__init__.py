"""machemu: Mach 3.0 machines, emulated down to the hardware.

`Machine` is a machine to work with from Python, `Cluster` several on a network. `Reason` is why a run ends, `StepKind` what one
step is, `Point` where a machine is. `example` is the path of a program that comes with machemu, `examples` lists them.
`UsageError`, `EndError` and `HookError` are raised where the API is used in a way that cannot be, `EngineDied` where the process
of an isolated machine is gone. All of them are `UserError`s, which tell of files and values that cannot be used, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machemu.abi.errors import UserError
    from machemu.lab.cluster import Cluster
    from machemu.lab.errors import EndError, EngineDied, HookError, UsageError
    from machemu.lab.examples import example, examples
    from machemu.lab.machine import Machine
    from machemu.lab.recorded import Reason
    from machemu.lab.travel import Point, StepKind

__version__ = "0.1.0"
__all__ = [
    "Cluster",
    "EndError",
    "EngineDied",
    "HookError",
    "Machine",
    "Point",
    "Reason",
    "StepKind",
    "UsageError",
    "UserError",
    "__version__",
    "example",
    "examples",
]

_PLACES = {
    "machemu.abi.errors": ("UserError",),
    "machemu.lab.cluster": ("Cluster",),
    "machemu.lab.machine": ("Machine",),
    "machemu.lab.recorded": ("Reason",),
    "machemu.lab.travel": ("StepKind", "Point"),
    "machemu.lab.errors": ("EndError", "EngineDied", "HookError", "UsageError"),
    "machemu.lab.examples": ("example", "examples"),
}


def __getattr__(name: str) -> object:
    """Names are imported when they are first asked for, so that `import machemu` costs nothing."""
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(place), name)
    raise AttributeError(f"module 'machemu' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
