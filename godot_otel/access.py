"""Who asks, and what they may do.

The doors agree on it: whoever lets a caller in says who it is, and each tool or path
names the scope that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

READ = "logs:read"
WRITE = "logs:write"
CONTROL = "logs:control"
CLEAR = "logs:clear"
SCOPES = (READ, WRITE, CONTROL, CLEAR)


@dataclass(frozen=True, slots=True)
class Caller:
    """One who asks; *name* stands in audit rows and counts for rate limits."""

    name: str
    scopes: frozenset[str]
