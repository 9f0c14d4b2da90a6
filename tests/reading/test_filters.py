"""What cannot be understood is refused by its name."""

from datetime import UTC, datetime, timedelta

import pytest

from godot_otel import query
from godot_otel.query import filters

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

REFUSED = [
    ({"level": "LOUD"}, "level: 'LOUD' is none of TRACE, DEBUG"),
    ({"level": "WARNIGN"}, "did you mean WARNING?"),
    ({"since": "2026-11-22T14:00:00"}, "in UTC it is 2026-11-22T14:00:00Z"),
    ({"since": "2026-11-22"}, "in UTC it is 2026-11-22T00:00:00Z"),
    ({"since": "yesterday"}, "since: 'yesterday' is no time; write 2026"),
    ({"until": "-5x"}, "until: '-5x' is no time"),
    ({"since": "-999999999w"}, "since: '-999999999w' is not of 1970 to 2262"),
    ({"since": "0001-01-01T00:00:00+23:59"}, "is not of 1970 to 2262"),
    ({"since": "0001-01-01T00:00:00Z"}, "is not of 1970 to 2262"),
    ({"until": "9999-12-31T23:59:59Z"}, "until: '9999-12-31T23:59:59Z' is not of"),
    ({"since": "-1h", "until": "-2h"}, "since: is not before until"),
    ({"trace_id": "xyz"}, "trace id: 'xyz' is none"),
    ({"trace_id": "4bf92f3"}, "trace id: '4bf92f3' is none"),
    ({"trace_id": "4bf92f35" * 5}, "is none"),
    ({"trace_id": "'; DROP TABLE logs"}, "is none"),
    ({"search": "!!! ---"}, "search: no word"),
    ({"search": '"open'}, "not closed"),
    ({"search": "a\0b"}, "search: a NUL"),
    ({"search": "a\ud800"}, "not valid Unicode"),
    ({"search": "a" * 2001}, "longer than 2000"),
    ({"where": ["nonsense"]}, "where: 'nonsense' is none of key=value"),
    ({"where": ["n>many"]}, "where: 'many' in 'n' is no number"),
    ({"where": ["a=b"] * 9}, "where: 9 conditions; at most 8"),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED, ids=lambda v: str(v)[:40])
def test_a_filter_that_cannot_be_understood_is_refused_by_name(given, sentence):
    with pytest.raises(query.FilterError) as refusal:
        query.parse(**given)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "severity"),
    [("info", 9), ("WARNING", 13), ("Warn", 13), ("critical", 21), ("FATAL", 21)],
)
def test_levels_are_known_in_any_case_and_by_pythons_names(text, severity):
    assert query.parse(level=text).severity == severity


@pytest.mark.parametrize(
    "text",
    [
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "4BF92F3577B34DA6A3CE929D0E0E4736",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_a_trace_id_is_known_in_each_of_its_forms(text):
    ids = filters.trace_ids(text)
    assert ids.whole
    assert ids.hex == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_prefix_of_a_trace_id_is_a_range():
    ids = filters.trace_ids("4bf92f35")
    assert not ids.whole
    assert ids.hex == "4bf92f35"


def test_times_are_relative_or_carry_their_zone():
    assert filters.moment("since", "-15m", NOW) == NOW - timedelta(minutes=15)
    assert filters.moment("since", "2h", NOW) == NOW - timedelta(hours=2)
    assert filters.moment("since", "now", NOW) == NOW
    assert filters.moment("since", "2026-11-22T13:00:00+01:00", NOW) == NOW
    assert filters.moment("since", "2026-11-22T12:00:00.000000000Z", NOW) == NOW


def test_without_a_window_the_last_hour_counts_but_a_trace_is_looked_for_everywhere():
    assert query.parse().since is not None
    assert query.parse(trace_id="4bf92f35").since is None
    assert query.parse(trace_id="4bf92f35", since="-1h").since is not None
