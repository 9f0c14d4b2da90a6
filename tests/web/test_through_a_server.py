"""Reading commands with GODOT_URL print what they print at the store itself."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from fix_lines import Row
from fix_spans import Span, link

from godot_otel import query
from godot_otel.access import WRITE
from godot_otel.cli import main
from godot_otel.cli.remote import Remote
from godot_otel.errors import SettingError, StoreUnreachableError
from godot_otel.rate import Limits

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE} é\n{}"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command with these settings alone; its status, stdout and stderr."""

    def run(line: str, **environ: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            for name, value in {"GODOT_DATA_DIR": "/nowhere", **environ}.items():
                patch.setenv(name, value)
            try:
                status = main(line.split())
            except SystemExit as end:
                status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def cut(text: str) -> str:
    """Without what differs from one second to the next."""
    for moving in (
        r'"age": "\d+[smhd]"', r'"since": "[^"]+"', r"(?<=--cursor )\S+",
        r"(?<=days, since )\S+Z",
        r'"bytes": \d+', r"\d+\.\d MB",  # autovacuum's doing; a server keeps it 10 s
    ):  # fmt: skip # expressions
        text = re.sub(moving, "", text)
    return text


COMMANDS = [
    "query --json --limit 3", "query --level error", "query --service ord* --where k=v",
    "query --service nobody", "query --limit 2500 --since -2h --json",
    "query --search nothing", "query --trace-id 4bf92f35", "query --trace-id 4bf9",
    f"trace {TRACE}", f"trace {TRACE[:8]} --json", "trace --last",
    "trace --last --error",
    "trace 99999999999999999999999999999999", "traces --json", "traces --errors",
    "traces --limit 1", "stats", "stats --json", "stats --service zzz",
    "stats --since -2000d", "query --cursor x", "query --version 2.0 --logger shop*",
    "traces --slowest", "traces --sort errors --json", "traces --min-duration-ms 5",
    "traces --sort errors --min-duration-ms 1e300", "traces --where k=v --json",
    "traces --search later --level info", "traces --service pay --version 2.0",
    "stats --histogram WINDOW", "stats --bucket 5m --json --group-by k WINDOW",
    "stats --bucket 1h --json --level error WINDOW", "stats --bucket 1s",
    "stats --group-by version", "stats --group-by template --json --level error",
    "stats --fields true", "stats --fields true --json", "stats --fields k --json",
    "stats --search failed --where k=v --json",
    "stats --group-by level --histogram WINDOW",
    "patterns", "patterns --json", "patterns --level info --limit 1",
    "patterns --compare-to previous --level info WINDOW",
    "patterns --compare-to previous --level trace --json WINDOW",
    "patterns --compare-to version:1.0 --level info --json WINDOW",
    "patterns --compare-to version:1.0 --level info --service pay WINDOW",
    "patterns --compare-to nothing", "patterns --search failed",
    "patterns --service zzz",
]  # fmt: skip # command lines


async def test_the_same_is_printed_as_at_the_store(
    server, lines, token, store_dsn, run
):
    start = datetime.now(UTC) - timedelta(minutes=10)
    lines.add(
        Row("failed " + HOSTILE, start, nanos=7, trace_id=TRACE, severity=17,
            span_id="00f067aa0ba902b7",
            attributes={"k": "v", "exception.type": "E", HOSTILE: [1.5, {"a": None}],
                        "exception.stacktrace": "Trace\n  at x\n"}),
        Row("then", start + timedelta(milliseconds=12.345678), trace_id=TRACE,
            service="pay", version="2.0"),
        Row("gone 1", start - timedelta(minutes=10), service="pay", severity=13),
        Row("later", start + timedelta(minutes=1), trace_id="5" * 32),
        *(Row(f"n{n}", start - timedelta(seconds=n)) for n in range(1200)),
    )  # fmt: skip # rows
    secret = await token()
    there = {"GODOT_URL": server.url, "GODOT_TOKEN": secret}
    here = {"GODOT_POSTGRES_READER_DSN": store_dsn}
    # A window that ends now would have another minute for the second of them.
    since, until = (start + timedelta(minutes=n) for n in (-5, 5))
    window = f"--since {since.isoformat()} --until {until.isoformat()}"
    for command in (one.replace("WINDOW", window) for one in COMMANDS):
        direct = await asyncio.to_thread(run, command, **here)
        remote = await asyncio.to_thread(run, command, **there)
        assert remote[0] == direct[0], (command, remote[2])
        assert cut(remote[1]) == cut(direct[1]), command
        assert cut(remote[2]) == cut(direct[2]), command
        assert secret not in remote[1] + remote[2]
        assert direct[1] or direct[2], command


WITH_SPANS = [
    f"trace {TRACE}", f"trace {TRACE} --json", "trace --last --error",
    f"trace {TRACE} --span 1111111111111111", f"trace {TRACE} --limit 1",
    f"trace {TRACE} --compare {'5' * 32}", f"trace {TRACE} --compare 55555555 --json",
    f"trace {TRACE} --compare 9999999999", f"trace {TRACE} --span 7777777777777777",
    "traces", "traces --json", "traces --operation POST* --min-duration 100ms",
    "traces --operation SELECT", "traces --operation nothing",
    "traces --errors --sort slowest", "stats --operations SINCE",
    "stats --operations --json --service pay SINCE", "stats --operations --service zzz",
    "stats --operations --search x",
]  # fmt: skip # command lines


async def test_traces_with_spans_are_printed_as_at_the_store(
    server, lines, token, store_dsn, run
):
    start = datetime.now(UTC) - timedelta(minutes=10)
    lines.add_spans(
        Span("POST /" + HOSTILE, TRACE, "1" * 16, start, 812.345678, kind="server",
             attributes={"k": "v", HOSTILE: [1]}, links=[link("5" * 32)],
             ).exception("E", HOSTILE, 7),
        *(Span("SELECT", TRACE, f"{n:016x}", start, n / 7, "1" * 16, service="pay")
          for n in range(7)),
        Span("POST", "5" * 32, "1" * 16, start, 10, status=1, kind="client"),
    )  # fmt: skip # of two traces
    lines.add(Row("x", start, trace_id=TRACE, span_id="1" * 16, severity=17))
    there = {"GODOT_URL": server.url, "GODOT_TOKEN": await token()}
    here = {"GODOT_POSTGRES_READER_DSN": store_dsn}
    since = f"--since {(start - timedelta(minutes=5)).isoformat()}"
    for command in (one.replace("SINCE", since) for one in WITH_SPANS):
        direct = await asyncio.to_thread(run, command, **here)
        remote = await asyncio.to_thread(run, command, **there)
        assert remote[0] == direct[0], (command, remote[2])
        assert cut(remote[1]) == cut(direct[1]), command
        assert cut(remote[2]) == cut(direct[2]), command
        assert direct[1] or direct[2], command


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://logs.example.com", "use https://"),
        ("http://192.0.2.1:9060", "use https://"),
        ("http://127.0.0.1.evil.example", "use https://"),
        ("http://localhost@evil.example", "expected a form such as https://"),
        ("ftp://127.0.0.1", "expected a form such as https://"),
        ("logs.example.com", "expected a form such as https://"),
    ],
)
def test_a_token_is_not_shown_to_the_network(run, url, sentence):
    status, out, err = run("query", GODOT_URL=url, GODOT_TOKEN="s" * 30)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert "s" * 30 not in err


async def ask(url: str, shown: str | None):
    async with Remote(url, shown) as remote:
        return await remote.stats(query.parse(), group_by="", bucket="", fields="")


async def test_refusals_are_the_servers_sentences(serve, token, lines, take_away):
    lines.add(Row("x"))
    good, weak = await token(), await token("weak", WRITE)
    async with serve(limits=Limits(burst=2, per_second=2)) as server:
        for shown, sentence in (
            ("x" * 20, "GODOT_TOKEN: no such token"),
            (weak, "GODOT_TOKEN: this token lacks the scope logs:read"),
        ):
            with pytest.raises(SettingError, match=sentence) as error:
                await ask(server.url, shown)
            assert shown not in str(error.value)
        for _ in range(3):  # waits where it is told to
            assert (await ask(server.url, good)).levels == {"INFO": 1}
        await asyncio.sleep(1)
        take_away()
        with pytest.raises(StoreUnreachableError, match="store unreachable since"):
            await ask(server.url, good)
    with pytest.raises(StoreUnreachableError, match="nothing answers at GODOT_URL"):
        await ask(server.url, good)


async def test_a_stream_that_cannot_go_on_says_why(server, lines):
    lines.add(Row("before"))
    async with Remote(server.url, None) as remote, asyncio.timeout(10):
        following = remote.follow(query.parse(where=["k~("]), say=print)
        first = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.3)
        lines.add(Row("one", attributes={"k": "v"}))
        with pytest.raises(SettingError, match="no regular expression"):
            await first
