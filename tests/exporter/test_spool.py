"""Batches on disk: what was accepted is sent, whatever happens to files and processes.

Each id is sent at least once; twice only by a process that was killed between sending
and removing, which the store's ledger absorbs.
"""

import contextlib
import fcntl
import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from godot_otel.errors import RetryableError
from godot_otel.queue import Entry, batch_id
from godot_otel_exporter.spool import Spool, SpoolError, batch_file, locks
from godot_otel_exporter.spool import folder as spool_folder

MIB = 1024 * 1024


_milliseconds = itertools.count(int(time.time() * 1000))


def entry(payload: bytes = b"records", records: int = 3, **other) -> Entry:
    """A batch younger than every one before it."""
    source = b'{"service":"shop"}'
    identity = batch_id(next(_milliseconds))
    return Entry(identity, b"logs", records, payload, source=source, **other)


def aged(seconds: float, payload: bytes = b"old") -> Entry:
    identity = batch_id(int((time.time() - seconds) * 1000))
    return Entry(identity, b"logs", 1, payload)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data" / "spool"


@pytest.fixture
def spool(folder) -> Spool:
    return Spool(folder, max_bytes=MIB)


def replayed(spool: Spool) -> list[Entry]:
    sent: list[Entry] = []
    assert spool.replay(lambda one: not sent.append(one)) == len(sent)
    return sent


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.batch"))


def size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*.batch"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
from godot_otel.queue import Entry, batch_id
from godot_otel_exporter.spool import folder as spool_folder, locks
from godot_otel_exporter.spool import Spool
folder = Path(sys.argv[1])
def entry(size=100):
    return Entry(batch_id(), b"logs", 1, os.urandom(size))
"""


@pytest.fixture
def process(tmp_path, folder):
    """Start programs that have the folder and what they need at hand."""
    begun: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: object) -> subprocess.Popen[str]:
        program = PREAMBLE + textwrap.dedent(source)
        command = [sys.executable, "-c", program, folder, *map(str, arguments)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
        one.wait()
        one.stdout.close()


def test_what_was_put_comes_back_whole_and_oldest_first(spool, folder):
    put = [
        entry(b"\0" * 1000, encoding=b"gzip", home=7),
        entry(b""),
        aged(3600),
        aged(-3600),
    ]
    for one in put:
        assert spool.put(one) == []
    assert spool.waiting()
    assert replayed(spool) == sorted(put, key=lambda one: one.id)
    assert not spool.waiting()
    assert replayed(spool) == []


def test_nothing_is_touched_before_the_first_batch(folder):
    spool = Spool(folder, max_bytes=MIB)
    assert not spool.waiting()
    assert spool.batches() == []
    assert spool.replay(pytest.fail) == 0
    assert spool.purge() == 0
    assert not folder.parent.exists()


def test_folder_and_files_are_for_their_owner_alone(spool, folder):
    before = os.umask(0)
    try:
        spool.put(entry())
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o066 == 0
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_a_batch_that_is_not_taken_stays_with_all_after_it(spool):
    put = [entry() for _ in range(3)]
    for one in put:
        spool.put(one)
    answers = iter([True, False])
    assert spool.replay(lambda _: next(answers)) == 1
    assert replayed(spool) == put[1:]


def test_an_error_while_sending_loses_nothing_and_locks_nothing(spool):
    spool.put(entry())

    def fail(_):
        raise OSError("boom")

    with pytest.raises(OSError, match="boom"):
        spool.replay(fail)
    assert len(replayed(spool)) == 1


def test_what_arrives_during_a_replay_is_sent_too(spool):
    spool.put(entry())
    later = [entry() for _ in range(3)]

    def send(_):
        if later:
            spool.put(later.pop())
        return True

    assert spool.replay(send) == 4


def test_every_truncated_or_altered_file_is_set_aside_and_the_others_are_sent(
    spool, folder
):
    original = batch_file.pack(entry(b"payload", records=2))
    damaged = [original[:length] for length in range(len(original))]
    damaged += [original + b"x", b"not ours", b""]
    for place in range(len(original)):
        flipped = bytearray(original)
        flipped[place] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    spool.put(entry())
    for data in damaged:
        (folder / f"{batch_id().hex()}.2.{len(data)}.batch").write_bytes(data)
    last = entry()
    spool.put(last)
    sent = replayed(spool)
    assert len(sent) == 2
    assert sent[-1] == last
    assert spool.damaged_batches == spool.set_aside() == len(damaged)
    assert spool.damaged_records == 2 * len(damaged)
    assert not spool.waiting()


def test_things_that_are_no_files_are_set_aside(spool, folder, tmp_path):
    spool.put(entry())
    secret = tmp_path / "secret"
    secret.write_bytes(batch_file.pack(entry(b"from elsewhere")))
    (folder / "0-link.batch").symlink_to(secret)
    (folder / "0-folder.batch").mkdir()
    os.mkfifo(folder / "0-pipe.batch")
    with (folder / "0-large.batch").open("wb") as large:
        large.truncate(1 << 40)
    assert len(replayed(spool)) == 1
    assert spool.damaged_batches == 4
    assert secret.exists()


def test_the_cap_holds_and_the_oldest_make_room(spool, folder):
    put = [entry(os.urandom(100_000)) for _ in range(25)]
    evicted = []
    for one in put:
        evicted += spool.put(one)
        assert size(folder) <= MIB
    assert evicted == put[:15]
    assert replayed(spool) == put[15:]


def test_what_was_set_aside_goes_before_any_batch_does(spool, folder):
    for _ in range(5):
        (folder / "quarantine").mkdir(parents=True, exist_ok=True)
        (folder / "quarantine" / f"{batch_id().hex()}.1.batch").write_bytes(
            bytes(200_000)
        )
    put = [entry(bytes(100_000)) for _ in range(10)]
    assert [spool.put(one) for one in put] == [[]] * 10
    assert spool.set_aside() == 0
    assert replayed(spool) == put


def test_an_unreadable_batch_makes_room_and_is_counted(spool, folder):
    for _ in range(10):
        spool.put(entry(bytes(100_000), records=5))
    files(folder)[0].write_bytes(bytes(100_100))
    assert spool.put(entry(bytes(100_000))) == []
    assert (spool.damaged_batches, spool.damaged_records) == (1, 5)


def test_a_lowered_cap_is_reached_by_eviction(spool, folder):
    put = [entry(bytes(100_000)) for _ in range(10)]
    for one in put:
        spool.put(one)
    evicted = Spool(folder, max_bytes=250_000).put(entry(bytes(100_000)))
    assert evicted == put[:9]
    assert size(folder) <= 250_000


def test_a_batch_that_is_being_sent_is_not_evicted_as_well(spool, folder):
    put = [entry(bytes(300_000)) for _ in range(3)]
    for one in put:
        spool.put(one)
    dropped = []

    def send(_):
        dropped.extend(Spool(folder, max_bytes=MIB).put(entry(bytes(300_000))))
        return False

    spool.replay(send)
    assert dropped == [put[1]]
    assert put[0] in replayed(spool)


def test_many_files_are_counted_now_and_then_and_the_cap_holds(folder):
    spool = Spool(folder, max_bytes=60_000)
    folder.mkdir(parents=True)
    old = [aged(1000 - i) for i in range(850)]
    for one in old:
        data = batch_file.pack(one)
        (folder / batch_file.name(one, len(data))).write_bytes(data)
    evicted = []
    for _ in range(30):
        evicted += spool.put(aged(-1, os.urandom(400)))
        assert size(folder) <= 60_000
    assert evicted == old[: len(evicted)]
    assert evicted


@pytest.mark.parametrize(("cap", "why"), [(0, "is off"), (500, "too large .*500")])
def test_a_batch_that_can_never_be_kept_is_refused_at_once(folder, cap, why):
    with pytest.raises(SpoolError, match=why):
        Spool(folder, max_bytes=cap).put(entry(bytes(500)))
    assert not folder.exists()
    assert issubclass(SpoolError, RetryableError)


def test_a_spool_that_was_turned_off_still_sends_what_waits(spool, folder):
    spool.put(entry())
    assert len(replayed(Spool(folder, max_bytes=0))) == 1


def test_one_replay_at_a_time(spool, folder):
    spool.put(entry())
    answers = []

    def send(_):
        answers.append(Spool(folder, max_bytes=MIB).replay(pytest.fail))
        return True

    assert spool.replay(send) == 1
    assert answers == [None]


def test_a_stopped_process_with_the_lock_delays_others_once_for_a_second(
    spool, folder, process
):
    spool.put(entry())
    holder = process("""
        import fcntl
        file = open(folder / ".put.lock")
        fcntl.flock(file, fcntl.LOCK_EX)
        print("held", flush=True)
        time.sleep(60)
    """)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    spool.put(entry())
    assert time.monotonic() - started > 0.9
    for _ in range(5):
        spool.put(entry())
    assert time.monotonic() - started < 3
    assert len(replayed(spool)) == 7


def test_a_child_forked_while_a_lock_is_held_does_not_keep_it(spool, folder):
    spool.put(entry())
    reads, writes = os.pipe()
    children = []

    def send(_):
        # as another thread's fork would: the child never leaves this function
        child = os.fork()
        if not child:
            os.close(writes)
            os.read(reads, 1)
            os._exit(0)
        children.append(child)
        return True

    assert not locks._held
    spool.replay(send)
    assert not locks._held
    spool.put(entry())
    descriptor = os.open(folder / ".replay.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    os.close(writes)
    os.waitpid(children[0], 0)
    os.close(reads)


def test_the_lock_of_a_killed_replay_is_free_though_its_forked_child_lives(
    spool, folder, process
):
    spool.put(entry())
    parent = process("""
        def send(_):
            if os.fork() == 0:
                time.sleep(15)
                os._exit(0)
            print("forked", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        Spool(folder, max_bytes=1 << 20).replay(send)
    """)
    assert parent.stdout.readline() == "forked\n"
    parent.wait()
    # The child may still be about to let go.
    deadline = time.monotonic() + 10
    while (sent := spool.replay(lambda _: True)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sent == 1


def test_a_forked_child_puts_and_replays_like_its_parent(spool):
    spool.put(entry())
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            spool.put(entry())
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(replayed(spool)) == 2


WRITER = """
    spool = Spool(folder, max_bytes=64 << 20)
    for _ in range(int(sys.argv[2])):
        one = entry()
        spool.put(one)
        print(one.id.hex(), flush=True)
"""


def test_two_processes_put_while_one_replays_and_every_batch_is_sent_once(
    spool, process
):
    writers = [process(WRITER, 80) for _ in range(2)]
    sent = []
    while any(one.poll() is None for one in writers):
        sent += replayed(spool)
    sent += replayed(spool)
    put = [line for one in writers for line in one.communicate()[0].split()]
    assert len(put) == 160
    assert sorted(one.id.hex() for one in sent) == sorted(put)


def test_two_processes_replaying_send_nothing_twice(spool, process):
    put = [entry() for _ in range(60)]
    for one in put:
        spool.put(one)
    replayers = [
        process("""
            spool = Spool(folder, max_bytes=1 << 20)
            def send(one):
                print(one.id.hex())
                return True
            while spool.waiting():
                spool.replay(send)
        """)
        for _ in range(2)
    ]
    sent = [line for one in replayers for line in one.communicate()[0].split()]
    assert sorted(sent) == sorted(one.id.hex() for one in put)


def test_four_processes_hold_the_cap_together_and_every_batch_is_accounted_for(
    spool, folder, process
):
    writers = [
        process("""
            spool = Spool(folder, max_bytes=200_000)
            for _ in range(30):
                one = entry(9_000)
                print("put", one.id.hex())
                for gone in spool.put(one):
                    print("evicted", gone.id.hex())
        """)
        for _ in range(4)
    ]
    largest = 0
    while any(one.poll() is None for one in writers):
        largest = max(largest, size(folder))
        time.sleep(0.002)
    words = [
        line.split() for one in writers for line in one.communicate()[0].splitlines()
    ]
    put = {name for what, name in words if what == "put"}
    evicted = [name for what, name in words if what == "evicted"]
    left = [one.id.hex() for one in replayed(spool)]
    assert 150_000 < largest <= 200_000
    assert len(put) == 120
    assert sorted(evicted + left) == sorted(put)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [("fsync", 0), ("rename", 0), ("_sync", 1), ("release", 1)],
)
def test_a_process_killed_while_putting_leaves_a_whole_batch_or_none(
    spool, folder, process, moment, kept
):
    killed = process(
        """
        def die(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)
        spool = Spool(folder, max_bytes=1 << 20)
        spool._files.make()
        match sys.argv[2]:
            case "fsync": os.fsync = die
            case "rename": Path.rename = die
            case "_sync": spool_folder._sync = die
            case "release": locks.release = die
        spool.put(entry(1000))
        """,
        moment,
    )
    assert killed.wait() == -signal.SIGKILL
    spool.put(entry())
    assert len(replayed(spool)) == kept + 1
    assert spool.damaged_batches == 0
    (left_over,) = [*folder.glob(".*.tmp")] if not kept else [None]
    if left_over:
        os.utime(left_over, (time.time() - 3700,) * 2)
        spool.put(entry())
        assert not left_over.exists()


def test_a_process_killed_between_sending_and_removing_sends_again_with_the_same_id(
    spool, process
):
    put = entry()
    spool.put(put)
    killed = process("""
        def send(one):
            print(one.id.hex(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        Spool(folder, max_bytes=1 << 20).replay(send)
    """)
    assert killed.communicate()[0].split() == [put.id.hex()]
    assert replayed(spool) == [put]


def test_processes_killed_at_any_moment_lose_nothing_that_they_put(spool, process):
    chance = random.Random(7)
    put: set[str] = set()
    for _ in range(5):
        writer = process(WRITER, 100_000)
        put.add(writer.stdout.readline().strip())  # it is at work
        time.sleep(chance.uniform(0.0, 0.05))
        writer.kill()
        out = writer.communicate()[0]
        put.update(out.split("\n")[:-1])  # a last line may be cut off
    sent = [one.id.hex() for one in replayed(spool)]
    assert len(put) > 10
    assert put <= set(sent)
    assert len(sent) == len(set(sent))
    assert spool.damaged_batches == 0


@pytest.fixture
def tiny(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(spool: Spool, put: list[Entry]) -> None:
    while True:
        one = entry(os.urandom(100_000))
        assert spool.put(one) == []
        put.append(one)


def test_a_full_disk_is_told_and_costs_no_older_batch(tiny):
    spool = Spool(tiny / "spool", max_bytes=64 * MIB)
    put: list[Entry] = []
    with pytest.raises(SpoolError, match=r"tiny/spool cannot be used: No space left"):
        fill(spool, put)
    assert 5 < len(put) < 11
    assert not list((tiny / "spool").glob(".*.tmp"))
    assert replayed(spool) == put
    assert spool.put(entry(os.urandom(100_000))) == []


def as_nobody(action) -> str:
    """Do something as an unprivileged user; return what it raised."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(65534)
            os.setuid(65534)
            action()
        except BaseException as error:
            os.write(writes, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    with open(reads, encoding="utf-8") as said:
        return said.read()


@pytest.fixture
def public(tmp_path_factory):
    """A folder that everybody may enter."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user takes root")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="godot-") as place:
        Path(place).chmod(0o711)
        yield Path(place)


def test_a_read_only_folder_is_told(public):
    place = public / "spool"
    place.mkdir()
    os.chown(place, 65534, 65534)
    place.chmod(0o500)
    spool = Spool(place, max_bytes=MIB)
    why = f"SpoolError: the spool {place} cannot be used: Permission denied"
    assert as_nobody(lambda: spool.put(entry())) == why
    below = Spool(place / "below", max_bytes=MIB)
    assert "Permission denied" in as_nobody(lambda: below.put(entry()))


def test_a_folder_that_somebody_else_may_have_prepared_is_refused(public, spool):
    place = public / "spool"
    place.mkdir(mode=0o755)
    os.chown(place, 1, 1)
    told = as_nobody(lambda: Spool(place, max_bytes=MIB).put(entry()))
    assert told == f"SpoolError: the spool {place} belongs to another user"
    place.chmod(0o1777)
    with pytest.raises(SpoolError, match="open to everybody: chmod o-w"):
        Spool(place, max_bytes=MIB).put(entry())


def test_what_root_puts_into_a_users_folder_the_user_can_send(public):
    place = public / "spool"
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)
    spool = Spool(place, max_bytes=MIB)
    spool.put(entry())
    assert as_nobody(lambda: replayed(spool)) == ""
    assert not spool.waiting()


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match="Not a directory"):
        Spool(tmp_path / "spool" / "below", max_bytes=MIB).put(entry())
    assert not Spool(tmp_path / "spool", max_bytes=MIB).waiting()


def test_a_disk_that_fails_to_sync_keeps_nothing(spool, folder, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    spool.put(entry(bytes(600_000)))
    monkeypatch.setattr(spool_folder, "_sync", fail)
    with pytest.raises(SpoolError, match="Input/output error") as failed:
        spool.put(entry(bytes(600_000)))
    assert len(failed.value.evicted) == 1
    assert files(folder) == []


def test_batches_are_described_without_reading_them(spool, folder):
    put = [aged(7200, bytes(100_000)), entry(records=9)]
    for one in put:
        spool.put(one)
    (folder / "damaged.batch").write_bytes(b"?")
    first, second = spool.batches()
    assert (first.id, first.service, first.bytes > 100_000) == (put[0].id, "", True)
    assert (second.records, second.signal, second.service) == (9, b"logs", "shop")
    assert 7195 < (datetime.now(UTC) - first.time).total_seconds() < 7205


def test_purge_deletes_batches_and_what_was_set_aside(spool, folder):
    for _ in range(3):
        spool.put(entry())
    (folder / "damaged.batch").write_bytes(b"?")
    replayed(spool)
    spool.put(entry())
    assert spool.purge() == 1
    assert spool.set_aside() == 0
    assert not spool.waiting()


def test_threads_share_one_spool(folder):
    spool = Spool(folder, max_bytes=300_000)
    evicted: list[Entry] = []

    def put():
        for _ in range(25):
            evicted.extend(spool.put(entry(bytes(5_000))))

    threads = [threading.Thread(target=put) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert size(folder) <= 300_000
    assert len(evicted) + len(replayed(spool)) == 100
