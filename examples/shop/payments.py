"""The payments service: charges cards, and declines some.

Nothing here knows of OpenTelemetry. Run it with

    godot-otel run --service payments -- python payments.py
"""

import logging
import os

from aiohttp import web

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("payments.cards")


class CardDeclined(Exception):
    """The bank said no."""


async def charge(request: web.Request) -> web.Response:
    order = await request.json()
    cart, euros = order["cart"], order["euros"]
    log.info("charging %s euros for cart %s", euros, cart)
    try:
        await ask_the_bank(cart)
    except CardDeclined:
        log.exception("the card for cart %s was declined", cart)
        return web.json_response({"error": "declined"}, status=402)
    log.info("charged %s euros", euros, extra={"cart": cart})
    return web.json_response({"charged": euros})


async def ask_the_bank(cart: int) -> None:
    if cart % 7 == 0:
        raise CardDeclined(f"insufficient funds for cart {cart}")


app = web.Application()
app.add_routes([web.post("/charge", charge)])

if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8081"))
    # aiohttp's own 60 s is how long half a request would hold up a SIGTERM.
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=3)
