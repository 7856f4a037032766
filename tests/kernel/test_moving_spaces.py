"""Name spaces that move: what is due to their names, and what nobody holds of their ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from machemu.abi.message import MAKE_SEND, MAKE_SEND_ONCE, PORT_RECEIVE, PORT_SEND, CarriedPort
from machemu.abi.port import RIGHT_RECEIVE, TYPE_RECEIVE
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mach_port, marequest, mqueue, space_move
from machemu.ipc import port as ports
from machemu.kern import freeze
from machemu.kern.task import Task
from tests.support.frozen import frozen_task
from tests.support.guests import Arch
from tests.support.machine import Machine, add_task


@pytest.fixture
def held(arch: Arch) -> Iterator[tuple[Machine, Task]]:
    with frozen_task(arch) as task:
        yield task


@pytest.mark.parametrize("is_sender_first", [True, False])
def test_a_msg_accepted_notification_goes_along_with_its_message(
    arch: Arch, held: tuple[Machine, Task], is_sender_first: bool
) -> None:
    machine, task = held
    ipc, sender = machine.kernel.ipc, task.space
    receiver = add_task(machine, arch.stay)[0]
    machine.run(2_000_000)
    freeze.freeze(machine.kernel.kern, receiver)
    spaces = [sender, receiver.space] if is_sender_first else [receiver.space, sender]
    [told] = [name for name, entry in sender.entries() if entry.type & TYPE_RECEIVE]
    port = receiver.space.table[mach_port.mach_port_allocate(ipc, receiver.space, RIGHT_RECEIVE)].port()
    name = mach_port.copyout_send(ipc, sender, ports.make_send(ipc, port))
    for msgh_id in range(3):
        kmsg = kmsgs.make(ipc, ports.make_send(ipc, port), PORT_SEND, None, 0, msgh_id)
        if msgh_id == 1:
            kmsg.marequest = marequest.create(sender, port, told)
        kmsgs.kernel_send(ipc, kmsg)
    parts = [space_move.extract(ipc, space, (sender, receiver.space)) for space in spaces]
    assert [kmsg.marequest for kmsg in port.messages] == [None] * 3
    for space, its in zip(spaces, parts, strict=True):
        space_move.insert(ipc, space, its)
    assert [kmsg.marequest and kmsg.marequest.name for kmsg in port.messages] == [None, name, None]
    machine.check()
    came = []
    for _ in range(3):
        kmsg = port.messages.popleft()
        mqueue.taken(ipc, kmsg)
        kmsgs.destroy(ipc, kmsg)
        came.append(sender.table[told].port().msgcount)
    assert came == [0, 1, 1]
    machine.check()
    for each in (task, receiver):
        freeze.thaw(machine.kernel.kern, each)


def test_a_send_right_that_nobody_holds_and_its_dead_name_request_move_with_their_port(held: tuple[Machine, Task]) -> None:
    """A task that drops its receive right loses its send right, too, and a port-destroyed request brings the first back."""
    machine, task = held
    ipc, space = machine.kernel.ipc, task.space
    [home] = [entry.port() for _, entry in space.entries() if entry.type & TYPE_RECEIVE]
    name = mach_port.mach_port_allocate(ipc, space, RIGHT_RECEIVE)
    port = space.table[name].port()
    mach_port.mach_port_insert_right(space, name, *mach_port.mach_port_extract_right(ipc, space, name, MAKE_SEND))
    for msgh_id in (69, 72):
        mach_port.mach_port_request_notification(ipc, space, name, msgh_id, 0, ports.make_sonce(ipc, home))
    mach_port.mach_port_mod_refs(ipc, space, name, RIGHT_RECEIVE, -1)
    [told] = home.queued()
    told.carried = (CarriedPort(told.carried[0].offset, PORT_RECEIVE, None),)
    mach_port.mach_port_insert_right(space, 0x77, port, PORT_RECEIVE)
    before = list(port.dnrequests)
    parts = space_move.extract(ipc, space)
    assert not any(port.dnrequests) and not port.srights
    space_move.insert(ipc, space, parts)
    assert (port.dnrequests, port.srights, port.lost_srights) == (before, 1, 1)
    machine.check()
    mach_port.mach_port_mod_refs(ipc, space, 0x77, RIGHT_RECEIVE, -1)
    assert [kmsg.id for kmsg in home.queued()] == [69, 72]
    freeze.thaw(machine.kernel.kern, task)


def test_send_once_rights_to_ports_of_the_same_space_move_as_words(held: tuple[Machine, Task]) -> None:
    machine, task = held
    ipc, space = machine.kernel.ipc, task.space
    [(name, port)] = [(name, entry.port()) for name, entry in space.entries() if entry.type & TYPE_RECEIVE]
    mach_port.mach_port_insert_right(space, 0x77, *mach_port.mach_port_extract_right(ipc, space, name, MAKE_SEND_ONCE))
    mach_port.mach_port_request_notification(ipc, space, name, 69, 0, ports.make_sonce(ipc, port))
    parts = space_move.extract(ipc, space)
    assert (parts.onces, parts.requests, port.sorights) == ((), (), 0)
    space_move.insert(ipc, space, parts)
    machine.check()
    assert port.sorights == 2
    freeze.thaw(machine.kernel.kern, task)


def test_dead_name_requests_are_answered_in_the_order_in_which_they_were_before_a_move(held: tuple[Machine, Task]) -> None:
    machine, task = held
    ipc, space = machine.kernel.ipc, task.space
    [(home, port)] = [(name, entry.port()) for name, entry in space.entries() if entry.type & TYPE_RECEIVE]
    for name in range(0x70, 0x7C):
        mach_port.mach_port_insert_right(space, name, *mach_port.mach_port_extract_right(ipc, space, home, MAKE_SEND_ONCE))
    for name in (*range(0x70, 0x78), *range(0x7B, 0x77, -1)):
        mach_port.mach_port_request_notification(ipc, space, name, 72, 0, ports.make_sonce(ipc, port))
    ports.release_sonce(ipc, mach_port.mach_port_request_notification(ipc, space, 0x73, 72, 0, None))
    before = list(port.dnrequests)
    space_move.insert(ipc, space, space_move.extract(ipc, space))
    assert port.dnrequests == before
    machine.check()
    freeze.thaw(machine.kernel.kern, task)
