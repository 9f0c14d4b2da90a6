"""What clients and checks say that others wrote, at the versions of the lock file."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from mcp import Client, StdioServerParameters

from godot_otel.cli.serve import mcp as command

pytestmark = pytest.mark.slow
CONFORMANCE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
BASELINE = Path(__file__).with_name("baseline.yml")
LIST = ["--method", "tools/list", "--strict", "--format", "json"]
QUERY = ["--method", "tools/call", "--tool-name", "logger_query", "--tool-arg",
         "search=declined", "--format", "json", "-q"]  # fmt: skip # one call
ERAS = ["legacy", "modern"]
READING = {
    "logger_query": {"search": "declined"},
    "logger_get_trace": {"trace_id": "4bf92f35"},
    "logger_find_traces": {"level": "ERROR"},
    "logger_patterns": {"compare_to": "previous"},
    "dewey_get_log_stats": {},
}
LINE = {"component": "agent", "level": "INFO", "message": "looked into it"}
CHANGING = {
    "logger_log": LINE,
    "dewey_store_logs_batch": {"logs": [LINE, LINE]},
    "logger_set_level": {"component": "payments", "level": "DEBUG", "ttl": "5m"},
    "logger_clear": {"component": "old", "before_time": "-2h"},
}
CALLS = READING | CHANGING
"""Valid arguments for each tool; one that is listed must stand here."""
SCENARIOS = {
    "2026-07-28": [
        "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection",
        "caching", "http-header-validation", "sep-2164-resource-not-found",
        "server-sse-multiple-streams", "server-stateless",
    ],
    "2025-11-25": [
        "server-initialize", "server-session-lifecycle", "ping", "tools-list",
        "resources-list", "prompts-list", "dns-rebinding-protection",
        "server-sse-multiple-streams",
    ],
}  # fmt: skip # those that ask for nothing of the suite's own example server
SKIPS = {"server-stateless", "caching"}  # what needs subscriptions or resources


@pytest.fixture(params=["stdio", "http"])
def target(request, serving) -> list[str]:
    """How the Inspector is told of the server."""
    if request.param == "http":
        return [serving.url, "--transport", "http"]
    variables = [f"{name}={value}" for name, value in serving.environ.items()]
    return [*serving.command, *(part for one in variables for part in ("-e", one))]


@pytest.mark.parametrize("era", ERAS)
def test_the_inspector_finds_every_schema_portable(node, target, era):
    done = node.inspector(*target, "--protocol-era", era, *LIST)
    assert "portability" not in done.stderr, done.stderr
    listed = {one["name"] for one in json.loads(done.stdout)["result"]["tools"]}
    assert listed == set(CALLS)


@pytest.mark.parametrize(
    ("revision", "scenario"),
    [(revision, one) for revision, names in SCENARIOS.items() for one in names],
)
def test_a_scenario_of_the_conformance_suite_passes(node, serving, revision, scenario):
    done = node.run(
        CONFORMANCE, "server", "--url", serving.url, "--scenario", scenario,
        "--spec-version", revision, "--expected-failures", str(BASELINE),
    )  # fmt: skip # one command
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"Passed: (\d+)/", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 0
    assert scenario in SKIPS or "SKIPPED" not in done.stdout, done.stdout


def called(node, sdk: str, server: dict) -> dict:
    """What a TypeScript client gets from each tool, by its name."""
    calls = [{"name": name, "arguments": CALLS[name]} for name in CALLS]
    done = node.run("call.mjs", sdk, json.dumps(server), json.dumps(calls))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {one["name"] for one in said["tools"]} == set(CALLS)
    assert said["revision"] == {"1": None, "2": "2026-07-28"}[sdk]
    return dict(zip(CALLS, said["results"], strict=True))


def stdio(serving, **environ: str) -> dict:
    program, *arguments = serving.command
    env = environ or serving.environ
    return {"command": program, "args": arguments, "env": env}


def over_http(serving) -> dict:
    return {
        "url": serving.url,
        "headers": {"Authorization": f"Bearer {serving.token}"},
    }


@pytest.mark.parametrize("transport", [stdio, over_http])
@pytest.mark.parametrize("sdk", ["1", "2"])
def test_a_typescript_client_calls_every_tool(node, serving, sdk, transport):
    results = called(node, sdk, transport(serving))
    for name, result in results.items():
        assert not result.get("isError"), (name, result)
        assert result["content"][0]["text"], name
    assert "card declined" in results["logger_query"]["content"][0]["text"]
    assert results["dewey_store_logs_batch"]["structuredContent"]["accepted"] == 2
    assert results["logger_set_level"]["structuredContent"]["applied_to"] == 1
    assert results["logger_clear"]["structuredContent"]["lines"] == 1


@pytest.mark.parametrize("sdk", ["1", "2"])
def test_over_http_a_typescript_client_without_a_token_may_read(node, serving, sdk):
    results = called(node, sdk, {"url": serving.url})
    for name, result in results.items():
        assert bool(result.get("isError")) is (name in CHANGING), (name, result)
        text = result["content"][0]["text"]
        assert name in READING or "needs the scope logs:" in text


def test_each_tool_says_how_to_start_a_stack_where_there_is_none(
    node, serving, tmp_path
):
    server = stdio(serving, GODOT_DATA_DIR=str(tmp_path))
    for name, result in called(node, "1", server).items():
        assert result["isError"], name
        assert "`godot-otel up`" in result["content"][0]["text"], name


@pytest.fixture
def snippet(serving, monkeypatch):
    """Print the snippet for a client, beside the stack of this data directory."""
    monkeypatch.setenv("GODOT_DATA_DIR", serving.environ["GODOT_DATA_DIR"])

    def printed(client: str, *options: str) -> str:
        done = CliRunner().invoke(command, ["config", "--client", client, *options])
        assert done.exit_code == 0, done.output
        assert "may hold" not in done.output
        return done.stdout

    return printed


@pytest.mark.parametrize("form", [[], ["--http"]])
def test_the_snippet_for_claude_works_in_the_inspector(node, snippet, tmp_path, form):
    file = tmp_path / ".mcp.json"
    file.write_text(snippet("claude", *form))
    done = node.inspector("--config", str(file), "--server", "godot-otel", *QUERY)
    assert "card declined" in json.loads(done.stdout)["result"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("client", "key"),
    [("cursor", "mcpServers"), ("vscode", "servers"), ("codex", "mcp_servers")],
)
async def test_the_other_snippets_name_what_can_be_started_and_asked(
    serving, snippet, tmp_path, client, key
):
    read = tomllib.loads if client == "codex" else json.loads
    server = read(snippet(client))[key]["godot-otel"]
    assert Path(server["command"]).is_absolute()
    parameters = StdioServerParameters(
        command=server["command"], args=server["args"], env=server["env"], cwd=tmp_path
    )
    async with Client(parameters) as asked:
        result = await asked.call_tool("logger_query", {"search": "declined"})
    assert "card declined" in result.content[0].text
    over_http = read(snippet(client, "--http"))[key]["godot-otel"]
    assert over_http["url"] == serving.url


@pytest.mark.parametrize(
    ("client", "reference"),
    [
        ("claude", '"Authorization": "Bearer ${GODOT_TOKEN}"'),
        ("cursor", '"Authorization": "Bearer ${env:GODOT_TOKEN}"'),
        ("vscode", '"Authorization": "Bearer ${input:godot-token}"'),
        ("codex", 'bearer_token_env_var = "GODOT_TOKEN"'),
    ],
)
def test_a_snippet_names_the_server_of_godot_url_and_no_token(
    snippet, monkeypatch, tmp_path, client, reference
):
    monkeypatch.setenv("GODOT_URL", "https://logs.example.com/")
    monkeypatch.setenv("GODOT_TOKEN", "s" * 40)
    printed = snippet(client, "--http")
    assert "https://logs.example.com/mcp" in printed
    assert reference in printed
    assert "s" * 40 not in printed
    if client == "vscode":
        (asked,) = json.loads(printed)["inputs"]
        assert (asked["id"], asked["password"]) == ("godot-token", True)
    assert "example.com" not in snippet(client)
    assert "example.com" not in snippet(client, "--http", "--data-dir", str(tmp_path))


def test_the_snippet_with_a_token_may_change_things_in_the_inspector(
    node, serving, snippet, monkeypatch, tmp_path
):
    monkeypatch.setenv("GODOT_URL", serving.url.removesuffix("/mcp"))
    file = tmp_path / ".mcp.json"
    expanded = snippet("claude", "--http").replace("${GODOT_TOKEN}", serving.token)
    file.write_text(expanded)
    call = ["--method", "tools/call", "--tool-name", "logger_log", "--format", "json"]
    call += [part for key in LINE for part in ("--tool-arg", f"{key}={LINE[key]}")]
    done = node.inspector("--config", str(file), "--server", "godot-otel", *call)
    result = json.loads(done.stdout)["result"]
    assert not result.get("isError"), result
    assert result["content"][0]["text"]


def test_a_snippet_holds_no_password_and_says_what_it_lacks(monkeypatch):
    monkeypatch.setenv("GODOT_POSTGRES_READER_DSN", "postgresql://a:hush@db/logs")
    done = CliRunner().invoke(command, ["config", "--client", "claude"])
    assert "hush" not in done.output
    assert "GODOT_POSTGRES_READER_DSN is set here and not in the snippet" in done.stderr


def test_what_is_asked_of_the_server_is_in_the_snippet(tmp_path):
    asked = ["--allow-write", "--data-dir", str(tmp_path), "config"]
    done = CliRunner().invoke(command, [*asked, "--client", "claude"])
    server = json.loads(done.stdout)["mcpServers"]["godot-otel"]
    assert server["args"] == ["mcp", "--allow-write", "--data-dir", str(tmp_path)]
    assert CliRunner().invoke(command, ["confg"]).exit_code == 2
