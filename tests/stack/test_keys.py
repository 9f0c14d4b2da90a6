import pytest

from godot_otel.errors import SettingError
from godot_otel.stack.addresses import bare_postgres, bare_redis
from godot_otel.stack.keys import Keys


def test_passwords_and_ports_stay_the_same_and_private(tmp_path):
    keys = Keys(tmp_path / "keys.json")
    password = keys.password("redis")
    keys.remember_port("redis", 6391)
    again = Keys(tmp_path / "keys.json")
    assert again.password("redis") == password
    assert again.password("postgres") != password
    assert again.port("redis") == 6391
    assert again.port("mcp") is None
    assert keys.path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_no_reason_to_make_up_new_passwords(tmp_path):
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(SettingError, match="is damaged"):
        Keys(tmp_path / "keys.json").password("redis")


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("redis://:secret@127.0.0.1:6390/0", "redis://127.0.0.1:6390/0"),
        ("rediss://me:secret@host/1?password=secret", "rediss://host/1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_a_queues_address_is_printed_without_its_secrets(url, bare):
    assert bare_redis(url) == bare


@pytest.mark.parametrize(
    ("dsn", "bare"),
    [
        ("postgresql://me:secret@host:5433/logs", "postgresql://me@host:5433/logs"),
        ("host=h user=me password=secret dbname=d", "postgresql://me@h/d"),
        (
            "postgresql://me:secret@/d?host=%2Ftmp%2Fs&port=5432",
            "postgresql://me@/d?host=/tmp/s",
        ),
        ("postgresql://me:secret@[broken", "postgresql://"),
    ],
)
def test_a_stores_address_is_printed_without_its_secrets(dsn, bare):
    assert bare_postgres(dsn) == bare
