"""The binaries in the tree are those that their sources give, and what they promise is written down beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from machemu.abi.errors import UserError
from tools import images

PROGRAMS = images.programs()


def test_every_source_has_a_binary_and_a_transcript() -> None:
    assert {"hello", "pingpong", "portpass", "ports", "messages", "memory", "threads", "pager"} <= {p.name for p in PROGRAMS}
    for program in PROGRAMS:
        assert program.output.is_file()
        assert program.source.with_suffix(".expected").is_file()


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_binaries_need_nothing_but_a_loader_and_name_no_host(program: images.Program) -> None:
    with program.output.open("rb") as file:
        elf = ELFFile(file)
        assert (elf["e_machine"], elf["e_type"]) == ("EM_386", "ET_EXEC")
        segments = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
        assert not any(segment["p_type"] in ("PT_DYNAMIC", "PT_INTERP") for segment in elf.iter_segments())
        assert all(segment["p_vaddr"] % 4096 == segment["p_offset"] % 4096 for segment in segments)
    assert b"/tmp" not in program.output.read_bytes()
    assert str(images.ROOT).encode() not in program.output.read_bytes()


def test_binaries_are_what_their_sources_give(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        images.compiler()
    except UserError as error:
        pytest.skip(str(error))
    code = images.main(["--check"])
    output = capsys.readouterr()
    assert code == 0, output.err
    if output.out.startswith("not compared"):
        pytest.skip(output.out)


def test_a_stale_binary_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hello = next(program for program in PROGRAMS if program.name == "hello")
    stale = images.Program(tmp_path / "hello.elf", hello.source)
    stale.output.write_bytes(b"old")
    monkeypatch.setattr(images, "programs", lambda: [stale])
    monkeypatch.setattr(images, "compiler", images.COMPILER_RECORD.read_text)
    monkeypatch.setattr(images, "build", lambda program: b"new")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    assert images.main(["--check"]) == 1
    assert stale.output.read_bytes() == b"old"


def test_an_unknown_program_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["nonesuch"]) == 2
    assert "no such program: nonesuch" in capsys.readouterr().err
