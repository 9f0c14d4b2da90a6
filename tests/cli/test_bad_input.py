"""What is mistyped costs one sentence that names it: no traceback, no password."""

import os
import subprocess
import sys

import pytest

from godot_otel import cli

COMMANDS = [
    ["query"], ["trace", "--last"], ["status"], ["up"], ["collect"], ["mcp"],
    ["migrate", "--dry-run"], ["run", "--", "true"], ["canary"], ["backup", "b"],
    ["dead-letters", "list"],
]  # fmt: skip # one command line each
PASSWORD = "geheim-7731"


@pytest.fixture
def godot(tmp_path):
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "godot_otel", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "GODOT_DATA_DIR": str(tmp_path),
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def assert_one_sentence(done: subprocess.CompletedProcess[str], *names: str) -> None:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for name in names:
        assert name in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_mistyped_setting_stops_every_command_and_the_near_one_is_named(
    godot, command
):
    done = godot(*command, GODOT_REDIS_ULR="x")
    assert_one_sentence(done, "GODOT_REDIS_ULR", "did you mean GODOT_REDIS_URL?")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("GODOT_REDIS_URL", "nonsense", "redis://HOST:PORT/0"),
        ("GODOT_REDIS_URL", f"redis://u:{PASSWORD}@h:99999/0", "redis://HOST:PORT/0"),
        ("GODOT_REDIS_URL", f"http://u:{PASSWORD}@h/0", "redis://HOST:PORT/0"),
        ("GODOT_REDIS_URL", f"redis://u:{PASSWORD}@h/logs", "number of a database"),
        ("GODOT_POSTGRES_DSN", "://", "postgresql://USER@HOST/DATABASE"),
        ("GODOT_POSTGRES_DSN", f"postgresql://u:{PASSWORD}@h:x/d", "postgresql://"),
        ("GODOT_QUEUE_MAX_BYTES", "many", "'many' is no number of bytes"),
        ("GODOT_QUEUE_MAX_BYTES", "-1", "expected 1048576 to"),
        ("GODOT_RETENTION_DAYS", "0", "expected 1 to"),
        ("GODOT_PARTITION", "week", "auto, hour, day"),
        ("GODOT_OTLP_TOKEN", PASSWORD[:9], "at least 16"),
        ("GODOT_LEGACY_LIST", "godot:{0}:batches", "this project's own"),
        ("OTEL_EXPORTER_GODOT_ENDPOINT", PASSWORD, "redis://HOST:PORT/0"),
        ("OTEL_EXPORTER_GODOT_TIMEOUT", "2s", "number of milliseconds"),
        ("OTEL_EXPORTER_GODOT_COMPRESSION", "zip", "none, gzip"),
    ],
)
def test_a_malformed_setting_is_named_with_the_form_it_should_have(
    name, value, reason, monkeypatch, capsys
):
    monkeypatch.setenv(name, value)
    status = cli.main(["query"])
    out, err = capsys.readouterr()
    assert_one_sentence(subprocess.CompletedProcess([], status, out, err), name, reason)


def test_a_level_that_is_none_is_answered_with_those_there_are(godot):
    done = godot("query", "--level", "LOUD")
    assert_one_sentence(done, "level: 'LOUD' is none of TRACE, DEBUG, INFO, WARN")


def test_the_base_command_says_what_it_takes(godot):
    done = godot("run")
    assert done.returncode == 2
    assert "which command?" in done.stderr
    unknown = godot("qurey")
    assert unknown.returncode == 2
    assert "qurey" in unknown.stderr
    assert "Traceback" not in unknown.stderr
