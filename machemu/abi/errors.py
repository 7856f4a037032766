"""The families of errors. They never mix: each is caught at one boundary only."""


class KernError(Exception):
    """A call fails with `code`, a kern_return_t or mach_msg_return_t; the trap or routine boundary gives it to the guest."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = int(code)


class MustWait(Exception):
    """What was asked for has to wait for `event`, and is to be asked for again then as it was: nothing is half done.

    Raised inside the kernel by what needs a page that is not in memory. Whoever acts for a thread blocks it and starts again.
    `held`: what must not go before that (a reference to a memory object, which whoever catches this owns), or None.
    """

    def __init__(self, event: object) -> None:
        super().__init__(event)
        self.event = event
        self.held: object | None = None


class InvariantError(Exception):
    """machemu itself is wrong: the run ends and says where."""


class UserError(Exception):
    """The host's user gave something that cannot be used; the message says what, where and what to do. Exit status 2."""
