"""The coverage page: every routine and trap of the kernel, its state, and the test that shows it.

`python3 tools/dev.py tables coverage` writes docs/coverage.md; with `--check` it compares. Tests are found: a conformance module
shows a routine that its source calls, or a message that it names by id; what no module can show is declared in DECLARED.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from machemu.core.coverage import Known, State, routines, traps
from machemu.mig.interfaces import mach_migrate, mach_port_array

ROOT: Final = Path(__file__).resolve().parent.parent
MODULES: Final = ROOT / "tests" / "conformance"
PAGE: Final = ROOT / "docs" / "coverage.md"
MODULES_SHOWN: Final = 3
ROUTINE_NAMES: Final = frozenset(known.name for known in routines())
IDS: Final = 2000
"""Numbers from here on in a source are message ids."""

NO_HANDLER: Final = "tests/kernel/test_unknown_routines.py::test_a_routine_that_the_kernel_does_not_have_answers_mig_bad_id"
MOVES: Final = "tests/kernel/test_freeze.py::test_modules_print_the_same_where_other_tasks_come_in_the_place_of_theirs"
MANAGERS: Final = "tests/kernel/test_internalizing.py"
OBJECTS: Final = "tests/kernel/test_moving_memory_objects.py"
MAPS: Final = "tests/kernel/test_moving_maps.py"
ARRAYS: Final = "tests/user/test_port_arrays.py::test_many_ports_are_made_moved_and_asked_as_one_is"
ONCES: Final = "tests/user/test_port_arrays.py::test_send_once_rights_are_made_and_forgotten_of_which_their_ports_hear_nothing"
DECLARED: Final[dict[str, str]] = {
    "device_open": "ports",
    "device_write_inband": "ports",
    "mach_print": "traps",
    "null_port": "traps",
    "exception_raise": "threads",
    "mach_notify_new_task": "extras",
    "mach_notify_port_deleted": "ports",
    "mach_notify_port_destroyed": "ports",
    "mach_notify_no_senders": "ports",
    "mach_notify_send_once": "ports",
    "mach_notify_dead_name": "ports",
    "mach_notify_msg_accepted": "messages",
    **dict.fromkeys((known.name for known in routines() if known.interface == mach_migrate.SUBSYSTEM), MOVES),
    **dict.fromkeys((known.name for known in routines() if known.interface == mach_port_array.SUBSYSTEM), ARRAYS),
    **dict.fromkeys(("mach_port_make_send_once_array", "mach_port_forget_send_once_array"), ONCES),
    "mach_port_count_last_as_sent": (
        "tests/user/test_port_arrays.py::test_a_message_by_a_send_once_right_counts_as_sent_by_a_send_right_whatever_the_limit"
    ),
    "vm_map_info": f"{MAPS}::test_memory_of_a_family_has_one_number_in_all_of_its_maps",
    "vm_map_set": f"{MAPS}::test_a_map_made_of_words_is_alike_and_gives_the_same_addresses",
    "vm_region_get_pages": f"{MAPS}::test_pages_are_read_whatever_their_protection_and_only_those_that_exist",
    "memory_object_internalize": f"{MANAGERS}::test_a_memory_object_becomes_anonymous_memory_and_leaves_its_manager_nothing",
    "vm_region_set_manager": (f"{MANAGERS}::test_a_region_gets_a_manager_to_whom_its_pages_are_new_and_only_writes_are_changes"),
    "memory_object_surrender": f"{OBJECTS}::test_an_object_is_surrendered_only_where_frozen_tasks_alone_show_it",
    "memory_object_adopt": f"{OBJECTS}::test_a_task_that_adopts_its_own_object_again_has_it_as_before",
    "task_set_forwards": "tests/kernel/test_counted_messages.py::test_who_forwards_messages_is_said_by_the_privileged_host_port",
    "task_set_identity": "tests/kernel/test_contexts.py::test_a_frozen_task_gets_the_whole_name_that_another_one_told",
    "task_freeze": "tests/kernel/test_freeze.py::test_reasons_to_stay_are_told_and_a_task_freezes_others_only",
}
"""By routine or trap: a conformance module or a test's node id, where the name stands in no module's source."""


class Source(NamedTuple):
    """What a conformance module calls."""

    names: frozenset[str]
    """Of all that looks like a call, but of a structure's member."""
    numbers: frozenset[str]
    traps: frozenset[str]
    """The numbers of traps that are made by them."""


@cache
def sources() -> dict[str, Source]:
    """The conformance modules that have a transcript, by name; what they include is theirs."""
    found = {}
    for transcript in sorted(MODULES.glob("*.expected")):
        text = transcript.with_suffix(".c").read_text()
        for header in re.findall(r'#include "(\w+\.h)"', text):
            text += (MODULES / header).read_text() if (MODULES / header).exists() else ""
        patterns = (r"(?<![\w>.])(\w+)\s*\(", r"\b\d+\b", r"\bRAW\(\w+, -(\d+)\)")
        found[transcript.stem] = Source(*(frozenset(re.findall(pattern, text)) for pattern in patterns))
    return found


def calls(source: Source, known: Known) -> bool:
    """Whether a module makes the call, or the trap by its number."""
    number = str(known.number)
    if known.interface == "traps":
        names = {f"syscall_{known.name}", f"{known.name}_trap", *({known.name} - ROUTINE_NAMES)}
        return number in source.traps or bool(names & source.names)
    return known.name in source.names or (known.number >= IDS and number in source.numbers)


def tests_of(known: Known, modules: dict[str, Source]) -> list[str]:
    """The conformance modules, or else the declared test, that show a routine or trap."""
    if known.state in (State.UNKNOWN, State.MISSING):
        return [NO_HANDLER]
    shown = [name for name, source in modules.items() if calls(source, known)]
    if not shown and known.name in DECLARED:
        return [DECLARED[known.name]]
    return shown


def _table(rows: Sequence[Known], modules: dict[str, Source]) -> list[str]:
    lines = ["| number | name | state | shown by |", "|---|---|---|---|"]
    for row in rows:
        tests = tests_of(row, modules)
        shown = ", ".join([test.rpartition("::")[2] for test in tests[:MODULES_SHOWN]] + ["..."] * (len(tests) > MODULES_SHOWN))
        state = f"{row.state.value}: {row.code}" if row.code else row.state.value
        lines.append(f"| {row.number} | `{row.name}` | {state} | {shown if row.state is not State.USERS else ''} |")
    return lines


def page() -> str:
    """The page's text."""
    modules = sources()
    known = [*traps(), *routines()]
    counts = {state: sum(each.state is state for each in known) for state in State}
    lines = [
        "# Coverage",
        "",
        "Every trap and every routine of every interface of the kernel. `python3 tools/dev.py tables coverage` makes this page",
        "out of the tables in the code. *Shown by*: modules of tests/conformance, which print here what they print on the real",
        "kernel, or a test's name.",
        "",
        *[f"- {state.value}: {count}" for state, count in counts.items() if count],
    ]
    for interface in dict.fromkeys(each.interface for each in known):
        lines += ["", f"## {interface}", "", *_table([each for each in known if each.interface == interface], modules)]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Writes the page; with --check 1 where it is not up to date."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: coverage [--check]", file=sys.stderr)
        return 2
    text = page()
    if arguments:
        current = PAGE.is_file() and PAGE.read_text() == text
        if not current:
            print("docs/coverage.md is not what the tables say: run python3 tools/dev.py tables coverage", file=sys.stderr)
        return int(not current)
    PAGE.write_text(text)
    return 0
