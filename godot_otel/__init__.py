"""What the stations of the pipeline share, and the ways to read what they stored.

``godot_otel_exporter`` (in the application) fills the queue, ``godot_otel_collector``
drains it into Postgres; ``queue`` and ``store`` here are what they have in common,
``query`` and its three doors ``cli``, ``mcp`` and ``web`` answer what happened.
"""

__version__ = "0.1.0"
