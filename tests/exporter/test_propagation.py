from __future__ import annotations

import pytest
from fix_serving import free_port, lines, serving
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from godot_otel_exporter.propagation import XTraceIdPropagator
from godot_otel_exporter.responses import ResponseTraceId

UUID = "0af76519-16cd-43dd-8448-eb211c80319c"
HEX = UUID.replace("-", "")
OTHER = "11111111111111111111111111111111"
BOTH = {"OTEL_PROPAGATORS": "tracecontext,baggage,godot_xtraceid"}

ALL = CompositePropagator(
    [TraceContextTextMapPropagator(), W3CBaggagePropagator(), XTraceIdPropagator()]
)


def _extracted(**headers: str) -> str | None:
    carrier = {name.replace("_", "-"): value for name, value in headers.items()}
    span = trace.get_current_span(ALL.extract(carrier)).get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


@pytest.mark.parametrize("value", [UUID, UUID.upper(), HEX, f" {UUID} "])
def test_a_uuid_is_the_trace_id(value):
    assert _extracted(x_trace_id=value) == HEX


@pytest.mark.parametrize(
    "value",
    ["", "-", "order 7", UUID[:-1], UUID + "0", f"{{{UUID}}}", "0" * 32, "é" * 32,
     "x" * 500, f"{UUID},{UUID}"],
)  # fmt: skip # one list
def test_anything_else_is_not(value):
    assert _extracted(x_trace_id=value) is None


def test_traceparent_wins_in_either_order():
    headers = {"traceparent": f"00-{OTHER}-{'2' * 16}-00", "x_trace_id": UUID}
    assert _extracted(**headers) == OTHER
    assert _extracted(**headers | {"traceparent": "garbage"}) == HEX
    reverse = CompositePropagator(
        [XTraceIdPropagator(), TraceContextTextMapPropagator()]
    )
    carrier = {"traceparent": headers["traceparent"], "x-trace-id": UUID}
    span = trace.get_current_span(reverse.extract(carrier)).get_span_context()
    assert f"{span.trace_id:032x}" == OTHER


def test_an_id_that_is_no_uuid_travels_on_as_it_is():
    context = ALL.extract({"x-trace-id": "order-7/b"})
    assert baggage.get_baggage("x-trace-id", context) == "order-7/b"
    sent: dict[str, str] = {}
    ALL.inject(sent, context)
    assert sent == {"baggage": "x-trace-id=order-7%2Fb"}
    garbage = ALL.extract({"x-trace-id": "a\tb"})
    assert baggage.get_baggage("x-trace-id", garbage) is None


def test_what_came_as_x_trace_id_leaves_as_both():
    sent: dict[str, str] = {}
    ALL.inject(sent, ALL.extract({"x-trace-id": UUID}))
    assert sent["x-trace-id"] == UUID
    assert sent["traceparent"].startswith(f"00-{HEX}-")
    assert sent["traceparent"].endswith("-01")  # else samplers would drop the trace


def _in_trace():
    return ALL.extract({"x-trace-id": UUID})


def test_a_message_sent_again_and_again_does_not_grow(said):
    headers = ((b"a", b"b"), (b"Access-Control-Expose-Headers", b"etag"))
    message = {"type": "http.response.start", "status": 200, "headers": headers}

    class Setter:
        def set(self, carrier, key, value):
            carrier["headers"].append([key.lower().encode(), value.encode()])

    propagator = ResponseTraceId()
    for _ in range(3):
        propagator.inject(message, context=_in_trace(), setter=Setter())
    names = [name.lower() for name, _ in message["headers"]]
    assert names.count(b"traceresponse") == 1
    assert names.count(b"access-control-expose-headers") == 2
    assert headers == ((b"a", b"b"), (b"Access-Control-Expose-Headers", b"etag"))
    message["headers"] = (pair for pair in [("text", "instead of bytes")])
    propagator.inject(message, context=_in_trace(), setter=Setter())
    assert message["headers"] == [("text", "instead of bytes")]
    body = {"type": "http.response.body", "body": b""}
    propagator.inject(body, context=_in_trace(), setter=Setter())
    assert "headers" not in body


def test_a_response_that_cannot_be_read_stays_as_it_is(said):
    ResponseTraceId().inject(object(), context=_in_trace())
    assert len(said) == 1


AIOHTTP = """
    import logging, os
    from aiohttp import web, ClientSession
    log = logging.getLogger("app")
    async def fine(request):
        log.warning("inside")
        return web.Response(text="fine", headers={"Access-Control-Expose-Headers": "x"})
    async def bad(request):
        raise RuntimeError("boom")
    async def forbidden(request):
        raise web.HTTPForbidden(headers={"X-Trace-ID": "my own"})
    async def stream(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write_eof(b"a")
        return answer
    async def socket(request):
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        log.warning("the handshake says %s", sorted(answer.headers))
        await answer.close()
        return answer
    async def dial(request):
        url = f"http://127.0.0.1:{os.environ['PORT']}/socket"
        async with ClientSession() as session, session.ws_connect(url):
            return web.Response()
    @web.middleware
    async def mine(request, handler):
        return await handler(request)
    app = web.Application(middlewares=(mine,))
    app.add_routes([
        web.get("/fine", fine), web.get("/bad", bad), web.get("/forbidden", forbidden),
        web.get("/stream", stream), web.get("/socket", socket), web.get("/dial", dial),
    ])
    shared = [mine]
    app.add_subapp("/one/", web.Application(middlewares=shared))
    app.add_subapp("/two/", web.Application(middlewares=shared))
    assert shared == [mine]
    web.run_app(app, port=int(os.environ["PORT"]), print=None)
"""


def test_aiohttp_answers_with_the_trace_and_takes_a_tuple(server, tmp_path):
    port = free_port()
    with serving(
        tmp_path, AIOHTTP, "python", "app.py", port=port,
        GODOT_REDIS_URL=server.url, **BOTH,
    ) as client:  # fmt: skip # one server
        for path in ("/fine", "/bad", "/stream", "/missing", "/one/missing"):
            answer = client.get(path, X_Trace_ID=UUID)
            assert answer["traceresponse"].startswith(f"00-{HEX}-"), path
            assert answer.get_all("X-Trace-ID") == [UUID]
            exposed = answer.get_all("Access-Control-Expose-Headers")
            assert exposed[-2:] == ["traceresponse", "X-Trace-ID"]
        assert exposed[:-2] == []
        forbidden = client.get("/forbidden", X_Trace_ID=UUID)
        assert forbidden.get_all("X-Trace-ID") == ["my own"]
        assert client.get("/dial")["traceresponse"]
        assert client.get("/fine")["traceresponse"].split("-")[1] != HEX
    stored = lines(server)
    assert next(one.trace_id for one in stored if one.body == "inside") == HEX
    (handshake,) = [one.body for one in stored if "handshake" in one.body]
    assert "race" not in handshake


FLASK = """
    import logging, os
    from flask import Flask, request
    app = Flask(__name__)
    @app.get("/fine")
    def fine():
        logging.getLogger("app").warning("inside")
        return "fine"
"""


@pytest.mark.parametrize("propagators", [{}, BOTH])
def test_x_trace_id_is_off_unless_it_is_named(propagators, server, tmp_path):
    port = free_port()
    command = ["flask", "run", "--port", str(port)]
    with serving(
        tmp_path, FLASK, *command, port=port, GODOT_REDIS_URL=server.url, **propagators
    ) as client:
        answer = client.get("/fine", X_Trace_ID=UUID)
        assert answer["traceresponse"].startswith(f"00-{HEX}-") == bool(propagators)
        assert answer["X-Trace-ID"] == (UUID if propagators else None)
        client.get("/fine", traceparent=f"00-{OTHER}-{'2' * 16}-01", X_Trace_ID=UUID)
    inside = [one.trace_id for one in lines(server) if one.body == "inside"]
    assert (inside[0] == HEX) == bool(propagators)
    assert inside[1] == OTHER


FASTAPI = """
    from fastapi import FastAPI
    from opentelemetry.instrumentation import propagators
    from starlette.responses import PlainTextResponse
    app = FastAPI()
    app.add_route("/shared", PlainTextResponse("one object for every request"))
    @app.get("/bad")
    def bad():
        raise RuntimeError("boom")
    inner = FastAPI()
    @inner.get("/fine")
    def fine():
        return "fine"
    app.mount("/inner", inner)
    class Mine(propagators.ResponsePropagator):
        def inject(self, carrier, context=None, setter=None):
            setter.set(carrier, "mine", "yes")
    @app.get("/mine")
    def mine():
        propagators.set_global_response_propagator(Mine())
        return "fine"
"""


def test_fastapi_answers_once_with_the_trace_and_may_choose_another(server, tmp_path):
    port = free_port()
    command = ["uvicorn", "--port", str(port), "app:app"]
    with serving(
        tmp_path, FASTAPI, *command, port=port, GODOT_REDIS_URL=server.url, **BOTH
    ) as client:
        for path in ("/shared", "/shared", "/bad", "/inner/fine", "/missing"):
            answer = client.get(path, X_Trace_ID=UUID)
            (response,) = answer.get_all("traceresponse")
            assert response.startswith(f"00-{HEX}-"), path
            assert answer.get_all("X-Trace-ID") == [UUID]
            assert len(answer.get_all("Access-Control-Expose-Headers")) == 2
        mine = client.get("/mine")
        assert (mine["mine"], mine["traceresponse"]) == ("yes", None)


def test_instrumentors_switched_off_are_left_alone(server, tmp_path):
    port = free_port()
    with serving(
        tmp_path, AIOHTTP, "python", "app.py", port=port, GODOT_REDIS_URL=server.url,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="aiohttp-server",
    ) as client:  # fmt: skip # one server
        assert client.get("/fine")["traceresponse"] is None


def test_the_id_that_is_no_uuid_stands_on_the_requests_span(program, godot_run):
    done = program(
        """
        import opentelemetry.trace as trace
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind
        context = extract({"x-trace-id": "order-7"})
        tracer = trace.get_tracer("test")
        span = tracer.start_span("GET", context, kind=SpanKind.SERVER)
        print(span.attributes["http.request.header.x-trace-id"])
        print(dict(tracer.start_span("inner", context).attributes))
        """,
        *godot_run,
        **BOTH,
    )
    assert done.stdout == "('order-7',)\n{}\n"
