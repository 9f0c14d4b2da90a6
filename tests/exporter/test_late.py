from __future__ import annotations

import logging
import time
from types import SimpleNamespace

import pytest
from fix_serving import free_port, lines, serving
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from godot_otel_exporter import late

FLASK = """
    import logging
    from flask import Flask, Response
    app = Flask(__name__)
    log = logging.getLogger("app")
    @app.get("/fine/<name>")
    def fine(name):
        log.warning("inside")
        return "fine"
    @app.get("/bad")
    def bad():
        log.warning("inside")
        raise RuntimeError("boom")
    @app.get("/stream")
    def stream():
        log.warning("inside")
        return Response(iter(["a", "b"]))
    @app.get("/health")
    def health():
        return "fine"
"""
AIOHTTP = """
    import logging, os
    from aiohttp import web
    log = logging.getLogger("app")
    async def fine(request):
        log.warning("inside")
        return web.Response(text="fine")
    async def bad(request):
        log.warning("inside")
        try:
            {}["missing"]
        except KeyError as error:
            raise RuntimeError("boom") from error
    async def stream(request):
        log.warning("inside")
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"a")
        await answer.write_eof()
        return answer
    async def health(request):
        return web.Response(text="fine")
    app = web.Application()
    app.add_routes([
        web.get("/fine/{name}", fine), web.get("/bad", bad),
        web.get("/stream", stream), web.get("/health", health),
    ])
    web.run_app(app, port=int(os.environ["PORT"]), print=None)
"""
FASTAPI = """
    import logging
    from fastapi import FastAPI
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import StreamingResponse
    app = FastAPI()
    log = logging.getLogger("app")
    async def passing(request, call_next):
        return await call_next(request)
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    @app.get("/fine/{name}")
    def fine(name: str):
        log.warning("inside")
        return "fine"
    @app.get("/bad")
    async def bad():
        log.warning("inside")
        raise RuntimeError("boom")
    @app.get("/stream")
    async def stream():
        log.warning("inside")
        return StreamingResponse(iter(["a", "b"]))
    @app.get("/health")
    async def health():
        return "fine"
"""
SERVERS = {
    "aiohttp": (AIOHTTP, "aiohttp.access", "python app.py"),
    "werkzeug": (FLASK, "werkzeug", "flask run --port {port}"),
    "gunicorn": (
        FLASK, "gunicorn.access",
        "gunicorn -b 127.0.0.1:{port} --access-logfile - app:app",
    ),
    "gunicorn threads": (
        FLASK, "gunicorn.access",
        "gunicorn -b 127.0.0.1:{port} --threads 2 --access-logfile -"
        " --access-logformat %(s)s app:app",
    ),
    "uvicorn": (FASTAPI, "uvicorn.access", "uvicorn --port {port} app:app"),
}  # fmt: skip # a table
PATHS = ["/fine/caf%C3%A9%20x?q=1", "/health", "/bad", "/health", "/stream", "/missing"]


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        *((name, "parentbased_always_on") for name in SERVERS),
        *((name, "always_off") for name in list(SERVERS)[:2]),
    ],
)
def test_access_lines_and_tracebacks_have_their_requests_trace(
    name, sampler, server, tmp_path
):
    source, logger, command = SERVERS[name]
    port = free_port()
    command = command.format(port=port).split()
    with serving(
        tmp_path, source, *command, port=port, GODOT_REDIS_URL=server.url,
        OTEL_PYTHON_EXCLUDED_URLS="health", OTEL_TRACES_SAMPLER=sampler,
    ) as client:  # fmt: skip # one server
        answers = [client.get(path)["traceresponse"] for path in PATHS]
        again = client.get("/fine/again")["traceresponse"]
    asked = [answer and answer.split("-")[1] for answer in (*answers, again)]
    assert asked[1] is asked[3] is None  # excluded
    assert len(set(asked)) == 6
    stored = lines(server)
    inside = [line.trace_id for line in stored if line.body == "inside"]
    assert inside == [asked[0], asked[2], asked[4], asked[6]]
    # werkzeug says hello through its logger of access lines
    access = [
        line.trace_id for line in stored
        if line.logger == logger and (logger != "werkzeug" or "GET" in line.body)
    ]  # fmt: skip # one filter
    assert access == asked
    (failed,) = [line for line in stored if "exception.type" in line.attributes]
    assert failed.trace_id == asked[2]
    assert "boom" in failed.attributes["exception.stacktrace"]


def _logged(name: str, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, 20, "", 0, message, args, None)


@pytest.fixture
def tracer():
    provider = TracerProvider()
    late.install(provider)
    token = late._ended.set(None)
    yield provider.get_tracer("test")
    late._ended.reset(token)


def _request(tracer, path: str):
    attributes = {"http.method": "GET", "http.target": path}
    span = tracer.start_span("GET", kind=SpanKind.SERVER, attributes=attributes)
    span.end()
    return span.get_span_context()


LINE = '1.2.3.4 - - "GET /a?b=c HTTP/1.1" 200'


def test_requests_that_are_not_sampled_stay_so():
    provider = TracerProvider(sampler=ALWAYS_OFF)
    late.install(provider)
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET", kind=SpanKind.SERVER) as span:
        assert not span.get_span_context().trace_flags.sampled
        inner = tracer.start_span("query")
        assert not inner.is_recording()
    assert provider.sampler.get_description() == "AlwaysOffSampler"


def test_a_line_takes_its_request_once_and_only_its_own(tracer):
    asked = _request(tracer, "/a?b=REDACTED")
    other = LINE.replace("/a", "/other")
    assert late.span_context_of(_logged("gunicorn.access", other)) is None
    other = LINE.replace("GET", "POST")
    assert late.span_context_of(_logged("gunicorn.access", other)) is None
    assert late.span_context_of(_logged("gunicorn.access", "no request line")) is None
    assert late.span_context_of(_logged("shop", LINE)) is None
    assert late.span_context_of(_logged("gunicorn.access", LINE)) == asked
    assert late.span_context_of(_logged("gunicorn.access", LINE)) is None


def test_every_logger_has_one_line_about_a_request(tracer):
    asked = _request(tracer, "http://host:8000/caf%C3%A9")
    missing = _logged("django.request", "Not Found: %s", "/café")
    missing.request = SimpleNamespace(method="GET", path="/café")
    served = _logged("django.server", '"%s" %s', "GET /caf%C3%A9 HTTP/1.1", "404")
    served.request = object()
    for record in (missing, served):
        assert late.span_context_of(record) == asked
        assert late.span_context_of(record) is None


def test_a_request_without_a_line_leaves_nothing_to_the_next(tracer, monkeypatch):
    _request(tracer, "/a")
    second = tracer.start_span("GET", kind=SpanKind.SERVER)
    assert late.span_context_of(_logged("werkzeug", LINE)) is None
    second.end()
    _request(tracer, "/a")
    now = time.monotonic()
    monkeypatch.setattr(late.time, "monotonic", lambda: now + late.LONGEST_SECONDS + 1)
    assert late.span_context_of(_logged("werkzeug", LINE)) is None


def _failed_in(span: object, error: BaseException, inner: BaseException | None = None):
    """Raise *error* through a frame of an instrumentation that holds *span*."""
    source = "def call():\n span = held\n raise error from inner"
    module = {
        "__name__": "opentelemetry.instrumentation.some", "held": span,
        "error": error, "inner": inner,
    }  # fmt: skip # its globals
    exec(source, module)
    try:
        module["call"]()
    except BaseException as failed:
        return failed


def _with(error: BaseException) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__)
    return logging.LogRecord("any", 40, "", 0, "failed", None, info)


def test_an_exception_leads_to_its_span_through_causes_and_groups(tracer):
    first, second = (tracer.start_span(name) for name in "ab")
    one = _failed_in(first, ValueError("one"))
    assert late.span_context_of(_with(one)) == first.get_span_context()
    outer = _failed_in(None, RuntimeError("outer"), one)
    assert late.span_context_of(_with(outer)) == first.get_span_context()
    group = ExceptionGroup("group", [one, KeyError("none")])
    assert late.span_context_of(_with(group)) == first.get_span_context()
    group = ExceptionGroup("group", [one, _failed_in(second, KeyError("two"))])
    assert late.span_context_of(_with(group)) is None
    hidden = _failed_in(None, RuntimeError("outer"))
    hidden.__context__ = one
    hidden.__suppress_context__ = True
    assert late.span_context_of(_with(hidden)) is None
    circle = ValueError("circle")
    circle.__cause__ = circle
    assert late.span_context_of(_with(circle)) is None


def test_the_same_exception_raised_again_belongs_to_the_last_request(tracer):
    error = ValueError("a constant")
    for name in "ab":
        span = tracer.start_span(name)
        _failed_in(span, error)
    assert late.span_context_of(_with(error)) == span.get_span_context()


def test_what_cannot_be_read_has_no_trace():
    record = _logged("werkzeug", "%d", "not a number")
    assert late.span_context_of(record) is None
    record.exc_info = True
    record.name = "any"
    assert late.span_context_of(record) is None
