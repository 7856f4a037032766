"""The host's files that a user names: read with a bound, and written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError

TEXT_MAX: Final = 16 << 20
"""Bytes of a text at most: a cluster file, a profile, a boot script."""
PIPE_MAX: Final = 64 << 20
"""Bytes that are read of a pipe at most."""
PIPE_WAIT_S: Final = 3
"""Host seconds within which somebody must write to a pipe that is read."""
STEP: Final = 1 << 20

KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode: int) -> str:
    """What is no regular file, in words."""
    return next((name for test, name in KINDS if test(mode)), "no regular file")


# Reading


def is_fifo(path: Path) -> bool:
    """Whether a name is a FIFO's. A name that cannot be is none's."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def read(path: Path, limit: int, what: str, use: str = "") -> bytes:
    """The bytes of a file, or of a pipe up to its end. what: what it has to be, such as "an executable". use: for messages.

    UserError for whatever cannot be read, is no file or pipe, or is longer than `limit` bytes. No more than that is ever held.
    """
    with os.fdopen(open_input(path, what, use), "rb") as file:
        info = os.fstat(file.fileno())
        if info.st_size > limit:
            raise UserError(f"{path}: is larger than {what} can be, which is {limit} bytes")
        if stat.S_ISFIFO(info.st_mode):
            limit = min(limit, PIPE_MAX)
        parts: list[bytes] = []
        size = 0
        while size <= limit:
            part = _read(path, file.fileno(), min(STEP, limit + 1 - size))
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
    raise UserError(f"{path}: is larger than {what} can be, which is {limit} bytes")


def read_text(path: Path, what: str) -> str:
    """A text in UTF-8 of at most TEXT_MAX bytes, as `read`."""
    try:
        return read(path, TEXT_MAX, what, f" as {what}").decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as {what}: it is no UTF-8 text: {error.reason} at {error.start}") from None


def open_input(path: Path, what: str, use: str = "") -> int:
    """A descriptor that reads a file or a pipe. UserError for anything else, and for a pipe to which nobody writes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise UserError(f"{path}: cannot be read{use}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{str(path)!r}: cannot be a file: {error}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise UserError(f"{path}: cannot be read{use}: it is {kind_of(mode)}, and {what} is a file")
        os.set_blocking(descriptor, True)
        if stat.S_ISFIFO(mode):
            _await(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _read(path: Path, descriptor: int, size: int) -> bytes:
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        _await(path, descriptor)
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _await(path: Path, descriptor: int) -> None:
    """A FIFO that is opened before its writer is silent, and does not end, until somebody writes to it or has done so."""
    ready, _, _ = select.select((descriptor,), (), (), PIPE_WAIT_S)
    if not ready:
        raise UserError(f"{path}: is a FIFO to which nobody has written for {PIPE_WAIT_S} seconds")


# Writing


def keep_apart(written: Iterable[Path | None], read: Iterable[Path | None]) -> None:
    """UserError where a file that a run writes is one that it reads, or writes already, under whatever name. None is no file."""
    reads = {_identity(path) for path in read if path is not None}
    writes: set[object] = set()
    for path in written:
        if path is None or (who := _identity(path)) is None:
            continue
        if who in reads:
            raise UserError(f"{path}: cannot be written: this run reads it, and it would be lost")
        if who in writes:
            raise UserError(f"{path}: cannot be written: this run writes something else into it")
        writes.add(who)


def _identity(path: Path) -> object:
    """Equal for names of one file, and None for what is no regular file, which nothing can be lost of."""
    try:
        info = path.stat()
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # it cannot be a name
        return None
    return (info.st_dev, info.st_ino) if stat.S_ISREG(info.st_mode) else None


def target_of(path: Path) -> Path:
    """The file that writing to `path` makes or replaces: what its links lead to. UserError where there can be none."""
    try:
        target = Path(os.path.realpath(path))
        mode = target.lstat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be written: {getattr(error, 'strerror', error)}") from None
    if mode is not None and not stat.S_ISREG(mode):
        raise UserError(f"{path}: cannot be written: it is {'a loop of links' if stat.S_ISLNK(mode) else kind_of(mode)}")
    if not target.parent.is_dir():
        raise UserError(f"{path}: cannot be written: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: cannot be written: nothing may be made in the folder {target.parent}")
    refuse_image(target, path)
    return target


def refuse_image(target: Path, name: Path) -> None:
    """UserError, with `name`, where a file is the image of a disk of some machine's."""
    if os.path.isfile(target) and _in_use(target):
        raise UserError(f"{name}: cannot be written: it is in use as a disk image")


def _in_use(path: Path) -> bool:
    """Whether somebody has the file locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def write(path: Path, parts: Iterable[bytes]) -> None:
    """Writes a file whole or not at all: it is made without a name, or under one of its own beside the target, and then takes its
    place. So whoever is killed meanwhile leaves nothing behind, where the system has files without names.

    A link stays, and what it leads to is written; an existing file's mode stays. UserError where it cannot be written.
    """
    target = target_of(path)
    temporary: Path | None = None
    try:
        try:
            old: os.stat_result | None = target.stat()
        except FileNotFoundError:
            old = None
        name = target.with_name(f".machemu-{os.urandom(8).hex()}")
        descriptor = _open_unnamed(target.parent, 0o666 if old is None else 0o600)
        unnamed = descriptor is not None
        if descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor, temporary = os.open(name, flags, 0o666 if old is None else 0o600), name
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            if old is not None:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            file.flush()
            os.fsync(file.fileno())
            target_of(path)
            if unnamed:
                # With a folder's descriptor, which an absolute path makes no use of, Python follows the link.
                temporary = name
                os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)
        name.replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _open_unnamed(folder: Path, mode: int) -> int | None:
    """A new file without a name, None where there can be none, or none that is given a name later."""
    if not (hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, mode)
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    """The new name, too, is on the disk. There are file systems that cannot say so of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
