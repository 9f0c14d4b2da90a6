"""``godot-otel token``: who may ask over HTTP, and for what.

The token itself goes to stdout, once; what is said about it goes to stderr.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from godot_otel import tokens
from godot_otel.access import SCOPES
from godot_otel.cli import owner
from godot_otel.query import rfc3339
from godot_otel.tokens import Token

_T = TypeVar("_T", bound=Callable[..., Any])


def _data_dir(function: _T) -> _T:
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Use the stack of this data directory (GODOT_DATA_DIR).",
    )(function)


@click.group()
def token() -> None:
    """Let programs and people ask over HTTP, and end that.

    Sent as `Authorization: Bearer TOKEN`. Servers take a change within 5 s; while the
    store is away they go on with what they knew, for 15 minutes.
    """


@token.command()
@click.option("--name", required=True, help="Who it is for; audit rows name it.")
@click.option(
    "--scope", default="logs:read", show_default=True,
    help=f"What it may do, separated by commas: {', '.join(SCOPES)}.",
)  # fmt: skip # one option
@click.option("--days", type=click.IntRange(1, 3650), help="Expires after so many.")
@_data_dir
def create(name: str, scope: str, days: int | None, data_dir: Path | None) -> None:
    """Make a token and print it, once: the store keeps only its hash."""
    scopes = tokens.parse_scopes(scope)
    dsn = owner.owner_dsn(data_dir)
    made = owner.run(tokens.create(dsn, name, scopes, days=days))
    click.echo(made)
    ends = f"ends in {days} days" if days else "ends when it is revoked"
    click.echo(
        f"{name} may {', '.join(sorted(scopes))}; {ends}. It is not shown again.",
        err=True,
    )


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_data_dir
def _list(as_json: bool, data_dir: Path | None) -> None:
    """Show whose tokens there are, the revoked ones too; never the tokens."""
    found = owner.run(tokens.listed(owner.owner_dsn(data_dir)))
    for one in found:
        click.echo(json.dumps(_facts(one)) if as_json else _row(one))
    if not found:
        click.echo("there are no tokens", err=True)


@token.command()
@click.argument("name")
@_data_dir
def revoke(name: str, data_dir: Path | None) -> None:
    """End a token; its name is free again."""
    owner.run(tokens.revoke(owner.owner_dsn(data_dir), name))
    click.echo(f"{name} is revoked; servers stop taking it within 5 s", err=True)


def _facts(one: Token) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": one.state,
        "scopes": sorted(one.scopes),
        "created_at": rfc3339(one.created_at),
        "expires_at": rfc3339(one.expires_at) if one.expires_at else None,
        "revoked_at": rfc3339(one.revoked_at) if one.revoked_at else None,
        "last_used": one.last_used.isoformat() if one.last_used else None,
    }


def _row(one: Token) -> str:
    facts = _facts(one)
    ends = facts["expires_at"] or "-"
    used = facts["last_used"] or "never"
    scopes = ",".join(facts["scopes"])
    return f"{one.name}  {one.state}  {scopes}  expires {ends}  last used {used}"
