"""What stays the same from one start to the next: passwords and ports.

One JSON file of one folder, readable by its owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from godot_otel.errors import SettingError


class Keys:
    """The remembered values of one file; each change is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def password(self, name: str) -> str:
        """Return the password called *name*; make one up at the first call."""
        known = self._read().get(f"{name}_password")
        if isinstance(known, str):
            return known
        password = secrets.token_urlsafe(24)
        self._write(f"{name}_password", password)
        return password

    def port(self, name: str) -> int | None:
        """Return the remembered port of *name*."""
        known = self._read().get(f"{name}_port")
        return known if isinstance(known, int) else None

    def remember_port(self, name: str, port: int) -> None:
        """Use *port* for *name* from now on."""
        if self.port(name) != port:
            self._write(f"{name}_port", port)

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            values = None
        if not isinstance(values, dict):
            # Made-up passwords would lock us out of the servers that know the old ones.
            raise SettingError(
                f"{self.path} is damaged: restore it or remove its data."
            )
        return values

    def _write(self, name: str, value: str | int) -> None:
        values = self._read() | {name: value}
        partial = self.path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)
