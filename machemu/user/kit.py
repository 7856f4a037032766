"""What most host-side servers are made of: handlers for each kind of port, and questions that are answered later.

docs/host-side-servers.md shows a server that is written with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, MIG_BAD_ID, MIG_REPLY_MISMATCH, MIG_SERVER_DIED
from machemu.abi.message import COPY_SEND, MOVE_SEND, PORT_SEND_ONCE
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.mig.interfaces.succession import SUCCESSION_BEGIN, SUCCESSION_INHERIT
from machemu.mig.runtime import OutOfLine, Routine
from machemu.sim import slots
from machemu.sim.state import PortName, PortSet, Receive, state
from machemu.user.mach import REPLY_ID, Mach
from machemu.user.message import NULL_NAME, UNNAMED, Message, living, name_of
from machemu.user.notifications import ROUTINES, Notification
from machemu.user.server import Server

Method = TypeVar("Method", bound=Callable[..., Any])
Notice = TypeVar("Notice", bound=Notification)
HANDLES: Final = "_handles"
UNSENT: Final = KERN_FAILURE


class Handled(NamedTuple):
    """What a method takes. at: the slot that holds the port where it comes, or a dict with such ports as keys. number: the
    msgh_id. is_once: it comes by a send-once right, which no client has. take: unpacks it as `what` says, and calls the method.
    """

    at: str
    number: int
    is_once: bool
    take: Callable[[Mach, Message, Any, Callable[..., Any]], None]
    what: Any


class Answer(NamedTuple):
    """code: 0, or why there are no results. results: the routine's, without RetCode; rights among them are the server's."""

    code: int
    results: tuple[Any, ...]

    @property
    def right(self) -> PortName:
        """The name of the right that is the first result; 0 where there are no results, or that is null or dead."""
        return living(self.results[0]) if self.results else 0


def serves(routine: Routine, at: str = "service") -> Callable[[Method], Method]:
    """Marks the method that answers a routine's requests: method(mach, request, *arguments).

    It returns the results, or None where it answers later, by `mach.answer` to `request.caller`. It owns the rights among its
    arguments once it returns; where it raises KernError they are given up for it, and the client gets the code.
    """
    return _mark(Handled(at, routine.request.id, False, _serve, routine))


def notified(notice: type[Notice], at: str = "notices") -> Callable[[Callable[[Any, Any, Notice], None]], Any]:
    """Marks the method that takes a kind of notification (user.notifications): method(mach, notice)."""
    return _mark(Handled(at, ROUTINES[notice].request.id, True, _notice, notice))


def answered(routine: Routine, at: str = "") -> Callable[[Method], Method]:
    """Marks the method that goes on when a routine's request is answered: method(mach, answer, *about), of which `ask` says more.

    at: where the answers come to requests that are not asked by `ask`, but name a port of the server's for them: a port for
    each question costs five traps.
    """
    return _mark(Handled(at, routine.request.id + REPLY_ID, True, _reply, routine))


def takes(number: int, at: str) -> Callable[[Method], Method]:
    """Marks the method that takes the messages of an id as they are: method(mach, message)."""
    return _mark(Handled(at, number, False, lambda mach, message, what, method: method(message), None))


def _mark(handled: Handled) -> Callable[[Any], Any]:
    def mark(method: Any) -> Any:
        setattr(method, HANDLES, handled)
        return method

    return mark


def _serve(mach: Mach, message: Message, routine: Routine | None, method: Callable[..., Any]) -> None:
    """As MIG's server skeletons do in C."""
    try:
        if routine is None:
            raise KernError(MIG_BAD_ID)
        results = method(message, *routine.request.unpack(mach.order, message.body, message.carried, message.complex))
    except KernError as error:
        mach.destroy(message._replace(header=message.header._replace(remote_type=0)))
        mach.reply(message, None, error.code)
        return
    if results is not None:
        mach.reply(message, routine, 0, results)


def _notice(mach: Mach, message: Message, notice: type[Any], method: Callable[..., Any]) -> None:
    try:
        values = ROUTINES[notice].request.unpack(mach.order, message.body, message.carried, message.complex)
    except KernError:
        mach.destroy(message)
        return
    method(notice(message.header.local, *values))


def _reply(mach: Mach, message: Message, routine: Routine, method: Callable[..., Any], *about: Any) -> None:
    try:
        if message.header.id != routine.request.id + REPLY_ID:
            raise KernError(MIG_SERVER_DIED if message.header.id == MACH_NOTIFY_SEND_ONCE.request.id else MIG_REPLY_MISMATCH)
        answer = Answer(0, routine.unpack_reply(mach.order, message.body, message.carried, message.complex))
    except KernError as error:
        mach.destroy(message)
        answer = Answer(error.code, ())
    method(answer, *about)


NOTHING: Final = Handled("", 0, False, _serve, None)


class Legacy(NamedTuple):
    """What a server leaves to its successor beside its service's port: names of receive rights, of send rights, of each one user
    reference for each time that it is here, and of send-once rights, which move away; and data, which both understand."""

    receives: tuple[PortName, ...] = ()
    sends: tuple[PortName, ...] = ()
    data: bytes = b""
    onces: tuple[PortName, ...] = ()


class Part:
    """Handlers, and what they work on: a server, or a part of one that has ports of its own. A subclass is marked @state."""

    __slots__ = ()
    _tables: ClassVar[dict[int, dict[str, tuple[Handled, str]]]] = {}
    """By msgh_id and slot: what is handled so, and the method's name."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._tables = {number: dict(slots) for number, slots in cls._tables.items()}
        for name, method in vars(cls).items():
            handled = getattr(method, HANDLES, None)
            if not isinstance(handled, Handled) or not handled.at:
                continue
            if not hasattr(cls, handled.at):
                raise TypeError(f"{name} is at {handled.at}, which {cls.__name__} has not")
            slots = cls._tables.setdefault(handled.number, {})
            _, other = slots.get(handled.at, (None, name))
            if other in vars(cls) and other != name:
                raise TypeError(f"{handled.number} at {handled.at} has two handlers: {other} and {name}")
            slots[handled.at] = handled, name

    def handler(self, message: Message) -> tuple[Handled, Callable[..., Any]] | None:
        """What is to be done with a message; None where it is not for this part."""
        port = message.header.local
        for slot, (handled, name) in self._tables.get(message.header.id, {}).items():
            held = getattr(self, slot)
            if (port in held if isinstance(held, dict) else port == held) and (
                not handled.is_once or message.header.local_type == PORT_SEND_ONCE
            ):
                return handled, getattr(self, name)
        return None


@state
class Question(NamedTuple):
    """What is asked of another server. part, then: whose method goes on, and its name. about: what that is given beside the
    answer, as it is annotated there."""

    part: Part
    then: str
    about: tuple[Any, ...]

    def annotated(self) -> Iterator[tuple[Any, Any]]:
        """ValueError where nothing goes on."""
        then: Any = getattr(type(self.part), self.then, None)
        if getattr(then, HANDLES, NOTHING).take is not _reply:
            raise ValueError(f"{self.then!r} takes no answers")
        return slots.annotated(partial(then, self.part, None, None), *self.about)


def _left_in(mach: Mach, message: Message) -> tuple[PortName, Legacy]:
    """The service's port that a server left to its successor, and what else."""
    values = SUCCESSION_INHERIT.request.unpack(mach.order, message.body, message.carried, message.complex)
    service, receives, sends, onces, data = values
    rights = (tuple(map(name_of, each)) for each in (receives, sends, onces))
    return name_of(service), Legacy(next(rights), next(rights), bytes(data.copy or b""), next(rights))


class HostServer(Part, Server):
    """A subclass is marked @state, and its __slots__ are what it has beside these."""

    __slots__ = ("notices", "ports", "questions", "service")
    notices: Receive
    ports: PortSet
    questions: dict[Receive, Question]
    service: Receive

    def __init__(self) -> None:
        self.service = 0
        """The port of its requests, with a send right to give away; a name server's is given to it."""
        self.notices = 0
        """Where notifications come."""
        self.ports = 0
        """The set of all its ports."""
        self.questions = {}
        """What has been asked and not been answered, by the port where the answer comes."""

    def parts(self) -> tuple[Part, ...]:
        """Whose handlers take messages: its own, and those of its parts."""
        return (self,)

    def context(self, mach: Mach) -> Any:
        """What handlers are given first; mach, unless a server makes more of it."""
        return mach

    def check_saved(self) -> None:
        """ValueError where an answer could not be gone on with."""
        if any(question.part not in self.parts() for question in self.questions.values()):
            raise ValueError("somebody else waits for its answers")

    def start(self, mach: Mach) -> None:
        """Makes the ports. A subclass calls this first."""
        self.service = mach.given("service") or mach.make_send(mach.allocate_port())
        self.notices = mach.allocate_port()
        self.ports = mach.allocate_port_set()
        for port in (self.service, self.notices):
            mach.move_member(port, self.ports)
        mach.serve(self.ports)

    def new_port(self, mach: Mach) -> PortName:
        """A receive right whose messages come to `receive`."""
        port = mach.allocate_port()
        mach.move_member(port, self.ports)
        return port

    def ask(self, mach: Mach, then: Callable[..., None], port: PortName, values: Iterable[Any], *about: Any) -> None:
        """Sends a request to another server, after this handler. port: a send right to it, which is kept.

        then: a method of this server or a part of it that is marked as `answered` by the routine. It goes on when the answer
        comes, or with a code where none will: KERN_FAILURE for a dead port, MIG_SERVER_DIED for an answerer that is gone.
        about: what it is given beside the answer: data, which is saved meanwhile, and must be what its annotations say.
        """
        answer = self.new_port(mach)
        self.questions[answer] = Question(then.__self__, then.__name__, about)  # type: ignore[attr-defined]
        mach.request(getattr(then, HANDLES).what, port, values, answer, COPY_SEND)

    # Succession

    def legacy(self, mach: Mach) -> Legacy:
        """What it leaves to its successor: names that it forgets, since they move away.

        A class that can be replaced defines this, and `inherit`. Its service's port and what waits there go by themselves;
        answers that it owes because it has asked others it still gives.
        """
        raise NotImplementedError

    def inherit(self, mach: Mach, legacy: Legacy) -> None:
        """Begins in the place of another, with its service's port and what it left; in the place of `start`."""
        raise NotImplementedError

    def accepts(self, legacy: Legacy) -> bool:
        """Whether `inherit` can begin with this. A class that defines it may follow guests, too, of which nothing is known;
        what it does not accept is given up, and it ends."""
        return True

    def refuses(self, other: HostServer | None) -> str:
        """Why this server and another one, None for a guest, cannot follow each other; empty where they can."""
        return ""

    def may_leave(self, mach: Mach) -> bool:
        """Whether this is a moment at which it can hand over; else it is asked again later."""
        return True

    def has_left(self) -> bool:
        return not self.questions

    def succeed(self, mach: Mach, message: Message) -> None:
        """What the server before it leaves has come; or that is gone without a word, and this one begins as any other."""
        mach.destroy_receive(mach.given("legacy"))
        mach.take("legacy", 0)
        service, left = NULL_NAME, Legacy()
        if message.header.id == SUCCESSION_INHERIT.request.id:
            with suppress(KernError):
                service, left = _left_in(mach, message)
        elif mach.given("service") or not self.name_server:
            self.start(mach)
            return
        if service in UNNAMED or not self.accepts(left):
            mach.note(f"{type(self).__name__}: cannot begin with what was left, and ends")
            mach.destroy(message)
            mach.request(TASK_TERMINATE, mach.task_self(), ())
            return
        mach.take("service", mach.make_send(service))
        HostServer.start(self, mach)
        self.inherit(mach, left)

    def _bequeath(self, mach: Mach, message: Message) -> None:
        """Its successor is ready; or has ended before it was, and this server goes on."""
        mach.destroy_receive(mach.given("control"))
        mach.take("control", 0)
        try:
            if message.header.id != SUCCESSION_BEGIN.request.id:
                raise KernError(MIG_BAD_ID)
            (right,) = SUCCESSION_BEGIN.request.unpack(mach.order, message.body, message.carried, message.complex)
        except KernError:
            mach.destroy(message)
        else:
            mach.take("successor", living(right))

    def hand_over(self, mach: Mach) -> None:
        if not self.may_leave(mach):
            return
        left, successor = self.legacy(mach), mach.given("successor")
        mach.take("successor", 0)
        data = OutOfLine(left.data, len(left.data))
        values = (self.service, left.receives, left.sends, left.onces, data)
        mach.request(SUCCESSION_INHERIT, successor, values, disposition=MOVE_SEND)
        self.service = 0
        mach.take("service", 0)
        mach.leave(True)

    def _stay(self, mach: Mach, message: Message) -> None:
        """Its successor is gone: it goes on itself."""
        service, left = _left_in(mach, message)
        mach.leave(False)
        mach.deallocate(message.header.remote)
        self.service = service
        mach.take("service", service)
        mach.move_member(service, self.ports)
        self.inherit(mach, left)

    def receive(self, mach: Mach, message: Message) -> None:
        self.handle(mach, message, self.context(mach))

    def handle(self, mach: Mach, message: Message, context: Any) -> None:
        """Calls the handler of a message that has come."""
        port = message.header.local
        if port == mach.given("control"):
            self._bequeath(mach, message)
            return
        question = self.questions.pop(port, None)
        if question is not None:
            mach.destroy_receive(port)
            then = getattr(question.part, question.then)
            _reply(mach, message, getattr(then, HANDLES).what, partial(then, context), *question.about)
            return
        for part in self.parts():
            found = part.handler(message)
            if found is not None:
                handled, method = found
                handled.take(mach, message, handled.what, partial(method, context))
                return
        self.other(mach, message)

    def other(self, mach: Mach, message: Message) -> None:
        """A message that no handler takes is answered with MIG_BAD_ID, and what it brought is given up."""
        _serve(mach, message, None, self.other)

    def expired(self, mach: Mach) -> None:
        """The time set by `mach.alarm` has come."""

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message sent with `notify` is sent."""

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message could not be sent: a question without an answer, or what it held is given up."""
        if message.header.id == SUCCESSION_INHERIT.request.id:
            self._stay(mach, message)
            return
        question = self.questions.pop(message.header.local, None)
        if question is not None:
            mach.destroy_receive(message.header.local)
            getattr(question.part, question.then)(self.context(mach), Answer(UNSENT, ()), *question.about)
        mach.give_back(message)
