"""Host-side servers with faults: one message with node, time, handler and the author's own line, and nothing behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.core.kernel import Kernel
from tests.support import faulty
from tests.support.clusters import MS, World

SOURCE = Path(faulty.__file__)
LATE = r"node two at 0\.0[34]\d* s: server {} \(task 1\): {}\.{}: {} at {}"


def text(name: str, machine: str) -> str:
    profile = {"i386": "pc486dx2-66", "m68k": "sun3-60"}[machine]
    return "".join(
        f'[nodes.{node}]\nprofile = "{profile}"\nmemory = "4M"\nservers = ["tests.support.faulty:{which}"]\n'
        for node, which in (("one", "Quiet"), ("two", name))
    )


def line_of(name: str) -> str:
    """FILE:LINE: TEXT of the line that the fault of a class is in."""
    lines = SOURCE.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith(f"class {name}("))
    while "# here" not in lines[number]:
        number += 1
    return re.escape(f"{SOURCE}:{number + 1}: {lines[number].strip()}")


@pytest.mark.parametrize("machine", ["i386", "m68k"])
@pytest.mark.parametrize(
    ("name", "handler", "what"),
    [
        ("Raises", "Raises.expired", "ZeroDivisionError: integer (division or )?modulo by zero|ZeroDivisionError: .*"),
        ("Unset", "Unset.expired", "AttributeError: .*"),
        ("BadName", "BadName.expired", ".*"),
    ],
)
def test_a_handler_that_raises_is_told_with_node_time_and_line(machine: str, name: str, handler: str, what: str) -> None:
    with World(text(name, machine)) as world, pytest.raises(UserError) as raised:
        world.run(100 * MS)
    wanted = rf"node two at 0\.0[34]\d* s: server {name.lower()} \(task 1\): {handler}: ({what}) at {line_of(name)}"
    assert re.fullmatch(wanted, str(raised.value)), raised.value


def test_a_message_that_cannot_be_is_told_with_its_server_s_class() -> None:
    with World(text("BadMessage", "i386")) as world, pytest.raises(UserError) as raised:
        world.run(100 * MS)
    assert re.fullmatch(rf"node two at 0\.0\d+ s: server badmessage \(task 1\): .* at {line_of('BadMessage')}", str(raised.value))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("NeverSet", "NeverSet is saved before it is whole: count has no value"),
        ("HoldsASet", "HoldsASet.seen: builtins.set is no state: .*"),
    ],
)
def test_what_cannot_be_saved_is_told_with_its_line(name: str, what: str, tmp_path: Path) -> None:
    with World(text(name, "m68k")) as world:
        world.run(10 * MS)
        wanted = rf"node two at 0\.\d+ s: server {name.lower()} \(task 1\) cannot be saved: {what} at {line_of(name)}"
        for use in (lambda: world.cluster.save(tmp_path / "saved"), world.cluster.digest):
            with pytest.raises(UserError) as raised:
                use()
            assert re.fullmatch(wanted, str(raised.value)), raised.value
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("NoState", "server tests.support.faulty:NoState: is not marked @state, and could not be saved"),
        ("CannotBeMade", "server tests.support.faulty:CannotBeMade: cannot be made: OSError: no such thing"),
        ("NoThreads", "server tests.support.faulty:NoThreads: has 0 threads, and may have 1 to 64"),
        ("TakesTooLittle", r"server tests.support.faulty:TakesTooLittle: has no receive\(self, mach, message\)"),
    ],
)
def test_a_server_that_cannot_run_is_refused_before_the_run(name: str, what: str) -> None:
    with pytest.raises(UserError) as raised:
        World(text(name, "i386"))
    assert re.fullmatch(rf"node two: {what} at {line_of(name)}", str(raised.value)), raised.value


def test_a_fault_of_the_kernel_s_in_a_server_s_trap_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with World(text("Quiet", "i386")) as world:
        world.run(10 * MS)
        monkeypatch.setattr(Kernel, "system_call", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            world.run(100 * MS)
