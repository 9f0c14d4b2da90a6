"""Moves batches from the queue into the store: reader, decode, writer, acknowledge.

Runs as its own process (``godot-otel collect``), any number of them on any number of
machines. Previous station: ``godot_otel.queue``; next station: ``godot_otel.store``.
"""
