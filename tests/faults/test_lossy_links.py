"""However an answer is spoiled on a link, every accepted record is stored once."""

import itertools
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from fix_oracle import RIGHT, Journal, text
from fix_pipeline import Pipeline, ended
from fix_processes import wait_until
from fix_proxy import WAYS, LossyProxy
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from godot_otel.stack.postgres import Postgres
from godot_otel_exporter.exporter import GodotLogRecordExporter

REQUESTS = {
    "admission": ("queue", b"payload", b""),
    "read": ("reading", b"XREADGROUP", b"payload"),
    "acknowledgement": ("reading", b"EVALSHA", b""),
    "commit": ("store", b"COMMIT", b""),
}
"""Link, the request whose answer is spoiled, and what must be in that."""
# Lost ones of the queue are in tests/pipeline.
SPOILED = [
    (request, way)
    for request, way in itertools.product(REQUESTS, WAYS)
    if way != "lost" or request == "commit"
]


class Links:
    """A pipeline that runs behind proxies, and an exporter at its beginning."""

    def __init__(self, pipeline: Pipeline, store: str | tuple[str, int]) -> None:
        self.pipeline = pipeline
        at = urlsplit(pipeline.redis_url)
        assert at.hostname
        assert at.port
        queue = at.hostname, at.port
        targets = {"queue": queue, "reading": queue, "store": store}
        self.proxies = {name: LossyProxy(target) for name, target in targets.items()}
        self.proxies["queue"].stall_seconds = 2.2  # longer than an exporter waits
        self.exporter = GodotLogRecordExporter(
            endpoint=self.proxies["queue"].redis_url(pipeline.redis_url),
            spool_dir=pipeline.spool,
        )
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))
        self.journal: Journal = pipeline.oracle.journal("exporter")

    def log(self, record: str) -> None:
        self.journal.tried([record])
        self.provider.get_logger("links").emit(body=text(record))
        self.journal.accepted([record])

    def close(self) -> None:
        self.provider.shutdown()
        for proxy in self.proxies.values():
            proxy.close()


@pytest.fixture(scope="module")
def links(request, valkey, postgres, template, tmp_path_factory) -> Iterator[Links]:
    if not isinstance(postgres, Postgres):
        pytest.skip("knows the socket and the password of the embedded one")
    name, url = "lossy_links", f"{valkey.url.rpartition('/')[0]}/14"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        dsn = postgres.dsn(name)
        pipeline = Pipeline(tmp_path_factory.mktemp(name), url, dsn, dead_seconds=5)
        links = Links(pipeline, f"{postgres.socket_folder}/.s.PGSQL.5432")
        collector = pipeline.collector(
            links.proxies["reading"].redis_url(url),
            through(dsn, links.proxies["store"].port),
        )
        links.log("first")
        wait_until(lambda: pipeline.oracle.stored(dsn, "first"), "the first record")
        yield links
        collector.terminate()
        ended(collector, 0)
        links.close()
        pipeline.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def through(dsn: str, port: int) -> str:
    """The same database by TCP, by way of a proxy."""
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0]
    return f"postgresql://{user}@127.0.0.1:{port}{parts.path}?sslmode=disable"


@pytest.mark.parametrize(("request_", "way"), SPOILED)
def test_a_spoiled_answer_costs_no_record_and_doubles_none(links, request_, way):
    link, word, answer = REQUESTS[request_]
    proxy, pipeline = links.proxies[link], links.pipeline
    before = proxy.spoiled
    proxy.spoil(word, way, answer)
    # On a slow machine, four may all be in an answer that is under way already.
    for number in range(200):
        links.log(f"{request_}-{way}-{number}")
        pipeline.admit(f"{request_}-{way}-{number}-too")
        time.sleep(0.05)
        if number >= 3 and proxy.spoiled > before:
            break
    assert proxy.spoiled > before
    wait_until(lambda: pipeline.waiting() == 0, "an empty spool")
    wait_until(lambda: pipeline.depth() == 0, "the queue to drain")
    assert pipeline.oracle.verdict(pipeline.dsn) == RIGHT
