"""A service on one node and its client on another."""

from __future__ import annotations

from tests.support.clusters import node

SERVERS = 'servers = ["masix.acs.server:Acs", "masix.gns.server:Gns"]\n'
CALLS = 12


def pair(server: str = "i386", client: str = "m68k", lan: str = "", faults: str = "", calls: int = CALLS) -> str:
    """A service on `alpha` and its client on `beta`."""
    alpha = node("alpha", "serve", "greeter", machine=server, program="greet") + SERVERS
    beta = node("beta", "call", "greeter", calls, machine=client, program="greet") + SERVERS
    return f"seed = 5\n[segments.lan]\n{lan}{alpha}{beta}{faults}"


def answers(count: int = CALLS) -> list[str]:
    return [f"answer {n}: {-200 * n} GOOD MORNING" for n in range(1, count + 1)]
