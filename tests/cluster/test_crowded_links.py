"""Who sends another node more than the network takes delays his own messages, and not those of others."""

from __future__ import annotations

import pytest

from tests.support.clients import Caller
from tests.support.clusters import SECOND, World

CLIENTS = "tests.support.clients"
SINKS = [f"sink{number}" for number in range(6)]
CALLS = 20


@pytest.mark.slow
def test_calls_are_answered_soon_though_megabytes_go_the_same_way() -> None:
    """To the six ports go 32 messages of 60,000 bytes each that none of their queues has taken: 9 s of the network's time."""

    def node(name: str, *servers: str) -> str:
        own = ", ".join(
            ['"masix.acs.server:Acs"', '"masix.gns.server:Gns"', *(f'{{ class = "{CLIENTS}:{each} }}' for each in servers)]
        )
        return f'[nodes.{name}]\nmemory = "4M"\nservers = [{own}]\nnics = {{ eth0 = "lan" }}\n'

    services = [f'Sink", name = "{name}"' for name in SINKS] + ['Link", name = "bank"']
    clients = [f'Flood", names = "{" ".join(SINKS)}"', f'Caller", name = "bank", calls = {CALLS}, every = 50']
    with World("[segments.lan]\n" + node("a", *services) + node("b", *clients)) as world:
        world.run(6 * SECOND)
        (caller,) = world.programs("b", Caller)
        assert (caller.answers, caller.lost) == (CALLS, 0)
