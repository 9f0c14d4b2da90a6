"""The account Postgres runs as when we are root, and the folders it can reach.

Postgres refuses to run as root. No existing folder is ever opened to others for it:
what it cannot reach is put where it can.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from godot_otel.errors import SettingError

NAME = "nobody"
FOLDER_MAX_BYTES = 80  # a socket's whole path: 103 on macOS, 107 on Linux


def account() -> pwd.struct_passwd | None:
    """Return the account to drop to; None when we are not root and need not."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise SettingError(
            f"Postgres does not run as root and this machine has no user {NAME!r}:"
            " run godot-otel as another user, or set GODOT_POSTGRES_DSN."
        ) from None


def reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether *user* can enter *path* and all folders above it, as their modes say."""
    real = path.resolve()
    return all(_enters(user, folder) for folder in (real, *real.parents))


def _enters(user: pwd.struct_passwd, folder: Path) -> bool:
    facts = folder.stat()
    if facts.st_uid == user.pw_uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == user.pw_gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def place_outside(user: pwd.struct_passwd, directory: Path) -> Path:
    """Return the folder that stands in for a *directory* that *user* cannot reach.

    The same one each time. What is temporary stays temporary: for a directory under the
    system's temp folder it lies there too, else under /var/lib.
    """
    real = directory.resolve()
    temporary = Path(tempfile.gettempdir()).resolve()
    bases = [Path("/var/lib"), Path("/var/db")]  # /var/db: macOS
    if real.is_relative_to(temporary) and reaches(user, temporary):
        bases.insert(0, temporary)
    base = next(base for base in bases if base.is_dir())
    return base / f"godot-otel-{short_hash(real)}"


def short_folder(name: str, user: pwd.struct_passwd | None = None) -> Path:
    """Return a folder for sockets in the temp folder that *user*, or we, can reach."""
    folder = Path(tempfile.gettempdir()) / name
    short = len(os.fsencode(folder)) <= FOLDER_MAX_BYTES
    if short and (user is None or reaches(user, folder.parent)):
        return folder
    return Path("/tmp") / name  # noqa: S108 # own_folder refuses a stranger's


def short_hash(path: Path) -> str:
    """Return a short name that stands for *path*."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def new_folder(path: Path) -> None:
    """Make *path* if it is not there: for root enterable by all, else ours alone.

    Whatever the umask says; nobody lists it, and its files have modes of their own. A
    folder that is there stays as it is.
    """
    if not path.exists():
        new_folder(path.parent)
        path.mkdir()
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def own_folder(path: Path, mode: int, owner: pwd.struct_passwd | None = None) -> None:
    """Make *path* a folder of *owner* (ours without one) with *mode*.

    Raises:
        SettingError: somebody else was there first: in a shared temp folder that may
            be an attempt to read along.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = path.lstat()
    uid = owner.pw_uid if owner else os.geteuid()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in (uid, os.geteuid()):
        raise SettingError(
            f"{path} belongs to somebody else: remove it, or set TMPDIR to a folder of"
            " yours."
        )
    path.chmod(mode)
    if owner and facts.st_uid != uid:
        os.chown(path, uid, owner.pw_gid)
