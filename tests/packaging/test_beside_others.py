"""Our wheel beside other parts of OpenTelemetry: unseen until it is selected."""

import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

pytestmark = pytest.mark.slow

APPLICATION = """
import logging
from opentelemetry import trace
with trace.get_tracer("shop").start_as_current_span("order"):
    logging.getLogger("shop").info("an order")
    logging.getLogger("shop").warning("out of stock", extra={"article": 5})
print("done")
"""

DECLARED = """
file_format: "1.0"
resource: {attributes: [{name: service.name, value: declared}]}
logger_provider:
  processors:
    - batch:
        schedule_delay: 200
        exporter:
          godot: {endpoint: "%s", redact_keys: [article], %s}
tracer_provider:
  processors:
    - batch: {exporter: {godot: {endpoint: "%s", compression: none}}}
"""

SELECTED = {"OTEL_PYTHON_DISTRO": "godot", "OTEL_PYTHON_CONFIGURATOR": "godot"}


class Sink:
    """Takes OTLP over HTTP and remembers what came."""

    def __init__(self) -> None:
        requests: list[tuple[str, bytes]] = []
        self._requests = requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append((self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever).start()

    def taken(self) -> list[tuple[str, object]]:
        """What came since the last call, without what differs from run to run."""
        found: list[tuple[str, object]] = []
        for path, body in self._requests:
            content: object = len(body)
            if path == "/v1/logs":
                content = _logs(ExportLogsServiceRequest.FromString(body))
            elif path == "/v1/traces":
                content = _spans(ExportTraceServiceRequest.FromString(body))
            found.append((path, content))
        self._requests.clear()
        return sorted(found, key=str)


def _resource(attributes) -> dict[str, str]:
    return {pair.key: str(pair.value) for pair in attributes} | {
        "service.instance.id": ""
    }


def _logs(request) -> list[object]:
    return [
        (_resource(group.resource.attributes), scope.scope.name, record.body,
         record.severity_number, list(record.attributes), len(record.trace_id))
        for group in request.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]  # fmt: skip # what must be the same


def _spans(request) -> list[object]:
    return [
        (_resource(group.resource.attributes), scope.scope.name, span.name)
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def crowded(install):
    """An environment with everything that may stand beside ours."""
    environment = install(
        "", "opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-configuration",
    )  # fmt: skip # what is beside ours
    (environment.elsewhere / "shop.py").write_text(APPLICATION)
    return environment


def run(environment, *before: str, **variables: str):
    return environment.run(*before, "python", "shop.py", **variables)


def remove(environment) -> None:
    for found in site_packages(environment).glob("godot_otel*"):
        shutil.rmtree(found)


def site_packages(environment) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return environment.folder / "lib" / version / "site-packages"


def place(environment, wheel: Path, version: str) -> None:
    """Put the wheel's files there under another version's number."""
    remove(environment)
    folder = site_packages(environment)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (built,) = folder.glob("godot_otel-*.dist-info")
    metadata = built / "METADATA"
    own = wheel.name.split("-")[1]
    text = metadata.read_text().replace(
        f"\nVersion: {own}\n", f"\nVersion: {version}\n"
    )
    metadata.write_text(text)
    built.rename(folder / f"godot_otel-{version}.dist-info")


# Which distro is found first depends on the order of the folder, so on these names.
VERSIONS = ("0.0.1", "0.1.0", "0.2.0", "1.0", "1.2.3", "3.9.9", "99.0")


def test_unless_selected_nothing_changes_for_who_exports_elsewhere(
    crowded, wheel, sink
):
    elsewhere = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_PYTHON_LOG_CORRELATION": "false",
        "OTEL_PYTHON_LOG_LEVEL": "info",
        "OTEL_SERVICE_NAME": "shop",
    }
    firsts = set()
    try:
        remove(crowded)
        without = run(crowded, "opentelemetry-instrument", **elsewhere)
        requests = sink.taken()
        assert (without.returncode, without.stdout) == (0, "done\n")
        assert {path for path, _ in requests} >= {"/v1/logs", "/v1/traces"}
        for version in VERSIONS:
            place(crowded, wheel, version)
            beside = run(crowded, "opentelemetry-instrument", **elsewhere)
            assert beside.stderr == without.stderr
            assert (beside.returncode, beside.stdout) == (0, "done\n")
            assert sink.taken() == requests
            assert not (crowded.elsewhere / "data").exists()
            firsts.add(first_distro(crowded))
    finally:
        place(crowded, wheel, wheel.name.split("-")[1])
    if firsts != {"distro", "godot"}:
        pytest.skip(f"this file system lists {firsts} first for every version tried")


def first_distro(environment) -> str:
    program = (
        "from importlib.metadata import entry_points;"
        "print(list(entry_points(group='opentelemetry_distro'))[0].name)"
    )
    return environment.run("python", "-c", program).stdout.strip()


@pytest.mark.parametrize(
    "variables",
    [SELECTED, {"OTEL_PYTHON_DISTRO": "godot"},
     {**SELECTED, "OTEL_LOGS_EXPORTER": "godot"}],
    ids=["both", "distro alone", "no word of metrics"],
)  # fmt: skip # a table
def test_selected_it_works_beside_the_other_distro_without_a_word(
    variables, crowded, redis_url
):
    variables = {**variables, "GODOT_REDIS_URL": redis_url}
    done = run(crowded, "opentelemetry-instrument", **variables)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr == run(crowded).stderr == "out of stock\n"
    assert bodies(redis_url) == ["an order", "out of stock"]
    assert span_names(redis_url) == ["order"]


def test_it_is_a_plain_exporter_under_the_other_distro(crowded, redis_url):
    done = run(
        crowded, "opentelemetry-instrument", GODOT_REDIS_URL=redis_url,
        OTEL_LOGS_EXPORTER="godot", OTEL_TRACES_EXPORTER="godot",
        OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip # one call
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert bodies(redis_url) == ["out of stock"]  # the stock pieces drop INFO
    assert span_names(redis_url) == ["order"]


@pytest.mark.parametrize("variables", [{}, SELECTED], ids=["stock", "ours"])
def test_a_configuration_files_keys_are_the_exporters_arguments(
    variables, crowded, redis_url
):
    file = crowded.elsewhere / "otel.yaml"
    file.write_text(DECLARED % (redis_url, "timeout: 3", redis_url))
    done = run(
        crowded, "opentelemetry-instrument", OTEL_CONFIG_FILE=str(file), **variables
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    found = requests_in(redis_url)
    assert "out of stock" in bodies(redis_url)
    resource = found[-1].resource_logs[0].resource
    assert "declared" in str(resource)
    article = next(
        pair
        for record in found[-1].resource_logs[0].scope_logs[0].log_records
        for pair in record.attributes
        if pair.key == "article"
    )
    assert article.value.string_value == "[REDACTED]"
    assert span_names(redis_url) == ["order"]
    if variables:
        assert done.stderr == "out of stock\n"


@pytest.mark.parametrize("variables", [{}, SELECTED], ids=["stock", "ours"])
def test_a_key_that_is_no_argument_is_named(variables, crowded, redis_url):
    file = crowded.elsewhere / "otel.yaml"
    file.write_text(DECLARED % (redis_url, "stream: logs", redis_url))
    done = run(
        crowded, "opentelemetry-instrument", OTEL_CONFIG_FILE=str(file), **variables
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    last = [line for line in done.stderr.splitlines() if "TypeError" in line][-1]
    assert "the godot exporter takes endpoint, timeout, " in last
    assert last.endswith("; not stream")


def requests_in(redis_url: str) -> list[ExportLogsServiceRequest]:
    return [
        ExportLogsServiceRequest.FromString(p) for p in payloads(redis_url, b"logs")
    ]


def span_names(redis_url: str) -> list[str]:
    return [
        span.name
        for payload in payloads(redis_url, b"traces")
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def payloads(redis_url: str, signal: bytes) -> list[bytes]:
    with redis.Redis.from_url(redis_url) as client:
        entries = client.xrange("godot:{0}:batches")
    return [
        fields[b"payload"]
        for _, fields in entries
        if fields[b"signal"] == signal and fields[b"records"] != b"0"
    ]


def bodies(redis_url: str) -> list[str]:
    return [
        record.body.string_value
        for request in requests_in(redis_url)
        for group in request.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]
