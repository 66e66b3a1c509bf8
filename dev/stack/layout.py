"""Sets of servers: where their data is, which ports they have, and their passwords."""

import hashlib
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

from . import authority, ports
from .cache import locked
from .errors import StackError
from .owner import Owner
from .process import Daemon

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / ".stores"
HOST = "127.0.0.1"
DATABASE = "ai_platform"
APPLICATION_USER = "ai_platform_user"

WELL_KNOWN_BASES = {"default": 24000, "test": 24100, "platform": 24200}
FIRST_FREE_BASE = 24300
LAST_BASE = 31900  # below the kernel's range for outgoing connections
PORTS_PER_SET = 100
PORTS_PER_STORE = 20

# What the servers of a set are: one of each store; the same with TLS and logins; several of each.
PLAIN, SECURE, TOPOLOGY = "plain", "secure", "topology"

PASSWORDS = ("postgres", "mongo_root", "mongo_application", "mongo_key", "weaviate", "redis", "kafka")


@dataclass(frozen=True)
class Server:
    """All that a store's module needs to know about one server; it reads nothing else."""

    store: str
    set_name: str
    home: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    owner: Optional[Owner] = None
    host: str = HOST
    pki: Optional[Path] = None  # the authority's files, in a secure set

    @property
    def secure(self):
        """Whether the server demands TLS and a login."""
        return self.pki is not None

    @property
    def port(self):
        """The port that clients speak to."""
        return next(iter(self.ports.values()))

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def daemon(self, name):
        return Daemon(self.home, name)

    def lock(self):
        """Held by whoever changes this server."""
        return locked(STATE / ".locks" / f"{self.set_name}.{self.store}")

    def make_home(self):
        """Makes the folder; every user may pass through, since the server may run as another one."""
        for folder in (self.home.parent, self.home):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o755)

    def once(self, name):
        """A mark for what is done once in the life of the data."""
        return self.home / f"{name}.done"


@dataclass(frozen=True)
class ServerSet:
    name: str
    base: int
    secrets: Mapping[str, str]
    kind: str = PLAIN

    @classmethod
    def create(cls, name, kind=PLAIN):
        """The set of that name, with its ports and passwords chosen if this is the first time."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,30}", name):
            raise StackError(f"`{name}` can't name a set: use a-z, 0-9, - and _")
        existing = cls.load(name)
        if existing:
            return existing.of_kind(kind)
        with locked(STATE / ".locks" / "sets"):
            existing = cls.load(name)
            if existing:
                return existing.of_kind(kind)
            found = cls(name, _choose_base(name), {key: secrets.token_hex(16) for key in PASSWORDS}, kind)
            for folder in (STATE, found.folder):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o755)
            if kind == SECURE:
                authority.make(found.pki)
            facts = {"base": found.base, "secrets": found.secrets, "kind": kind}
            _write_private(found.folder / "set.json", json.dumps(facts))
            return found

    def of_kind(self, kind):
        """Itself, if its servers are of that kind: their data is of no use to another."""
        if self.kind != kind:
            raise StackError(
                f"the set `{self.name}` is of the kind {self.kind}, not {kind}",
                hint="give another --set NAME, or wipe it first",
            )
        return self

    @classmethod
    def load(cls, name):
        """The set of that name, or None if it was never up or has been wiped."""
        try:
            facts = json.loads((STATE / name / "set.json").read_text())
        except FileNotFoundError:
            return None
        return cls(name, facts["base"], facts["secrets"], facts.get("kind", PLAIN))

    @property
    def folder(self):
        return STATE / self.name

    @property
    def pki(self):
        return self.folder / "pki"

    def server(self, module, place):
        """The config of one store's server; `place` is the store's number in the set's range of ports."""
        first = self.base + place * PORTS_PER_STORE
        owner = module.owner()
        home = self.folder / module.STORE
        if owner and not owner.reaches(home):
            home = _reachable_home(self.name) / module.STORE
        return Server(
            store=module.STORE,
            set_name=self.name,
            home=home,
            ports={role: first + offset for offset, role in enumerate(module.PORTS)},
            secrets=self.secrets,
            owner=owner,
            pki=self.pki if self.kind == SECURE else None,
        )

    def forget(self):
        """Drops ports and passwords; the servers' own data must be gone already."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _reachable_home(set_name):
    """A folder for a server that runs as a user who can't reach the checkout, one per checkout."""
    key = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    root = Path("/var/tmp") / f"aiplat-migrate-{os.geteuid()}-{key}"
    root.mkdir(mode=0o711, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        raise StackError(f"{root} belongs to somebody else")
    return root / set_name


def _choose_base(name):
    if name in WELL_KNOWN_BASES:
        return WELL_KNOWN_BASES[name]
    taken = {other.base for other in map(ServerSet.load, _set_names()) if other}
    for base in range(FIRST_FREE_BASE, LAST_BASE, PORTS_PER_SET):
        if base not in taken and not ports.listening(range(base, base + PORTS_PER_SET)):
            return base
    raise StackError(f"no {PORTS_PER_SET} free ports in a row between {FIRST_FREE_BASE} and {LAST_BASE}")


def _set_names():
    return [entry.name for entry in STATE.iterdir() if entry.is_dir()] if STATE.is_dir() else []


def _write_private(path, text):
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
