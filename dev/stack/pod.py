"""What a container of the image is: a root that cannot be written, one binary, a user without rights."""

import ctypes
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from .errors import StackError
from .layout import CHECKOUT

USER = 65532
LAST_WORDS = "dev/termination-log"

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
CLONE_NEWNS = 0x20000
PT_INTERP = 3


def fill(root, binary, say):
    """The image's files: no shell, no tools; libraries only if the binary needs them."""
    root.chmod(0o755)
    needed = libraries(binary)
    for file in needed:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    say("in the root besides the binary: " + (", ".join(file.name for file in needed) or "nothing"))
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(binary, root / "usr/bin/aiplat-migrate")
    shutil.copytree(CHECKOUT / "migrations", root / "platform/migrations")
    shutil.copy(CHECKOUT / "aiplat-migrate.toml", root / "platform")
    (root / LAST_WORDS).parent.mkdir()
    (root / LAST_WORDS).touch()
    (root / LAST_WORDS).chmod(0o666)
    (root / "proc").mkdir()


def mount(root, place, files):
    """A secret's keys as files, as the kubelet gives them to the group of the user."""
    folder = root / Path(place).relative_to("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = folder / name
        file.write_text(content)
        os.chown(file, 0, USER)
        file.chmod(0o440)


def libraries(binary):
    """What the binary loads, the loader included; nothing for a static one."""
    if is_static(binary):
        return []
    found = subprocess.run(["ldd", binary], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    words = (word for line in found.stdout.splitlines() for word in line.split())
    return sorted({Path(word) for word in words if word.startswith("/")})


def is_static(binary):
    """Whether no program header of the file (ELF, 64 bits) names a loader."""
    with open(binary, "rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            raise StackError(f"{binary} is no binary for a 64-bit Linux")
        start, = struct.unpack("<Q", header[32:40])
        size, count = struct.unpack("<HH", header[54:58])
        file.seek(start)
        table = file.read(size * count)
    kinds = (struct.unpack("<I", table[at:at + 4])[0] for at in range(0, len(table), size))
    return PT_INTERP not in kinds


def run_in(root, arguments, environment, expected=0):
    """Runs the binary there as the image's user, in a root that is mounted read-only; time and peak memory."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(done, what):
        if done != 0:
            raise OSError(ctypes.get_errno(), what)

    def bind(path, flags=0):
        path = os.fsencode(path)
        call(libc.mount(path, path, None, MS_BIND | flags, None), f"mount {path!r}")

    def enter():
        call(libc.unshare(CLONE_NEWNS), "unshare")
        call(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
        bind(root)
        bind(root / LAST_WORDS)
        bind(root, MS_REMOUNT | MS_RDONLY)
        # Every runtime mounts it.
        proc = os.fsencode(root / "proc")
        call(libc.mount(b"proc", proc, b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount /proc")
        os.chroot(root)
        os.chdir("/platform")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(["/usr/bin/aiplat-migrate", *arguments], env=environment,
                                   preexec_fn=enter, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode()
    if process.returncode != expected:
        raise StackError(f"`{' '.join(arguments)}` ended with {process.returncode}, not {expected}:\n{text}")
    took, worked = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    return f"{took:.2f} s, {worked:.2f} s of them CPU, {usage.ru_maxrss / 1024:.0f} MB at most"


def variables(exports):
    """What `dev/stores env` printed, without the prefix."""
    words = shlex.split(exports)
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return {name.removeprefix("AIPLAT_MIGRATE_"): value for name, value in pairs}
