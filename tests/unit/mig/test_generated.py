"""What is generated and checked in is what the definitions give."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import machemu.mig
from machemu.mig import cgen, layout, pygen
from machemu.mig.__main__ import main
from machemu.mig.parser import parse
from machemu.mig.runtime import Routine

PACKAGE = Path(machemu.mig.__file__).parent
LIBRARY = PACKAGE.parent.parent / "images" / "lib"
NAMES = sorted(path.stem for path in (PACKAGE / "defs").glob("*.defs") if not path.stem.endswith("_types"))


@pytest.mark.parametrize("name", NAMES)
def test_the_python_module_is_made_of_its_definition(name: str) -> None:
    made = pygen.generate(parse(PACKAGE / "defs" / f"{name}.defs"))
    assert made == (PACKAGE / "interfaces" / f"{name}.py").read_text(), f"run python -m machemu.mig machemu/mig/defs/{name}.defs"


def test_no_module_lacks_a_definition() -> None:
    modules = sorted(path.stem for path in (PACKAGE / "interfaces").glob("*.py") if path.stem != "__init__")
    assert modules == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tables_hold_every_routine_under_its_id(name: str) -> None:
    subsystem = parse(PACKAGE / "defs" / f"{name}.defs")
    module = importlib.import_module(f"machemu.mig.interfaces.{name}")
    table: dict[int, Routine] = module.ROUTINES
    assert list(table) == [routine.id for routine in subsystem.routines]
    for routine in subsystem.routines:
        entry = table[routine.id]
        assert entry.name == routine.name
        assert entry.request.names == tuple(item.name for item in layout.request(routine).items)
        reply = layout.reply(routine)
        assert (entry.reply is None) == (reply is None)
        if entry.reply is not None:
            assert (entry.reply.id, entry.reply.names[0]) == (routine.id + 100, "RetCode")


def test_importing_an_interface_needs_no_parser() -> None:
    script = "import sys, machemu.mig.interfaces.mach; sys.exit('lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=PACKAGE.parent.parent, check=False).returncode == 0


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_c_stubs_compile_without_warnings(name: str, tmp_path: Path) -> None:
    subsystem = parse(PACKAGE / "defs" / f"{name}.defs")
    (tmp_path / f"{name}_user.h").write_text(cgen.header(subsystem))
    (tmp_path / f"{name}_user.c").write_text(cgen.user(subsystem))
    flags = "-m32 -O1 -ffreestanding -Wall -Wextra -Werror -Wno-sign-compare -Wno-unused-parameter -fsyntax-only".split()
    include = [f"-I{tmp_path}", f"-I{LIBRARY}", f"-I{LIBRARY / 'i386'}"]
    done = subprocess.run(["gcc", *flags, *include, f"{name}_user.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "bits/" in done.stderr and "No such file" in done.stderr:
        pytest.skip("this gcc has no 32-bit headers")
    assert not done.returncode, done.stderr


def test_the_command_line_writes_all_three(tmp_path: Path) -> None:
    outputs = [tmp_path / "exc.py", tmp_path / "exc_user.c", tmp_path / "exc_user.h"]
    options = ["--python", str(outputs[0]), "--c-user", str(outputs[1]), "--c-header", str(outputs[2])]
    assert main([str(PACKAGE / "defs" / "exc.defs"), *options]) == 0
    assert outputs[0].read_text() == (PACKAGE / "interfaces" / "exc.py").read_text()
    assert "kern_return_t exception_raise(" in outputs[1].read_text()
    assert "kern_return_t exception_raise(" in outputs[2].read_text()


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.defs"
    bad.write_text("subsystem bad 10;\nroutine r(p: port_t);\n")
    assert main([str(bad)]) == 2
    assert f"{bad}:2:14: type port_t is not declared" in capsys.readouterr().err
    assert main([str(tmp_path / "none.defs")]) == 2
