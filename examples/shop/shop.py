"""A shop: takes orders and has them paid by the payments service.

Nothing here knows of OpenTelemetry. Run it with

    godot-otel run --service shop -- flask --app shop run
"""

import logging
import os

import requests
from flask import Flask

PAYMENTS = os.environ.get("PAYMENTS_URL", "http://127.0.0.1:8081")

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("shop.checkout")
app = Flask(__name__)


@app.post("/checkout/<int:cart>")
def checkout(cart: int) -> tuple[dict[str, object], int]:
    log.info("checkout of cart %s started", cart)
    euros = 7 * cart + 3
    answer = requests.post(
        f"{PAYMENTS}/charge", json={"cart": cart, "euros": euros}, timeout=5
    )
    if not answer.ok:
        log.error(
            "cart %s was not paid: payments answered %s", cart, answer.status_code
        )
        return {"cart": cart, "error": "payment failed"}, 502
    log.info("cart %s is paid, sending it", cart, extra={"euros": euros})
    return {"cart": cart, "paid": euros}, 200
