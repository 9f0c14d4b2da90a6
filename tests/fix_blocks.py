"""The shell blocks of a page, and a script that runs pages one after the other.

A line that begins with ``$`` is a command, what follows it its output; ``...`` stands
for what was cut. A block behind ``<!-- not run: WHY -->`` is for the eye.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!-- not run: (.+?) -->\n)?^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_RUN = [  # what is another in each run
    (r"[0-9a-f]{12,}", "ID"), (r"\b[A-Z][a-z]{2}\b", "Mon"),
    (r"\d+([.,:/T-]\d+)*Z?", "N"), (r"\b(godot_)[\w-]{20,}", r"\1ID"), (r"\s+", " "),
]  # fmt: skip # a table

# A person is slower: servers have begun to listen, lines have arrived.
PRELUDE = """
pip() { :; }  # all of it is installed
listening() { cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A '; }
began=$(listening)
answers() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
curl() {
  port=$(grep -oE ':[0-9]+/' <<< "$*" | head -n 1 | tr -d ':/')
  for _ in $(seq 120); do  # until what was started in the background listens
    [ "$(listening)" -ge $((began + $(jobs -r | wc -l))) ] && answers "$port" && break
    sleep 0.25
  done
  command curl -sS "$@"
}
godot-otel() {
  case $1 in query|trace|traces|patterns|stats) sleep 0.4 ;; esac
  command godot-otel "$@"
}
"""


@dataclass
class Step:
    """A command, what the page says it prints, and what it did print."""

    command: str
    shown: list[str] = field(default_factory=list)
    status: int | None = None
    printed: str = ""

    def missing(self) -> str | None:
        """Name the first line of the page that was not printed.

        In whatever order: an access line comes before or after what the client says.
        """
        lines = [_unchanging(line) for line in self.printed.splitlines()]
        for text in self.shown:
            if text.strip() == "...":
                continue
            parts = [re.escape(_unchanging(part)) for part in text.split("...")]
            wanted = re.compile(r"\s*" + r".*".join(parts) + r"\s*")
            if not any(wanted.fullmatch(line) for line in lines):
                return text
        return None


def _unchanging(text: str) -> str:
    for pattern, name in _RUN:
        text = re.sub(pattern, name, text)
    return text.strip()


def blocks(text: str) -> list[tuple[str | None, str]]:
    """The console blocks of a page, each with why it is not run."""
    return [(why or None, body) for why, body in _BLOCK.findall(text)]


def steps(text: str) -> list[Step]:
    """The commands of a page that are to be run."""
    found: list[Step] = []
    for why, body in blocks(text):
        if why is None:
            open_command = False
            for line in body.splitlines():
                if open_command:
                    found[-1].command += "\n" + line
                elif line.startswith("$ "):
                    found.append(Step(line[2:]))
                else:
                    found[-1].shown.append(line)
                    continue
                open_command = _incomplete(found[-1].command)
    return found


def _incomplete(command: str) -> bool:
    document = re.search(r"<<'?(\w+)'?", command)
    if document:
        return command.splitlines()[-1] != document[1]
    try:
        shlex.split(command)
    except ValueError:
        return True
    return command.endswith("\\")


def script(pages: dict[str, list[Step]], folder: Path) -> str:
    """A shell script that runs each page in a folder of its own, below *folder*."""
    lines = [PRELUDE]
    for name, commands in pages.items():
        lines.append(f"(cd {folder}/{name}/work")
        if any(step.command.startswith("godot-otel up") for step in commands):
            lines.append("command godot-otel down > /dev/null 2>&1")
        for number, step in enumerate(commands):
            place = f"{folder}/{name}/{number}"
            if re.search(r"&\s*(#.*)?$", step.command):
                lines.append('[ -n "$(jobs -r)" ] || began=$(listening)')
            lines.append(f"{{\n{step.command}\n}} > {place}.out 2>&1")
            lines.append(f"echo $? > {place}.status")
        lines.append("kill $(jobs -p) 2> /dev/null; wait)")
    return "\n".join(lines) + "\n"


def outcomes(pages: dict[str, list[Step]], folder: Path) -> None:
    """Put into each step what became of it."""
    for name, commands in pages.items():
        for number, step in enumerate(commands):
            place = folder / name / str(number)
            step.status = int(place.with_suffix(".status").read_text())
            step.printed = place.with_suffix(".out").read_text()
