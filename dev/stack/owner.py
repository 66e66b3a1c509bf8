"""The user that a server runs as: PostgreSQL refuses root."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name):
        entry = pwd.getpwnam(name)
        return cls(name, entry.pw_uid, entry.pw_gid)

    def popen_arguments(self):
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path):
        os.chown(path, self.uid, self.gid)

    def reaches(self, path):
        """Whether this user may pass through every folder down to `path`; missing ones are ours to make."""
        for folder in [path, *path.parents]:
            try:
                facts = os.stat(folder)
            except FileNotFoundError:
                continue
            if facts.st_uid == self.uid:
                needed = 0o100
            elif facts.st_gid == self.gid:
                needed = 0o010
            else:
                needed = 0o001
            if not facts.st_mode & needed:
                return False
        return True


def service_owner(name="postgres"):
    """The unprivileged user for servers that refuse root, or None when we are not root ourselves."""
    return Owner.named(name) if os.geteuid() == 0 else None


def world_reachable(path: Path):
    """Whether any user may pass through every existing folder down to `path`."""
    return all(os.stat(folder).st_mode & 0o001 for folder in [path, *path.parents] if folder.exists())
