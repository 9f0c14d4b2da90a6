"""Logs in every odd way there is; run with each way in, the outcome must be the same.

Writes what Python itself makes of each logged exception to ``tracebacks.json``.
"""

import contextlib
import datetime
import decimal
import enum
import json
import logging
import sys
import threading
import traceback
from pathlib import Path

from opentelemetry import trace

if "configure" in sys.argv:
    from godot_otel_exporter import configure

    configure()

tracebacks: dict[str, str] = {}


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Printed:
    def __str__(self) -> str:
        return "an object with %s"


class Hostile(dict):
    def items(self):
        raise RuntimeError("hostile")


def case(name: str) -> logging.Logger:
    return logging.getLogger(f"case.{name}")


def deep(depth: int):
    value: object = "bottom"
    for _ in range(depth):
        value = {"a": [value]}
    return value


cycle: list[object] = [1]
cycle.append(cycle)

VALUES = {
    "text": "grüße", "empty": "", "true": True, "false": False, "int": -5, "zero": 0,
    "int64": 2**63 - 1, "int65": 2**63, "float": 1.5, "infinity": float("inf"),
    "bytes": b"\x00\xff", "bytearray": bytearray(b"ab"), "none": None,
    "list": ["a", 1, None, 2.5, b"x"], "empty list": [], "tuple": (1, 2), "set": {7},
    "frozenset": frozenset({"x"}), "range": range(3), "mixed": [1, "a", [True, {}]],
    "mapping": {"a": {"b": [1, {"c": None}]}, 5: 6}, "empty mapping": {},
    "nul": "a\x00b", "surrogate": "\ud800x", "digits": 10**5000, "deep": deep(12),
    "too deep": deep(60), "cycle": cycle, "decimal": decimal.Decimal("1.10"),
    "date": datetime.date(2024, 1, 2), "path": Path("/a/b"), "enum": Colour.RED,
    "int enum": Number.ONE, "str subclass": Text("sub"), "class": Colour,
    "exception": ValueError("as a value"), "unprintable": Unprintable(),
    "hostile": Hostile(a=1), "function": len, "complex": 1 + 2j, "object": Printed(),
    "password": "hunter2", "headers": [["Cookie", "a=b"]], "long": "x" * 20_000,
    "long list": ["y" * 100] * 200, "memoryview": memoryview(b"view"), "": "no key",
    "generator": (n for n in ()), "iterator": iter(()), "...": ..., "nan": float("nan"),
    "lines": "a\nb", "url": "https://u:secret@host/path", "spaces  in key": 1,
}  # fmt: skip # many a line


def messages() -> None:
    case("plain").info("hello")
    case("root").info("by name")
    logging.getLogger().info("of the root logger")
    case("args").info("%s paid %d", "ann", 5)
    case("args.mapping").info("%(who)s paid", {"who": "ann"})
    case("args.bad").info("%d", "x")
    case("args.many").info("nothing", 1, 2)
    case("args.unprintable").info("%s", Unprintable())
    case("args.empty").info("%s", ())
    case("percent").info("100% of %s")
    case("template.long").info("%s " + "z" * 20_000, 1)
    case("template.surrogate").info("\ud800 %s", 1)
    case("template.secret").info("password=hunter2 %s", 1)
    for number, message in enumerate(
        (5, None, b"bytes", ["a", 1], {"a": 1}, Printed(), ValueError("v"),
         Unprintable(), Text("sub"), "", "\ud800", "a\x00b", "x" * 70_000, "ü" * 40_000,
         "line\nline", "token=abc Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc")
    ):  # fmt: skip # one list
        case(f"message.{number}").info(message)
    case("message.args").info(Printed(), "args")
    logging.getLogger("werkzeug").info("\x1b[33mGET / HTTP/1.1\x1b[0m %s", 200)
    logging.getLogger("case.\ud800").info("odd name")
    logging.getLogger("case." + "n" * 2000).info("long name")
    case("stack").info("with its stack", stack_info=True)
    case("here").info("elsewhere", stacklevel=2)


def levels() -> None:
    logging.addLevelName(25, "NOTICE")
    logging.addLevelName(35, "odd \ud800 name")
    for level in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 19, 20, 21, 25, 29, 30, 35,
                  39, 40, 45, 49, 50, 51, 55, 60, 99, 1000, 2**40):  # fmt: skip
        case(f"level.{level}").log(level, "at %d", level)
    logging.addLevelName(5, "TRACE")
    case("level.trace").log(5, "a trace")
    case("level.enum").log(Number.ONE, "an enumeration")
    case("level.bool").log(True, "a truth")


def extras() -> None:
    for name, value in VALUES.items():
        case(f"extra.{name}").info("hello", extra={name: value, "other": 1})
    case("extra.all").info("hello", extra=VALUES)
    case("extra.keys").info(
        "hello", extra={5: 1, None: 2, (1, 2): 3, b"x": 4, 2.5: 5, "\ud800": 6}
    )
    case("extra.many").info("hello", extra={f"key {n}": n for n in range(200)})
    case("extra.edge").info("hello", extra={f"key {n}": n for n in range(123)})
    case("extra.collide").info(
        "hello %s", "x",
        extra={
            "code.file.path": "mine", "code.line.number": "eight", "thread.id": 5,
            "code.function.name": None, "thread.name": ["mine"],
            "log.record.template": "mine", "log.truncated_bytes": 3,
        },
    )  # fmt: skip # call
    try:
        raise ValueError("theirs")
    except ValueError:
        case("extra.collide.exception").info(
            "hello",
            exc_info=True,
            stack_info=True,
            extra={"exception.type": "m", "exception.stacktrace": 1,
                   "code.stacktrace": "mine"},
        )  # fmt: skip # call
    case("extra.truncated").info("x" * 70_000, extra={"log.truncated_bytes": 3})
    for number, names in enumerate((
        {"event.name": "old"}, {"otel.event.name": "new"}, {"event.name": 5},
        {"event.name": "old", "otel.event.name": "new"}, {"event.name": None},
        {"event.name": ""}, {"otel.event.name": "\ud800"},
        {"otel.event.name": "e" * 3000}, {"otel.event.name": Unprintable()},
    )):  # fmt: skip # one list
        case(f"event.{number}").info("hello", extra={**names, "n": number})
    logging.LoggerAdapter(case("adapter"), {"user": "ann"}).info("adapted")
    with contextlib.suppress(KeyError):  # with OTEL_PYTHON_LOG_CORRELATION
        case("otel").info("hello", extra={"otelTraceID": "mine"})


def raising(name: str, make) -> None:
    try:
        make()
    except BaseException as error:
        tracebacks[name] = "".join(traceback.format_exception(error))
        case(name).info("failed", exc_info=True)
        case(f"{name}.instance").info("failed", exc_info=error)


def chained() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError("second") from error


def in_context() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second\nand more")  # noqa: B904 # on purpose


def silenced() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second") from None


def noted() -> None:
    error = ValueError("with notes")
    error.add_note("the first\nnote")
    error.add_note("the second")
    raise error


def grouped() -> None:
    found = []
    for make in (chained, noted):
        try:
            make()
        except ValueError as error:
            found.append(error)
    raise ExceptionGroup("several", [*found, ExceptionGroup("more", [OSError(2, "x")])])


def recursive(n: int = 0) -> None:
    recursive(n + 1)


def unprintable() -> None:
    raise UnprintableError


def syntax() -> None:
    compile("a = (1,\nb c", "odd.py", "exec")


def attribute() -> None:
    logging.inof  # noqa: B018 # suggests info


def many_lines() -> None:
    raise ValueError("x" * 20_000)


def surrogate() -> None:
    raise ValueError("\ud800")


def secret() -> None:
    raise ValueError("password=hunter2")


def local() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("local")


def leaving() -> None:
    raise SystemExit(3)


def cyclic() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def evaluated() -> None:
    exec(compile("def f():\n    raise ValueError('no source')\nf()", "<none>", "exec"))


def exceptions() -> None:
    for make in (
        chained, in_context, silenced, noted, grouped, recursive, unprintable, syntax,
        attribute, many_lines, surrogate, secret, local, leaving, cyclic, evaluated,
    ):  # fmt: skip # one list
        raising(f"exception.{make.__name__}", make)
    case("exception.none").info("no exception", exc_info=True)
    case("exception.bare").info("never raised", exc_info=ValueError("bare"))
    case("exception.tuple").info("a tuple", exc_info=(ValueError, None, None))
    case("exception.odd").info("an odd tuple", exc_info=(1, 2, 3))
    case("exception.short").info("a short tuple", exc_info=(ValueError,))


def handled() -> None:
    """Records as they come from elsewhere, by socket or file."""
    fields = {"msg": "sent", "levelno": 20, "levelname": "INFO", "args": None}
    for number, odd in enumerate((
        {}, {"created": -1.5}, {"created": 1e30}, {"created": float("inf")},
        {"created": float("nan")}, {"created": "now"}, {"created": None},
        {"created": 1700000000}, {"levelname": None}, {"levelno": 20.5},
        {"levelno": 10**30}, {"levelname": "\ud800"}, {"pathname": None},
        {"pathname": "\ud800"}, {"lineno": "8"}, {"lineno": None}, {"lineno": 2**70},
        {"thread": "x"}, {"thread": None, "threadName": None}, {"funcName": 5},
        {"exc_text": "formatted"}, {"stack_info": 5}, {"levelno": -10},
        {"args": 5}, {"args": {"a": 1}}, {"stack_info": "\ud800"}, {"pathname": []},
        {"thread": 2**63}, {"funcName": "f" * 20_000}, {"lineno": [1]},
    )):  # fmt: skip # one list
        record = logging.makeLogRecord({**fields, "name": f"case.made.{number}", **odd})
        logging.getLogger(record.name).handle(record)
    bare = logging.makeLogRecord({"name": "case.made.bare", "levelno": 20})
    logging.getLogger("case.made.bare").handle(bare)


def factory() -> None:
    before = logging.getLogRecordFactory()

    def make(*arguments, **keywords):
        record = before(*arguments, **keywords)
        record.request = {"id": 5}
        return record

    logging.setLogRecordFactory(make)
    case("factory").info("hello")
    logging.setLogRecordFactory(before)


def threads() -> None:
    for name in ("worker-7", "odd \ud800"):
        thread = threading.Thread(target=case("thread").info, args=["hello"], name=name)
        thread.start()
        thread.join()
    logging.logThreads = False
    case("thread.none").info("hello")
    logging.logThreads = True


def spans() -> None:
    with trace.get_tracer("t").start_as_current_span("outer"):
        case("span").info("in a span")
        raising("span.exception", chained)


def main() -> None:
    # Its line is the last of the stack in some tracebacks: the same in every run.
    logging.getLogger().setLevel(1)
    for part in (
        messages, levels, extras, exceptions, handled, factory, threads, spans
    ):  # fmt: skip # one list
        part()
    Path("tracebacks.json").write_text(json.dumps(tracebacks))


main()
