"""The spool's folder and its files: made, locked, written, read and set aside.

``spool`` decides what to keep and what to send; this is how that is done safely while
other processes do the same.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from godot_otel import fault
from godot_otel.errors import RetryableError
from godot_otel.queue import Entry
from godot_otel_exporter.spool import batch_file, locks
from godot_otel_exporter.spool.batch_file import SUFFIX, DamagedError

QUARANTINE = "quarantine"
_PARTIAL = ".tmp"
_LEFT_OVER_SECONDS = 3600.0
_IN_USE = (errno.ENOENT, errno.EACCES, errno.EPERM)  # gone, or another user's


class SpoolError(RetryableError):
    """The spool cannot keep or give this batch."""

    evicted: tuple[Entry, ...] = ()
    """Batches that had made room already when it failed."""


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's errors into sentences that name *folder*."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SpoolError(f"the spool {folder} cannot be used: {reason}") from error


class SpoolFolder:
    """A folder that many processes share; making one touches nothing.

    Errors of the system pass through as OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder, ours alone, and its parents, unless it is there."""
        try:
            self.refuse_strange()
        except FileNotFoundError:
            missing = [each for each in self.path.parents if not each.exists()]
            for parent in reversed(missing):
                # The data directory, perhaps: `up` started by root must enter it as
                # somebody else.
                parent.mkdir(exist_ok=True)
                parent.chmod(0o711 if os.geteuid() == 0 else 0o700)
                _sync(parent.parent)
            self.path.mkdir(mode=0o700, exist_ok=True)
            _sync(self.path.parent)
            self.refuse_strange()

    def refuse_strange(self) -> None:
        """Raise SpoolError when somebody else may put files and links into it."""
        found, us = self.path.stat(), os.geteuid()
        if found.st_mode & stat.S_IWOTH:
            raise SpoolError(f"the spool {self.path} is open to everybody: chmod o-w")
        if us and found.st_uid not in (us, 0):
            raise SpoolError(f"the spool {self.path} belongs to another user")

    def names(self) -> Iterator[str]:
        """Yield the files of batches, in no order."""
        with os.scandir(self.path) as files:
            for file in files:
                if file.name.endswith(SUFFIX):
                    yield file.name

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield those with their sizes; remove what dead processes left half written.

        One of a process that was only stopped goes as well: its rename will fail.
        """
        with os.scandir(self.path) as files:
            for file in files:
                name = file.name
                if name.endswith(SUFFIX):
                    size = batch_file.size_of(name)
                    yield name, _size(file) if size is None else size
                elif name.endswith(_PARTIAL):
                    _remove_left_over(file)

    def quarantined(self) -> list[tuple[str, int]]:
        """Return what was set aside, oldest first, with sizes."""
        found = []
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self.path / QUARANTINE) as files,
        ):
            for file in files:
                if file.is_file(follow_symlinks=False):
                    size = file.stat(follow_symlinks=False).st_size
                    found.append((f"{QUARANTINE}/{file.name}", size))
        return sorted(found)

    def open(self, name: str, flags: int) -> int:
        """Open a file of ours, made when missing.

        What root makes is the folder's owner's, who could not go on otherwise.
        """
        flags |= os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self.path / name, flags, 0o600)
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    @contextmanager
    def partial(self, data: bytes) -> Iterator[Path]:
        """Write a file that nobody takes for a batch; gone if what follows fails."""
        name = f".{os.getpid()}-{os.urandom(8).hex()}{_PARTIAL}"
        descriptor = self.open(name, os.O_WRONLY | os.O_EXCL)
        try:
            with io.FileIO(descriptor, "wb") as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(descriptor)
            fault.point("spool_tmp_written")
            yield self.path / name
        except BaseException:
            self.remove(name)
            raise

    def sync(self, name: str) -> None:
        """Make the name of a new batch safe from a power cut; remove it if that fails,
        because the caller is told that it is not kept."""
        try:
            _sync(self.path)
        except OSError:
            self.remove(name)
            raise

    @contextmanager
    def claim(self, name: str) -> Iterator[Entry | None]:
        """Have a batch for oneself: nobody else sends or evicts it meanwhile.

        None when it is gone, somebody else's, or another user's.

        Raises:
            DamagedError: it cannot be read, or is no batch.
        """
        with explained(self.path):
            descriptor = self._open_batch(name)
        if descriptor is None:
            yield None
            return
        try:
            if locks.take(descriptor) and os.fstat(descriptor).st_nlink:
                with explained(self.path):
                    entry = batch_file.unpack(_read(descriptor))
                yield entry
            else:
                yield None
        finally:
            locks.release(descriptor)

    def _open_batch(self, name: str) -> int | None:
        path = self.path / name
        try:
            facts = os.lstat(path)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > batch_file.MAX_BYTES:
                raise DamagedError
            # For writing: where NFS carries locks, only such files can be locked.
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
            return locks.hold(os.open(path, flags))
        except OSError as error:
            if error.errno not in _IN_USE:
                raise
            return None

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone or refuses is no error."""
        with suppress(OSError):
            (self.path / name).unlink()

    def set_aside(self, name: str) -> bool:
        """Move what cannot be read out of the way; say whether that could be done."""
        quarantine = self.path / QUARANTINE
        try:
            with suppress(FileExistsError):
                quarantine.mkdir(mode=0o700)
            if quarantine.is_symlink():
                return False
            (self.path / name).rename(quarantine / name)
        except OSError:
            return False
        return True

    def head(self, name: str) -> tuple[Entry, int] | None:
        """Read a batch without its payload, and its size; None when that fails."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self.path / name, flags)
            with open(descriptor, "rb", buffering=0) as file:
                size = os.fstat(descriptor).st_size
                return batch_file.head(file.read(64 * 1024) or b""), size
        except (OSError, DamagedError):
            return None


def _size(file: os.DirEntry[str]) -> int:
    try:
        return file.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _remove_left_over(file: os.DirEntry[str]) -> None:
    with suppress(OSError):
        if time.time() - file.stat(follow_symlinks=False).st_mtime > _LEFT_OVER_SECONDS:
            os.unlink(file.path)


def _read(descriptor: int) -> bytes:
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(batch_file.MAX_BYTES + 1)
    except OSError as error:
        if error.errno == errno.EIO:
            raise DamagedError from error
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without it
            raise
    finally:
        os.close(descriptor)
