"""``godot-otel level`` on a real queue, and what it says when something is wrong."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from godot_otel.levels import LEVELS


@pytest.fixture
def level(redis_url, tmp_path):
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "godot_otel", "level", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "GODOT_DATA_DIR": str(tmp_path),
                "GODOT_REDIS_URL": redis_url,
                **environ,
            },
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip # how it runs

    return run


class Application:
    """Registers as a process of a component does, and follows the board or not."""

    def __init__(self, producer, name, service="shop", **facts):
        self.producer, self.name = producer, name
        self.facts = {"service": service, "host": "h", "pid": 7, "level": "INFO"}
        self.facts |= facts
        producer.register(name, self.facts)

    def follow(self, seconds=0.5):
        def run():
            time.sleep(seconds)
            for _ in range(100):
                board = self.producer.levels()
                if board.levels:
                    break
                time.sleep(0.05)
            applied = {target: name for target, (name, _) in board.levels.items()}
            self.producer.register(self.name, self.facts | {"applied": applied})

        self.thread = threading.Thread(target=run)
        self.thread.start()


def test_set_names_each_instance_that_has_applied_it(level, producer):
    one = Application(producer, "one", pid=1, kept={"urllib3": "INFO"})
    two = Application(producer, "two", pid=2)
    Application(producer, "other", service="payments")
    one.follow()
    two.follow()
    done = level("set", "shop", "debug", "--ttl", "90m")
    one.thread.join()
    two.thread.join()
    lines = done.stdout.splitlines()
    assert lines[0] == "shop: DEBUG for 1h 30m"
    assert set(lines[1:3]) == {"  applied  shop h pid 1", "  applied  shop h pid 2"}
    assert lines[3:] == [
        "  loggers with a level of their own keep it: urllib3 INFO"
        " (name one as shop/LOGGER)"
    ]
    assert (done.returncode, done.stderr) == (0, "")
    (name, left) = producer.levels().levels["shop"]
    assert (name, 5300 < left <= 5400) == ("DEBUG", True)


def test_set_names_who_has_not_applied_it(level, producer):
    Application(producer, "one")
    started = time.monotonic()
    done = level("set", "shop/db", "TRACE")
    assert 6 < time.monotonic() - started < 12
    assert done.stdout.startswith("shop/db: TRACE for 15m\n  not yet  shop h pid 7, he")
    assert done.returncode == 1


def test_set_says_that_a_logger_does_not_exist_yet(level, producer):
    application = Application(producer, "one", absent=["shop/db"])
    application.follow(0)
    done = level("set", "shop/db", "DEBUG")
    application.thread.join()
    assert "applied  shop h pid 7; it has no such logger yet\n" in done.stdout
    assert done.returncode == 0


def test_set_as_json(level, producer):
    Application(producer, "one").follow(0)
    done = level("set", "shop", "DEBUG", "--json")
    answer = json.loads(done.stdout)
    assert answer["target"] == "shop"
    assert (answer["level"], answer["ttl_seconds"]) == ("DEBUG", 900)
    (instance,) = answer["instances"]
    assert (instance["pid"], instance["has_applied"]) == (7, True)
    done = level("set", "shop", "DEBUG", "--json", "--no-wait")
    assert "instances" not in json.loads(done.stdout)


def test_set_does_not_wait_when_told(level, producer):
    Application(producer, "one")
    done = level("set", "shop", "WARN", "--no-wait")
    assert (done.stdout, done.returncode) == ("shop: WARNING for 15m\n", 0)


@pytest.mark.parametrize("typed", ["shpo", "Shop", "shopp/db", "shop2"])
def test_an_unknown_component_is_said_with_near_names(level, producer, typed):
    Application(producer, "one")
    Application(producer, "two", service="payments")
    done = level("set", typed, "DEBUG")
    assert done.returncode == 2
    name = typed.partition("/")[0]
    assert done.stderr == (
        f"godot-otel: no running application is called {name}, did you mean shop?;"
        " nothing was set (--force sets it for those that come later)\n"
    )
    assert producer.levels().levels == {}


def test_a_component_with_a_slash_in_its_name(level, producer):
    Application(producer, "one", service="team/shop")
    assert "did you mean team/shop?" in level("set", "team/shoo", "DEBUG").stderr
    assert level("set", "team/shop", "DEBUG", "--no-wait").returncode == 0
    assert level("set", "team/shop/db", "DEBUG", "--no-wait").returncode == 0
    assert len(producer.levels().levels) == 2


def test_where_nobody_runs_it_is_said_and_can_be_forced(level, producer):
    done = level("set", "shop", "DEBUG")
    assert "no application is registered with this queue; nothing was" in done.stderr
    assert done.returncode == 2
    done = level("set", "shop", "DEBUG", "--force")
    assert done.stdout == "shop: DEBUG for 15m\n  nobody of that name runs yet\n"
    assert done.returncode == 0
    assert "shop" in producer.levels().levels


def test_reset_ends_one_or_all(level, producer):
    for target in ("shop", "shop/db", "payments"):
        producer.set_level(target, "DEBUG", 60)
    assert level("reset", "shop").stdout.startswith("shop: ended; ")
    done = level("reset", "shopp/db")
    assert done.returncode == 2
    assert "no level is set for shopp/db, did you mean shop/db?" in done.stderr
    assert level("reset", "--all").stdout == "2 levels ended\n"
    assert level("reset", "--all", "--json").stdout == '{"ended": 0}\n'
    assert level("reset").returncode == level("reset", "a", "--all").returncode == 2


def test_list_shows_what_holds_and_who_has_not_applied_it(level, producer):
    assert level("list").stdout == "no level is set\n\nno application is running\n"
    producer.set_level("shop", "DEBUG", 3625)
    producer.set_level("absent", "TRACE", 2 * 86400 + 3700)
    Application(producer, "one", pid=1)
    Application(producer, "two", pid=2, level="DEBUG", applied={"shop": "DEBUG"})
    done = level("list")
    assert done.stdout.splitlines() == [
        "absent: TRACE, 2d 1h left",
        "  nobody of that name runs",
        "shop: DEBUG, 1h left",
        "",
        "shop h pid 1  INFO; not yet applied: shop",
        "shop h pid 2  DEBUG; applied: shop DEBUG",
    ]
    rows = [json.loads(line) for line in level("list", "--json").stdout.splitlines()]
    assert [row["kind"] for row in rows] == ["level", "level", "instance", "instance"]
    assert [row["not_applied"] for row in rows[2:]] == [["shop"], []]


def test_names_of_others_cannot_control_the_terminal(level, producer):
    Application(producer, "one", service="shop\x1b[2J", host="h\nh")
    done = level("list")
    assert "\x1b" not in done.stdout
    assert "shop?[2J h?h pid 7" in done.stdout
    assert "\x1b" not in level("set", "shop\x1b[2J", "DEBUG").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "shop", "LOUD"], "'LOUD' is no level: expected TRACE, DEBUG, INFO"),
        (["set", "shop", "10"], "'10' is no level"),
        (["set", "shop", "DEBUG", "--ttl", "15"], "'15' is no time such as 30s, 15m"),
        (["set", "shop", "DEBUG", "--ttl", "8d"], "'8d' is not between 1s and 7d"),
        (["set", "shop", "DEBUG", "--ttl", "0s"], "'0s' is not between 1s and 7d"),
        (["set", "shop/", "DEBUG"], "'shop/' is neither COMPONENT nor COMPONENT/"),
        (["set", "/db", "DEBUG"], "'/db' is neither COMPONENT nor COMPONENT/LOGGER"),
    ],
)
def test_what_is_mistyped_is_said(level, arguments, sentence):
    done = level(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]


def test_without_a_queue_or_an_answer_a_sentence_says_so(level):
    done = level("list", GODOT_REDIS_URL="")
    assert done.returncode == 2
    assert done.stderr == "godot-otel: no queue: start one with `godot-otel up`\n"
    done = level("list", GODOT_REDIS_URL="redis://:geheim@127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr == "godot-otel: the queue cannot be used: ConnectionError\n"
    done = level("list", GODOT_REDIS_URL="http://x")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_every_level_can_be_set(level, producer):
    Application(producer, "one")
    for name in LEVELS:
        assert level("set", "shop", name, "--no-wait").returncode == 0
        assert producer.levels().levels["shop"][0] == name
