"""Programs that outlive the servers of their node, and what ends these."""

from __future__ import annotations

from machemu.abi.message import COPY_SEND
from machemu.kern import task_control
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.mig.interfaces.mach_host import HOST_PROCESSOR_SET_PRIV, PROCESSOR_SET_DEFAULT, PROCESSOR_SET_TASKS
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.kit import Answer, HostServer, answered, notified, takes
from machemu.user.mach import Mach
from machemu.user.message import Message, living
from machemu.user.notifications import DeadName
from masix.interfaces import acs
from tests.support.callers import CALL_ID
from tests.support.clusters import MS, World


@state
class Lasting(HostServer):
    """Is a service that answers calls, and registers its name anew where its registration has died with the name server."""

    __slots__ = ("name", "registration")
    registration: int

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name.encode()
        self.registration = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self._register(mach)

    def _register(self, mach: Mach) -> None:
        self.ask(mach, self._registered, mach.given("name-server"), (self.name, 0, PolyPort(self.service, COPY_SEND)))

    @answered(acs.ACS_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        if answer.code:  # there is no name server any more
            return
        self.registration = living(answer.results[0])
        mach.notify(self.registration, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        for _ in range(2):
            mach.deallocate(notice.name)
        self._register(mach)

    @takes(CALL_ID, at="service")
    def _called(self, mach: Mach, message: Message) -> None:
        header = message.header._replace(remote=message.header.remote, local=0, local_type=0, id=CALL_ID + 100)
        mach.send(message._replace(header=header))


@state
class Killer(HostServer):
    """Ends a task, which it finds by its place among the node's, at a time."""

    __slots__ = ("at_ms", "place")

    def __init__(self, name: str, at_ms: int) -> None:
        super().__init__()
        self.place = ("kernel", "acs", "gns").index(name)
        self.at_ms = at_ms

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(self.at_ms * MS)

    def expired(self, mach: Mach) -> None:
        host = mach.given("host-port")
        (named,) = mach.call(PROCESSOR_SET_DEFAULT, mach.host_self())
        (control,) = mach.call(HOST_PROCESSOR_SET_PRIV, host, PolyPort(named, COPY_SEND))
        (tasks,) = mach.call(PROCESSOR_SET_TASKS, control)
        mach.call(TASK_TERMINATE, tasks[self.place])


def kill(world: World, name: str, what: str) -> None:
    """Ends the task of a server on a node."""
    node = world.node(name)
    kernel = node.kernel
    assert kernel is not None
    node.pass_time(world.cluster.time)
    (task,) = (task for task in kernel.kern.tasks.values() if what in task.name)
    task_control.terminate(kernel.kern, task)
    node.idle = False
