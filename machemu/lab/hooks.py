"""Hooks: functions of the user's that hear of a machine's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from machemu.core.kernel import Kernel
from machemu.lab.errors import HookError, UsageError

if TYPE_CHECKING:
    from machemu.trace.events import PageFault, TraceEvent


def kinds() -> dict[str, tuple[type, ...]]:
    """By name, what hooks can hear of. Events are loaded when the first hook is set: they take time."""
    from machemu.trace.events import Ended, Faulted, MessageMoved, Noted, PageFault, Redirected, TrapEntered, TrapLeft

    return {
        "trap": (TrapEntered, Redirected),
        "result": (TrapLeft,),
        "message": (MessageMoved,),
        "exception": (Faulted,),
        "fault": (PageFault,),
        "end": (Ended,),
        "note": (Noted,),
        "event": (object,),
    }


class Hook:
    """A hook that was set."""

    def __init__(self, kind: str, call: Callable[[Any], None], remove: Callable[[Hook], None]) -> None:
        self.kind = kind
        self.call = call
        self._remove = remove

    def remove(self) -> None:
        """It hears of nothing more. Once is enough."""
        self._remove(self)

    def __repr__(self) -> str:
        return f"<hook on {self.kind}: {getattr(self.call, '__qualname__', self.call)}>"


class Hooks:
    """A trace.events.Tracer that tells hooks. stop_run: ends the run that is under way."""

    def __init__(self, stop_run: Callable[[], None]) -> None:
        self._stop_run = stop_run
        self._hooks: tuple[Hook, ...] = ()
        self._kinds: dict[str, tuple[type, ...]] = {}
        self._followers: tuple[Callable[[Kernel], None], ...] = ()
        self._kernel: Kernel | None = None
        self._listens = False
        self._error: tuple[Hook, BaseException] | None = None
        self._quiet = False

    def follow(self, told: Callable[[Kernel], None]) -> None:
        """Tells of the kernel, now and whenever it is another one, which nobody watches yet: after going back, or at a boot."""
        self._followers += (told,)
        if self._kernel is not None:
            told(self._kernel)

    def join(self, kernel: Kernel | None) -> None:
        """From now on it is this kernel's events, which nobody watches yet."""
        self._kernel, self._listens = kernel, False
        if kernel is not None:
            for told in self._followers:
                told(kernel)
        self._listen()

    def _listen(self) -> None:
        """A kernel is watched as long as there are hooks."""
        if self._kernel is not None and self._listens != bool(self._hooks):
            from machemu.core.observe import unwatch, watch  # not before it is needed: it takes time to load

            self._listens = not self._listens
            if self._listens:
                watch(self._kernel, self, self.emit)
            else:
                unwatch(self._kernel, self)

    def add(self, kind: str, call: Callable[[Any], None]) -> Hook:
        self._kinds = kinds()
        if kind not in self._kinds:
            raise UsageError(f"there is no kind of event {kind!r}: there are {', '.join(self._kinds)}")
        made = Hook(kind, call, self.remove)
        self._hooks += (made,)
        self._listen()
        return made

    def remove(self, hook: Hook) -> None:
        self._hooks = tuple(each for each in self._hooks if each is not hook)
        self._listen()

    def emit(self, event: TraceEvent | PageFault) -> None:
        if self._quiet or self._error is not None:
            return
        for hook in self._hooks:
            if isinstance(event, self._kinds[hook.kind]):
                try:
                    hook.call(event)
                except BaseException as error:  # it must not leave the kernel in the middle of a trap
                    self._error = hook, error
                    self._stop_run()
                    return

    def begin(self) -> None:
        self._error = None

    def check(self) -> None:
        """HookError where a hook has raised."""
        if self._error is not None:
            (hook, error), self._error = self._error, None
            raise HookError(f"{hook!r} raised {type(error).__name__}: {error}; remove it or mend it, and run on") from error

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing is told meanwhile."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False
