"""Live levels: what is exported changes, what is printed does not."""

from __future__ import annotations

import copy
import logging
import logging.config
import os
import pickle
import sys
import threading
import time

import pytest

from godot_otel.levels import LevelBoard
from godot_otel.queue import Producer
from godot_otel_exporter import levels
from godot_otel_exporter.levels import Levels, exported, listen_from_info, printed


@pytest.fixture
def tree(monkeypatch):
    """A tree of loggers of our own; what passes is told apart as the tap does."""
    root = logging.RootLogger(logging.WARNING)
    manager = logging.Manager(root)
    monkeypatch.setattr(logging.Logger, "root", root)
    monkeypatch.setattr(logging.Logger, "manager", manager)
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(levels, "_root", root)
    seen = Seen()

    def call_handlers(self, record):
        seen.printed += [record.msg] * printed(self, record)
        seen.exported += [record.msg] * exported(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
    yield seen
    levels.LIVE.clear()


class Seen:
    def __init__(self):
        self.printed, self.exported = [], []

    def levels(self, name=None):
        """From which level on a logger prints, and from which it exports."""
        self.printed.clear()
        self.exported.clear()
        for level in range(1, 51):
            logging.getLogger(name).log(level, level)
        return (
            min(self.printed, default=None),
            min(self.exported, default=None),
        )


def board(version=1, seconds=60.0, **by_target):
    return LevelBoard(
        version, {t.replace("__", "/"): (n, seconds) for t, n in by_target.items()}
    )


@pytest.fixture
def shop(tree):
    found = Levels("shop")
    yield found
    found.close()


def end(shop):
    """Let everything end and fade, as time would."""
    shop.learn(board(9))
    shop._fading = dict.fromkeys(shop._fading, 0.0)
    shop.tick()
    assert not levels.LIVE


def test_info_is_exported_and_warning_printed_while_nobody_chose(tree):
    listen_from_info()
    assert tree.levels() == tree.levels("a.b") == (30, 20)
    logging.getLogger().setLevel("WARNING")
    assert tree.levels() == (30, 30)


def test_a_level_that_somebody_chose_holds_for_both(tree):
    logging.getLogger().setLevel(logging.ERROR)
    listen_from_info()
    logging.getLogger("a").setLevel(logging.DEBUG)
    assert (tree.levels(), tree.levels("a")) == ((40, 40), (10, 10))


@pytest.mark.parametrize("chosen", [None, 0, 10, 20, 30, 50])
@pytest.mark.parametrize("live", ["TRACE", "DEBUG", "INFO", "WARNING", "CRITICAL"])
def test_a_components_level_changes_what_is_exported_alone(tree, shop, chosen, live):
    listen_from_info()
    if chosen is not None:
        logging.getLogger().setLevel(chosen)
    before, stood = tree.levels(), logging.getLogger().level
    shop.learn(board(shop=live))
    expected = levels.LEVELS[live]
    assert tree.levels() == tree.levels("a.b") == (before[0], expected)
    end(shop)
    assert tree.levels() == before
    assert logging.getLogger().level is stood


def test_loggers_with_a_level_of_their_own_keep_it_and_are_named(tree, shop):
    logging.getLogger("noisy").setLevel(logging.ERROR)
    logging.getLogger("odd").setLevel(17)
    shop.learn(board(shop="DEBUG"))
    assert tree.levels("noisy.child") == (40, 40)
    facts = shop.facts()
    assert facts["kept"] == {"noisy": "ERROR", "odd": "17"}
    assert facts["applied"] == {"shop": "DEBUG"}
    assert facts["level"] == "DEBUG"
    assert (facts["pid"], facts["level_version"]) == (os.getpid(), 1)
    shop.learn(board(2, shop="DEBUG", shop__noisy="INFO"))
    assert tree.levels("noisy.child") == (40, 20)
    assert shop.facts()["kept"] == {"odd": "17"}


def test_at_most_twenty_kept_loggers_are_named(tree, shop):
    for number in range(50):
        logging.getLogger(f"l{number:02}" + "x" * 500).setLevel(logging.ERROR)
    shop.learn(board(shop="DEBUG"))
    kept = shop.facts()["kept"]
    assert len(kept) == 20
    assert max(map(len, kept)) == 200


def test_a_loggers_level_reaches_its_children_without_their_own(tree, shop):
    listen_from_info()
    for name in ("a", "a.b", "a.b.own", "c"):
        logging.getLogger(name)
    logging.getLogger("a.b.own").setLevel(logging.ERROR)
    shop.learn(board(shop__a="DEBUG"))
    assert tree.levels("a") == tree.levels("a.b") == tree.levels("a.new") == (30, 10)
    assert tree.levels("a.b.own") == (40, 40)
    assert tree.levels("c") == tree.levels() == (30, 20)
    assert shop.facts()["level"] == "INFO"
    end(shop)
    assert tree.levels("a.b") == (30, 20)


def test_a_logger_that_does_not_exist_is_not_made(tree, shop):
    shop.learn(board(shop__a="DEBUG"))
    assert "a" not in logging.Logger.manager.loggerDict
    assert shop.facts()["absent"] == ["shop/a"]

    class Own(logging.Logger):
        pass

    logging.setLoggerClass(Own)
    try:
        assert type(logging.getLogger("a")) is Own
    finally:
        logging.setLoggerClass(logging.Logger)
    assert shop.tick(), "something to register"
    assert tree.levels("a") == (30, 10)
    assert shop.facts()["absent"] == []
    assert not shop.tick()


def test_where_only_children_exist_they_get_the_level(tree, shop):
    logging.getLogger("a.b.c")
    logging.getLogger("a.own").setLevel(logging.INFO)
    shop.learn(board(shop__a="DEBUG"))
    assert tree.levels("a.b.c") == (30, 10)
    assert tree.levels("a.own") == (20, 20)
    assert tree.levels("a") == (30, 30), "made just now"
    shop.tick()
    assert tree.levels("a") == tree.levels("a.b.c") == (30, 10)
    end(shop)
    assert tree.levels("a.b.c") == (30, 30)
    assert logging.getLogger("a.b.c").level == logging.getLogger("a").level == 0


def test_another_services_level_is_not_ours(tree, shop):
    others = {"shopping": ("DEBUG", 9.0), "shop2/a": ("DEBUG", 9.0), "a": ("DEBUG", 9)}
    shop.learn(LevelBoard(3, others))
    assert tree.levels() == (30, 30)
    assert (shop.facts()["applied"], shop.next_expiry, shop.version) == ({}, None, 3)


def test_a_service_whose_name_has_a_slash(tree):
    shop = Levels("team/shop")
    logging.getLogger("a")
    shop.learn(LevelBoard(1, {"team/shop": ("INFO", 9), "team/shop/a": ("DEBUG", 9)}))
    assert (tree.levels(), tree.levels("a")) == ((30, 20), (30, 10))
    shop.close()
    assert not levels.LIVE


def test_what_the_application_chooses_meanwhile_is_printed_at_once(tree, shop):
    listen_from_info()
    shop.learn(board(shop="DEBUG"))
    logging.getLogger().setLevel(logging.ERROR)
    assert tree.levels()[0] == 40
    shop.tick()
    assert tree.levels() == (40, 10)
    logging.getLogger().setLevel(logging.INFO)
    assert tree.levels()[0] == 20
    end(shop)
    assert tree.levels() == (20, 20)
    assert logging.getLogger().level.__class__ is int


def test_a_choice_above_a_quieted_logger_is_printed_at_once(tree, shop):
    logging.getLogger("a")
    shop.learn(board(shop__a="ERROR"))
    logging.getLogger().setLevel(logging.DEBUG)
    assert tree.levels("a") == (10, 40)


@pytest.mark.parametrize(
    "configure",
    [
        lambda: logging.basicConfig(level="INFO", force=True),
        lambda: logging.config.dictConfig(
            {"version": 1, "root": {"level": "INFO"}, "loggers": {"a": {}}}
        ),
        lambda: logging.config.dictConfig(
            {"version": 1, "incremental": True, "root": {"level": "INFO"}}
        ),
    ],
)
def test_a_configuration_in_the_middle_holds_and_the_level_too(tree, shop, configure):
    logging.getLogger("a.b")
    shop.learn(board(shop="DEBUG", shop__a="TRACE"))
    configure()
    logging.getLogger("a.b").disabled = False
    shop.tick()
    assert tree.levels() == (20, 10)
    assert tree.levels("a.b") == (20, 5)
    end(shop)
    assert tree.levels() == tree.levels("a.b") == (20, 20)


def test_a_level_kept_by_the_application_and_put_back_later_is_its_own(tree, shop):
    listen_from_info()
    root = logging.getLogger()
    shop.learn(board(shop="DEBUG"))
    kept = root.level
    root.setLevel(logging.CRITICAL)
    end(shop)
    assert tree.levels() == (50, 50)
    root.setLevel(kept)
    assert tree.levels() == (30, 20)
    shop.learn(board(2, shop="ERROR"))
    assert tree.levels() == (30, 40)
    end(shop)
    assert tree.levels() == (30, 20)


def test_what_is_off_stays_off(tree, shop):
    logging.getLogger("off").disabled = True
    shop.learn(board(shop="DEBUG"))
    assert tree.levels("off") == (None, None)
    logging.disable(logging.ERROR)
    assert tree.levels() == (50, 50) or tree.levels() == (41, 41)
    logging.disable(logging.NOTSET)
    assert tree.levels() == (30, 10)


def test_a_subclass_whose_set_level_does_more_is_not_asked(tree, shop):
    class Loud(logging.Logger):
        def setLevel(self, level):
            raise AssertionError

    logging.Logger.manager.loggerClass = Loud
    logging.getLogger("a")
    shop.learn(board(shop__a="DEBUG"))
    assert tree.levels("a") == (30, 10)


def test_levels_are_plain_numbers_to_everybody_else(tree, shop):
    shop.learn(board(shop="DEBUG"))
    level = logging.getLogger().level
    assert (level, str(level), logging.getLevelName(level)) == (10, "10", "DEBUG")
    assert {10: "x"}[level] == "x"
    for same in (pickle.loads(pickle.dumps(level)), copy.deepcopy(level)):
        assert (type(same), same) == (int, 30)


def test_a_record_on_its_way_while_a_level_ends_is_not_printed(tree, shop):
    root = logging.getLogger()
    shop.learn(board(shop="DEBUG"))
    assert root.isEnabledFor(logging.DEBUG)
    late = root.makeRecord("root", logging.DEBUG, "f", 1, "late", (), None)
    shop.learn(board(2))
    assert not root.isEnabledFor(logging.DEBUG)
    shop.tick()
    assert not printed(root, late)
    assert time.monotonic() < shop.next_expiry <= time.monotonic() + 1


def test_it_ends_by_itself(tree, shop):
    shop.learn(board(seconds=0.3, shop="DEBUG"))
    started = time.monotonic()
    while (due := shop.next_expiry) is not None:
        time.sleep(max(0, due - time.monotonic()))
        shop.tick()
        if time.monotonic() < started + 0.29:
            assert tree.levels() == (30, 10)
    assert 1.2 < time.monotonic() - started < 3
    assert tree.levels() == (30, 30)
    assert logging.getLogger().level.__class__ is int
    assert shop.facts()["applied"] == {}


def test_while_a_level_is_on_new_loggers_are_looked_for(tree, shop):
    shop.learn(board(shop__a="DEBUG"))
    assert shop.next_expiry <= time.monotonic() + 2


def test_two_of_the_same_service_do_not_disturb_each_other(tree, shop):
    other = Levels("shop")
    shop.learn(board(shop="DEBUG"))
    other.learn(board(0))
    assert tree.levels() == (30, 10)
    other.learn(board(shop="DEBUG"))
    shop.learn(board(2))
    other.tick()
    assert tree.levels() == (30, 10)
    other.close()
    shop.close()
    assert tree.levels() == (30, 30)
    assert not levels.LIVE


def test_nothing_is_printed_in_threads_that_log_while_levels_come_and_go(tree, shop):
    """The races: a record of each thread between creation and output."""
    stop = threading.Event()
    lost = []

    def log():
        logger = logging.getLogger(threading.current_thread().name)
        calls = 0
        while not stop.is_set():
            logger.debug("quiet")
            logger.warning("loud")
            calls += 1
        lost.append(calls)

    threads = [threading.Thread(target=log, name=f"a.t{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 3
    version = 0
    while time.monotonic() < ends:
        version += 1
        shop.learn(board(version, shop="DEBUG", shop__a="TRACE"))
        time.sleep(0.001)
        shop.learn(board(version, shop="ERROR"))
        shop.learn(board(version))
        time.sleep(0.001)
        if version % 300 == 0:
            time.sleep(1.1)
            shop.tick()
    stop.set()
    for thread in threads:
        thread.join()
    assert tree.printed.count("loud") == sum(lost)
    assert "quiet" not in tree.printed
    assert "quiet" in tree.exported


def test_a_forked_child_keeps_the_levels_and_their_end(tree, shop):
    shop.learn(board(seconds=0.2, shop="DEBUG"))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        at_first = tree.levels()
        time.sleep(0.25)
        shop.tick()
        os.write(write, repr([at_first, tree.levels(), os.getpid()]).encode())
        os._exit(shop.facts()["pid"] != os.getpid())
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 999).decode() == repr([(30, 10), (30, 30), child])
    os.close(read)
    os.close(write)


def test_it_calls_nothing_while_no_level_is_on(tree, shop):
    listen_from_info()
    logger = logging.getLogger("a.b.c")
    info = logger.makeRecord("a", logging.INFO, "f", 1, "m", (), None)
    error = logger.makeRecord("a", logging.ERROR, "f", 1, "m", (), None)

    def called(function, record):
        """The functions in Python that run for one answer."""
        names, before = [], sys.getprofile()

        def note(frame, event, argument):
            if event == "call":
                names.append(frame.f_code.co_name)

        sys.setprofile(note)
        try:
            function(logger, record)
        finally:
            sys.setprofile(before)
        return names

    assert called(exported, info) == called(exported, error) == ["exported"]
    assert called(printed, info) == called(printed, error) == ["printed"]
    shop.learn(board(shop="DEBUG"))
    assert called(exported, info) == ["exported", "_level"]


def test_through_a_real_queue(tree, shop, redis_url):
    """What the link does every few seconds, with the queue's own clock."""
    producer = Producer(redis_url)
    assert producer.level_version() == 0
    version = producer.set_level("shop", "DEBUG", 1.0)
    producer.set_level("shop/a", "TRACE", 60.0)
    assert producer.level_version() > version
    logging.getLogger("a")
    shop.learn(producer.levels())
    assert (tree.levels(), tree.levels("a")) == ((30, 10), (30, 5))
    assert producer.register("i1", shop.facts()) == shop.version
    (instance,) = producer.instances()
    assert instance.applied == {"shop": "DEBUG", "shop/a": "TRACE"}
    time.sleep(1.05)
    shop.tick()
    assert (tree.levels(), tree.levels("a")) == ((30, 30), (30, 5))
    producer.reset_level()
    shop.learn(producer.levels())
    assert tree.levels("a") == (30, 30)
    producer.unregister("i1")
    assert producer.instances() == []
    producer.close()
