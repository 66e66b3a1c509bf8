"""Who listens on a TCP port of this machine, as the kernel tells it."""

import os
from pathlib import Path

LISTEN = "0A"


def listening(wanted):
    """The ports among `wanted` that somebody listens on, each with the socket's inode."""
    wanted = set(wanted)
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == LISTEN and port in wanted:
                found[port] = fields[9]
    return found


def holder(inode):
    """`pid 123 (name)` of the process that has this socket open, if we may see it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            for descriptor in (entry / "fd").iterdir():
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return f"pid {entry.name} ({(entry / 'comm').read_text().strip()})"
        except OSError:
            continue
    return None
