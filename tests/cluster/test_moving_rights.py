"""How long a task waits for many receive rights that come from another node in one message, in virtual time."""

from __future__ import annotations

import pytest

from tests.support.clusters import MS, SECOND, World
from tests.support.movers import Giver, Taker

MANY = 1000
START_MS = 2000
LIMITS_MS = {"pc486dx2-66": 100, "mc68040-25": 130}
"""By the profile of both nodes, for MANY rights."""
OPTIONS = {
    "the giver keeps send rights": "keeps = true",
    "nobody has send rights": "keeps = false",
    "both notifications are asked for, and a message waits at each fourth port": "asks = true, waiting = 4",
}


def cluster(profile: str, options: str) -> str:
    servers = '"masix.acs.server:Acs", "masix.gns.server:Gns"'
    giver = f'{{ class = "tests.support.movers:Giver", at_ms = {START_MS}, count = {MANY}, {options} }}'
    nodes = (("alpha", giver), ("beta", '"tests.support.movers:Taker"'))
    return "[segments.lan]\n" + "".join(
        f'[nodes.{name}]\nprofile = "{profile}"\nservers = [{servers}, {own}]\nnics = {{ eth0 = "lan" }}\n' for name, own in nodes
    )


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("profile", LIMITS_MS)
@pytest.mark.slow
def test_a_thousand_receive_rights_in_one_message_take_no_longer_than_the_limit(profile: str, name: str) -> None:
    with World(cluster(profile, OPTIONS[name])) as world:
        world.run(3 * SECOND)
        [giver], [taker] = world.programs("alpha", Giver), world.programs("beta", Taker)
        assert len({*taker.rights}) == MANY
        assert taker.times[0] - giver.times[0] <= LIMITS_MS[profile] * MS
