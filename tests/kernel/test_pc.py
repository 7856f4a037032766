"""A PC's screen, keyboard, mouse and floppies: what a guest does with them is seen, saved and the same in each run."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.device import D_INVALID_OPERATION, D_INVALID_SIZE, D_NOWAIT, D_WOULD_BLOCK
from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_SUCCESS
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.node import Node
from machemu.core.kernel import FOREVER
from machemu.device import mem
from machemu.device.kd_event import KDGKBDTYPE, KDSETLEDS, KDSKBDMODE, KEYS, keys, moves
from machemu.machine.disk import ImageDisk
from machemu.mig.interfaces import device
from tests.support.devices import User
from tests.support.guests import I386, M68K
from tests.support.machine import empty, image, new_node

FLOPPY = 2880 * 512
TYPED = "Hello, PC {1}!\n"
MOVED = "# to the right, and up\nmove 5 -2\nmove -1 0\n\nleft down\nleft up\n"


def screen(node: Node) -> str | None:
    return mem.screen(node.kernel.devices.drivers)


def pc(floppy: Path | None = None) -> Node:
    disk = ImageDisk.of_bytes(b"\xe5" * FLOPPY) if floppy is None else ImageDisk.of_file(floppy, writable=True)
    node = new_node(I386, disks={"fd0": disk})
    boot_modules(node.kernel, [f"{image(I386, 'pc')} {DEFAULT_LINE}"], {})
    node.give({"kbd": keys(TYPED), "mouse": moves(MOVED)})
    return node


def test_a_guest_writes_the_screen_reads_keys_and_mouse_and_formats_a_floppy(tmp_path: Path) -> None:
    floppy = tmp_path / "floppy.img"
    digests = []
    for _ in range(2):
        floppy.write_bytes(b"\xe5" * FLOPPY)
        with pc(floppy) as node:
            printed: list[bytes] = []
            node.kernel.console.sinks.append(printed.append)
            node.kernel.run(FOREVER)
            lines = b"".join(printed).decode().splitlines()
            assert lines == ["keyboard -> 00000000", "typed: Hello, PC {1}!", "clicked at 4 -2", "formatted", "END"]
            rows = (screen(node) or "").splitlines()
            digests.append(node.digest())
        assert len(rows) == 25
        assert {number: row for number, row in enumerate(rows) if row} == {
            0: "  A PC's text screen",
            2: "  Hello, PC {1}!",
            8: " " * 44 + "X",
            24: "  The floppy is formatted.",
        }
        data = floppy.read_bytes()
        fat = b"\xf0\xff\xff" + bytes(9 * 512 - 3)
        assert data[:11] == b"\xeb\x3c\x90MACH    "
        assert data[510:512] == b"\x55\xaa"
        assert data[512 : 33 * 512] == fat * 2 + bytes(14 * 512)
        assert data[33 * 512 :] == b"\xe5" * (FLOPPY - 33 * 512)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("traps", [40, 70, 100])
def test_a_pc_goes_on_after_a_load_and_back(traps: int, tmp_path: Path) -> None:
    with pc() as node:
        node.kernel.run(FOREVER, traps)
        node.save(tmp_path / "machine")
        snapshot, here = node.snapshot(), node.digest()
        node.kernel.run(FOREVER)
        shown, end = screen(node), node.digest()
        node.restore(snapshot)
        assert node.digest() == here
        node.kernel.run(FOREVER)
        assert (screen(node), node.digest()) == (shown, end)
    with Node.load(tmp_path / "machine") as again:
        assert again.digest() == here
        again.kernel.run(FOREVER)
        assert (screen(again), again.digest()) == (shown, end)


def test_another_machine_has_no_screen_keyboard_or_floppy() -> None:
    with new_node(M68K) as node:
        printed: list[bytes] = []
        node.kernel.console.sinks.append(printed.append)
        boot_modules(node.kernel, [f"{image(M68K, 'pc')} {DEFAULT_LINE}"], {})
        node.kernel.run(FOREVER)
        assert (printed, screen(node)) == ([b"this machine is no PC\n"], None)
        with pytest.raises(UserError, match="a machine of m68k has no device kbd"):
            node.give({"mouse": [], "kbd": keys("a")})
    with pytest.raises(UserError, match="'fd0': a machine of m68k has no floppy drive"):
        new_node(M68K, disks={"fd0": ImageDisk.of_bytes(bytes(FLOPPY))})


def test_a_floppy_has_a_floppy_s_size() -> None:
    with pytest.raises(UserError, match=r"fd0: has 1024 bytes, and a floppy one of 368640, .*2949120"):
        new_node(I386, disks={"fd0": ImageDisk.of_bytes(bytes(1024))})


def test_a_screen_that_nobody_wrote_is_blank() -> None:
    with new_node(I386) as node:
        assert screen(node) == "\n" * 25


def test_each_key_goes_down_and_up_with_shift_where_it_needs_it() -> None:
    assert [code for _, code in keys("aA\n")] == [0x1E, 0x9E, 0x2A, 0x1E, 0x9E, 0xAA, 0x1C, 0x9C]
    assert {KEYS[character][0] for character in "qQ"} == {0x10}
    assert [KEYS[character] for character in "1=\t]a`\\/ \n"] == [
        (0x02, False),
        (0x0D, False),
        (0x0F, False),
        (0x1B, False),
        (0x1E, False),
        (0x29, False),
        (0x2B, False),
        (0x35, False),
        (0x39, False),
        (0x1C, False),
    ]
    with pytest.raises(UserError, match="line 2: no key of the keyboard means 'é'"):
        keys("a\né")


def test_the_mouse_s_events_are_written_a_line_each() -> None:
    assert moves("move 1 -1\nright down\nmiddle up\n") == [(4, 0xFFFF0001), (3, 0), (2, 1)]
    assert moves("  move -5 2  # there\n\n#left up\nleft down#\n") == [(4, 0x0002FFFB), (1, 0)]
    wrong = ("move 1", "move 1 2 3", "move x y", "move 40000 0", "move 1_0 2", "move \u0661 2", "left", "left sideways", "top up")
    for line in wrong:
        with pytest.raises(UserError, match=f"line 2: write move DX DY, .* not '{line}'"):
            moves(f"# {line}\n{line}\n")


def test_the_keyboard_answers_as_the_real_kernel_s_and_a_second_mouse_as_the_first() -> None:
    with empty(I386) as machine:
        user = User(machine)
        for mouse in (user.open("mouse"), user.open("mouse1")):
            assert user.call(mouse, device.DEVICE_READ_INBAND, D_NOWAIT, 0, 16)[0] == D_WOULD_BLOCK
        kbd = user.open("kbd")
        for flavor, words, code in (
            (KDSKBDMODE, (), KERN_SUCCESS),
            (KDSKBDMODE, (1, 2), KERN_SUCCESS),
            (KDSETLEDS, (), D_INVALID_OPERATION),
            (KDSETLEDS, (1,), KERN_SUCCESS),
            (KDSETLEDS, (1, 2), D_INVALID_OPERATION),
            (KDGKBDTYPE, (1,), D_INVALID_OPERATION),
        ):
            assert user.call(kbd, device.DEVICE_SET_STATUS, flavor, words) == (code,)
        for count, code in ((0, D_WOULD_BLOCK), (16, D_WOULD_BLOCK), (17, D_INVALID_SIZE)):
            assert user.call(kbd, device.DEVICE_READ_INBAND, D_NOWAIT, 0, count)[0] == code
