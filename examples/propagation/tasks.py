"""An aiohttp service that goes on after it has answered.

    godot-otel run --service tasks -- python tasks.py

A task has the context of whoever created it, so its lines belong to the request's
trace; also those of a thread that it asks to do what would block.
"""

import asyncio
import logging
import os

from aiohttp import web

PORT = int(os.environ.get("PORT", "8083"))

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("tasks.mail")
running = set[asyncio.Task[None]]()  # asyncio itself keeps no task from vanishing


def write(order: str) -> None:
    log.info("the letter about order %s is written", order)


async def mail(order: str) -> None:
    await asyncio.sleep(0.2)  # the answer is out by now
    await asyncio.to_thread(write, order)
    log.info("the letter about order %s is on its way", order)


async def note(request: web.Request) -> web.Response:
    order = request.match_info["order"]
    log.info("a letter about order %s is wanted", order)
    task = asyncio.create_task(mail(order))
    running.add(task)
    task.add_done_callback(running.discard)
    return web.Response(text="noted\n")


app = web.Application()
app.add_routes([web.get("/orders/{order}", note)])

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=PORT, print=None)
