"""The tools that change something, as real clients meet them, and who may use them."""

import asyncio
import json
from datetime import timedelta

import pytest
import redis
from fix_agents import (
    FLAGS,
    MODES,
    TRANSPORTS,
    client,
    done,
    refusal,
    serving,
)
from fix_held import bodies, check_sums, hour, rows
from fix_lines import Row
from fix_processes import CollectorProcess, count, wait_until
from mcp import Client
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel import clear, query
from godot_otel.access import CLEAR, CONTROL, READ, SCOPES, WRITE, Caller
from godot_otel.mcp import clearing, confirm, server
from godot_otel.mcp.authority import Authority
from godot_otel.queue import Producer
from godot_otel.web import app as web_app

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
LINE = {"component": "shop", "level": "WARN", "message": "from an agent"}
CHANGING = {
    "logger_log": (WRITE, LINE),
    "dewey_store_logs_batch": (WRITE, {"logs": [LINE]}),
    "logger_set_level": (CONTROL, {"component": "shop", "level": "DEBUG"}),
    "logger_clear": (CLEAR, {"before_time": "-2h"}),
}


def queued(redis_url: str) -> list:
    """(service, record) of every line that waits."""
    with redis.Redis.from_url(redis_url) as connection:
        entries = connection.xrange("godot:{0}:batches")
    return [
        (group.resource.attributes[0].value.string_value, record)
        for _, fields in entries
        for group in ExportLogsServiceRequest.FromString(
            fields[b"payload"]
        ).resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def untouched(dsn: str, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        assert not connection.exists("godot:{0}:batches", "godot:{0}:levels")
    assert bodies(dsn) == {"old": 1}


def audited(dsn: str) -> list[tuple]:
    return rows(dsn, "SELECT caller, action, outcome FROM audit ORDER BY at")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_tool_works_over_each_transport_in_both_eras(
    lines, store_dsn, redis_url, producer, transport, mode
):
    lines.add(Row("old", hour(3)), Row("new"))
    producer.register("one", {"service": "shop", "level": "INFO", "applied": {}})
    name = "agent-7" if transport == "http" else "stdio"
    async with client(transport, mode, store_dsn, redis_url) as made:
        tools = {one.name: one for one in (await made.list_tools()).tools}
        assert {*CHANGING} < {*tools}
        for tool in CHANGING:
            hints = tools[tool].annotations
            assert hints.read_only_hint is False
            assert hints.open_world_hint is False
            harmful = tool in ("logger_set_level", "logger_clear")
            assert (hints.destructive_hint, hints.idempotent_hint) == (harmful,) * 2
            assert tools[tool].input_schema["additionalProperties"] is False

        one = await made.call_tool(
            "logger_log", {**LINE, "data": {"order": 7, "password": "hush"}},
            meta={"traceparent": f"00-{TRACE}-{SPAN}-01"},
        )  # fmt: skip # the call's own trace
        assert one.structured_content == {
            "accepted": 1, "rejected": [], "trace_id": TRACE,
        }  # fmt: skip # the answer
        many = await done(
            made, "dewey_store_logs_batch", logs=[LINE, {"level": "INFO"}, LINE]
        )
        assert many["accepted"] == 2
        assert [one["index"] for one in many["rejected"]] == [1]
        first, *others = queued(redis_url)
        service, record = first
        assert (service, record.body.string_value) == ("shop", "from an agent")
        assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, SPAN)
        assert record.severity_number == 13
        told = {one.key: one.value for one in record.attributes}
        assert told["source"].string_value == "mcp"
        assert told["caller"].string_value == name
        assert told["order"].int_value == 7
        assert told["password"].string_value == "[REDACTED]"
        assert [record.trace_id for _, record in others] == [b"", b""]

        level = await done(
            made, "logger_set_level", component="shop", level="debug", ttl="1s"
        )
        assert level.pop("ends_at")
        assert level == {
            "component": "shop", "old": "INFO", "new": "DEBUG", "applied_to": 0,
            "instances": 1,
        }  # fmt: skip # nobody of that name follows here

        shown = await done(made, "logger_clear", before_time="-2h")
        assert (shown["deleted"], shown["lines"]) == (False, 1)
        assert shown["components"] == {"orders": {"INFO": 1}}
        assert bodies(store_dsn) == {"old": 1, "new": 1}
        gone = await done(
            made, "logger_clear", before_time="-2h",
            confirm_token=shown["confirm_token"],
        )  # fmt: skip # the same again
        assert (gone["deleted"], gone["lines"]) == (True, 1)
        assert (gone["before"], gone["confirm_token"]) == (shown["before"], "")
        assert bodies(store_dsn) == {"new": 1}
    assert audited(store_dsn) == [
        (name, "logger_log", "done"), (name, "dewey_store_logs_batch", "done"),
        (name, "logger_set_level", "done"), (name, "clear", "begun"),
        (name, "clear", "done"),
    ]  # fmt: skip # each of them, and nothing for the preview
    assert "hush" not in str(rows(store_dsn, "SELECT * FROM audit"))


@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_without_its_flag_a_tool_is_not_there(
    lines, store_dsn, redis_url, transport
):
    lines.add(Row("old", hour(3)))
    async with client(transport, "auto", store_dsn, redis_url, scopes=[]) as made:
        listed = (await made.list_tools()).tools
        assert not {one.name for one in listed} & {*CHANGING}
        assert all(one.annotations.read_only_hint for one in listed)
        for tool, (_, arguments) in CHANGING.items():
            assert "Unknown tool" in await refusal(made, tool, **arguments)
    untouched(store_dsn, redis_url)


@pytest.mark.parametrize("flag", FLAGS)
async def test_a_flag_brings_its_tools_alone(store_dsn, redis_url, flag):
    async with client("memory", "auto", store_dsn, redis_url, scopes=[flag]) as made:
        named = {one.name for one in (await made.list_tools()).tools}
    theirs = {tool for tool, (scope, _) in CHANGING.items() if scope == flag}
    assert named & {*CHANGING} == theirs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", ["all", WRITE, CONTROL, CLEAR])
async def test_over_http_a_caller_needs_the_scope_as_well(
    lines, store_dsn, redis_url, mode, missing
):
    lines.add(Row("old", hour(3)))
    lacks = [WRITE, CONTROL, CLEAR] if missing == "all" else [missing]
    caller = None
    if missing != "all":
        caller = Caller("half", frozenset(SCOPES) - {missing})
    tried = [tool for tool, (scope, _) in CHANGING.items() if scope in lacks]
    async with client("http", mode, store_dsn, redis_url, caller=caller) as made:
        assert not (await made.call_tool("logger_query", {})).is_error
        for tool in tried:
            scope, arguments = CHANGING[tool]
            said = await refusal(made, tool, **arguments)
            assert said.startswith(f"{tool}: needs the scope {scope}")
    untouched(store_dsn, redis_url)
    name = "http" if caller is None else "half"
    assert audited(store_dsn) == [(name, tool, "refused") for tool in tried]


async def test_a_token_that_may_not_read_may_not_read(store_dsn, redis_url):
    caller = Caller("writer", frozenset({WRITE}))
    async with client("http", "auto", store_dsn, redis_url, caller=caller) as made:
        said = await refusal(made, "logger_query")
        assert said.startswith(f"logger_query: needs the scope {READ}")
        assert (await done(made, "logger_log", **LINE))["accepted"] == 1


async def test_on_loopback_without_a_token_nothing_is_changed(
    lines, store_dsn, redis_url
):
    lines.add(Row("old", hour(3)))
    authority = Authority(SCOPES, redis_url=redis_url, dsn=store_dsn)
    async with query.Reader(store_dsn, redis_url) as reader:
        app = web_app.build(reader, authority)
        async with serving(app) as url, Client(f"{url}/mcp") as made:
            for tool, (scope, arguments) in CHANGING.items():
                said = await refusal(made, tool, **arguments)
                assert f"needs the scope {scope}" in said
    untouched(store_dsn, redis_url)


async def test_a_refusal_is_not_held_up_by_a_store_that_is_away(redis_url):
    nowhere = "postgresql://x:hush@127.0.0.1:1/d"
    async with client("http", "auto", nowhere, redis_url, caller=None) as made:
        said = await refusal(made, "logger_log", **LINE)
        assert "needs the scope" in said
    async with client("http", "auto", nowhere, redis_url) as made:
        assert (await done(made, "logger_log", **LINE))["accepted"] == 1
        said = await refusal(made, "logger_clear")
        assert "cannot be reached" in said
        assert "hush" not in said
    assert len(queued(redis_url)) == 1


async def test_what_all_tools_say_of_themselves_fits(store_dsn, redis_url):
    async with client("memory", "auto", store_dsn, redis_url) as made:
        listed = (await made.list_tools()).tools
    sizes = {
        one.name: len(
            json.dumps(
                one.model_dump(mode="json", by_alias=True, exclude_none=True),
                separators=(",", ":"), ensure_ascii=False,
            ).encode()
        )
        for one in listed
    }  # fmt: skip # as they are sent
    assert sum(sizes.values()) < 13_312, sizes
    assert sum(sizes[name] for name in CHANGING) <= 4_050, sizes


STRICT = [
    ("logger_log", {**LINE, "level": "LOUD"}, "level: 'LOUD' is none of TRACE"),
    ("logger_log", {**LINE, "component": " "}, "component: 1 to 255 characters"),
    ("logger_log", {**LINE, "component": "x" * 256}, "component: 1 to 255"),
    ("logger_log", {**LINE, "message": "x" * 65_537}, "message: 65537 bytes; at most"),
    ("logger_log", {**LINE, "message": "é" * 32_769}, "message: 65538 bytes; at most"),
    ("logger_log", {**LINE, "message": 7}, "message: Input should be a valid string"),
    ("logger_log", {**LINE, "data": {"a": "x" * 16_384}}, "bytes of JSON; at most"),
    ("logger_log", {**LINE, "data": [1]}, "data: Input should be a valid dictionary"),
    ("logger_log", {**LINE, "trace_id": "4bf92f35"}, "write all of its 32 hex digits"),
    ("logger_log", {**LINE, "trace_id": "0" * 32}, "write all of its 32 hex digits"),
    ("logger_log", {**LINE, "trace_id": "xyz"}, "trace_id: 'xyz' is none"),
    ("logger_log", {**LINE, "body": "x"}, "unknown parameter 'body'"),
    ("dewey_store_logs_batch", {"logs": []}, "at least 1 item"),
    ("dewey_store_logs_batch", {"logs": [LINE] * 1001}, "at most 1000 items"),
    ("dewey_store_logs_batch", {"logs": ["x"]}, "logs.0: Input should be a valid dict"),
    ("logger_set_level", {"component": "shop", "level": "LOUD"}, "'LOUD' is no level"),
    ("logger_set_level", {"component": "s/", "level": "DEBUG"}, "neither COMPONENT"),
    ("logger_set_level", {"component": "s", "level": "INFO", "ttl": "8d"}, "1s and 7d"),
    ("logger_set_level", {"component": "s", "level": "INFO", "ttl": "9"}, "no time"),
    ("logger_clear", {"before_time": "-30m"}, "newer than an hour ago"),
    ("logger_clear", {"before": "-2h"}, "did you mean 'before_time'?"),
    ("logger_clear", {"confirm_token": "1.2.3"}, "confirm_token: not one that"),
    ("logger_clear", {"confirm_token": "\udcff.."}, "confirm_token: not one that"),
]


async def test_what_is_not_understood_is_refused_and_changes_nothing(
    lines, store_dsn, redis_url
):
    lines.add(Row("old", hour(3)))
    async with client("memory", "auto", store_dsn, redis_url) as made:
        for tool, arguments, sentence in STRICT:
            said = await refusal(made, tool, **arguments)
            assert said.startswith(f"{tool}: "), said
            assert sentence in said, said
            assert len(said) < 300
    untouched(store_dsn, redis_url)


async def test_each_line_of_a_batch_is_taken_or_rejected_by_itself(
    store_dsn, redis_url
):
    wrong = [
        ({**LINE, "timestamp": "2026-11-22T14:30:00"}, "timestamp: "),
        ({**LINE, "timestamp": "0900-01-01T00:00:00Z"}, "timestamp: '0900-"),
        ({**LINE, "trace_id": TRACE, "span_id": "1"}, "span_id: "),
        ({**LINE, "span_id": SPAN}, "span_id: a span is of a trace"),
        ({**LINE, "extra": 1}, "extra: Extra inputs are not permitted"),
        ({**LINE, "message": "\ud800"}, "line: it is not valid Unicode"),
        ({**LINE, "data": {"n": 2**64}}, "line: it is not valid Unicode, has a number"),
        ({"message": "x"}, "component: Field required"),
    ]
    right = {
        **LINE, "component": "other", "trace_id": TRACE.upper(), "span_id": SPAN,
        "timestamp": "2026-11-22T15:30:00.123456+01:00",
        "data": {"source": "forged", "caller": "forged", "n": {"deep": [1, "two"]}},
    }  # fmt: skip # all there is
    given = [right, *(line for line, _ in wrong), right]
    async with client("memory", "auto", store_dsn, redis_url) as made:
        answer = await done(made, "dewey_store_logs_batch", logs=given)
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["rejected"]] == [*range(1, 1 + len(wrong))]
    for one, (_, sentence) in zip(answer["rejected"], wrong, strict=True):
        assert one["reason"].startswith(sentence), one
    (service, record), _ = queued(redis_url)
    assert service == "other"
    assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, SPAN)
    assert record.time_unix_nano == 1_795_357_800_123_456_000
    told = {one.key: one.value for one in record.attributes}
    assert told["source"].string_value == "mcp"
    assert told["caller"].string_value == "stdio"
    assert told["n"].kvlist_value.values[0].key == "deep"


async def test_what_is_written_is_stored_and_found(tmp_path, store_dsn, redis_url):
    collector = CollectorProcess(tmp_path, redis_url, store_dsn)
    async with client("memory", "auto", store_dsn, redis_url) as made:
        line = {**LINE, "trace_id": TRACE, "data": {"order": 7}}
        await done(made, "dewey_store_logs_batch", logs=[line, line])
        await asyncio.to_thread(wait_until, lambda: count(store_dsn) == 2, "two lines")
        found = await made.call_tool("logger_get_trace", {"trace_id": TRACE})
        asked = {"component": "shop", "where": ["source=mcp", "caller=stdio"]}
        shown = await made.call_tool("logger_query", asked)
    assert await asyncio.to_thread(collector.stop) == 0
    for text in (found.content[0].text, shown.content[0].text):
        assert text.count("from an agent") == 2
        assert '"source":"mcp"' in text
    check_sums(store_dsn)


@pytest.mark.parametrize("parent", ["x", f"00-{'0' * 32}-{SPAN}-01", 7])
async def test_a_malformed_trace_of_the_call_is_none(store_dsn, redis_url, parent):
    async with client("memory", "auto", store_dsn, redis_url) as made:
        answer = await made.call_tool("logger_log", LINE, meta={"traceparent": parent})
    assert answer.structured_content["trace_id"] == ""
    assert [record.span_id for _, record in queued(redis_url)] == [b""]


async def test_a_batch_larger_than_an_entry_may_be_is_several(store_dsn, redis_url):
    line = {**LINE, "message": "x" * 65_536}
    async with client("memory", "auto", store_dsn, redis_url) as made:
        answer = await done(made, "dewey_store_logs_batch", logs=[line] * 100)
    assert answer == {"accepted": 100, "rejected": []}
    assert len(queued(redis_url)) == 100
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.xlen("godot:{0}:batches") == 2
        assert connection.hget("godot:{0}:meta", "records") == b"100"


async def test_a_full_or_absent_queue_is_said(store_dsn, redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        connection.hset("godot:{0}:meta", mapping={"max_bytes": 200, "max_records": 9})
    async with client("memory", "auto", store_dsn, redis_url) as made:
        assert (await done(made, "logger_log", **LINE))["accepted"] == 1
        said = await refusal(made, "logger_log", **LINE)
        assert "the queue is full (bytes); not stored" in said
        assert len(queued(redis_url)) == 1
    absent = "redis://:hush@127.0.0.1:1/0"
    async with client("memory", "auto", store_dsn, absent) as made:
        said = await refusal(made, "logger_log", **LINE)
        assert "the queue cannot be used: ConnectionError" in said
        level = {"component": "shop", "level": "DEBUG"}
        assert "cannot be used" in await refusal(made, "logger_set_level", **level)
    done_or_not = [outcome for _, _, outcome in audited(store_dsn)]
    assert done_or_not == ["done", "failed", "failed", "failed"]


async def test_what_one_part_of_a_batch_was_taken_is_told(store_dsn, redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        connection.hset("godot:{0}:meta", mapping={"max_bytes": 5 * 2**20})
    line = {**LINE, "message": "x" * 65_536}
    async with client("memory", "auto", store_dsn, redis_url) as made:
        answer = await done(made, "dewey_store_logs_batch", logs=[line] * 100)
    assert answer["accepted"] == len(queued(redis_url)) == 50
    assert [one["index"] for one in answer["rejected"]] == [*range(50, 100)]
    assert "the queue is full" in answer["rejected"][0]["reason"]


async def test_without_a_stack_each_tool_says_how_to_start_one(tmp_path):
    authority = Authority(SCOPES, data_dir=tmp_path)
    reader = query.Reader(data_dir=tmp_path)
    async with reader, Client(server.build(reader, authority)) as made:
        for tool, (_, arguments) in CHANGING.items():
            assert "`godot-otel up`" in await refusal(made, tool, **arguments)


async def test_a_confirm_token_is_for_what_was_shown_alone(
    lines, store_dsn, redis_url, monkeypatch
):
    lines.add(Row("old", hour(3)), Row("old", hour(3), service="payments"))
    shown = {"before_time": "-2h", "component": "payments"}
    async with client("memory", "auto", store_dsn, redis_url) as made:
        token = (await done(made, "logger_clear", **shown))["confirm_token"]
        for other in (
            {**shown, "component": ""}, {**shown, "level": "INFO"},
            {**shown, "before_time": "-1h"}, {"component": "payments"},
        ):  # fmt: skip # other arguments
            said = await refusal(made, "logger_clear", **other, confirm_token=token)
            assert "not one that this server gave you for these arguments" in said
        forged = token[:-1] + ("0" if token[-1] != "0" else "1")
        await refusal(made, "logger_clear", **shown, confirm_token=forged)
        late = token.replace(token[:10], str(int(token[:10]) + 9999), 1)
        await refusal(made, "logger_clear", **shown, confirm_token=late)
        monkeypatch.setattr(confirm, "LIFETIME", -1)
        over = (await done(made, "logger_clear", **shown))["confirm_token"]
        said = await refusal(made, "logger_clear", **shown, confirm_token=over)
        assert "it is over" in said
    async with client("memory", "auto", store_dsn, redis_url) as another:
        await refusal(another, "logger_clear", **shown, confirm_token=token)
    assert bodies(store_dsn) == {"old": 2}


async def test_a_confirm_token_deletes_once(lines, store_dsn, redis_url):
    lines.add(Row("shown", hour(3)))
    async with client("memory", "auto", store_dsn, redis_url) as made:
        shown = {"before_time": "-2h", "component": "orders"}
        shown["confirm_token"] = (await done(made, "logger_clear", **shown))[
            "confirm_token"
        ]
        assert (await done(made, "logger_clear", **shown))["deleted"]
        lines.add(Row("not shown", hour(3)))
        assert "it was used" in await refusal(made, "logger_clear", **shown)
    assert bodies(store_dsn) == {"not shown": 1}


async def test_a_large_clear_goes_on_with_the_token_it_gives(
    lines, store_dsn, redis_url, monkeypatch
):
    monkeypatch.setattr(clear.tables, "SLICE_ROWS", 10)
    monkeypatch.setattr(clearing, "SECONDS", 0.0001)
    start = hour(3)
    lines.add(*(Row("old", start + timedelta(seconds=n)) for n in range(25)))
    shown = {"before_time": "-2h", "level": "info"}
    total, calls = 0, 0
    async with client("memory", "auto", store_dsn, redis_url) as made:
        answer = await done(made, "logger_clear", **shown)
        assert answer["lines"] == 25
        while token := answer["confirm_token"]:
            answer = await done(made, "logger_clear", **shown, confirm_token=token)
            total, calls = total + answer["lines"], calls + 1
            monkeypatch.setattr(clearing, "SECONDS", 15.0)
    assert (total, calls) == (25, 2)
    assert not bodies(store_dsn)


async def test_a_level_of_nobody_is_refused_with_near_names(
    store_dsn, redis_url, producer: Producer
):
    async with client("memory", "auto", store_dsn, redis_url) as made:
        level = {"component": "shop", "level": "DEBUG"}
        said = await refusal(made, "logger_set_level", **level)
        assert "no application is registered with this queue; nothing was set" in said
        producer.register("one", {"service": "shop", "level": "INFO"})
        level = {"component": "shpo", "level": "DEBUG"}
        said = await refusal(made, "logger_set_level", **level)
        assert "no running application is called shpo, did you mean shop?" in said
        producer.set_level("gone", "DEBUG", 60)  # of one that has ended
        reset = await done(made, "logger_set_level", component="gone", level="RESET")
        assert (reset["old"], reset["new"], reset["ends_at"]) == ("DEBUG", "", "")
        again = await refusal(made, "logger_set_level", component="gone", level="RESET")
        assert "no running application is called gone" in again
    assert producer.levels().levels == {}
