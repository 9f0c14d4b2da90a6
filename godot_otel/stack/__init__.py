"""The embedded default: Valkey, Postgres, collectors and the MCP server together.

``godot-otel up`` is this package: it starts the parts in the order of the pipeline,
keeps them running and ends them in the other order. Nothing here touches a record.
"""
