"""`up`, `down` and `status` as processes; our own programs are stand-ins."""

import os
import pty
import signal
import socket
import subprocess
import time

import psycopg
import pytest
import redis
from fix_processes import FREE_PORTS, wait_until

from godot_otel import queue
from godot_otel.stack import processes
from godot_otel.stack.cluster import Cluster
from godot_otel.stack.valkey import Valkey
from godot_otel_exporter.spool import Spool


def eventually(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pids(state):
    flat = [state["pid"], *state["pids"].pop("collector"), *state["pids"].values()]
    return [pid for pid in flat if pid is not None]


def runs(pid):
    return processes.birth(pid) is not None


def add_data(state):
    with redis.Redis.from_url(state["redis_url"]) as client:
        client.xadd("kept", {"n": 1})
    with psycopg.connect(state["postgres_dsn"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42")


def check_data(state):
    with redis.Redis.from_url(state["redis_url"]) as client:
        assert client.xlen("kept") == 1
    with psycopg.connect(state["postgres_dsn"]) as connection:
        assert connection.execute("SELECT * FROM kept").fetchone() == (42,)


def test_state_says_where_everything_is_and_its_end_leaves_nothing_behind(machine):
    up = machine.up("--workers", "2", "--allow-clear", "--allow-write", *FREE_PORTS)
    path = machine.path / "state.json"
    state = machine.state()
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(state) == {
        "pid", "pids", "redis_url", "postgres_dsn", "postgres_writer_dsn",
        "postgres_reader_dsn", "mcp_url", "otlp_url", "web_url",
    }  # fmt: skip # as in the contract
    assert set(state["pids"]) == {"redis", "postgres", "collector", "mcp"}
    assert len(state["pids"]["collector"]) == 3  # the receiver is the last of them
    assert state["web_url"] is None
    with psycopg.connect(state["postgres_reader_dsn"]) as connection:
        row = connection.execute("SHOW default_transaction_read_only").fetchone()
        assert row == ("on",)

    served = processes.command(state["pids"]["mcp"])
    assert " mcp --http --allow-write --allow-clear --port " in served
    all_pids = pids(state)
    assert all(runs(pid) for pid in all_pids)
    began = time.monotonic()
    up.send_signal(signal.SIGTERM)
    assert up.wait(10) == 0
    assert time.monotonic() - began < 10
    assert not any(runs(pid) for pid in all_pids)
    assert not path.exists()


def test_no_password_is_printed_or_listed(machine):
    machine.up()
    status = machine.run("status")
    as_json = machine.run("status", "--json")
    listed = subprocess.run(["ps", "axww"], capture_output=True, text=True).stdout
    secrets = [
        value for name, value in machine.directory.keys._read().items()
        if name.endswith("_password")
    ]  # fmt: skip
    assert len(secrets) == 4
    for text in (machine.log.read_text(), status.stdout, as_json.stdout, listed):
        assert not any(secret in text for secret in secrets)
    assert status.returncode == as_json.returncode == 0
    assert "0 records in 0 batches wait" in status.stdout


def test_each_address_is_announced_once_it_works_with_the_lines_to_paste(new_machine):
    new_machine.up()
    kept = f"Kept in {new_machine.path}"
    wait_until(lambda: kept in new_machine.log.read_text(), "the last line")
    said = new_machine.log.read_text()
    order = [
        "Valkey  ", "Postgres  ", "Schema  ", "Collector  ", "OTLP  ", "MCP  ",
        "Everything",
    ]  # fmt: skip # one line of them
    assert sorted(order, key=said.index) == order
    assert "godot-otel run -- flask run" in said
    assert new_machine.state()["mcp_url"] in said
    url = new_machine.state()["otlp_url"]
    assert (
        f"OTEL_EXPORTER_OTLP_ENDPOINT={url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        in said
    )
    assert f"otlp       {url}" in new_machine.run("status").stdout


def test_a_reader_of_its_output_that_goes_away_does_not_end_it(machine):
    reader, writer = os.pipe()
    machine.output = writer
    os.close(reader)
    up = machine.up()
    assert up.poll() is None
    assert machine.run("status").returncode == 0


def test_a_second_up_says_so_and_exits_1(machine):
    machine.up()
    second = machine.run("up")
    assert second.returncode == 1
    assert "runs already" in second.stderr
    assert machine.run("status").returncode == 0


def test_after_kill_9_of_up_the_next_one_is_ready_with_all_data(machine):
    up = machine.up()
    before = machine.state()
    add_data(before)
    up.kill()
    up.wait()
    assert "was killed" in machine.run("status").stdout
    began = time.monotonic()
    machine.up()
    assert time.monotonic() - began < 20
    after = machine.state()
    check_data(after)
    assert {k: v for k, v in after.items() if k not in ("pid", "pids")} == {
        k: v for k, v in before.items() if k not in ("pid", "pids")
    }
    assert not any(runs(pid) for pid in pids(before))


def test_after_kill_9_of_everything_the_next_up_has_all_data(machine):
    machine.up()
    before = machine.state()
    add_data(before)
    for pid in pids(before):
        os.kill(pid, signal.SIGKILL)
    machine.up()
    check_data(machine.state())


def test_a_part_that_dies_comes_back_and_state_says_its_new_pid(machine):
    machine.up()
    before = machine.state()
    os.kill(before["pids"]["collector"][0], signal.SIGKILL)
    os.kill(before["pids"]["redis"], signal.SIGKILL)

    def back():
        now = machine.state()["pids"]
        return (
            now["collector"] not in ([], before["pids"]["collector"])
            and now["redis"] not in (None, before["pids"]["redis"])
        )  # fmt: skip

    eventually(back)
    with redis.Redis.from_url(machine.state()["redis_url"]) as client:
        assert client.ping()
    assert "! Collector was ended by SIGKILL; next" in machine.log.read_text()
    assert "Collector    works again" in machine.log.read_text()


def test_a_taken_port_is_named_with_its_flag_and_exits_2(new_machine):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for flag in ("--redis-port", "--mcp-port", "--otlp-port"):
            failed = new_machine.run("up", *FREE_PORTS, flag, port)
            assert failed.returncode == 2
            assert f"port {port} is taken" in failed.stderr
            assert flag in failed.stderr


def test_an_explicit_port_is_remembered(machine):
    up = machine.up()
    known = machine.state()
    up.send_signal(signal.SIGINT)
    assert up.wait(10) == 0
    machine.up("--workers", "1")
    assert machine.state()["mcp_url"] == known["mcp_url"]
    assert machine.state()["redis_url"] == known["redis_url"]
    assert machine.state()["otlp_url"] == known["otlp_url"]


def test_data_of_another_postgres_exits_2_and_is_not_touched(machine):
    up = machine.up()
    assert machine.run("down").returncode == 0
    up.wait(10)
    version = Cluster(machine.directory.postgres).data / "PG_VERSION"
    version.write_text("16\n")
    before = {p: p.lstat().st_mtime_ns for p in machine.path.rglob("*")}
    for arguments in (["up"], ["up", "-d"]):
        failed = machine.run(*arguments)
        assert failed.returncode == 2
        assert "belongs to Postgres 16" in failed.stderr
    assert {p: p.lstat().st_mtime_ns for p in machine.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("fails", "status", "sentence"),
    [
        ("migrate 2 the schema is newer.", 2, "godot-otel: the schema is newer."),
        ("collect 2 a setting is wrong.", 2, "Collector: a setting is wrong."),
        ("mcp 1 no luck.", 1, "MCP ended while starting: no luck."),
    ],
)
def test_a_program_that_cannot_start_ends_up_with_its_own_sentence(
    machine, fails, status, sentence
):
    failed = machine.run("up", *FREE_PORTS, STAND_IN_FAILS=fails)
    assert failed.returncode == status
    assert sentence in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not machine.directory.processes.exists()
    assert machine.state() == {}


def test_sigterm_while_starting_ends_what_was_started(new_machine):
    process = new_machine.begin("up", *FREE_PORTS)
    eventually(lambda: "Valkey  " in new_machine.log.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not new_machine.directory.processes.exists()
    assert new_machine.state() == {}


def test_external_servers_replace_the_embedded_ones_and_are_left_alone(
    new_machine, postgres, tmp_path
):
    valkey = Valkey(tmp_path)
    valkey.start()
    postgres.start()
    try:
        environ = {
            "GODOT_REDIS_URL": valkey.url,
            "GODOT_POSTGRES_DSN": postgres.owner_dsn,
        }
        up = new_machine.up(*FREE_PORTS, **environ)
        state = new_machine.state()
        assert state["pids"]["redis"] is state["pids"]["postgres"] is None
        assert state["redis_url"] == valkey.url
        assert state["postgres_writer_dsn"] == postgres.owner_dsn
        assert not new_machine.directory.valkey.exists()
        assert not new_machine.directory.postgres.exists()
        up.send_signal(signal.SIGTERM)
        assert up.wait(10) == 0
        assert valkey.answers()
        assert postgres.answers()
    finally:
        valkey.stop()


def test_an_external_queue_that_does_not_answer_is_named_without_its_password(machine):
    url = "redis://:secret@127.0.0.1:1/0"
    failed = machine.run("up", *FREE_PORTS, GODOT_REDIS_URL=url)
    assert failed.returncode == 1
    assert "GODOT_REDIS_URL" in failed.stderr
    assert "secret" not in failed.stderr


def test_down_ends_it_and_what_a_killed_up_left(machine):
    up = machine.up()
    assert machine.run("down").stdout == "Stopped.\n"
    assert up.wait(1) == 0
    up = machine.up()
    left = pids(machine.state())
    up.kill()
    up.wait()
    assert machine.run("down").stdout == "Stopped.\n"
    assert not any(runs(pid) for pid in left)
    assert machine.run("down").stdout.startswith("Nothing runs")
    assert machine.run("status").returncode == 1


def test_down_wipe_deletes_what_is_ours_alone(machine):
    up = machine.up()
    (machine.path / "notes.txt").write_text("mine")
    assert machine.run("down", "--wipe").returncode == 0
    up.wait(10)
    assert [p.name for p in machine.path.iterdir()] == ["notes.txt"]


def spooled(machine, records):
    made = queue.Entry(queue.batch_id(), b"logs", records, b"a batch")
    Spool(machine.directory.spool, max_bytes=2**20).put(made)


def test_what_waited_in_the_spool_is_sent_and_said_in_a_line(machine):
    spooled(machine, 5)
    spooled(machine, 7)
    machine.up()
    eventually(lambda: "Everything works" in machine.log.read_text())
    folder = machine.directory.spool
    said = [line for line in machine.log.read_text().splitlines() if "sent" in line]
    assert said == [f"Spool        sent 12 records that waited in {folder}"]
    with redis.Redis.from_url(machine.state()["redis_url"]) as client:
        assert client.xlen(queue.stream_key()) == 2
    assert not Spool(folder, max_bytes=0).waiting()


def test_what_a_full_queue_refuses_stays_in_the_spool_and_up_works(machine):
    machine.up()
    with redis.Redis.from_url(machine.state()["redis_url"]) as client:
        client.hset(queue.meta_key(), "max_records", 6)
    machine.run("down")
    spooled(machine, 5)
    time.sleep(0.002)  # ids are in order of their milliseconds
    spooled(machine, 7)
    machine.up()
    eventually(lambda: machine.log.read_text().count("Everything works") == 2)
    said = machine.log.read_text()
    assert "sent 5 records" in said
    assert f"7 records still in {machine.directory.spool}: the queue is full" in said


def test_down_wipe_says_how_many_records_were_never_sent(machine):
    machine.up()
    machine.run("down")
    spooled(machine, 12)
    main, terminal = pty.openpty()
    os.write(main, b"n\n")
    command = [*machine.command, "down", "--wipe"]
    asked = subprocess.run(
        command, stdin=terminal, env=machine.environ, capture_output=True, timeout=30
    )
    os.close(terminal)
    os.close(main)
    assert b"with 12 records in its spool that were never sent? [y/N]" in asked.stdout
    assert Spool(machine.directory.spool, max_bytes=0).waiting()
    assert "with 12 records in its spool" in machine.run("down", "--wipe").stdout
    assert not machine.path.exists()


def test_down_wipe_refuses_a_folder_that_is_not_ours(new_machine):
    new_machine.path.mkdir()
    (new_machine.path / "logs").mkdir()
    failed = new_machine.run("down", "--wipe", "--yes")
    assert failed.returncode == 2
    assert "does not look like a data directory" in failed.stderr
    assert (new_machine.path / "logs").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="what only root does")
def test_as_root_it_works_under_a_private_folder_and_wipe_finds_what_lies_outside(
    new_machine,
):
    new_machine.path.parent.chmod(0o700)
    up = new_machine.up()
    place = Cluster(new_machine.directory.postgres).place
    assert not place.is_relative_to(new_machine.path)
    log = new_machine.log
    wait_until(lambda: str(place) in log.read_text(), "the place to be named")
    assert new_machine.path.parent.stat().st_mode & 0o777 == 0o700
    add_data(new_machine.state())
    assert new_machine.run("down").returncode == 0
    up.wait(10)
    new_machine.up()
    check_data(new_machine.state())
    assert new_machine.run("down", "--wipe").returncode == 0
    assert not place.exists()
    assert not new_machine.path.exists()
