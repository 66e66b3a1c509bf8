"""A certificate authority of a set's own, made on the spot with openssl, and what it signs.

    ca.pem               who trusts this one trusts the set's servers and clients
    other-ca.pem         an authority that signed nothing here
    server.pem, .key     for localhost, 127.0.0.1, and the names of the database namespace of a cluster
    expired.pem, .key    the same, and its time is over
    elsewhere.pem, .key  for elsewhere.example, which is nobody's name here
    client.pem, .key     the client `certified`; so is PostgreSQL's role of that name
    stranger.pem, .key   a client whom the other authority vouches for
    <leaf>.both          certificate and key in one file, as MongoDB and Kafka want them
"""

import shutil
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .errors import StackError

CLIENT = "certified"
HERE = "DNS:localhost,IP:127.0.0.1,DNS:*.database.svc.cluster.local"

# `openssl ca` instead of `openssl x509`: only it can date a certificate back.
CONFIGURATION = """\
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {names}
"""

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make(folder):
    """Fills `folder`, unless that was done before; a killed attempt leaves nothing half made."""
    if folder.is_dir():
        return
    draft = Path(tempfile.mkdtemp(prefix=".pki-", dir=folder.parent))
    try:
        now = datetime.now(timezone.utc)
        valid = (now - timedelta(days=1), now + timedelta(days=3650))
        over = (now - timedelta(days=30), now - timedelta(days=1))
        for name in ("ca", "other-ca"):
            _authority(draft, name)
        _leaf(draft, "ca", "server", "localhost", HERE, valid)
        _leaf(draft, "ca", "expired", "localhost", HERE, over)
        _leaf(draft, "ca", "elsewhere", "elsewhere.example", "DNS:elsewhere.example", valid)
        _leaf(draft, "ca", "client", CLIENT, f"DNS:{CLIENT}", valid)
        _leaf(draft, "other-ca", "stranger", CLIENT, f"DNS:{CLIENT}", valid)
        for scratch in [*draft.glob("index.txt*"), *draft.glob("[0-9A-F]*.pem"), *draft.glob("*.cnf")]:
            scratch.unlink()
        (draft / "request.pem").unlink()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _authority(folder, name):
    _openssl(folder, "req", "-x509", *EC, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "3650",
             "-subj", f"/CN=aiplat-migrate {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")


def _leaf(folder, authority, name, subject, names, validity):
    (folder / "openssl.cnf").write_text(CONFIGURATION.format(names=names))
    (folder / "index.txt").write_text("")
    since, until = (moment.strftime("%Y%m%d%H%M%SZ") for moment in validity)
    _openssl(folder, "req", "-new", *EC, "-config", "openssl.cnf", "-keyout", f"{name}.key", "-out", "request.pem",
             "-subj", f"/CN={subject}")
    _openssl(folder, "ca", "-batch", "-notext", "-config", "openssl.cnf", "-extensions", "leaf",
             "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key", "-startdate", since, "-enddate", until,
             "-in", "request.pem", "-out", f"{name}.pem")
    (folder / f"{name}.key").chmod(0o600)
    both = folder / f"{name}.both"
    both.touch(mode=0o600)
    both.write_text((folder / f"{name}.key").read_text() + (folder / f"{name}.pem").read_text())


def _openssl(folder, *arguments):
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise StackError(f"`openssl {' '.join(arguments)}` failed: {done.stderr.strip()[-2000:]}")


def env(server, certificate=True):
    """The variables that name the authority and, where the server asks for one, our certificate."""
    files = {"CA_FILE": "ca.pem"}
    if certificate:
        files |= {"CERT_FILE": "client.pem", "KEY_FILE": "client.key"}
    return {f"{server.store.upper()}_{key}": str(server.pki / file) for key, file in files.items()}
