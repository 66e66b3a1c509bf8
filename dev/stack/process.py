"""Daemons: processes that outlive the command that started them, and that only their owner ends."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import StackError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """A process, told apart from a later one that was given the same number."""

    pid: int
    started: int  # clock ticks since boot
    boot: str

    @classmethod
    def of(cls, pid):
        """The identity of a living process, or None; a zombie is not living."""
        try:
            # The command name is in parentheses and may hold anything, so cut behind the last one.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] in "ZX":
            return None
        return cls(pid, int(fields[19]), BOOT_ID.read_text().strip())

    def alive(self):
        return Identity.of(self.pid) == self

    def signal(self, number):
        if not self.alive():
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def descendants(self):
        """All living children, their children, and so on."""
        children = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
        found, queue = [], [self.pid]
        while queue:
            for pid in children.get(queue.pop(), []):
                queue.append(pid)
                identity = Identity.of(pid)
                if identity:
                    found.append(identity)
        return found


class Daemon:
    """One detached process of a server, remembered in `<home>/<name>.pid`."""

    def __init__(self, home, name):
        self.name = name
        self.record = home / f"{name}.pid"
        self.log = home / f"{name}.log"

    def identity(self):
        """The process that we started, if it still lives."""
        try:
            identity = Identity(**json.loads(self.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return identity if identity.alive() else None

    def start(self, command, environment, owner=None, cwd=None):
        """Starts the command in a session of its own, with its output appended to the log."""
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd or self.record.parent,
                env=environment,
                start_new_session=True,
                **(owner.popen_arguments() if owner else {}),
            )
        identity = Identity.of(child.pid)
        if identity is None:
            raise StackError(f"{self.name} ended at once", log=self.log)
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps(vars(identity)))
        draft.replace(self.record)

    def stop(self, number=signal.SIGTERM, grace=30.0):
        """Asks the process to end, and kills it when it has not done so after `grace` seconds."""
        identity = self.identity()
        if identity is None:
            return
        identity.signal(number)
        if not wait_until(lambda: not identity.alive(), grace):
            self.kill()

    def kill(self):
        """Ends the process and its children with SIGKILL, as the loss of the machine would."""
        identity = self.identity()
        if identity is None:
            return
        family = [identity, *identity.descendants()]
        for member in family:
            member.signal(signal.SIGKILL)
        wait_until(lambda: not any(member.alive() for member in family), 10.0)

    def last_lines(self, count=15):
        return last_lines(self.log, count)


def wait_until(condition, seconds, pause=0.02):
    """Polls until the condition holds; False if it did not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def last_lines(path, count=15):
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-count:]


def clean_environment(**extra):
    """What a server is given of our environment: enough to run, nothing that changes its behaviour."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "JAVA_HOME") if name in os.environ}
    return {**kept, "TZ": "UTC", **{name: str(value) for name, value in extra.items()}}
