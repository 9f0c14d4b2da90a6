/** Zero code where modules are imported: `node --import godot-otel/register app.mjs`. */

import { createRequire, register } from "node:module";

const require = createRequire(import.meta.url);
// Before the application's modules are loaded, or nobody could instrument them.
register(import.meta.resolve("@opentelemetry/instrumentation/hook.mjs"));
require("./register.js");
