"""Where batches wait on disk while the queue is away: one file each, in one folder.

Many processes share the folder. Nothing stays open between calls, and nobody waits for
another process longer than a second. A batch is locked while it is sent, so that it is
sent or evicted, never both. Next station: ``godot_otel.queue``, by replay.

``spool`` is what others use; ``folder`` keeps the files, ``batch_file`` is their form,
``room`` the cap, and ``locks`` what processes keep each other out with.
"""

from godot_otel_exporter.spool.folder import QUARANTINE, SpoolError
from godot_otel_exporter.spool.spool import Spool, Waiting

__all__ = ["QUARANTINE", "Spool", "SpoolError", "Waiting"]
