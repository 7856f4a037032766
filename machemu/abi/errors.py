"""The three families of errors. They never mix: each is caught at one boundary only."""


class KernError(Exception):
    """A call fails with `code`, a kern_return_t or mach_msg_return_t; the trap or routine boundary gives it to the guest."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = int(code)


class InvariantError(Exception):
    """machemu itself is wrong: the run ends and says where."""


class UserError(Exception):
    """The host's user gave something that cannot be used; the message says what, where and what to do. Exit status 2."""
