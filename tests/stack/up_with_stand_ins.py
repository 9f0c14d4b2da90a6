"""`godot-otel`, with stand-ins for the programs that `up` starts."""

import functools
import sys
from pathlib import Path

from godot_otel import cli
from godot_otel.cli import stack
from godot_otel.stack.up import up

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))

stack.run = functools.partial(up, ourselves=STAND_IN)
sys.exit(cli.main())
