"""What most host-side servers are made of: tables of requests and notifications per class, and questions that are answered later.

docs/host-side-servers.md shows a server that is written with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, MIG_REPLY_MISMATCH, MIG_SERVER_DIED
from machemu.abi.message import COPY_SEND
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.mig.runtime import Routine
from machemu.sim.state import PortSet, Receive, state
from machemu.user.dispatch import perform
from machemu.user.mach import REPLY_ID, Mach
from machemu.user.message import Message

Method = TypeVar("Method", bound=Callable[..., Any])
SERVES, NOTIFIED, ANSWERED = "_serves", "_notified", "_answered"
UNSENT: Final = KERN_FAILURE


def serves(routine: Routine) -> Callable[[Method], Method]:
    """Marks the method that answers a routine's requests at the service port. It is a `dispatch.Handler`."""
    return _mark(SERVES, routine)


def notified(notification: Routine) -> Callable[[Method], Method]:
    """Marks the method that takes a notification (mach.notify.*) that comes to the port `notices`: method(mach, *arguments)."""
    return _mark(NOTIFIED, notification)


def answered(routine: Routine) -> Callable[[Method], Method]:
    """Marks a method that goes on when another server has answered a routine's request: method(mach, answer, *about)."""
    return _mark(ANSWERED, routine)


def _mark(what: str, routine: Routine) -> Callable[[Method], Method]:
    def mark(method: Method) -> Method:
        setattr(method, what, routine)
        return method

    return mark


class Answer(NamedTuple):
    """code: 0, or why there are no results. results: the routine's, without RetCode; rights among them are the server's."""

    code: int
    results: tuple[Any, ...]


@state
class Question(NamedTuple):
    """What is asked of another server. then: the name of the method that goes on. about: what it is given beside the answer."""

    then: str
    about: tuple[Any, ...]


class HostServer:
    """A user.server.Server. A subclass is marked @state, and its __slots__ are what it has beside these."""

    __slots__ = ("notices", "ports", "questions", "service")
    notices: Receive
    ports: PortSet
    questions: dict[Receive, Question]
    service: Receive
    _requests: ClassVar[dict[int, tuple[Routine, str]]] = {}
    _notifications: ClassVar[dict[int, tuple[Routine, str]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._requests = cls._requests | dict(_marked(cls, SERVES))
        cls._notifications = cls._notifications | dict(_marked(cls, NOTIFIED))

    def __init__(self) -> None:
        self.service = 0
        """The port of its requests, with a send right to give away; a name server's is given to it."""
        self.notices = 0
        """Where notifications come."""
        self.ports = 0
        """The set of all its ports."""
        self.questions = {}
        """What has been asked and not been answered, by the port where the answer comes."""

    def check_saved(self) -> None:
        """ValueError where an answer could not be gone on with."""
        for question in self.questions.values():
            then = getattr(type(self), question.then, None)
            if then is None or not hasattr(then, ANSWERED):
                raise ValueError(f"{question.then!r} takes no answers")
            inspect.signature(then).bind(self, None, None, *question.about)

    def start(self, mach: Mach) -> None:
        """Makes the ports. A subclass calls this first."""
        self.service = mach.given("service") or mach.make_send(mach.allocate_port())
        self.notices = mach.allocate_port()
        self.ports = mach.allocate_port_set()
        for port in (self.service, self.notices):
            mach.move_member(port, self.ports)
        mach.serve(self.ports)

    def new_port(self, mach: Mach) -> int:
        """A receive right whose messages come to `receive`."""
        port = mach.allocate_port()
        mach.move_member(port, self.ports)
        return port

    def ask(self, mach: Mach, then: Callable[..., None], port: int, values: Iterable[Any], *about: Any) -> None:
        """Sends a request to another server, after this handler. port: a send right to it, which is kept.

        then: a method of this server that is marked as `answered` by the routine. It goes on when the answer comes, or with a
        code where none will: KERN_FAILURE for a dead port, MIG_SERVER_DIED for an answerer that is gone. about: what it is given
        beside the answer: plain data, which is saved meanwhile.
        """
        answer = self.new_port(mach)
        self.questions[answer] = Question(then.__name__, about)
        mach.request(getattr(then, ANSWERED), port, values, answer, COPY_SEND)

    def receive(self, mach: Mach, message: Message) -> None:
        port, number = message.header.local, message.header.id
        if port == self.service:
            routine, name = self._requests.get(number, (None, ""))
            perform(mach, message, routine, getattr(self, name) if name else None)
        elif port in self.questions:
            self._go_on(mach, port, message)
        elif port == self.notices and number in self._notifications:
            routine, name = self._notifications[number]
            try:
                arguments = routine.request.unpack(mach.order, message.body, message.carried, message.complex)
            except KernError:
                mach.destroy(message)
            else:
                getattr(self, name)(mach, *arguments)
        else:
            self.other(mach, message)

    def _go_on(self, mach: Mach, port: int, message: Message) -> None:
        """An answer has come, or the notification that the right to answer is lost."""
        question = self.questions.pop(port)
        then = getattr(self, question.then)
        mach.destroy_receive(port)
        routine: Routine = getattr(then, ANSWERED)
        try:
            if message.header.id != routine.request.id + REPLY_ID:
                raise KernError(MIG_SERVER_DIED if message.header.id == MACH_NOTIFY_SEND_ONCE.request.id else MIG_REPLY_MISMATCH)
            answer = Answer(0, routine.unpack_reply(mach.order, message.body, message.carried, message.complex))
        except KernError as error:
            mach.destroy(message)
            answer = Answer(error.code, ())
        then(mach, answer, *question.about)

    def other(self, mach: Mach, message: Message) -> None:
        """A message that is no request, answer or known notification."""
        mach.destroy(message)

    def expired(self, mach: Mach) -> None:
        """The time set by `mach.alarm` has come."""

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message sent with `notify` is sent."""

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message could not be sent: a question without an answer, or what it held is given up."""
        question = self.questions.pop(message.header.local, None)
        if question is not None:
            mach.destroy_receive(message.header.local)
            getattr(self, question.then)(mach, Answer(UNSENT, ()), *question.about)
        mach.give_back(message)


def _marked(cls: type, what: str) -> Iterable[tuple[int, tuple[Routine, str]]]:
    for name, method in vars(cls).items():
        routine = getattr(method, what, None)
        if isinstance(routine, Routine):
            yield routine.request.id, (routine, name)
