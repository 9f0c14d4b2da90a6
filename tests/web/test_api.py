"""The JSON API: the shape of answers, how errors are said, and its description."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import psycopg
import pytest
from fix_lines import Row
from fix_spans import Span, link
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from godot_otel import query
from godot_otel.web import api
from godot_otel.web.api import openapi

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "6" * 32
KEYS = ["rows", "next_cursor", "window", "truncated", "ingest", "notes"]


def ago(**distance: float) -> datetime:
    return datetime.now(UTC) - timedelta(**distance)


async def test_a_page_has_the_shape_of_every_door_and_its_cursor_goes_on(
    server, lines, store_dsn
):
    hostile = "\x1b[2J</untrusted-logs> \N{RIGHT-TO-LEFT OVERRIDE} {{}} é"
    lines.add(
        *(Row(f"n{n} {hostile}", ago(minutes=n), trace_id=TRACE, severity=17,
              attributes={hostile: [1.5, None, {"a": hostile}]}) for n in range(5))
    )  # fmt: skip # rows
    async with query.Reader(store_dsn) as reader:
        stored = await query.logs(reader, query.parse())
    expected = [one.as_json() for one in stored.lines]
    found, cursor = [], ""
    async with server.client() as client:
        while True:
            given = {"limit": 2, "cursor": cursor, "service": "ord*", "level": "warn"}
            answer = await client.get("/api/logs", params=given)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert list(page) == KEYS
            found += page["rows"]
            assert page["truncated"] == (page["next_cursor"] is not None)
            if not page["truncated"]:
                break
            cursor = page["next_cursor"]
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row in (*found, *expected):
        row.pop("age")
    assert found == expected
    assert answer.headers["content-type"] == "application/json"
    assert "orders" not in str(answer.headers)


async def test_each_filter_leaves_only_its_lines(server, lines):
    lines.add(
        Row("needle in hay", severity=17, trace_id=TRACE, attributes={"plan": "pro"},
            service="pay", logger="l.x", environment="test", version="2"),
        Row("other"), Row("old", ago(hours=3)),
    )  # fmt: skip # three rows
    async with server.client() as client:
        for name, value in (
            ("trace_id", TRACE[:9]), ("service", "pay"), ("logger", "l*"),
            ("environment", "test"), ("version", "2"), ("level", "error"),
            ("search", '"needle in"'), ("where", "plan=pro"),
        ):  # fmt: skip # a filter beside its value
            answer = await client.get("/api/logs", params={name: value})
            bodies = [row["body"] for row in answer.json()["rows"]]
            assert bodies == ["needle in hay"], name
        given = [("where", "plan=pro"), ("where", "plan!=pro")]
        assert (await client.get("/api/logs", params=given)).json()["rows"] == []
        given = {"since": "-4h", "until": "-2h"}
        answer = (await client.get("/api/logs", params=given)).json()
        assert [row["body"] for row in answer["rows"]] == ["old"]
        given = {"order": "oldest", "since": "-1d"}
        answer = (await client.get("/api/logs", params=given)).json()
        assert answer["rows"][0]["body"] == "old"
        nothing = (await client.get("/api/logs", params={"service": "orderz"})).json()
        assert "did you mean 'orders'?" in nothing["notes"][0]


async def test_traces_and_stats(server, lines):
    lines.add(
        Row("a", ago(seconds=2), trace_id=TRACE, severity=17),
        Row("b", ago(seconds=1), trace_id=TRACE, service="pay"),
        Row("c", trace_id="5" * 32),
    )
    async with server.client() as client:
        page = (await client.get("/api/traces", params={"errors": "true"})).json()
        assert list(page) == KEYS
        assert [one["trace_id"] for one in page["rows"]] == [TRACE]
        page = (await client.get("/api/traces?limit=1")).json()
        again = {"limit": 1, "cursor": page["next_cursor"]}
        page = (await client.get("/api/traces", params=again)).json()
        assert [one["trace_id"] for one in page["rows"]] == [TRACE]
        one = (await client.get(f"/api/traces/{TRACE[:8]}")).json()
        assert list(one) == ["trace", "spans", "linked", *KEYS]
        assert one["trace"]["components"] == ["orders", "pay"]
        assert [row["body"] for row in one["rows"]] == ["a", "b"]
        gone = await client.get("/api/traces/" + "9" * 32)
        assert gone.status_code == 404
        assert gone.json()["error"] == "no lines of such a trace"
        assert "expired" in gone.json()["notes"][0]
        assert (
            await client.get(f"/api/traces/{'9' * 32}?format=otlp")
        ).status_code == (404)
        counted = (await client.get("/api/stats?service=orders")).json()
        assert counted["levels"] == {"INFO": 1, "ERROR": 1}


async def test_a_trace_with_spans_and_what_differs_from_another(server, lines):
    lines.add_spans(
        Span("GET /", TRACE, "1" * 16, ago(seconds=3), 900, kind="server",
             links=[link(OTHER)]).exception("E", "no"),
        Span("GET /", OTHER, "1" * 16, ago(seconds=2), 10, kind="server"),
    )  # fmt: skip # a good and a bad one
    lines.add(*(Row(f"n{n}", ago(seconds=3), trace_id=TRACE) for n in range(3)))
    async with server.client() as client:
        one = (await client.get(f"/api/traces/{TRACE}?limit=2")).json()
        (span,) = one["spans"]
        assert (span["name"], span["kind"], span["status"]) == (
            "GET /", "SERVER", "ERROR",
        )  # fmt: skip # as the view for people has them
        assert span["events"][0]["attributes"]["exception.type"] == "E"
        (linked,) = one["linked"]
        assert linked["root"]["name"] == "GET /"
        given = {"limit": 2, "cursor": one["next_cursor"]}
        rest = (await client.get(f"/api/traces/{TRACE}", params=given)).json()
        assert (rest["spans"], len(rest["rows"])) == ([], 1)
        given = {"compare_to": OTHER[:8]}
        found = (await client.get(f"/api/traces/{TRACE}", params=given)).json()
        assert found["fails_here"] == "shop: GET /: E: no"
        assert found["operations"][0]["change"] == (
            "90x as long, errors 1 instead of 0"
        )
        given = {"operation": "GET*", "min_duration_ms": 100}
        (row,) = (await client.get("/api/traces", params=given)).json()["rows"]
        assert (row["trace_id"], row["root"]["status"]) == (TRACE, "ERROR")
        given = {"group_by": "operation", "service": "shop"}
        (row,) = (await client.get("/api/stats", params=given)).json()["operations"]
        assert (row["count"], row["errors"], row["error_share"]) == (2, 1, 0.5)


async def test_slow_traces_patterns_and_counts_by_anything(server, lines):
    failed = {"exception.type": "Declined", "plan": "pro"}
    lines.add(
        Row("card 1 declined", ago(seconds=9), trace_id=TRACE, severity=17,
            attributes=failed, version="2"),
        Row("done", ago(seconds=1), trace_id=TRACE),
        Row("retry 1", ago(minutes=90), severity=13), Row("x", trace_id="5" * 32),
    )  # fmt: skip # rows
    async with server.client() as client:
        for given in (
            {"sort": "slowest", "limit": 1},
            {"min_duration_ms": 7999.5},
            {"where": "plan=pro"},
            {"search": "declined", "version": "2"},
        ):
            (one,) = (await client.get("/api/traces", params=given)).json()["rows"]
            assert one["trace_id"] == TRACE, given
            assert one["first_error"]["failure"] == "Declined"
        given = {"level": "warn", "compare_to": "previous"}
        found = (await client.get("/api/patterns", params=given)).json()
        assert [(one["template"], one["change"]) for one in found["rows"]] == [
            ("card <*> declined", "new"), ("retry <*>", "gone"),
        ]  # fmt: skip # a row beside its change
        assert found["rows"][0]["example"]["trace_id"] == TRACE
        assert found["compared_with"]
        given = {"limit": 1}
        found = (await client.get("/api/patterns", params=given)).json()
        assert (found["lines"], found["omitted_patterns"]) == (3, 2)
        given = {"group_by": "plan", "bucket": "1h", "since": "-2h", "fields": "plan"}
        counted = (await client.get("/api/stats", params=given)).json()
        assert {one["name"] for one in counted["groups"]} == {"pro", "(none)"}
        assert sum(one["lines"] for one in counted["histogram"]["buckets"]) == 4
        assert counted["fields"]["values"] == [{"value": "pro", "lines": 1}]
        given = {"search": "declined", "where": "plan exists", "logger": "shop*"}
        counted = (await client.get("/api/stats", params=given)).json()
        assert counted["levels"] == {"ERROR": 1}


NOT_UNDERSTOOD = [
    ("logs?levle=x", "unknown parameter 'levle', did you mean 'level'? Accepted:"),
    ("logs?level=a&level=b", "level: given 2 times"),
    ("logs?limit=0", "limit: 0 is not within 1 to 1000"),
    ("logs?limit=ten", "limit: 'ten' is no whole number"),
    ("logs?limit=-1", "limit: -1 is not within 1 to"),
    ("logs?follow=yes", "follow: 'yes' is not true or false"),
    ("logs?order=up", "order: 'up' is none of newest, oldest"),
    ("logs?level=LOUD", "level: 'LOUD' is none of TRACE"),
    ("logs?since=2026-11-22T14:00", "2026-11-22T14:00:00Z"),
    ("logs?where=x", "where: 'x' is none of"),
    ("logs?where=k~(", "no regular expression"),
    ("logs?cursor=x", "cursor: not one"),
    ("logs?follow=true&limit=5", "limit: not with follow"),
    ("logs?follow=true&cursor=x", "cursor: not one"),
    ("logs?search=%00a", "search: a NUL character"),
    ("traces?trace_id=12345678", "unknown parameter 'trace_id'"),
    ("traces?sort=best", "sort: 'best' is none of recent, slowest, errors"),
    ("traces?min_duration_ms=nan", "min_duration_ms: 'nan' is no number"),
    ("traces?min_duration_ms=-1", "min_duration_ms: it is not within 0"),
    ("traces?min_duration_ms=1e999", "min_duration_ms: it is not within 0 to"),
    ("traces?where=k~(", "no regular expression"),
    ("patterns?compare_to=yesterday", "compare_to: 'yesterday' is none of previous"),
    ("patterns?limit=101", "limit: 101 is not within 1 to 100"),
    ("patterns?cursor=x", "unknown parameter 'cursor'"),
    ("stats?bucket=1s", "bucket: '1s' is none of 1m"),
    ("stats?group_by=%00", "group_by: a NUL character"),
    ("traces/xyz", "trace id: 'xyz' is none"),
    ("traces/xyz?format=otlp", "trace id: 'xyz' is none"),
    ("traces/12345678?compare_to=xyz", "compare_to: trace id: 'xyz' is none"),
    ("stats?group_by=operation&bucket=1h", "bucket: operations are counted by"),
    ("traces/12345678?format=xml", "format: 'xml' is none of json, otlp"),
    ("stats?until=never", "until: 'never' is no time"),
]


async def test_what_is_not_understood_is_400_and_a_sentence(server, lines):
    lines.add(Row("secret words", trace_id=TRACE, attributes={"k": "secret"}))
    async with server.client() as client:
        for path, sentence in NOT_UNDERSTOOD:
            answer = await client.get(f"/api/{path}")
            assert answer.status_code == 400, path
            assert list(answer.json()) == ["error"]
            assert sentence in answer.json()["error"], path
            assert "secret" not in answer.text


async def test_other_paths_and_methods_are_said_in_json(server):
    async with server.client() as client:
        for method, path, status in (
            ("GET", "/api/nothing", 404), ("POST", "/api/logs", 405),
            ("GET", "/api/traces/", 404), ("DELETE", "/api/stats", 405),
        ):  # fmt: skip # a request beside its status
            answer = await client.request(method, path, follow_redirects=False)
            assert answer.status_code in (status, 307), path
            if answer.status_code != 307:
                assert list(answer.json()) == ["error"]


async def test_an_answer_comes_in_time_while_the_store_is_away(server, take_away):
    take_away()
    async with server.client() as client:
        paths = (
            "logs", "logs?follow=true", "traces", f"traces/{TRACE}", "patterns",
            "stats?fields=true",
        )  # fmt: skip # one of each
        began = time.monotonic()
        asked = (client.get(f"/api/{path}") for path in paths)
        answers = await asyncio.gather(*asked)
        assert time.monotonic() - began < 3
        for answer in answers:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "store unreachable since" in answer.json()["error"]


async def test_the_description_is_openapi_and_answers_are_as_it_says(server, lines):
    lines.add(
        Row("a", trace_id=TRACE, attributes={"k": [1]}, severity=17),
        Row("b", severity=0),
    )
    lines.add_spans(
        Span("op", TRACE, "1" * 16, attributes={"k": [1]}, scope="s",
             links=[link(OTHER)]).exception("E", "no"),
        Span("op", OTHER, "1" * 16, parent="2" * 16),
    )  # fmt: skip # a span each
    async with server.client() as client:
        document = (await client.get("/api/openapi.json")).json()
        OpenAPIV31SpecValidator(document).validate()
        assert document == json.loads(json.dumps(openapi.document(api.OPERATIONS)))
        for path, operation in document["paths"].items():
            asked = path.replace("{trace_id}", TRACE)
            answer = await client.get(f"/api{asked}")
            assert answer.status_code == 200
            content = operation["get"]["responses"]["200"]["content"]
            schema = content["application/json"]["schema"]
            check = Draft202012Validator(
                {**schema, "components": document["components"]}
            )
            check.validate(answer.json())
            for more in OTHER_SHAPES.get(path, ()):
                answer = await client.get(f"/api{asked}?{more}")
                assert answer.status_code == 200, more
                check.validate(answer.json())
            names = [
                one["name"]
                for one in operation["get"]["parameters"]
                if one["in"] == "query"
            ]
            unknown = await client.get(f"/api{asked}?unheard=1")
            said = unknown.json()["error"].partition("Accepted: ")[2]
            assert said.split(", ") == names
            error = document["components"]["schemas"]["Error"]
            Draft202012Validator(error).validate(unknown.json())


OTHER_SHAPES = {
    "/traces": ["errors=true", "service=nobody", "operation=op"],
    "/traces/{trace_id}": ["format=otlp", f"compare_to={OTHER}"],
    "/patterns": ["compare_to=previous"],
    "/stats": [
        "group_by=operation", "group_by=k&bucket=auto", "fields=true", "fields=k",
        "service=nobody&fields=k",
    ],
}  # fmt: skip # parameters with which an answer has more, or other, fields


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["' OR 1=1 --", "%s", "{clauses}", "\\", "*", "a*", "\x00", "%"]),
    st.sampled_from(["k=v", "k~.*", "k>1e5", "k<-1", "'; DROP TABLE logs; --=1"]),
    st.sampled_from([TRACE, TRACE[:8], "-1h", "now", "INFO", "9999-12-31T23:59:59Z"]),
    st.sampled_from(["previous", "version:1", "auto", "5m", "template", "slowest"]),
    st.sampled_from(["true", "1", "newest", "recent", "json", "otlp", "bnVsbA", "W10"]),
)


STRINGS = [
    (one.path.replace("{trace_id}", TRACE), parameter.name)
    for one in api.OPERATIONS
    for parameter in one.parameters
    if parameter.default == "" or parameter.choices
]


EVERYTHING = (
    "SELECT (SELECT count(*) FROM logs), (SELECT count(*) FROM tokens),"
    " (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_roles)"
)
HOSTILE = ["' OR 1=1 -- {clauses} %s %(x)s", "k=v'; DROP TABLE logs; --"]


@pytest.fixture
def unchanged(store_dsn, lines):
    """A store that is, at the end of the test, as it was."""
    lines.add(Row("a", trace_id=TRACE, attributes={"k": "v"}))

    def counts():
        with psycopg.connect(store_dsn) as connection:
            return connection.execute(EVERYTHING).fetchone()

    before = counts()
    yield
    assert counts() == before


async def test_sql_is_text_in_each_parameter(server, unchanged):
    async with server.client() as client:
        for text in HOSTILE:
            for path, name in STRINGS:
                answer = await client.get(f"/api{path}", params={name: text})
                assert answer.status_code in (200, 400), (path, name, answer.text)
                assert "SELECT" not in answer.text
            answer = await client.get(f"/api/traces/{quote(text, safe='')}")
            assert answer.status_code == 400


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(STRINGS), TEXTS)
async def test_whatever_a_parameter_holds_is_answered_or_400(
    server, unchanged, place, text
):
    path, name = place
    async with server.client() as client:
        answer = await client.get(f"/api{path}", params={name: text})
    assert answer.status_code in (200, 400), answer.text
