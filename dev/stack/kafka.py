"""Kafka in KRaft mode: one node that is broker and controller."""

import base64
import socket
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import requisites, versions
from .cache import run
from .errors import StackError
from .process import clean_environment

STORE = "kafka"
PORTS = ("broker", "controller")
REQUISITES = (requisites.JAVA,)
BUILD_REQUISITES = (requisites.MAVEN,)

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aiplat-migrate</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_{scala}</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>{slf4j}</version>
    </dependency>
  </dependencies>
</project>
"""

SETTINGS = """\
# Rewritten at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
# A killed broker may come back only after its session has ended, 9 s by default.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
"""

# A short start matters more here than throughput.
JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


@dataclass(frozen=True)
class Install:
    jars: Path

    def java(self, main, *arguments):
        return ["java", *JVM, *LOGGING, "-cp", f"{self.jars}/*", main, *arguments]


def owner():
    return None


def artefact():
    return f"kafka-{versions.KAFKA}"


def prepare(cache):
    return Install(cache.obtain(artefact(), _build, f"fetching Kafka {versions.KAFKA}") / "jars")


def _build(folder):
    pom = POM.format(scala=versions.KAFKA_SCALA, kafka=versions.KAFKA, slf4j=versions.SLF4J)
    (folder / "pom.xml").write_text(pom)
    goal = f"org.apache.maven.plugins:maven-dependency-plugin:{versions.MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies"
    run(["mvn", "-B", "-q", goal, f"-DoutputDirectory={folder / 'jars'}"], cwd=folder)


def start(server, install):
    settings = server.home / "server.properties"
    settings.write_text(SETTINGS.format(host=server.host, data=server.home / "data", **server.ports))
    if not (server.home / "data/meta.properties").exists():
        _format(server, install, settings)
    server.daemon(STORE).start(install.java("kafka.Kafka", settings), clean_environment())


def _format(server, install, settings):
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        install.java("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", settings),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise StackError(f"formatting Kafka's storage failed: {(done.stderr or done.stdout).strip()[-2000:]}")


def ready(server, install):
    """Metadata names a broker: the port is open before the broker is let into its cluster."""
    try:
        with socket.create_connection((server.host, server.port), timeout=2) as connection:
            return brokers(connection) > 0
    except (OSError, struct.error):
        return False


def brokers(connection):
    """Asks for the metadata of no topics (Metadata v1) and returns the number of brokers."""
    client = b"aiplat-migrate-stores"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as reply:
        _size, _correlation, count = struct.unpack(">iii", reply.read(12))
    return count


def settle(server, install):
    pass


def stop(server):
    server.daemon(STORE).stop()


def kill(server):
    server.daemon(STORE).kill()


def env(server):
    return {"KAFKA_BROKERS": server.address}
