"use strict";
/** Zero code: `node --require godot-otel/register app.js`. */

require("./src/providers").register();
