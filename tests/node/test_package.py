"""The npm package: its own units, its types, and what would be published."""

from __future__ import annotations

import json
import shutil
import subprocess

from fix_node import PACKAGE


def test_its_own_units_pass(node):
    units = sorted((PACKAGE / "test").glob("*.test.*"))
    done = node.run("--test", *units)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout


def test_its_types_hold(node):
    done = node.run(PACKAGE / "node_modules/typescript/bin/tsc", "-p", str(PACKAGE))
    assert done.returncode == 0, done.stdout


def test_what_would_be_published_is_what_it_needs(node):
    npm = shutil.which("npm")
    done = subprocess.run(
        [npm, "pack", "--dry-run", "--json", "--ignore-scripts"], cwd=PACKAGE,
        capture_output=True, text=True, check=True,
    )  # fmt: skip # one command
    (packed,) = json.loads(done.stdout)
    names = {file["path"] for file in packed["files"]}
    sources = {str(file.relative_to(PACKAGE)) for file in PACKAGE.glob("src/**/*.js")}
    assert names == sources | {
        "LICENSE", "README.md", "index.js", "package.json", "register.js",
        "register.mjs",
    }  # fmt: skip # a list
    assert packed["size"] < 100_000


def test_no_lock_file_names_where_packages_came_from():
    for lock in PACKAGE.parents[1].glob("e*/*/package-lock.json"):
        found = json.loads(lock.read_text())["packages"].values()
        named = {one["resolved"] for one in found if "resolved" in one}
        assert all(name.startswith("file:") for name in named), lock
