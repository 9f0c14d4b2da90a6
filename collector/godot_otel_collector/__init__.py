"""Moves batches from the queue into the store: reader, decode, writer, acknowledge.

Runs as its own process (``godot-otel collect``), any number of them on any number of
machines; one that is told to brings what the original system's clients wrote to the
queue first (``legacy``). ``receiver`` is a program of its own. Previous station:
``godot_otel.queue``; next station: ``godot_otel.store``.
"""
