"""Functions of libunicorn replaced from inside: in a child process, since a replacement is for good."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import ctypes, mmap
from unicorn import unicorn_const as uc, x86_const as x86
from machemu.machine import interpose
from machemu.machine.engine import ALL, Engine, check

CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
seen = []

def run():
    ram = mmap.mmap(-1, 1 << 20)
    engine = Engine(ram, uc.UC_ARCH_X86, uc.UC_MODE_32, x86.UC_CPU_X86_PENTIUM2)
    engine.protect(0, 4096, ALL)
    ram[:2] = b"\\xeb\\xfe"
    check(engine.start(0, 10), "run")
    engine.close()

def layer(name):
    def function(engine, cpu):
        seen.append(name)
        return original(engine, cpu)
    replacement = CALL(function)
    before = interpose.replace("cpu_exec_x86_64", replacement)
    original = CALL(before)

run()
layer("first")
run()
layer("second")
run()
print(seen, interpose.replace("no_such_function", 1), interpose.replace("uc_version", 1))
"""


def test_a_replacement_is_called_by_the_library_and_a_second_one_calls_the_first() -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert child.stdout == "['first', 'second', 'first'] None None\n"
