"""Kafka in KRaft mode: one node that is broker and controller."""

import base64
import socket
import ssl
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import authority, gate, requisites, versions
from .cache import run
from .errors import StackError
from .process import clean_environment

STORE = "kafka"
PORTS = ("broker", "controller", *gate.PORTS, "mutual")
USER = "admin"
PLAIN_USER = "migrator"  # has no rights but those of its ACLs
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
node.id={node}
controller.quorum.voters={voters}
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

# In a secure set, clients come in by SASL (either mechanism) or with a certificate, the broker to
# itself by the latter; the user `migrator` (PLAIN) has no rights but those of its ACLs.
SECURE_SETTINGS = """\
listeners=SASL_SSL://{host}:{broker},MUTUAL://{host}:{mutual},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_SSL://{host}:{broker},MUTUAL://{host}:{mutual}
listener.security.protocol.map=SASL_SSL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=MUTUAL
ssl.keystore.type=PEM
ssl.keystore.location={pki}/server.both
ssl.truststore.type=PEM
ssl.truststore.location={pki}/ca.pem
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
  required user_{user}="{password}" user_{plain_user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=localhost;User:CN={certified}
"""

CLIENT_SETTINGS = """\
security.protocol=SSL
ssl.keystore.type=PEM
ssl.keystore.location={pki}/client.both
ssl.truststore.type=PEM
ssl.truststore.location={pki}/ca.pem
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
    settings.touch(mode=0o600)
    settings.write_text(_settings(server))
    if server.secure:
        gate.start(server, "tls")
    if not (server.home / "data/meta.properties").exists():
        cluster = uuid.uuid4().bytes
        scram = ()
        if server.secure:
            scram = ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={server.secrets['kafka']}]")
        form(install, settings, cluster, *scram)
    server.daemon(STORE).start(install.java("kafka.Kafka", settings), clean_environment())


def _settings(server):
    voters = f"1@{server.host}:{server.ports['controller']}"
    plain = SETTINGS.format(host=server.host, node=1, voters=voters, data=server.home / "data", **server.ports)
    if not server.secure:
        return plain
    # Of a key that is there twice, the last one counts.
    return plain + SECURE_SETTINGS.format(
        host=server.host, pki=server.pki, user=USER, plain_user=PLAIN_USER, password=server.secrets["kafka"], certified=authority.CLIENT,
        **server.ports,
    )


def form(install, settings, cluster, *scram):
    """Gives a node's storage its format; `cluster` is the 16 bytes of the cluster's id."""
    name = base64.urlsafe_b64encode(cluster).decode().rstrip("=")
    done = subprocess.run(
        install.java("kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={name}", "-c", settings,
                     *scram),
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
        with connect(server, server.ports["mutual"] if server.secure else server.port) as connection:
            return brokers(connection) > 0
    except (OSError, struct.error):
        return False


def connect(server, port):
    connection = socket.create_connection((server.host, port), timeout=2)
    if not server.secure:
        return connection
    context = ssl.create_default_context(cafile=server.pki / "ca.pem")
    context.load_cert_chain(server.pki / "client.both")
    return context.wrap_socket(connection, server_hostname=server.host)


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
    gate.stop(server)


def kill(server):
    server.daemon(STORE).kill()


def acls(server, install, arguments):
    """The command and the environment of Kafka's own kafka-acls, as a client with all rights."""
    client = server.home / "client.properties"
    client.touch(mode=0o600)
    client.write_text(CLIENT_SETTINGS.format(pki=server.pki) if server.secure else "")
    address = f"{server.host}:{server.ports['mutual']}" if server.secure else server.address
    where = ("--bootstrap-server", address, "--command-config", client)
    return install.java("kafka.admin.AclCommand", *where, *arguments), clean_environment()


def env(server):
    if not server.secure:
        return {"KAFKA_BROKERS": server.address}
    return {
        "KAFKA_BROKERS": server.address,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_USER": USER,
        "KAFKA_PASSWORD": server.secrets["kafka"],
        "TEST_KAFKA_MUTUAL": f"{server.host}:{server.ports['mutual']}",
        **authority.env(server, certificate=False),
        **gate.env(server),
    }
