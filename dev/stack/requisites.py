"""What must be on the machine before a store can be prepared, and how it gets there."""

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .errors import StackError

POLICY = Path("/usr/sbin/policy-rc.d")
INSTALLING = Path(tempfile.gettempdir()) / "aiplat-migrate-install.lock"
_one_install_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Requisite:
    name: str
    present: Callable[[], bool]
    install: tuple  # the command, for root

    def ensure(self, say):
        """Returns when it is there: it was, or root installs it; otherwise says which command would."""
        if self.present():
            return
        command = " ".join(self.install)
        if os.geteuid() != 0 or not shutil.which(self.install[0]):
            raise StackError(f"{self.name} is missing", hint=f"install it with: sudo {command}")
        with one_install_at_a_time():
            if self.present():
                return
            say(f"installing {self.name}: {command}")
            with services_stay_down():
                if self.install[0] == "apt-get":
                    _root("apt-get", "update", "-q")
                _root(*self.install)
        if not self.present():
            raise StackError(f"{self.name} is still missing, or too old, after: {command}")


def _root(*command):
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode != 0:
        raise StackError(f"`{' '.join(command)}` failed:\n{done.stdout.strip()[-2000:]}")


@contextmanager
def one_install_at_a_time():
    """Several sets are brought up side by side, in processes of their own; apt lets one in at a time."""
    with _one_install_at_a_time, open(INSTALLING, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def services_stay_down():
    """Keeps a Debian package from starting its service: these servers get ports and data of their own."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()


def command(name, package):
    return Requisite(name, lambda: shutil.which(name) is not None, apt(package))


def apt(*packages):
    return ("apt-get", "install", "-y", "--no-install-recommends", *packages)


def _pip_works():
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0


def _go_is_new():
    if not shutil.which("go"):
        return False
    words = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
    try:
        return tuple(int(part) for part in words.removeprefix("go").split(".")[:2]) >= (1, 21)
    except ValueError:
        return True


def _user_exists(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


JAVA = command("java", "default-jre-headless")
MAVEN = command("mvn", "maven")
NPM = command("npm", "npm")
# Debian puts it where only root looks.
PGBOUNCER = Requisite(
    "pgbouncer",
    lambda: shutil.which("pgbouncer") is not None or os.path.exists("/usr/sbin/pgbouncer"),
    apt("pgbouncer"),
)
# A test opens the HTML report in it.
CHROMIUM = command("chromium", "chromium")
REDIS_SERVER = command("redis-server", "redis-server")
OPENSSL = command("openssl", "openssl")
PIP = Requisite("pip", _pip_works, apt("python3-pip"))
# Go 1.21 and later fetch by themselves the newer toolchain that a program asks for.
GO = Requisite("go 1.21 or newer", _go_is_new, apt("golang-go"))
CURL_LIBRARY = Requisite("libcurl4", lambda: find_library("curl") is not None, apt("libcurl4"))
POSTGRES_USER = Requisite(
    "the user postgres, which the PostgreSQL server runs as,",
    lambda: os.geteuid() != 0 or _user_exists("postgres"),
    ("useradd", "--system", "--user-group", "--no-create-home", "postgres"),
)
