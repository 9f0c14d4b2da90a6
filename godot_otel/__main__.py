"""``python -m godot_otel`` is ``godot-otel``."""

import sys

from godot_otel.cli import main

sys.exit(main())
