"""Our definitions describe the same messages as Debian's, and our layouts are those of the C that the real MIG makes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import machemu.mig
from machemu.abi.message import TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.mig import layout
from machemu.mig.layout import Layout
from machemu.mig.model import Form, Subsystem
from machemu.mig.parser import parse

OURS = Path(machemu.mig.__file__).parent / "defs"
INCLUDE = Path("/usr/include/i386-linux-gnu")
MIG = shutil.which("i686-gnu-mig")
THEIRS = {
    "mach_port": "mach/mach_port",
    "mach": "mach/mach",
    "notify": "mach/notify",
    "device": "device/device",
    "device_reply": "device/device_reply",
    "exc": "mach/exc",
    "mach_host": "mach/mach_host",
    "memory_object": "mach/memory_object",
    "memory_object_default": "mach/memory_object_default",
    "mach4": "mach/mach4",
    "gnumach": "mach/gnumach",
    "mach_debug": "mach_debug/mach_debug",
    "mach_i386": "mach/i386/mach_i386",
    "task_notify": "mach/task_notify",
    "bootstrap": "mach/bootstrap",
}
DEFINES = {"MACH_PCSAMPLE": "1"}

installed = pytest.mark.skipif(
    not (INCLUDE / "mach/mach.defs").is_file(),
    reason="Debian's gnumach-dev:i386, which holds the .defs to compare with, is not installed",
)


def _theirs(name: str) -> Subsystem:
    return parse(INCLUDE / f"{THEIRS[name]}.defs", [INCLUDE], DEFINES)


def _picture(message: Layout | None) -> object:
    if message is None:
        return None
    sizes = (message.min_size, message.max_size, message.offsets)
    words = tuple(message.words(order, received) for order in ByteOrder for received in (False, True))
    contents = tuple((item.name, item.type.form, item.type.fields, item.limit) for item in message.items)
    return message.id, sizes, words, contents


@installed
@pytest.mark.parametrize("name", THEIRS)
def test_ids_names_and_layouts_are_debians(name: str) -> None:
    ours, theirs = parse(OURS / f"{name}.defs"), _theirs(name)
    assert (ours.name, ours.base, ours.skips) == (theirs.name, theirs.base, theirs.skips)
    assert [(r.name, r.id, r.simple) for r in ours.routines] == [(r.name, r.id, r.simple) for r in theirs.routines]
    for mine, other in zip(ours.routines, theirs.routines, strict=True):
        assert _picture(layout.request(mine)) == _picture(layout.request(other)), mine.name
        assert _picture(layout.reply(mine)) == _picture(layout.reply(other)), mine.name
        directions = [(argument.name, argument.direction) for argument in mine.arguments]
        assert directions == [(argument.name, argument.direction) for argument in other.arguments]


NAMES = {
    "POLYMORPHIC": -1,
    "BOOLEAN": 0,
    "INTEGER_16": 1,
    "INTEGER_32": 2,
    "CHAR": 8,
    "BYTE": 9,
    "INTEGER_8": 9,
    "INTEGER_64": 11,
    "STRING": 12,
    "STRING_C": 12,
    "PORT_NAME": 15,
    "MOVE_RECEIVE": 16,
    "PORT_RECEIVE": 16,
    "MOVE_SEND": 17,
    "PORT_SEND": 17,
    "MOVE_SEND_ONCE": 18,
    "PORT_SEND_ONCE": 18,
    "COPY_SEND": 19,
    "MAKE_SEND": 20,
    "MAKE_SEND_ONCE": 21,
}
DECLARATION = re.compile(r"const mach_msg_type_(?:long_)?t (\w+)(Type|Check) = \{(.*?)\};", re.S)
FIELD = re.compile(r"msgtl?_(name|size|number|inline|longform) = \*/\s*(?:\(unsigned (?:char|short)\)\s*)?(\w+)")


def _descriptors(text: str, suffix: str) -> Iterator[tuple[str, TypeDescriptor]]:
    """The descriptors that MIG's C declares: those it sends (Type) or those it checks for (Check)."""
    for name, kind, body in DECLARATION.findall(text):
        if kind != suffix:
            continue
        fields = dict(FIELD.findall(body))
        number = fields["name"].removeprefix("MACH_MSG_TYPE_")
        yield (
            name,
            TypeDescriptor(
                NAMES[number] if number in NAMES else int(number),
                int(fields["size"]),
                int(fields["number"]),
                fields["inline"] == "TRUE",
                fields["longform"] == "TRUE",
            ),
        )


@installed
@pytest.mark.skipif(MIG is None, reason="Debian's mig-i686-gnu:i386 is not installed")
@pytest.mark.parametrize("name", THEIRS)
def test_layouts_are_those_of_the_real_migs_c(name: str, tmp_path: Path) -> None:
    user, server = tmp_path / "user.c", tmp_path / "server.c"
    outputs = ["-user", str(user), "-server", str(server), "-header", "/dev/null", "-sheader", "/dev/null"]
    command = [str(MIG), "-n", f"-I{INCLUDE}", *[f"-D{key}={text}" for key, text in DEFINES.items()], *outputs]
    source = str(INCLUDE / f"{THEIRS[name]}.defs")
    made = subprocess.run([*command, source], capture_output=True, env={"CC": "gcc -m32", "PATH": "/usr/bin:/bin"}, check=False)
    if made.returncode:
        pytest.skip(f"the real MIG does not run here: {made.stderr.decode()[:200]}")
    users = re.split(r"/\* (?:Simple)?[Rr]outine (\w+) \*/", user.read_text())
    servers = re.split(r"/\* (?:Simple)?[Rr]outine (\w+) \*/", server.read_text())
    user_texts = dict(zip(users[1::2], users[2::2], strict=True))
    server_texts = dict(zip(servers[1::2], servers[2::2], strict=True))
    subsystem = parse(OURS / f"{name}.defs")
    assert set(user_texts) == {routine.name for routine in subsystem.routines}
    for routine in subsystem.routines:
        user_text, server_text = user_texts[routine.name], server_texts[routine.name]
        request, reply = layout.request(routine), layout.reply(routine)
        assert f"msgh_id = {request.id};" in user_text
        sent = {item.name: item.descriptor(False) for item in request.items}
        assert sent == dict(_descriptors(user_text, "Type")), routine.name
        checked = {item.name: item.descriptor(True) for item in request.items}
        for item, descriptor in _descriptors(server_text, "Check"):
            assert checked[item] == descriptor, (routine.name, item)
        _compare_size(request, user_text, server_text)
        if reply is None:
            continue
        assert f"msgh_id != {reply.id})" in user_text
        answers = {item.name: item.descriptor(True) for item in reply.items}
        for item, descriptor in _descriptors(user_text, "Check"):
            assert answers[item] == descriptor, (routine.name, item)
        given = {item.name: item.descriptor(False) for item in reply.items if item.name != "RetCode"}
        assert given == {name: kind for name, kind in _descriptors(server_text, "Type") if name != "RetCode"}, routine.name


def _compare_size(request: Layout, user_text: str, server_text: str) -> None:
    """Where the size is one number, that is what the C sends and what it expects; otherwise the least is."""
    if request.is_fixed:
        assert f"msgh_size = {request.min_size};" in user_text
        assert f"msgh_size != {request.min_size})" in server_text
    else:
        assert f"msgh_size < {request.min_size})" in server_text
        if all(item.type.form is not Form.EITHER for item in request.items):
            assert f"msgh_size = {request.min_size} + " in user_text
