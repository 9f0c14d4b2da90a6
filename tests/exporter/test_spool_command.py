"""``godot-otel spool`` as a person and a script use it, with a real queue."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from godot_otel import cli
from godot_otel.queue import Entry, batch_id
from godot_otel_exporter.spool import Spool

PASSWORD = "geheim-7731"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def put(folder):
    """Let batches wait; each a minute younger than the one before."""

    def put(count: int, service: str = "shop", records: int = 500) -> list[bytes]:
        source = json.dumps({"service": service}).encode()
        ids = []
        time.sleep(0.002)  # those of one millisecond have no order
        for number in range(count):
            now_ms = int((time.time() - 60 * (count - number)) * 1000)
            one = Entry(batch_id(now_ms), b"logs", records, bytes(2000), b"", source)
            Spool(folder, max_bytes=1 << 30).put(one)
            ids.append(one.id)
        return ids

    return put


@pytest.fixture
def spool(folder, monkeypatch, capfd):
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patched, open(os.devnull) as nobody:
            patched.setattr(sys, "stdin", nobody)
            patched.setenv("OTEL_EXPORTER_GODOT_SPOOL_DIR", str(folder))
            for name, value in environ.items():
                patched.setenv(name, value)
            try:
                status = cli.main(["spool", *arguments])
            except SystemExit as ended:  # argparse
                status = ended.code
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return run


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["list", "replay", "purge"])
def test_without_a_folder_nothing_waits(spool, folder, command):
    assert said(spool(command)) == (0, "", f"nothing waits in {folder}\n")
    assert not folder.exists()


def test_list_shows_each_batch_and_the_sum(spool, folder, put):
    put(2)
    put(1, service="evil\x1b[31m\u202e", records=1)
    done = spool("list")
    title, *rows, total = done.stdout.splitlines()
    assert title.split() == ["age", "records", "size", "service"]
    assert [row.split() for row in rows] == [
        ["2m", "500", "2.1", "kB", "shop"],
        ["1m", "500", "2.1", "kB", "shop"],
        ["1m", "1", "2.1", "kB", "evil?[31m?"],
    ]
    assert total == f"3 batches with 1,001 records, 6.3 kB in {folder}"
    assert (done.returncode, done.stderr) == (0, "")


def test_list_gives_json_to_scripts(spool, put):
    ids = put(2)
    done = spool("list", "--json")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in shown] == [one.hex() for one in ids]
    assert shown[0] | {"id": "", "time": "", "age_seconds": 0, "bytes": 0} == {
        "id": "", "time": "", "age_seconds": 0, "records": 500, "bytes": 0,
        "signal": "logs", "service": "shop",
    }  # fmt: skip # one object
    assert 119 < shown[0]["age_seconds"] < 180
    assert said(spool("list", "--json", "--spool-dir", "/nowhere"))[1] == ""


def test_replay_sends_all_to_the_queue_oldest_first(spool, folder, put, server):
    ids = put(3)
    url = server.url.replace("://", f"://:{PASSWORD}@")
    done = spool("replay", GODOT_REDIS_URL=server.url)
    assert said(done) == (0, f"sent 3 batches with 1,500 records to {server.url}\n", "")
    assert [entry[b"id"] for entry in server.entries()] == ids
    assert said(spool("replay", GODOT_REDIS_URL=url))[0] == 0


def test_replay_without_a_queue_says_so_and_keeps_all(spool, folder, put):
    put(1)
    assert said(spool("replay")) == (
        1,
        "",
        f"1 batch with 500 records remains in {folder}: there is no queue: start one"
        " with `godot-otel up`\n",
    )


def test_replay_to_a_full_queue_sends_what_fits(spool, folder, put, server):
    put(3)
    server.set_limit(max_records=1000)
    status, out, err = said(spool("replay", GODOT_REDIS_URL=server.url))
    assert status == 1
    assert out == f"sent 2 batches with 1,000 records to {server.url}\n"
    assert err == (
        f"1 batch with 500 records remains in {folder}: the queue is full (records)\n"
    )


def test_replay_to_a_queue_that_is_away_never_shows_its_password(spool, put):
    put(1)
    url = f"redis://user:{PASSWORD}@127.0.0.1:1/0"
    status, out, err = said(spool("replay", GODOT_REDIS_URL=url))
    assert (status, out) == (
        1,
        "sent 0 batches with 0 records to redis://127.0.0.1:1/0\n",
    )
    assert "remains" in err
    assert "the queue cannot be used: ConnectionError" in err
    assert PASSWORD not in out + err
    assert len(err.splitlines()) == 1


def test_replay_finds_the_stack_of_a_data_directory_and_its_spool(
    spool, put, tmp_path, server
):
    put(1)
    (tmp_path / "state.json").write_text(json.dumps({"redis_url": server.url}))
    done = spool(
        "replay", "--data-dir", str(tmp_path), OTEL_EXPORTER_GODOT_SPOOL_DIR=""
    )
    assert said(done)[0] == 0
    assert len(server.entries()) == 1


def test_replay_while_an_application_replays_says_so(spool, folder, put, server):
    put(1)
    answers = []

    def send(_):
        answers.append(said(spool("replay", GODOT_REDIS_URL=server.url)))
        return False

    Spool(folder, max_bytes=1).replay(send)
    ((status, out, err),) = answers
    assert (status, out) == (1, "")
    assert err.endswith("another process is sending them at this moment\n")


def test_replay_sets_an_unreadable_file_aside_and_says_so(spool, folder, put, server):
    put(1)
    (folder / "0.batch").write_bytes(b"?")
    status, out, err = said(spool("replay", GODOT_REDIS_URL=server.url))
    assert (status, out.split()[:2]) == (0, ["sent", "1"])
    assert err == (
        f"1 file that cannot be read was set aside in {folder / 'quarantine'}\n"
    )


def test_purge_without_a_terminal_wants_yes(spool, folder, put):
    put(2)
    status, out, err = said(spool("purge"))
    assert (status, out) == (2, "")
    assert err.startswith(f"godot-otel: {folder} holds 2 batches with 1,000 records,")
    assert err.endswith("To delete that for ever, add --yes.\n")
    assert len(list(folder.glob("*.batch"))) == 2
    status, out, err = said(spool("purge", "--yes"))
    assert (status, err) == (0, "")
    assert out == (
        "deleted 2 batches with 1,000 records, 4.2 kB, never sent, the oldest 2m old\n"
    )
    assert said(spool("list"))[2] == f"nothing waits in {folder}\n"


@pytest.fixture
def at_terminal(folder):
    """Run the command where a person sits, who types; return status and screen."""

    def run(*arguments: str, types: str = "", **environ: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "godot_otel", "spool", *arguments],
            env={**os.environ, "OTEL_EXPORTER_GODOT_SPOOL_DIR": str(folder), **environ},
            stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip # one process
        os.close(theirs)
        os.write(ours, types.encode())
        screen = b""
        try:
            while data := os.read(ours, 4096):
                screen += data
        except OSError:
            pass  # the other side is closed
        os.close(ours)
        return process.wait(), screen.decode()

    return run


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y\n", 0, 0), ("\n", 1, 1), ("n\n", 1, 1)]
)
def test_purge_asks_a_person(at_terminal, folder, put, answer, status, left):
    put(1)
    ended, screen = at_terminal("purge", types=answer)
    assert ended == status
    assert "1 batch with 500 records, 2.1 kB, never sent" in screen
    assert "[y/N]" in screen
    assert ("nothing was deleted" in screen) == bool(left)
    assert len(list(folder.glob("*.batch"))) == left


def test_a_terminal_gets_colours_and_progress(at_terminal, put, server):
    put(2)
    assert "\x1b[2m" in at_terminal("list")[1]
    assert "\x1b" not in at_terminal("list", NO_COLOR="1")[1]
    status, screen = at_terminal("replay", GODOT_REDIS_URL=server.url)
    assert status == 0
    assert "\rsent 1 of 2 batches" in screen
    assert "sent 2 batches with 1,000 records" in screen


def test_help_suffices_and_mistakes_are_named(spool):
    assert "list" in spool("--help").stdout
    assert "--spool-dir" in spool("replay", "--help").stdout
    assert spool().returncode == 2
    assert spool("lst").returncode == 2
    mistyped = spool("list", GODOT_REDIS_ULR="x")
    assert mistyped.returncode == 2
    assert "did you mean GODOT_REDIS_URL?" in mistyped.stderr


def test_it_needs_nothing_but_the_base_install(spool, put):
    put(1)
    source = """
import sys
for name in ("click", "psycopg", "rich", "orjson", "numpy", "mcp"):
    sys.modules[name] = None
from godot_otel.cli import main
sys.exit(main(["spool", "list"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_that_cannot_be_read_is_one_sentence(spool, tmp_path):
    (tmp_path / "file").write_text("")
    done = spool("list", "--spool-dir", str(tmp_path / "file"))
    why = f"godot-otel: the spool {tmp_path / 'file'} cannot be used: Not a directory\n"
    assert said(done) == (1, "", why)


def test_a_pipe_into_head_ends_quietly(folder, put):
    put(3)
    command = f"{sys.executable} -m godot_otel spool list --spool-dir {folder} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""
