"""A Flask service that works in a pool of threads.

    godot-otel run --service threads -- flask --app threads run

A thread of a pool knows nothing of the request that gave it work. Under ``godot-otel
run`` the pool hands the trace over, because the threading instrumentor is there (it
comes with the flask, fastapi, django and celery extras). Where it is not, hand over the
context yourself: that is Python's own, and right in any case.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import requests
from flask import Flask

NEXT = os.environ.get("NEXT_URL", "http://127.0.0.1:8082")

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("threads.orders")
app = Flask(__name__)
pool = ThreadPoolExecutor(4)


def weigh(order: int) -> None:
    log.info("order %s is weighed", order)


def pack(order: int) -> None:
    log.info("order %s is packed", order)


@app.get("/orders/<int:order>")
def send(order: int) -> str:
    log.info("order %s came in", order)
    pool.submit(weigh, order).result()
    pool.submit(copy_context().run, pack, order).result()
    requests.get(f"{NEXT}/orders/{order}", timeout=10).raise_for_status()
    return "sent\n"
