"""``godot-otel backup``: the store in one file, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from godot_otel import settings, state
from godot_otel.backup.archive import Manifest
from godot_otel.backup.dump import dump
from godot_otel.backup.restore import restore as fill
from godot_otel.cli import owner
from godot_otel.cli.progress import Progress
from godot_otel.errors import SettingError
from godot_otel.stack.alone import store_alone
from godot_otel.stack.directory import DataDirectory


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--restore", is_flag=True, help="Fill an empty store from FILE.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Use the store of this data directory (GODOT_DATA_DIR).",
)  # fmt: skip # an option's facts share lines
def backup(file: Path, restore: bool, data_dir: Path | None) -> None:
    """Write all that is stored to FILE, as of one moment, while everything runs.

    The file holds no passwords and is readable by you alone; it replaces no other. What
    waits in the queue or on disk is not in it.

    With --restore it is put into an empty store, all of it or nothing, while no
    collector runs: that of GODOT_POSTGRES_DSN, or of the data directory after
    `godot-otel down`. A file made on one major version of Postgres fits any other.
    """
    with _store(data_dir, restore=restore) as dsn, Progress() as progress:
        work = fill if restore else dump
        verb = "restoring" if restore else "copying"
        path = file.expanduser().absolute()
        manifest = owner.run(
            work(dsn, path, lambda part: progress.show(f"{verb} {part}"))
        )
    if restore:
        print(f"restored {_held(manifest)}, as of {manifest.taken_at}")
    else:
        size = path.stat().st_size
        print(f"wrote {path}: {_held(manifest)}, {size / 1e6:,.1f} MB")


@contextmanager
def _store(data_dir: Path | None, *, restore: bool) -> Iterator[str]:
    """Find the store, or start that of the data directory for this one command."""
    path = (data_dir or settings.data_dir()).expanduser()
    running = state.read(path) or {}
    dsn = settings.value("postgres_dsn") or running.get("postgres_dsn")
    directory = DataDirectory(path)
    if dsn:
        yield dsn
        return
    if not restore and not directory.keys.path.exists():
        raise SettingError(
            f"GODOT_POSTGRES_DSN is not set and there is no store in {path}"
        )
    click.echo("starting Postgres alone", err=True)
    with store_alone(directory) as alone:
        yield alone


def _held(manifest: Manifest) -> str:
    lines, letters = manifest.rows("logs", "log_packs"), manifest.rows("dead_letters")
    spans = manifest.rows("spans")
    lines_and = f"{lines:,} lines" + (f" and {spans:,} spans" if spans else "")
    said = f"{lines_and} in {manifest.rows('batches'):,} batches"
    return said + (f", {letters:,} dead letters" if letters else "")
