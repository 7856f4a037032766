"""Servers that are replaced, and end in the middle of it: at no moment does that end anything else."""

from __future__ import annotations

import pytest

from machemu.user.server import Server
from masix.acs.server import Acs
from masix.gns.server import Gns
from tests.support.clients import Steps
from tests.support.clusters import ACS, MS, World

PROFILES = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
GNS = '"masix.gns.server:Gns"'
KINDS: dict[str, type[Server]] = {"acs": Acs, "gns": Gns}
BEGIN_US = 600_000
MOMENTS = range(BEGIN_US, BEGIN_US + 3_000, 170)
"""From before it begins until it has ended."""


def cluster(architecture: str, server: str, stopped: str, at: int) -> str:
    """Node a's server is replaced, and one of the two stopped. Then its client calls node b's service, and registers."""
    steps = "1100 look far; 1150 who far; 1200 reg new; 1250 look new"
    own = {"a": f'Steps", script = "{steps}"', "b": 'Link", name = "far"'}
    text = "[segments.lan]\n"
    for name, machine in zip("ab", (architecture, next(each for each in PROFILES if each != architecture)), strict=True):
        servers = f'{ACS}, {GNS}, {{ class = "tests.support.clients:{own[name]} }}'
        text += (
            f'[nodes.{name}]\nprofile = "{PROFILES[machine]}"\nmemory = "4M"\nnics = {{ eth0 = "lan" }}\nservers = [{servers}]\n'
        )
    replaced = f'kind = "replace"\nname = "{server}"\nserver = {ACS if server == "acs" else GNS}\n'
    for time, action in ((BEGIN_US, replaced), (at, f'kind = "stop"\nname = "{stopped}"\n')):
        text += f'[[actions]]\nat = "{time}us"\nnode = "a"\n{action}'
    return text


@pytest.mark.slow
@pytest.mark.parametrize("architecture", PROFILES)
@pytest.mark.parametrize("server", KINDS)
@pytest.mark.parametrize("stopped", ["predecessor", "successor"])
def test_whichever_of_two_servers_ends_at_any_moment_the_other_one_serves(architecture: str, server: str, stopped: str) -> None:
    """Who follows a dead one begins anew, with a name server's ports. A successor that has taken over is stopped as any."""
    served = []
    for at in MOMENTS:
        with World(cluster(architecture, server, f"{server}-before" if stopped == "predecessor" else server, at)) as world:
            world.run(1500 * MS)
            (client,) = world.programs("a", Steps)
            assert len(client.said) == 4
            served.append(client.said[1].value == 2 and bool(client.said[3].value))
            assert len(world.programs("a", KINDS[server])) == served[-1]
    assert all(served) if stopped == "predecessor" else served == sorted(served, reverse=True) and served[0]
