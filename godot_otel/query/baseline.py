"""What a window is compared with: the time before it, an earlier one, or a version."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from godot_otel import store
from godot_otel.query.clauses import Clauses
from godot_otel.query.filters import FilterError, Filters, check_text, moment
from godot_otel.query.line import rfc3339
from godot_otel.query.slices import MICROSECOND
from godot_otel.query.walk import prepare

_VERSION = "version:"
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Another set of lines, as long in time as the window it is compared with."""

    filters: Filters
    since: datetime
    until: datetime
    others: Clauses | None = None
    """What the rows of the window itself must fulfil: not to be of the baseline."""

    @property
    def version(self) -> bool:
        """Whether a version is compared, whose traffic may be another."""
        return self.others is not None

    def sentence(self) -> str:
        """The same for people."""
        whose = f"version {self.filters.version!r} in " if self.version else ""
        return f"{whose}{rfc3339(self.since)} .. {rfc3339(self.until)}"


async def baseline(
    connection: store.Connection,
    filters: Filters,
    compare_to: str,
    since: datetime,
    until: datetime | None,
) -> Baseline:
    """Find what ``previous``, ``-1d`` or ``version:1.4.2`` means for a window.

    A version is compared as it was when it last wrote: the window's length up to
    its last line.

    Raises:
        FilterError: it is none of them, its window would overlap, or there is no
            line of such a version.
    """
    check_text("compare_to", compare_to)
    now = datetime.now(UTC)
    end = until or now
    length = end - since
    text = compare_to.strip()
    if text.lower() == "previous":
        return Baseline(filters, since - length, since)
    if text.startswith(_VERSION) and text != _VERSION:
        version = text.removeprefix(_VERSION).strip()
        return await _version(connection, filters, version, length, end)
    if not re.fullmatch(r"-\d{1,9}[smhdw]", text.lower()):
        raise FilterError(
            f"compare_to: {text[:100]!r} is none of previous, -1d, version:1.4.2"
        )
    distance = now - moment("compare_to", text, now)
    if distance + _MINUTE < length:
        raise FilterError(
            f"compare_to: {text} is nearer than the window is long; write previous, or"
            " a distance of at least the window"
        )
    # The window's first minute counts whole: it may be a little longer than asked for.
    return Baseline(filters, since - distance, min(end - distance, since))


async def _version(
    connection: store.Connection,
    filters: Filters,
    version: str,
    length: timedelta,
    end: datetime,
) -> Baseline:
    if version == filters.version:
        raise FilterError("compare_to: it names the version that is asked for")
    theirs = replace(
        Filters(),
        component=filters.component,
        environment=filters.environment,
        version=version,
    )
    walk = await prepare(connection, theirs, None, end, newest=True)
    found, _ = await walk.read(connection, None, 1)
    if not found:
        raise FilterError(
            f"compare_to: no line of version {version[:100]!r} was found; leave"
            " component and environment out, or compare with previous"
        )
    last = found[0].time + MICROSECOND
    others = Clauses()
    if not filters.version:
        others.add(
            "l.resource_id IN (SELECT id FROM resources WHERE version <> %s)", version
        )
    given = {**filters.given, "version": version}
    asked = replace(filters, version=version, given=given)
    return Baseline(asked, last - length, last, others)
