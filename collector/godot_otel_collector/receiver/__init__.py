"""Takes OTLP over HTTP from any OpenTelemetry SDK into the queue.

Runs as its own process (``godot-otel receive``), any number of them; it needs the queue
alone. In the order of a request's way: ``protocol``, ``access``, ``app``, ``signals``,
``body``, ``parsing``, ``godot_otel_collector.redaction``, ``batches``, the queue,
``answers``. Next station: ``godot_otel.queue``, like an exporter's.
"""
