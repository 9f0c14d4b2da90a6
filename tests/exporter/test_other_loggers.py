from __future__ import annotations

from fix_serving import lines

LOGURU = """
    import logging, sys
    from loguru import logger
    from opentelemetry import trace
    from godot_otel_exporter.loguru import sink

    logger.remove()
    logger.add(sys.stdout, level="ERROR", format="{message}", catch=False)
    logger.add(sink, level=0, format="{message}", backtrace=False, diagnose=False)

    def work():
        logger.bind(name="Ann").info("hello {who} 100% %s", who="you")
        logger.trace("small")
        logger.success("done")
        try:
            {}["missing"]
        except KeyError:
            logger.exception("oh")

    with trace.get_tracer("test").start_as_current_span("span") as span:
        work()
    print(trace.format_trace_id(span.get_span_context().trace_id))

    class ToLoguru(logging.Handler):
        def emit(self, record):
            logger.opt(depth=6).log(record.levelname, record.getMessage())

    logging.basicConfig(handlers=[ToLoguru()], level=logging.INFO)
    logging.getLogger("standard").warning("from logging")
"""


def test_loguru_arrives_once_with_all_it_knows(server, program, godot_run):
    done = program(LOGURU, *godot_run, GODOT_REDIS_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    stored = lines(server)
    assert [line.body for line in stored] == [
        "hello you 100% %s", "small", "done", "oh", "from logging",
    ]  # fmt: skip # in order
    first, _, _, failed, standard = stored
    assert {line.logger for line in stored[:4]} == {"__main__"}
    trace_id = done.stdout.splitlines()[-1]
    assert {line.trace_id for line in stored[:4]} == {trace_id}
    assert first.attributes["who"] == "you"
    assert first.attributes["extra.name"] == "Ann"
    assert first.attributes["code.function.name"] == "work"
    assert first.attributes["code.file.path"].endswith("shop.py")
    assert failed.attributes["exception.type"] == "KeyError"
    assert "in work" in failed.attributes["exception.stacktrace"]
    assert standard.logger == "standard"
    assert [line.severity for line in stored[:4]] == [
        (9, "INFO"), (1, "TRACE"), (12, "SUCCESS"), (17, "ERROR"),
    ]  # fmt: skip # in order


STRUCTLOG = """
    import asyncio, sys
    import structlog
    from opentelemetry import trace
    from godot_otel_exporter.structlog import processor

    structlog.configure(processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(),
        processor,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ])
    log = structlog.get_logger()

    def work():
        log.info("hello", cart=7, name="Ann")
        log.debug("small %s", "talk")
        try:
            {}["missing"]
        except KeyError:
            log.exception("oh")
        log.critical("down", logger="alarm")

    async def later():
        await log.ainfo("later")

    with trace.get_tracer("test").start_as_current_span("span") as span:
        work()
        asyncio.run(later())
    print(trace.format_trace_id(span.get_span_context().trace_id))
"""


def test_structlog_arrives_once_and_prints_as_before(server, program, godot_run):
    done = program(STRUCTLOG, *godot_run, GODOT_REDIS_URL=server.url)
    assert done.returncode == 0, done.stderr
    *printed, trace_id = done.stdout.splitlines()
    assert printed[0].startswith("event='hello' cart=7 name='Ann' level='info'")
    assert len(printed) == 5
    stored = lines(server)
    assert {line.trace_id for line in stored} == {trace_id}
    assert [line.body for line in stored] == [
        "hello", "small talk", "oh", "down", "later",
    ]  # fmt: skip # in order
    first, _, failed, named, later = stored
    assert first.logger == later.logger == "__main__"
    assert first.attributes["extra.name"] == "Ann"
    assert first.attributes["code.function.name"] == "work"
    assert later.attributes["code.function.name"] == "later"
    assert failed.attributes["exception.type"] == "KeyError"
    assert named.logger == "alarm"
    assert not {"event", "level", "timestamp", "exc_info"} & set(first.attributes)
    assert [line.severity[0] for line in stored] == [9, 5, 17, 21, 9]


STDLIB = """
    import logging, sys
    import structlog
    from godot_otel_exporter.structlog import processor

    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level, processor,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta, processor,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
    ))
    logging.basicConfig(handlers=[handler])
    structlog.get_logger("shop").warning("hello", cart=7)
    logging.getLogger("standard").warning("plain")
"""


def test_structlog_over_logging_arrives_once_even_with_the_processor(
    server, program, godot_run
):
    done = program(STDLIB, *godot_run, GODOT_REDIS_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert [(line.logger, line.body) for line in lines(server)] == [
        ("shop", "event='hello' cart=7 level='warning'"), ("standard", "plain"),
    ]  # fmt: skip # in order


def test_without_set_up_both_do_nothing(program):
    done = program(
        """
        import structlog
        from loguru import logger
        from godot_otel_exporter.loguru import sink
        from godot_otel_exporter.structlog import processor
        logger.remove()
        logger.add(sink, catch=False)
        logger.info("hello")
        processor(object(), "info", {"event": "hello"})
        processor(object(), None, None)
        sink("no message of loguru's")
        """
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2  # what was lost is said, once each
