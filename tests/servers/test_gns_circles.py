"""Receive rights that are each on their way to the next one's port, on other nodes: nobody can receive any, and they end."""

from __future__ import annotations

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_RECEIVE, CarriedPort
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns import rights
from masix.gns.traffic import HOPS_MAX
from tests.support.actors import Actor, do, give, look_up, register
from tests.support.guests import ARCHS, Arch
from tests.support.net import PAIRS, item, net

CIRCLES = [*PAIRS, *((arch,) * 3 for arch in ARCHS.values())]
PASSED = 4001


def new_port(actor: Actor, mach: Mach) -> None:
    """Its own is the last of `registrations`, the next one's the last of `rights`."""
    actor.registrations.append(mach.make_send(mach.allocate_port()))


def own(actor: Actor) -> int:
    return actor.registrations[-1]


def pass_on(actor: Actor, mach: Mach) -> None:
    """Sends its receive right to the next one's port."""
    body = item(ARCHS["i386" if mach.order.prefix == "<" else "m68k"], MOVE_RECEIVE, 1) + bytes(4)
    header = Header(actor.rights[-1], COPY_SEND, 0, 0, PASSED)
    mach.send(Message(header, body, (CarriedPort(4, MOVE_RECEIVE, own(actor)),), True))


@pytest.mark.parametrize("archs", CIRCLES, ids=lambda archs: "-".join(arch.name for arch in archs))
def test_receive_rights_that_go_to_each_other_s_ports_do_not_go_round_for_ever(
    archs: tuple[Arch, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on one node, where the kernel destroys the last of such messages."""
    monkeypatch.setattr(rights, "LATE_NS", 100_000_000)
    actors = [Actor() for _ in archs]
    with net(archs, *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number))
        for number, actor in enumerate(actors):
            do(made, actor, look_up(b"node %d" % ((number - 1) % len(actors))))
            do(made, actor, new_port, give(archs[number], own, MAKE_SEND))
        for actor in actors:
            actor.todo.append(pass_on)
        made.run(2 * HOPS_MAX)
        traps = [machine.kernel.trap_count for machine in made.machines]
        made.run(100)
        assert all(machine.kernel.trap_count - before < 100 for machine, before in zip(made.machines, traps, strict=True))
