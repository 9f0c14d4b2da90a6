import json
import subprocess
import sys
import time

import pytest

from godot_otel.stack import processes, record

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def test_what_is_noted_is_ended(tmp_path, sleeper):
    record.write(tmp_path / "p", {"collector": [sleeper.pid]})
    assert record.read(tmp_path / "p")["collector"].keys() == {sleeper.pid}
    assert record.end(tmp_path / "p") == ["collector"]
    assert sleeper.wait(5) != 0
    assert not (tmp_path / "p").exists()


def test_a_recycled_pid_is_never_touched(tmp_path, sleeper):
    noted = {"collector": {sleeper.pid: "an earlier boot/12345"}}
    (tmp_path / "p").write_text(json.dumps(noted))
    assert record.end(tmp_path / "p") == []
    assert sleeper.poll() is None


def test_an_ended_process_has_no_birth(sleeper):
    assert processes.birth(sleeper.pid) == processes.birth(sleeper.pid) is not None
    sleeper.kill()  # a zombie, as nobody waits for it yet
    while processes.birth(sleeper.pid) is not None:
        time.sleep(0.01)


def test_a_damaged_note_counts_as_none(tmp_path):
    (tmp_path / "p").write_text("{")
    assert record.read(tmp_path / "p") == {}
