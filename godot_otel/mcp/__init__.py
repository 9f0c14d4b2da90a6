"""The door for AI agents: tools of the Model Context Protocol over ``query``.

Runs as ``godot-otel mcp`` on stdio, or in the web app at ``/mcp``. Whatever a log line
says reaches an agent cleaned and marked as somebody else's words.
"""
