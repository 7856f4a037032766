"""The conformance module `memory` at the level of the VM: the same calls in the same order give the real kernel's transcript.

Message passing is stood in for: a destination that is no port, out-of-line data that cannot be copied in, and a memory object
name that denotes nothing answer what mach_msg does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machemu.abi.errors import KernError
from machemu.abi.types import VirtAddr
from machemu.vm import routines
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.user import UserMemory
from tests.support.vm import vm_copy

PAGE = 4096
pytestmark = pytest.mark.parametrize("boot", ["fake", "i386"], indirect=True)
"""Machines with pages of that size, for which the real kernel's addresses are known."""
INVALID_DEST = 0x10000003
INVALID_MEMORY = 0x1000000C
INVALID_RIGHT = 0x1000000A


class Module:
    """The module's task, and what it says."""

    def __init__(self, map_: VmMap) -> None:
        self.map = map_
        self.memory = UserMemory(map_)
        self.lines: list[str] = []

    def show(self, what: str, call: Callable[[], Any]) -> Any:
        result, code = None, 0
        try:
            result = call()
        except KernError as error:
            code = error.code
        self.lines.append(f"{what} -> {code:08x}")
        return result

    def region(self, map_: VmMap, address: int) -> None:
        try:
            start, size, protection, maximum, inheritance, shared, _, offset = routines.vm_region(map_, address)
        except KernError as error:
            self.lines.append(f"  region kr {error.code:08x}")
            return
        self.lines.append(
            f"  region kr 00000000 starts {start - address} size {size:08x} prot {protection} max {maximum} "
            f"inherit {inheritance} shared {int(shared)} offset {offset:08x}"
        )

    def get(self, address: int) -> int:
        return int.from_bytes(self.memory.read(VirtAddr(address), 4), "little")

    def put(self, address: int, value: int) -> None:
        self.memory.write(VirtAddr(address), value.to_bytes(4, "little"))

    def vm_read(self, map_: VmMap, address: int, size: int) -> int:
        copy = routines.vm_read(map_, address, size)
        assert copy is not None
        return self.memory.copyout(copy)

    def vm_write(self, map_: VmMap, address: int, data: int, size: int) -> None:
        try:
            copy = self.memory.copyin(VirtAddr(data), size, False)
        except KernError:
            raise KernError(INVALID_MEMORY) from None
        try:
            routines.vm_write(map_, address, copy, size)
        finally:
            copy.discard()


def no_such(code: int) -> None:
    raise KernError(code)


def test_the_same_calls_give_the_real_kernels_transcript(vm: Any) -> None:
    module = Module(vm.new_map())
    task, show, region, put, say = module.map, module.show, module.region, module.put, module.lines.append
    routines.vm_allocate(task, 0x8048000, 0x6000, False)
    routines.vm_allocate(task, 0xBFFE0000, 0x20000, False)
    say("BEGIN")
    a = allocate(module)
    protect(module, a)
    copy = read_and_copy(module, a)

    say("-- deallocate")
    show("middle", lambda: routines.vm_deallocate(task, a + 2 * PAGE, PAGE))
    region(task, a + PAGE)
    region(task, a + 2 * PAGE)
    show("again", lambda: routines.vm_deallocate(task, a + 2 * PAGE, PAGE))
    show("nothing", lambda: routines.vm_deallocate(task, a, 0))
    show("wrapping", lambda: routines.vm_deallocate(task, 0xFFFFF000, 0x2000))
    show("kernel", lambda: routines.vm_deallocate(task, 0xD0000000, PAGE))
    children(module, a, copy)

    say("-- map")
    c = show("vm_map nothing", lambda: routines.vm_map(task, 0, PAGE, 0, True, None, 0, False, 3, 7, 1))
    region(task, c)
    put(c, 3)
    b = show("vm_map mask", lambda: routines.vm_map(task, 0x20000000, PAGE, 0xFFFF, True, None, 0, False, 3, 7, 1))
    say(f"  aligned to 64K {int(not b & 0xFFFF)}")
    show("vm_map of no object", lambda: no_such(INVALID_RIGHT))
    show("vm_map bad protection", lambda: routines.vm_map(task, b, PAGE, 0, True, None, 0, False, 0x33, 7, 1))
    show("vm_map bad inheritance", lambda: routines.vm_map(task, b, PAGE, 0, True, None, 0, False, 3, 7, 9))
    statistics = show("statistics", lambda: routines.vm_statistics(task))
    say(f"  page size {statistics[0]}")
    say("END")
    assert module.lines == Path(__file__).with_name("memory.expected").read_text().splitlines()


def allocate(module: Module) -> int:
    task, show, region, say = module.map, module.show, module.region, module.lines.append
    say("-- allocate")
    a: int = show("anywhere", lambda: routines.vm_allocate(task, 0, 5 * PAGE, True))
    say(f"  aligned {int(not a & 4095)} zero {module.get(a + 28):08x}")
    region(task, a)
    region(task, a + PAGE * 2)
    show("at a taken place", lambda: routines.vm_allocate(task, a, PAGE, False))
    b = show("at an odd place", lambda: routines.vm_allocate(task, 0x10000003, 5000, False))
    say(f"  at {b:08x}")
    region(task, b)
    show("at the top", lambda: routines.vm_allocate(task, 0xBFFFF000, 8192, False))
    show("in the kernel", lambda: routines.vm_allocate(task, 0xD0000000, PAGE, False))
    say(f"  at {show('size 0', lambda: routines.vm_allocate(task, 0, 0, True)):08x}")
    show("huge", lambda: routines.vm_allocate(task, 0, 0xFFFFF000, True))
    show("in no task", lambda: no_such(INVALID_DEST))
    say(f"  at {show('page zero', lambda: routines.vm_allocate(task, 0, PAGE, False)):08x}")
    routines.vm_deallocate(task, 0, PAGE)
    return a


def protect(module: Module, a: int) -> None:
    task, show, region, say = module.map, module.show, module.region, module.lines.append
    say("-- protect")
    show("read only", lambda: routines.vm_protect(task, a + PAGE, PAGE, False, 1))
    region(task, a)
    region(task, a + PAGE)
    region(task, a + 2 * PAGE)
    show("maximum read", lambda: routines.vm_protect(task, a + PAGE, PAGE, True, 1))
    region(task, a + PAGE)
    show("write again", lambda: routines.vm_protect(task, a + PAGE, PAGE, False, 3))
    show("bad bits", lambda: routines.vm_protect(task, a, PAGE, False, 0x77))
    show("a hole", lambda: routines.vm_protect(task, 0x60000000, PAGE, False, 1))
    show("part of a page", lambda: routines.vm_protect(task, a + 8192 + 100, 10, False, 1))
    region(task, a + 8192)
    show("vm_write to a read-only page", lambda: module.vm_write(task, a + PAGE, a, PAGE))
    show("vm_write", lambda: module.vm_write(task, a + 3 * PAGE, a, PAGE))
    show("vm_write odd size", lambda: module.vm_write(task, a + 3 * PAGE, a, 100))
    show("vm_write from a hole", lambda: module.vm_write(task, a + 3 * PAGE, 0x60000000, PAGE))
    say("-- inherit")
    show("none", lambda: routines.vm_inherit(task, a + 3 * PAGE, PAGE, 2))
    show("share", lambda: routines.vm_inherit(task, a + 4 * PAGE, PAGE, 0))
    show("bad", lambda: routines.vm_inherit(task, a, PAGE, 7))
    region(task, a + 3 * PAGE)
    region(task, a + 4 * PAGE)


def read_and_copy(module: Module, a: int) -> int:
    task, show, region, get, put, say = module.map, module.show, module.region, module.get, module.put, module.lines.append
    say("-- read and copy")
    put(a, 0xCAFE)
    copy: int = show("vm_read", lambda: module.vm_read(task, a, PAGE))
    say(f"  size 4096 word {get(copy):08x}")
    put(a, 1)
    say(f"  after the source's write {get(copy):08x}")
    put(copy + 4, 5)
    say(f"  source after the copy's write {get(a + 4):08x}")
    region(task, copy)
    odd = show("vm_read odd", lambda: module.vm_read(task, a + 10, 20))
    assert odd % PAGE == 10
    say("  size 20")
    show("vm_read a hole", lambda: module.vm_read(task, 0x60000000, PAGE))
    show("vm_read too much", lambda: module.vm_read(task, a, 0x100000))
    show("vm_copy", lambda: vm_copy(task, a, PAGE, copy))
    say(f"  word {get(copy):08x}")
    put(a, 2)
    say(f"  after {get(copy):08x}")
    show("vm_copy to a hole", lambda: vm_copy(task, a, PAGE, 0x60000000))
    show("vm_copy odd", lambda: vm_copy(task, a + 4, PAGE, copy))
    return copy


def children(module: Module, a: int, copy: int) -> None:
    task, show, region, get, put, say = module.map, module.show, module.region, module.get, module.put, module.lines.append
    vm = task.vm
    say("-- a child")
    put(a, 0x1000)
    put(a + 4 * PAGE, 0x4000)
    child: VmMap = show("task_create inheriting", task.fork)
    for page in (0, 3, 4):
        region(child, a + page * PAGE)
    c = show("read the copied page", lambda: module.vm_read(child, a, PAGE))
    say(f"  word {get(c):08x}")
    put(a, 0x1001)
    say(f"  after the parent's write {get(module.vm_read(child, a, PAGE)):08x}")
    put(a + 4 * PAGE, 0x4001)
    say(f"  shared page {get(module.vm_read(child, a + 4 * PAGE, PAGE)):08x}")
    put(copy, 0x4002)
    show("write the child's shared page", lambda: module.vm_write(child, a + 4 * PAGE, copy, PAGE))
    say(f"  parent sees {get(a + 4 * PAGE):08x}")
    show("write the child's copied page", lambda: module.vm_write(child, a, copy, PAGE))
    say(f"  parent sees {get(a):08x}")
    show("terminate", child.destroy)
    show("read the dead", lambda: no_such(INVALID_DEST))
    empty: VmMap = show("task_create empty", vm.new_map)
    region(empty, 0)
    show("allocate in it", lambda: routines.vm_allocate(empty, 0x20000000, 8192, False))
    show("write it", lambda: module.vm_write(empty, 0x20000000, copy, PAGE))
    c = module.vm_read(empty, 0x20000000, 8192)
    say(f"  words {get(c):08x} {get(c + PAGE):08x} size 8192")
    empty.destroy()
    vm.check_references([task], [])


def test_a_copy_taken_by_the_kernel_reads_as_the_bytes(vm: Any) -> None:
    map_ = vm.new_map()
    copy = VmMapCopy.from_bytes(vm, b"abc" * 2000)
    at = UserMemory(map_).copyout(copy)
    assert at % PAGE == 0
    assert UserMemory(map_).read(at, 6000) == b"abc" * 2000
    assert UserMemory(map_).read(VirtAddr(at + 6000), 2 * PAGE - 6000) == bytes(2 * PAGE - 6000)
