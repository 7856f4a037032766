"""Rights that wander between three nodes, as hypothesis drives them: whatever tasks do with them, no message comes twice or
before an earlier one, and nothing is left at the end.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.jugglers import NODES, STEPS, Juggler
from tests.support.net import net


@settings(deadline=None, max_examples=100)
@given(st.tuples(STEPS, STEPS, STEPS), st.booleans(), st.booleans(), st.booleans())
def test_rights_that_wander_leave_nothing_behind(
    scripts: tuple[Any, Any, Any], announces: bool, introduces: bool, prepares: bool
) -> None:
    jugglers = [Juggler(number, list(script)) for number, script in enumerate(scripts)]
    programs = ([juggler] for juggler in jugglers)
    with net(NODES, *programs, announces=announces, introduces=introduces, prepares=prepares) as made:
        made.run(60)
        assert [juggler.script for juggler in jugglers] == [[], [], []]
        for juggler in jugglers:
            assert all(counts == sorted(set(counts)) for counts in juggler.heard.values())
        for machine in made.machines:
            machine.check()
