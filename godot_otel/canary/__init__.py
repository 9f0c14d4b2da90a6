"""Known lines through the whole pipeline, and what became of each of them.

``sender`` logs them as an application does, through the exporter; ``watch`` reads them
back as everybody reads, through ``godot_otel.query``; ``book`` keeps the account.
"""
