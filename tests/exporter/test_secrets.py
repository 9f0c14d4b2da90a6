"""A secret leaves the process nowhere: not to the queue, the disk or the terminal."""

from __future__ import annotations

import pytest

SECRET = "hunter2-and-more"
PROGRAM = f"""
    import logging
    log = logging.getLogger("a")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(logging.NullHandler())
    secret = {SECRET!r}
    log.info("nested", extra={{"request": {{"headers": [{{"Authorization": secret}}],
        "body": {{"user": {{"passWord": secret}}}}}}, "api_key": secret}})
    log.info(f"calling with Authorization: Bearer {{secret}} and more")
    log.info("login %s", {{"password": secret}})
    log.info("connecting to redis://user:%s@cache:6379/0", secret)
    log.info(f"GET https://api.example/v1?token={{secret}}&page=2")
    log.info("url in extra", extra={{"url": f"postgresql://u:{{secret}}@db/x"}})
    log.info("\\n".join(["-----BEGIN RSA PRIVATE KEY-----", secret, "-----END RSA"]))
    def connect(dsn):
        raise ConnectionError(f"cannot connect to {{dsn}}")
    try:
        connect(f"amqp://guest:{{secret}}@broker")
    except ConnectionError:
        log.exception("failed")
    try:
        raise ValueError(f"bad password={{secret}}") from KeyError(f"token: {{secret}}")
    except ValueError:
        log.critical("failed again", exc_info=True, stack_info=True)
"""
LINES = 9


def test_no_secret_reaches_the_queue(server, program, godot_run):
    done = program(PROGRAM, *godot_run, GODOT_REDIS_URL=server.url)
    assert len(server.bodies()) == LINES
    assert SECRET.encode() not in b"".join(
        part for entry in server.entries() for pair in entry.items() for part in pair
    )
    assert SECRET not in done.stdout + done.stderr


def test_no_secret_reaches_the_disk(program, godot_run, tmp_path):
    done = program(
        PROGRAM, *godot_run,
        GODOT_REDIS_URL=f"redis://user:{SECRET}@127.0.0.1:1/0",
        OTEL_EXPORTER_GODOT_SPOOL_DIR=str(tmp_path / "spool"),
    )  # fmt: skip # where to
    files = list((tmp_path / "spool").rglob("*.batch"))
    assert files
    assert not any(SECRET.encode() in file.read_bytes() for file in files)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("output", ["stderr", "stdout"])
def test_no_secret_reaches_the_terminal(output, program, godot_run):
    done = program(
        PROGRAM, *godot_run,
        GODOT_REDIS_URL=f"redis://user:{SECRET}@127.0.0.1:1/0",
        OTEL_EXPORTER_GODOT_SPOOL_MAX_BYTES="0",
        OTEL_EXPORTER_GODOT_FALLBACK=output,
    )  # fmt: skip # where to
    printed = getattr(done, output)
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    assert len(lines) == LINES
    assert "[REDACTED]" in printed
    assert SECRET not in done.stdout + done.stderr
