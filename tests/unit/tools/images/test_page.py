"""The program of images/README.md is built as the page says, and prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu import Machine
from machemu.abi.errors import UserError
from tools import images

PAGE = (images.IMAGES / "README.md").read_text()


@pytest.mark.parametrize("machine", images.ARCHITECTURES, ids=lambda machine: machine.name)
@pytest.mark.slow
def test_the_page_s_program_prints_what_the_page_shows(machine: images.Architecture, tmp_path: Path) -> None:
    source, output = tmp_path / "mine.c", tmp_path / "mine.elf"
    source.write_text(PAGE.split("```c\n")[1].split("```")[0])
    try:
        with images.builder(machine) as builder:
            output.write_bytes(builder.build(images.Program(machine, output, source)))
    except UserError as error:
        pytest.skip(str(error))
    with Machine.boot(output) as booted:
        booted.run()
        assert booted.console.text == PAGE.split("```text\n")[1].split("```")[0]
        booted.check()


def test_the_page_names_every_program() -> None:
    assert set(re.findall(r"^\| (\w+) \|", PAGE, re.MULTILINE)) - {"program"} == {
        source.stem for source in (images.IMAGES / "src").glob("*.c")
    }
