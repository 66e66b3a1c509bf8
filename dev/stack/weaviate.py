"""Weaviate with an API key, and the two vectorizers of the platform served by a stub."""

import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import authority, gate, inference_stub, requisites, versions
from .cache import run
from .layout import APPLICATION_USER
from .process import clean_environment

STORE = "weaviate"
READER = "reader"  # in a secure set alone
# Weaviate demands that `data` is the port after `gossip`.
PORTS = ("http", "grpc", "gossip", "data", "raft", "raft_rpc", "profiling", "inference",
         gate.GOOD, *gate.PORTS)
INFERENCE = "inference"
REQUISITES = ()
BUILD_REQUISITES = (requisites.GO,)


@dataclass(frozen=True)
class Install:
    server: Path


def owner():
    return None


def artefact():
    return f"weaviate-{versions.WEAVIATE}"


def prepare(cache):
    news = f"building Weaviate {versions.WEAVIATE}, which takes some minutes"
    return Install(cache.obtain(artefact(), _build, news) / "weaviate-server")


def _build(folder):
    run(
        ["go", "install", "-trimpath", "-ldflags=-s -w",
         f"github.com/weaviate/weaviate/cmd/weaviate-server@v{versions.WEAVIATE}"],
        cwd=folder,
        GOBIN=folder,
        GOFLAGS="",
        CGO_ENABLED=0,
    )


def start(server, install):
    stub = server.daemon(INFERENCE)
    if not stub.identity():
        stub.start(
            [sys.executable, inference_stub.__file__, server.host, server.ports["inference"]], clean_environment()
        )
    if server.secure:  # Weaviate itself speaks no TLS: a proxy in front of it does
        gate.start(server, "plain", (gate.GOOD, *gate.PORTS))
    rights = reading(server) if server.secure else {}
    server.daemon(STORE).start(
        [install.server, "--scheme", "http", "--host", server.host, "--port", server.port],
        clean_environment(**settings(server) | rights),
    )


def reading(server):
    """A second key, whose user may read and no more."""
    return {
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": f"{server.secrets['weaviate']},{_reader_key(server)}",
        "AUTHENTICATION_APIKEY_USERS": f"{APPLICATION_USER},{READER}",
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": APPLICATION_USER,
        "AUTHORIZATION_ADMINLIST_READONLY_USERS": READER,
    }


def _reader_key(server):
    return f"reader-{server.secrets['weaviate']}"


def settings(server):
    inference = f"http://{server.host}:{server.ports['inference']}"
    return {
        "PERSISTENCE_DATA_PATH": server.home / "data",
        "QUERY_DEFAULTS_LIMIT": 25,
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": server.secrets["weaviate"],
        "AUTHENTICATION_APIKEY_USERS": APPLICATION_USER,
        "ENABLE_MODULES": "text2vec-transformers,img2vec-neural",
        "DEFAULT_VECTORIZER_MODULE": "text2vec-transformers",
        "TRANSFORMERS_INFERENCE_API": inference,
        "IMAGE_INFERENCE_API": inference,
        "CLUSTER_HOSTNAME": "node1",
        # Gossip listens on every interface, whatever is said; at least it names only loopback.
        "CLUSTER_ADVERTISE_ADDR": server.host,
        "CLUSTER_GOSSIP_BIND_PORT": server.ports["gossip"],
        "CLUSTER_DATA_BIND_PORT": server.ports["data"],
        "RAFT_PORT": server.ports["raft"],
        "RAFT_INTERNAL_RPC_PORT": server.ports["raft_rpc"],
        "RAFT_BOOTSTRAP_EXPECT": 1,
        "GRPC_PORT": server.ports["grpc"],
        "GO_PROFILING_PORT": server.ports["profiling"],
        "GO_PROFILING_DISABLE": "true",
        "DISABLE_TELEMETRY": "true",
        "LOG_LEVEL": "warning",
    }


def ready(server, install):
    """The schema can be read: readiness alone is claimed before raft has a leader."""
    request = urllib.request.Request(
        f"http://{server.address}/v1/schema", headers={"Authorization": f"Bearer {server.secrets['weaviate']}"}
    )
    try:
        with urllib.request.urlopen(f"http://{server.address}/v1/.well-known/ready", timeout=2):
            pass
        with urllib.request.urlopen(request, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def settle(server, install):
    pass


def stop(server):
    server.daemon(STORE).stop()
    server.daemon(INFERENCE).stop()
    gate.stop(server)


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    variables = {"WEAVIATE_URL": f"http://{server.address}", "WEAVIATE_API_KEY": server.secrets["weaviate"]}
    if server.secure:
        variables["WEAVIATE_URL"] = f"https://{server.host}:{server.ports[gate.GOOD]}"
        variables["TEST_WEAVIATE_READER"] = _reader_key(server)
        variables |= authority.env(server, certificate=False) | gate.env(server)
    return variables
