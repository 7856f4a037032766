"""Ways for the process of a machine to die, planted in a command."""

from __future__ import annotations

IN_A_TRAP = """
import ctypes, os, signal
from machemu.core.kernel import Kernel
call = Kernel.system_call
def dying(kernel, number):
    if kernel.trap_count == {round}:
        {death}
    return call(kernel, number)
Kernel.system_call = dying
"""
"""It dies in the middle of its run."""
DEATHS = {
    "SIGABRT": "os.abort()",
    "SIGSEGV": "ctypes.string_at(8)",
    "SIGFPE": "signal.raise_signal(signal.SIGFPE)",
    "SIGILL": "os.kill(os.getpid(), signal.SIGILL)",
    "SIGBUS": "signal.raise_signal(signal.SIGBUS)",
}
