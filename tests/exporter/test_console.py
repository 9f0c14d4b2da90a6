"""Real programs, with and without us: what they print and what arrives."""

from __future__ import annotations

import pytest
from fix_serving import free_port

from godot_otel_exporter.spool import Spool

PROGRAMS = {
    "last resort": """
        import logging
        logging.getLogger("a").warning("printed")
        logging.getLogger("a").info("not printed")
    """,
    "module functions": """
        import logging
        logging.info("not printed")
        logging.warning("printed")
    """,
    "basicConfig": """
        import logging
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
        logging.getLogger("a").debug("printed")
    """,
    "basicConfig without a level": """
        import logging
        logging.basicConfig()
        logging.getLogger("a").info("not printed")
        logging.getLogger("a").error("printed")
    """,
    "own handler on root": """
        import logging, sys
        logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
        logging.getLogger("a").info("not printed")
        logging.getLogger("a").warning("printed")
    """,
    "root handlers removed": """
        import logging
        logging.getLogger().handlers.clear()
        logging.getLogger("a").warning("printed")
    """,
    "dictConfig": """
        import logging.config
        logging.getLogger("early").warning("printed")
        logging.config.dictConfig({"version": 1, "handlers": {"h": {
            "class": "logging.StreamHandler"}}, "root": {"handlers": ["h"]}})
        logging.getLogger("a").info("not printed")
        logging.getLogger("a").warning("printed")
    """,
    "DictConfigurator": """
        import logging.config
        early = logging.getLogger("early")
        early.warning("printed")
        config = {"version": 1, "handlers": {"h": {
            "class": "logging.StreamHandler"}}, "root": {"handlers": ["h"]}}
        logging.config.DictConfigurator(config).configure()
        early.warning("disabled")
        logging.getLogger("a").warning("printed")
    """,
    "existing loggers stay": """
        import logging.config
        early = logging.getLogger("early")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
            "handlers": {"h": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["h"], "level": "INFO"}})
        early.info("printed")
    """,
    "fileConfig": """
        import io, logging.config
        logging.config.fileConfig(io.StringIO(
            "[loggers]\\nkeys=root\\n[handlers]\\nkeys=h\\n[formatters]\\nkeys=\\n"
            "[logger_root]\\nhandlers=h\\n[handler_h]\\nclass=StreamHandler\\nargs=()"))
        logging.getLogger("a").warning("printed")
    """,
    "a logger that does not propagate": """
        import logging
        logger = logging.getLogger("a")
        logger.propagate = False
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
        logger.info("printed")
    """,
    "objects in extra": """
        import logging
        class Bad:
            def __str__(self): raise RuntimeError
        logging.getLogger("a").error("printed", extra={"o": object(), "bad": Bad()})
    """,
    "flask's own handlers": """
        import flask, logging
        from werkzeug._internal import _log
        app = flask.Flask("shop")
        with app.app_context():
            app.logger.warning("printed")
            _log("info", "printed by werkzeug")
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_console_stays_as_it_was(name, server, program, godot_run):
    plain = program(PROGRAMS[name])
    ours = program(PROGRAMS[name], *godot_run, GODOT_REDIS_URL=server.url)
    first, _, rest = ours.stderr.partition("\n")
    assert first.startswith("godot-otel: service shop; queue redis://127.0.0.1")

    def timeless(text: str) -> str:  # flask's lines start with the time
        return "\n".join(line.partition("] ")[2] or line for line in text.split("\n"))

    assert timeless(rest) == timeless(plain.stderr)
    assert ours.stdout == plain.stdout
    assert ours.returncode == plain.returncode == 0
    printed = sum(line.count("printed") for line in PROGRAMS[name].split("\n"))
    assert len(server.bodies()) == printed
    assert server.services() == {"shop"}


def test_one_bad_record_costs_no_other(server, program, godot_run):
    """What makes OpenTelemetry's own pieces raise or lose a batch, in one batch."""
    done = program(
        r"""
        import logging
        log = logging.getLogger("shop")
        class Bad:
            def __str__(self): raise ValueError("no text")
        loop = []; loop.append(loop)
        def good(): log.info("good")
        good(); log.info("%d", "x")
        good(); log.info(Bad())
        good(); log.info("extra", extra={"bad": Bad(), "fine": 1})
        good(); log.info("loop", extra={"bad": loop})
        good(); log.info("\ud800 body")
        good(); log.info("event", extra={"event.name": 5})
        good(); log.handle(logging.makeLogRecord(
            {"name": "shop", "levelno": 20, "levelname": "INFO", "msg": "old",
             "created": -5.0}))
        good(); log.info("odd", extra={"a": "\ud800", "b": 2**70, "c": object()})
        good(); log.info("nul \0 byte")
        good()
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    assert done.returncode == 0, done.stderr
    bodies = server.bodies()
    assert bodies.count("good") == 10
    assert [body for body in bodies if body != "good"] == [
        "%d ('x',)", "[unprintable Bad]", "extra", "loop", "? body", "event", "old",
        "odd", "nul \0 byte",
    ]  # fmt: skip


def test_a_dict_config_imported_before_us_takes_nothing_away(server, program):
    done = program(
        """
        import logging
        from logging.config import dictConfig
        from godot_otel_exporter import configure
        configure(service_name="shop")
        dictConfig({"version": 1, "handlers": {"h": {
            "class": "logging.StreamHandler"}}, "root": {"handlers": ["h"]}})
        logging.getLogger("a").warning("printed")
        """,
        GODOT_REDIS_URL=server.url,
    )
    assert (done.returncode, done.stderr) == (0, "printed\n")
    assert server.bodies() == ["printed"]


def test_an_export_that_fails_makes_no_records_of_its_own(program, godot_run, tmp_path):
    """Else each failure is exported, fails, and makes the next one."""
    done = program(
        """
        import logging, sys, time
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        logging.getLogger("a").info("only")
        time.sleep(2.5)
        """,
        *godot_run,
        GODOT_REDIS_URL=f"redis://127.0.0.1:{free_port()}",
    )
    assert done.stdout == "INFO:a:only\n"
    _, *said = done.stderr.splitlines()
    assert len(said) == 1
    assert "batches go to" in said[0]
    spool = Spool(tmp_path / "home/data/godot-otel/spool", max_bytes=2**30)
    assert [batch.records for batch in spool.batches()] == [1]


def test_lines_carry_the_trace_id_of_their_span(server, program, godot_run):
    done = program(
        """
        import logging
        from opentelemetry import trace
        with trace.get_tracer("t").start_as_current_span("s") as span:
            logging.getLogger("a").info("inside")
            print(format(span.get_span_context().trace_id, "032x"))
        """,
        *godot_run,
        GODOT_REDIS_URL=server.url,
    )
    (record,) = server.records()
    assert record.trace_id.hex() == done.stdout.strip()
    assert int(done.stdout, 16)
