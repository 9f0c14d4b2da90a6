"use strict";
/**
 * A storefront: takes a customer's order and has the shop check it out.
 *
 * Nothing here knows of OpenTelemetry. Run it with
 *
 *     OTEL_SERVICE_NAME=storefront node --require godot-otel/register storefront.js
 */

const express = require("express");
const log = require("pino")({ name: "storefront" });

const SHOP = process.env.SHOP_URL ?? "http://127.0.0.1:5000";
const app = express();

app.post("/buy/:cart", async (request, response) => {
  const { cart } = request.params;
  log.info({ cart }, "a customer buys cart %s", cart);
  const answer = await fetch(`${SHOP}/checkout/${cart}`, { method: "POST" });
  const order = await answer.json();
  if (!answer.ok) {
    log.error({ cart, status: answer.status }, "cart %s could not be bought", cart);
    return response.status(502).json(order);
  }
  log.info({ cart, euros: order.paid }, "cart %s is bought", cart);
  response.json(order);
});

app.listen(Number(process.env.PORT ?? 8083), "127.0.0.1");
