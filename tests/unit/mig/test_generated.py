"""What is generated and checked in is what the definitions give."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import machemu.mig
from machemu.abi.message import TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.mig import cgen, layout, pygen
from machemu.mig.__main__ import main
from machemu.mig.model import Subsystem
from machemu.mig.parser import parse
from machemu.mig.runtime import Routine

PACKAGE = Path(machemu.mig.__file__).parent
LIBRARY = PACKAGE.parent.parent / "images" / "lib"
NAMES = sorted(path.stem for path in (PACKAGE / "defs").glob("*.defs") if not path.stem.endswith("_types"))


@pytest.mark.parametrize("name", NAMES)
def test_the_python_module_is_made_of_its_definition(name: str) -> None:
    made = pygen.generate(parse(PACKAGE / "defs" / f"{name}.defs"))
    path = f"machemu/mig/interfaces/{name}.py"
    advice = f"run python -m machemu.mig machemu/mig/defs/{name}.defs --python {path}"
    assert made == (PACKAGE / "interfaces" / f"{name}.py").read_text(), advice


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


gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-Wno-unused-parameter")


def _compile(subsystem: Subsystem, directory: Path) -> None:
    (directory / f"{subsystem.name}_user.h").write_text(cgen.header(subsystem))
    (directory / f"{subsystem.name}_user.c").write_text(cgen.user(subsystem))
    flags = ["-m32", "-O1", "-ffreestanding", *WARNINGS, "-fsyntax-only"]
    include = [f"-I{directory}", f"-I{LIBRARY}", f"-I{LIBRARY / 'i386'}"]
    command = ["gcc", *flags, *include, f"{subsystem.name}_user.c"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


@gcc
@pytest.mark.parametrize("name", NAMES)
def test_c_stubs_compile_without_warnings(name: str, tmp_path: Path) -> None:
    _compile(parse(PACKAGE / "defs" / f"{name}.defs"), tmp_path)


EVERY_FORM = """
subsystem forms 900;
#include "std_types.defs"
userprefix u_; msgoption MACH_SEND_CANCEL; waittime 10;
type page_t = ^array[4096] of char	ctype: vm_offset_t;
type fixed_t = array[10] of int;
type pair_t = struct[2] of int		ctype: rpc_phys_addr_t;
type line_t = c_string[*:80];
type name_t = c_string[512];
type counted_t = array[*:200] of short;
type either_t = array[] of int		ctype: task_info_t;
type long_t = array[*:5000] of int;
routine in_all(port: mach_port_t; replyport r: mach_port_make_send_once_t; a: page_t, Dealloc; b: fixed_t; c: pair_t; d: line_t;
	e: name_t; f: counted_t; g: either_t, Dealloc[]; h: long_t; i: mach_port_poly_t; j: int, IsLong);
routine out_all(requestport port: mach_port_poly_t; out a: page_t; out b: fixed_t; out c: pair_t; out d: line_t;
	out e: name_t; out f: counted_t, CountInOut; out g: either_t, CountInOut; out h: long_t; out i: mach_port_poly_t);
simpleroutine one_way(port: mach_port_t; inside: mach_port_array_t = array[*:4] of mach_port_move_send_t;
	msgoption o: int; waittime w: int);
"""


@gcc
def test_stubs_of_every_form_compile(tmp_path: Path) -> None:
    (tmp_path / "forms.defs").write_text(EVERY_FORM)
    _compile(parse(tmp_path / "forms.defs", [PACKAGE / "defs"]), tmp_path)
    text = (tmp_path / "forms_user.c").read_text()
    assert "mig_call(&m.header, sizeof m, MACH_SEND_CANCEL | MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT, 10)" in text
    assert "mig_send(&m.header, o | MACH_SEND_TIMEOUT, w)" in text


DESCRIPTORS = """
#include <mig.h>
#include <stdio.h>
int main(void)
{
	uint32_t word = MIG_SHORT(17, 32, 1234, 1, 0);
	printf("%u %u %u %u %u ", word, MIG_NAME(word), MIG_NUMBER(word), MIG_IS_INLINE(word), MIG_IS_LONG(word));
	printf("%u %u ", MIG_LONG(0, 1), MIG_IS_LONG(MIG_LONG(0, 1)));
	printf("%d ", MIG_KIND(word) == MIG_KIND(MIG_SHORT(17, 32, 1, 1, 1)));
	printf("%d", MIG_KIND(word) == MIG_KIND(MIG_SHORT(17, 32, 1, 0, 0)));
	return 0;
}
"""


@gcc
@pytest.mark.parametrize(
    ("order", "name"), [(ByteOrder.LITTLE, "__ORDER_LITTLE_ENDIAN__"), (ByteOrder.BIG, "__ORDER_BIG_ENDIAN__")]
)
def test_the_descriptors_of_c_stubs_are_the_machines(order: ByteOrder, name: str, tmp_path: Path) -> None:
    (tmp_path / "words.c").write_text(DESCRIPTORS)
    options = ["-U__BYTE_ORDER__", f"-D__BYTE_ORDER__={name}", "-Wno-builtin-macro-redefined", f"-I{LIBRARY}"]
    subprocess.run(["gcc", *options, "words.c", "-o", "words"], cwd=tmp_path, check=True)
    words = subprocess.run([str(tmp_path / "words")], capture_output=True, text=True, check=True).stdout.split()
    short = TypeDescriptor(17, 32, 1234).word(order)
    long = TypeDescriptor(0, 0, 0, False, True, True).word(order)
    assert words == [str(value) for value in (short, 17, 1234, 1, 0, long, 1, 1, 0)]


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
