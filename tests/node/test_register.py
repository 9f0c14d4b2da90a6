"""Zero code: what a program logs arrives, with its trace, and the console stays."""

from __future__ import annotations

import json
import urllib.request

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

PROGRAM = """
const pino = require("pino")();
const winston = require("winston");
const logger = winston.createLogger({ transports: [new winston.transports.Console()] });
pino.info({ order: 7, password: "hunter2" }, "paid %s", 7);
logger.warn("slow", { cart: 1 });
"""
SERVER = """
const http = require("node:http");
const express = require("express");
const log = require("pino")();
const { createLogger, transports } = require("winston");
const other = createLogger({ transports: [new transports.Console()] });
const app = express();
app.get("/a", async (request, response) => {
  log.info("a begins");
  const answer = await fetch(`http://127.0.0.1:${port}/b`);
  response.send(await answer.text());
});
app.get("/b", (request, response) => { other.info("b begins"); response.send("b"); });
let port;
const server = app.listen(0, "127.0.0.1", () => {
  port = server.address().port;
  console.log(port);
});
process.stdin.on("data", () => process.exit());
"""


@pytest.mark.parametrize("way", ["--require", "--import"])
def test_lines_of_pino_and_winston_arrive_and_the_console_stays(node, server, way):
    name = "app.js"
    source = PROGRAM
    if way == "--import":
        name = "app.mjs"
        source = (
            PROGRAM.replace('const pino = require("pino")();', 'import p from "pino";')
            .replace(
                'const winston = require("winston");', 'import winston from "winston";'
            )
            .replace("const logger", "const pino = p();\nconst logger")
        )
    program = node.script(source, name)
    plain = node.run(program)
    done = node.run(way, "godot-otel/register", program, GODOT_REDIS_URL=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert shape(done.stdout) == shape(plain.stdout)
    assert set(server.bodies()) == {"paid 7", "slow"}
    assert server.services() == {"app"}
    (record,) = [one for one in server.records() if one.body.string_value == "paid 7"]
    attributes = {pair.key: pair.value for pair in record.attributes}
    assert attributes["order"].int_value == 7
    assert attributes["password"].string_value == "[REDACTED]"
    (entry,) = server.entries()
    source = json.loads(entry[b"source"])
    assert (source["emitted"], source["dropped"]) == (2, {})


def shape(stdout: str) -> list[dict]:
    lines = [json.loads(line) for line in stdout.splitlines()]
    return sorted(
        ({k: v for k, v in one.items() if k not in ("time", "pid")} for one in lines),
        key=str,
    )


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
        ("X-Trace-ID", "0af76519-16cd-43dd-8448-eb211c80319c"),
    ],
)
def test_a_request_keeps_its_trace_through_express_and_fetch(
    node, server, header, value
):
    process = node.start(
        "--require", "godot-otel/register", node.script(SERVER),
        GODOT_REDIS_URL=server.url,
        OTEL_PROPAGATORS="tracecontext,baggage,godot_xtraceid",
    )  # fmt: skip # what, and how
    url = f"http://127.0.0.1:{int(process.stdout.readline())}/a"
    with urllib.request.urlopen(
        urllib.request.Request(url, headers={header: value})
    ) as got:
        assert got.read() == b"b"
    printed, said = process.communicate("stop", timeout=10)
    assert (process.returncode, said) == (0, "")
    assert [set(json.loads(line)) for line in printed.splitlines()] == [
        {"level", "time", "pid", "hostname", "msg"}, {"level", "message"},
    ], "the console stays"  # fmt: skip # pino's and winston's
    logs = {
        (record.body.string_value, record.trace_id.hex())
        for entry in server.entries()
        if entry[b"signal"] == b"logs"
        for group in ExportLogsServiceRequest.FromString(
            entry[b"payload"]
        ).resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    }
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    assert logs == {("a begins", trace_id), ("b begins", trace_id)}
    signals = {entry[b"signal"]: int(entry[b"records"]) for entry in server.entries()}
    assert signals[b"traces"] >= 3  # two servers' and a client's


def test_with_no_queue_nothing_is_contacted_and_stderr_has_the_lines(node):
    done = node.run("--require", "godot-otel/register", node.script(PROGRAM))
    assert done.returncode == 0
    said, *lines = done.stderr.splitlines()
    assert said == (
        "godot-otel: no queue, so batches wait in memory:"
        " start one with `godot-otel up`"
    )
    assert [json.loads(line)["body"] for line in lines] == ["paid 7", "slow"]
    assert "hunter2" not in done.stderr


def test_switched_off_it_does_nothing(node, server):
    done = node.run(
        "--require", "godot-otel/register", node.script(PROGRAM),
        GODOT_REDIS_URL=server.url, OTEL_SDK_DISABLED="true",
    )  # fmt: skip # what, and how
    assert (done.returncode, done.stderr, server.entries()) == (0, "", [])


def test_batches_may_be_packed(node, server):
    done = node.run(
        "--require", "godot-otel/register", node.script(PROGRAM),
        GODOT_REDIS_URL=server.url, OTEL_EXPORTER_GODOT_COMPRESSION="gzip",
    )  # fmt: skip # what, and how
    assert done.returncode == 0
    assert set(server.bodies()) == {"paid 7", "slow"}
    assert server.entries()[0][b"encoding"] == b"gzip"
