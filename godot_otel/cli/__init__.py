"""The ``godot-otel`` command: one of the doors, and how everything is operated.

``run`` needs only what an application installs and is parsed by the standard library;
the other commands come with the ``server`` and ``embedded`` extras and are click's.
"""

from __future__ import annotations

import importlib
import sys

from godot_otel.errors import GodotError, SettingError

# command -> (module that holds it, what it does); each module loads only when used
APPLICATION = {
    "run": ("godot_otel.cli.run", "run an application with zero-code instrumentation"),
    "spool": ("godot_otel.cli.spool", "list, send or delete what waits on disk"),
    "level": ("godot_otel.cli.level", "change what applications export, for a while"),
    "doctor": ("godot_otel.cli.doctor", "check all there is and say what to do"),
}
SERVER = {
    "up": ("godot_otel.cli.stack", "start everything on this machine"),
    "down": ("godot_otel.cli.stack", "stop it"),
    "status": ("godot_otel.cli.stack", "say what runs and how full it is"),
    "collect": ("godot_otel.cli.serve", "drain the queue into the store"),
    "receive": ("godot_otel.cli.serve", "take OTLP over HTTP into the queue"),
    "mcp": ("godot_otel.cli.serve", "serve the store to AI agents"),
    "migrate": ("godot_otel.cli.serve", "create or upgrade the store's schema"),
    "query": ("godot_otel.cli.read", "find log lines"),
    "trace": ("godot_otel.cli.read", "show one trace"),
    "tail": ("godot_otel.cli.tail", "print log lines as they are stored"),
    "traces": ("godot_otel.cli.read", "find traces"),
    "patterns": ("godot_otel.cli.patterns", "count kinds of lines; say what is new"),
    "stats": ("godot_otel.cli.read", "count lines by level and component"),
    "clear": ("godot_otel.cli.clear", "delete lines for good, shown before"),
    "token": ("godot_otel.cli.token", "let others ask over HTTP, and end that"),
    "canary": ("godot_otel.cli.canary", "send known lines and look for each of them"),
    "backup": ("godot_otel.cli.backup", "the store in one file, and back again"),
    "dead-letters": ("godot_otel.cli.dead_letters", "show, resend or delete records"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: done; 1: could not be done; 2: a setting, argument or the machine's state must
    be changed first.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in APPLICATION:
            module, _ = APPLICATION[arguments[0]]
            return int(importlib.import_module(module).main(arguments[1:]))
        return _server_main(arguments)
    except SettingError as error:
        print(f"godot-otel: {error}", file=sys.stderr)
        return 2
    except GodotError as error:
        print(f"godot-otel: {error}", file=sys.stderr)
        return 1


def _server_main(arguments: list[str]) -> int:
    try:
        from godot_otel.cli import group
    except ImportError as error:
        return _base_install(arguments, error)
    return group.main(arguments)


def _base_install(arguments: list[str], error: ImportError) -> int:
    """Answer where only the application's part is installed."""
    if arguments and arguments[0] in SERVER:
        print(
            f"godot-otel {arguments[0]} needs {error.name}, which an application does"
            " not: pip install 'godot-otel[all]'",
            file=sys.stderr,
        )
        return 2
    if arguments and arguments[0] == "--version":
        from godot_otel import __version__

        print(f"godot-otel {__version__}")
        return 0
    print("usage: godot-otel COMMAND\n\nin this environment:")
    for name, (_, what) in APPLICATION.items():
        print(f"  {name:<9} {what}")
    print("\nwith pip install 'godot-otel[all]':")
    for name, (_, what) in SERVER.items():
        print(f"  {name:<9} {what}")
    return 0 if not arguments or arguments[0] in ("-h", "--help") else 2
