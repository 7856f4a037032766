"""What one client can make the datagram server keep: it is refused what is beyond its part, and the others have theirs."""

from __future__ import annotations

from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from masix.interfaces import udp
from masix.protocols.udp import SOCKETS_OF_ONE
from tests.support.guests import Arch
from tests.support.name_servers import both_places
from tests.support.sockets import Client, bench, refusals

SHORTAGE = KERN_RESOURCE_SHORTAGE


@both_places
def test_who_has_all_sockets_that_one_may_have_leaves_others_theirs(arch: Arch, place: str) -> None:
    """A client shows the port of the name server that the loader gave it. Whoever shows none or another port is one of those
    who share what one client may have."""
    with bench(arch, place) as (on, greedy):
        ports = iter(range(1, 1000))
        modest = Client(on)
        greedy.is_client()
        modest.is_client()
        assert refusals([greedy.socket(next(ports)) for _ in range(SOCKETS_OF_ONE + 1)]) == [SHORTAGE]
        kept = modest.socket(next(ports))
        assert isinstance(kept, tuple)
        shown = [None, on.name_server, greedy.make_port(), on.service, Client.service]
        codes = []
        for n in range(SOCKETS_OF_ONE + 1):
            greedy.client = shown[n % len(shown)]
            codes.append(greedy.socket(next(ports)))
        assert refusals(codes) == [SHORTAGE]
        modest.call(kept[0], udp.UDP_CLOSE)
        codes = [modest.socket(next(ports)) for _ in range(SOCKETS_OF_ONE + 1)]
        assert refusals(codes) == [SHORTAGE]
        assert isinstance(greedy.socket(next(ports), privilege=on.master), tuple)
        greedy.end()
        modest.end()
        on.run(50)
