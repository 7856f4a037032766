"""The pages and the servers use the terms of docs/glossary.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
REFUSED = {
    "multicast": r"\b(tell|tells|telling|told) all\b",
    "liveness probe": r"\bvigils?\b",
    "unverified": r"\brumou?r",
    "incarnation": r"\b(life|lives)\b",
    "handshake": r"\bgreet(s|ed|ing|ings)?\b",
}
"""By the glossary's term, what stood for it."""
PROGRAM = re.compile(r"images/\w+/greet|greet(-guest)?\.(toml|c|elf|jsonl|pftrace|saved)|greet (serve|call)")
"""A guest program's name, which is no term."""


def test_documents_and_servers_use_the_terms_of_the_glossary() -> None:
    paths = [
        path for folder in ("docs", "servers") for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".py", ".defs")
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: say {term}, not {match[0]}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for term, pattern in REFUSED.items()
        if (match := re.search(pattern, PROGRAM.sub("", line), re.IGNORECASE))
    ]
    assert found == []


def test_the_glossary_defines_each_of_these_terms() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text().lower()
    assert [term for term in REFUSED if f"**{term}" not in text] == []
