"""The m68k's transcripts beside the i386's: where they differ, each line with its reason.

The i386's transcripts are the real kernel's. The m68k has no real kernel to ask, so what a module prints on it must follow from
them: `tests/conformance/m68k/reasons.toml` says how, and where from that is known. `python3 tools/dev.py tables differences`
writes docs/m68k-differences.md; with `--check` it compares. Exit status 1 where the page is old or a line has no reason.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from machemu.abi.message import decode_type_word
from machemu.abi.types import ByteOrder

ROOT: Final = Path(__file__).resolve().parent.parent
MODULES: Final = ROOT / "tests" / "conformance"
OWN: Final = MODULES / "m68k"
REASONS: Final = OWN / "reasons.toml"
PAGE: Final = ROOT / "docs" / "m68k-differences.md"
SHOWN: Final = 3
"""How many lines of a kind the page shows of a module."""

I386_PAGE, M68K_PAGE = 4096, 8192
I386_END, M68K_END = 0xC0000000, 0xFFFFE000
WORD: Final = 0xFFFFFFFF
TOKEN: Final = re.compile(r"-?\w+")
HEADING: Final = "-- "


def _descriptor(i386: int, m68k: int) -> bool:
    return decode_type_word(i386, ByteOrder.LITTLE).word(ByteOrder.BIG) | i386 >> 31 == m68k


def _halves(i386: int, m68k: int) -> bool:
    return i386 >> 16 | (i386 & 0xFFFF) << 16 == m68k


def _pages(i386: int, m68k: int) -> bool:
    scaled = i386 // I386_PAGE * M68K_PAGE + i386 % I386_PAGE
    return abs(i386) >= I386_PAGE and scaled & WORD == m68k & WORD


def _from_the_end(i386: int, m68k: int) -> bool:
    """Addresses as many pages from the end of the user's range."""
    below = I386_END - i386
    return 0 <= below <= 1 << 20 and below % I386_PAGE == 0 and M68K_END - m68k == below // I386_PAGE * M68K_PAGE


def _rest_of_page(i386: int, m68k: int) -> bool:
    """Offsets as many bytes before a page's end."""
    return 0 < i386 < I386_PAGE and m68k - i386 == M68K_PAGE - I386_PAGE


KINDS: Final[dict[str, Callable[[int, int], bool]]] = {
    "descriptor": _descriptor,
    "halves": _halves,
    "pages": _pages,
    "from the end": _from_the_end,
    "rest of a page": _rest_of_page,
}
"""How a number on the m68k follows from that on the i386."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why lines differ, and the source of that."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Lines of a module (of all, where `module` is empty) that match `i386` become `m68k`, a replacement as for re.sub."""

    module: str
    i386: re.Pattern[str]
    m68k: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a module that stand instead of others. `section` instead of lines: that part is the m68k's own; "*": all of it."""

    module: str
    reason: Reason
    i386: tuple[str, ...] = ()
    m68k: tuple[str, ...] = ()
    section: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A piece of the two transcripts; without reasons where nothing explains it."""

    i386: tuple[str, ...]
    m68k: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()


@dataclass(slots=True)
class Reasons:
    kinds: dict[str, Reason] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def load_reasons(path: Path = REASONS) -> Reasons:
    """The table. ValueError where an entry has no reason or source."""
    table = tomllib.loads(path.read_text())
    found = Reasons({name: _reason(table["numbers"][name]) for name in KINDS})
    for entry in table["line"]:
        found.rules.append(Rule(entry.get("module", ""), re.compile(entry["i386"]), entry["m68k"], _reason(entry)))
    for entry in table["block"]:
        i386, m68k = (tuple(entry.get(side, "").splitlines()) for side in ("i386", "m68k"))
        found.blocks.append(Block(entry["module"], _reason(entry), i386, m68k, entry.get("section", "")))
    return found


def _reason(entry: dict[str, Any]) -> Reason:
    if not entry.get("reason") or not entry.get("source"):
        raise ValueError(f"no reason or no source: {entry}")
    return Reason(entry["reason"], entry["source"])


def transcripts() -> dict[str, tuple[list[str], list[str]]]:
    """By module: the i386's lines and the m68k's, where these are not the same."""
    own = sorted(OWN.glob("*.expected"))
    return {path.stem: ((MODULES / path.name).read_text().splitlines(), path.read_text().splitlines()) for path in own}


def differences(module: str, i386: Sequence[str], m68k: Sequence[str], reasons: Reasons) -> list[Difference]:
    """Where a module's transcripts differ, in order."""
    blocks = [block for block in reasons.blocks if block.module == module]
    whole = next((block for block in blocks if block.section == "*"), None)
    if whole is not None:
        return [Difference(tuple(i386), tuple(m68k), (whole.reason,))]
    found = []
    ours = dict(_sections(m68k))
    for heading, lines in _sections(i386):
        own = next((block for block in blocks if block.section and block.section == heading), None)
        other = ours.pop(heading, ())
        if own is not None:
            found.append(Difference(lines, other, (own.reason,)))
        else:
            found += _compare(module, lines, other, [block for block in blocks if not block.section], reasons)
    return found + [Difference((), lines) for lines in ours.values()]


def _sections(lines: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(heading, lines with it): headings are lines that begin with dashes; before the first it is empty."""
    start = 0
    seen: dict[str, int] = {}
    for end in range(1, len(lines) + 1):
        if end == len(lines) or lines[end].startswith(HEADING):
            heading = lines[start].removeprefix(HEADING) if lines[start].startswith(HEADING) else ""
            seen[heading] = seen.get(heading, 0) + 1
            yield heading if seen[heading] == 1 else f"{heading} ({seen[heading]})", tuple(lines[start:end])
            start = end


def _compare(
    module: str, i386: Sequence[str], m68k: Sequence[str], blocks: Sequence[Block], reasons: Reasons
) -> Iterator[Difference]:
    left, right = 0, 0
    while left < len(i386) or right < len(m68k):
        block = next((b for b in blocks if _begins(i386, left, b.i386) and _begins(m68k, right, b.m68k)), None)
        if block is not None:
            yield Difference(block.i386, block.m68k, (block.reason,))
            left, right = left + len(block.i386), right + len(block.m68k)
            continue
        if left == len(i386) or right == len(m68k):
            yield Difference(tuple(i386[left:]), tuple(m68k[right:]))
            return
        if i386[left] != m68k[right]:
            yield Difference((i386[left],), (m68k[right],), explain(module, i386[left], m68k[right], reasons))
        left, right = left + 1, right + 1


def _begins(lines: Sequence[str], start: int, wanted: tuple[str, ...]) -> bool:
    return tuple(lines[start : start + len(wanted)]) == wanted


def explain(module: str, i386: str, m68k: str, reasons: Reasons) -> tuple[Reason, ...]:
    """Why a line becomes another: rules first, then numbers one by one. None at all where something stays unexplained."""
    needed: dict[Reason, None] = {}
    for rule in reasons.rules:
        if rule.module in ("", module) and rule.i386.search(i386) and i386 != m68k:
            changed = rule.i386.sub(rule.m68k, i386)
            if changed != i386:
                i386 = changed
                needed[rule.reason] = None
    ours, others = TOKEN.findall(i386), TOKEN.findall(m68k)
    if TOKEN.sub("", i386) != TOKEN.sub("", m68k) or len(ours) != len(others):
        return ()
    for one, other in zip(ours, others, strict=True):
        if one != other:
            reason = _explain_number(one, other, reasons)
            if reason is None:
                return ()
            needed[reason] = None
    return tuple(needed)


def _explain_number(i386: str, m68k: str, reasons: Reasons) -> Reason | None:
    base = 16 if len(i386) == 8 and len(m68k) == 8 else 10
    try:
        pair = int(i386, base), int(m68k, base)
    except ValueError:
        return None
    return next((reasons.kinds[name] for name, follows in KINDS.items() if follows(*pair)), None)


def page() -> str:
    """The page's text."""
    reasons = load_reasons()
    lines = [
        "# What differs on the m68k",
        "",
        "The conformance modules are the same sources on both machines, but for four that are about the processor. On the",
        "i386 they print what the real kernel printed; on the m68k the same, but for the lines below. The page is made by",
        "`python3 tools/dev.py tables differences` out of the transcripts and tests/conformance/m68k/reasons.toml; a test",
        "fails where a line has no reason.",
    ]
    same = sorted({path.stem for path in MODULES.glob("*.expected")} - set(transcripts()))
    lines += ["", f"The same on both, line by line: {', '.join(same)}.", ""]
    for module, (i386, m68k) in transcripts().items():
        lines += [f"## {module}", ""]
        groups: dict[tuple[Reason, ...], list[Difference]] = {}
        for difference in differences(module, i386, m68k, reasons):
            groups.setdefault(difference.reasons, []).append(difference)
        for why, group in groups.items():
            lines += _group(why, group)
    return "\n".join(lines)


def _group(reasons: Sequence[Reason], group: Sequence[Difference]) -> list[str]:
    count = sum(max(len(difference.i386), len(difference.m68k)) for difference in group)
    text = "; ".join(f"{reason.text} ({reason.source})" for reason in reasons) or "no reason is known"
    lines = [f"{count} line{'s' * (count > 1)}: {text}", "", "```diff"]
    shown = [difference for difference in group if difference.i386 != difference.m68k][:SHOWN]
    for difference in shown:
        own = (
            [row for row in difference.i386 if row not in difference.m68k],
            [row for row in difference.m68k if row not in difference.i386],
        )
        for sign, rows in zip("-+", own, strict=True):
            lines += [f"{sign}{row}" for row in rows[:SHOWN]]
            lines += [f"{sign}..."] * (len(rows) > SHOWN)
    return [*lines, "```", ""]


def main(arguments: Sequence[str]) -> int:
    """Writes the page, or with --check compares; 1 where it is old or lines have no reason."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: differences [--check]", file=sys.stderr)
        return 2
    reasons = load_reasons()
    unexplained = 0
    for module, (i386, m68k) in transcripts().items():
        for difference in differences(module, i386, m68k, reasons):
            if not difference.reasons:
                unexplained += 1
                print(f"{module}: no reason why\n  {difference.i386}\nis on an m68k\n  {difference.m68k}", file=sys.stderr)
    text = page()
    if arguments and not (PAGE.is_file() and PAGE.read_text() == text):
        print("docs/m68k-differences.md is old: run python3 tools/dev.py tables differences", file=sys.stderr)
        return 1
    if not arguments:
        PAGE.write_text(text)
    return int(unexplained > 0)
