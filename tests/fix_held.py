"""What a store holds, as rows and as what counts and finds them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from fix_lines import HOUR, wherever

_COLUMNS = ("time", "service", "environment", "severity", "trace_id", "body")
_LINES = (
    f"SELECT {', '.join(_COLUMNS)} FROM {wherever(*_COLUMNS)}"
    " WHERE NOT EXISTS (SELECT FROM partitions WHERE parent = 'logs'"
    " AND dropped_at IS NOT NULL AND lower <= time AND time < upper)"
)
_COUNTS = (
    "SELECT minute, service, environment, severity, sum(n)::int, min(first), max(last),"
    " min(n) FROM log_counts WHERE NOT EXISTS (SELECT FROM partitions"
    " WHERE parent = 'log_counts' AND dropped_at IS NOT NULL"
    " AND lower <= minute AND minute < upper) GROUP BY 1, 2, 3, 4"
)
_TRACES = (
    "SELECT trace_id, service, sum(lines)::int, sum(errors)::int, min(first), max(last)"
    " FROM trace_index GROUP BY 1, 2"
)


def hour(back: int) -> datetime:
    """The beginning of an hour, so many before this one."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - back * HOUR


def rows(dsn: str, statement: str, *values: Any) -> list[tuple]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def bodies(dsn: str) -> Counter[str]:
    """The lines that are left, each as often as it is there."""
    return Counter(row[-1] for row in rows(dsn, _LINES))


def check_sums(dsn: str, *, raced: bool = False) -> None:
    """Whatever counts or finds lines says what a scan of them says.

    Where lines of a minute came while it was cleared (*raced*), the first and last time
    of its counts may be off within the minute.
    """
    stored = rows(dsn, _LINES)
    counted: dict[tuple, list] = {}
    traced: dict[tuple, list] = {}
    for time, service, environment, severity, trace_id, _ in stored:
        minute = time.replace(second=0, microsecond=0)
        key = (minute, service, environment, severity)
        counted.setdefault(key, []).append(time)
        if trace_id:
            traced.setdefault((trace_id, service), []).append((time, severity >= 17))
    assert {row[:4]: row[4:] for row in rows(dsn, _COUNTS)}.keys() == counted.keys()
    for *key, n, first, last, least in rows(dsn, _COUNTS):
        times = counted[tuple(key)]
        assert n == len(times), key
        assert least > 0
        if not raced:
            assert (first, last) == (min(times), max(times)), key
        assert key[0] <= first <= last < key[0] + timedelta(minutes=1), key
    found = {
        (trace_id, service): (lines, errors, first, last)
        for trace_id, service, lines, errors, first, last in rows(dsn, _TRACES)
    }
    assert found == {
        key: (
            len(seen), sum(error for _, error in seen),
            min(time for time, _ in seen), max(time for time, _ in seen),
        )
        for key, seen in traced.items()
    }  # fmt: skip # as rows say
