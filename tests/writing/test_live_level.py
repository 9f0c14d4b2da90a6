"""An agent's level reaches a running web service, and ends by itself."""

import asyncio
import time

import pytest
import redis
from fix_agents import client, done, refusal
from fix_held import rows
from fix_serving import free_port, serving
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)

from godot_otel import override
from godot_otel.access import CONTROL

APP = """
    import logging
    from flask import Flask
    log = logging.getLogger("shop.cart")
    app = Flask(__name__)
    @app.get("/<text>")
    def buy(text):
        log.debug("debug %s", text)
        log.warning("warning %s", text)
        return text
"""
COMMAND = ("flask", "--app", "app", "run", "--no-reload", "--port")


def exported(redis_url: str) -> list[str]:
    with redis.Redis.from_url(redis_url) as connection:
        entries = connection.xrange("godot:{0}:batches")
    return [
        record.body.string_value
        for _, fields in entries
        if fields[b"signal"] == b"logs"
        for group in ExportLogsServiceRequest.FromString(
            fields[b"payload"]
        ).resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def queue_time(redis_url: str) -> float:
    """The queue's clock, by which levels end; a machine's may be set meanwhile."""
    with redis.Redis.from_url(redis_url) as connection:
        seconds, microseconds = connection.time()
    return seconds + microseconds / 1e6


async def asked(browser, redis_url: str, text: str) -> bool:
    """Whether a request's DEBUG line is exported, once its warning is."""
    await asyncio.to_thread(browser.get, f"/{text}")
    while f"warning {text}" not in exported(redis_url):
        await asyncio.sleep(0.05)
    return f"debug {text}" in exported(redis_url)


@pytest.mark.slow
async def test_a_running_flask_service_follows_within_5_s_and_reverts_at_its_ttl(
    tmp_path, store_dsn, redis_url, producer
):
    port = free_port()
    with serving(
        tmp_path, APP, *COMMAND, str(port), port=port, GODOT_REDIS_URL=redis_url,
        OTEL_SERVICE_NAME="shop", HOME=str(tmp_path),
    ) as browser:  # fmt: skip # what, and how
        while not (found := override.hearing(producer, "shop")):
            await asyncio.sleep(0.05)
        async with client(
            "memory", "auto", store_dsn, redis_url, scopes=[CONTROL]
        ) as agent:
            assert not await asked(browser, redis_url, "before")
            level = {"component": "shop", "level": "DEBUG", "ttl": "8s"}
            ours, usual = found[0].id, found[0].level
            began, by_the_queue = time.monotonic(), queue_time(redis_url)
            answer = await done(agent, "logger_set_level", **level)
            took = time.monotonic() - began
            assert (answer["applied_to"], answer["instances"]) == (1, 1)
            assert (answer["old"], answer["new"]) == (usual, "DEBUG")
            assert took < 5
            assert await asked(browser, redis_url, "meanwhile")
            while any(one.applied for one in producer.instances() if one.id == ours):
                assert time.monotonic() - began < 14
                await asyncio.sleep(0.05)
            held = queue_time(redis_url) - by_the_queue
            assert held > 7, (producer.instances(), producer.levels())
            assert not await asked(browser, redis_url, "after")

            longer = {"component": "shop/shop.cart", "level": "DEBUG"}
            answer = await done(agent, "logger_set_level", **longer)
            assert answer["applied_to"] == 1
            assert await asked(browser, redis_url, "again")
            longer["level"] = "RESET"
            answer = await done(agent, "logger_set_level", **longer)
            assert (answer["old"], answer["applied_to"]) == ("DEBUG", 1)
            assert "did you mean shop?" in await refusal(
                agent, "logger_set_level", component="shpo", level="DEBUG"
            )
    audit = rows(store_dsn, "SELECT outcome, detail ->> 'new' FROM audit ORDER BY at")
    assert usual in ("INFO", "WARNING")
    assert audit == [
        ("done", "DEBUG"),
        ("done", "DEBUG"),
        ("done", ""),
        ("failed", None),
    ]
