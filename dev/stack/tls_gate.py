"""Ends TLS in front of a server, with certificates that the server itself does not have.

Run as `tls_gate.py JSON`: {host, target, upstream, ca, identity, listeners: [{port, certificate}]}.
`upstream` is how the server is spoken to: `plain`, `tls`, or `postgres` (TLS after a request for
it, on both sides). It stands in front of Weaviate, which speaks no TLS, and in front of every store
with certificates that a client has to refuse.
"""

import json
import select
import socket
import ssl
import sys
import threading

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def serve(options, listener):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(listener["certificate"])
    with socket.create_server((options["host"], listener["port"]), backlog=64) as server:
        while True:
            client, _ = server.accept()
            threading.Thread(target=relay, args=(options, context, client), daemon=True).start()


def relay(options, context, client):
    """One connection; whatever breaks it ends both sides."""
    try:
        with client:
            if options["upstream"] == "postgres":
                if client.recv(len(SSL_REQUEST), socket.MSG_WAITALL) != SSL_REQUEST:
                    return
                client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as near, upstream(options) as far:
                pump(near, far)
    except OSError:
        pass


def upstream(options):
    server = socket.create_connection((options["host"], options["target"]))
    if options["upstream"] == "plain":
        return server
    if options["upstream"] == "postgres":
        server.sendall(SSL_REQUEST)
        server.recv(1)
    context = ssl.create_default_context(cafile=options["ca"])
    context.load_cert_chain(options["identity"])
    return context.wrap_socket(server, server_hostname=options["host"])


def pump(near, far):
    ends = {near: far, far: near}
    while True:
        # What TLS has read already is not seen by select.
        held = [end for end in ends if isinstance(end, ssl.SSLSocket) and end.pending()]
        for source in held or select.select(list(ends), [], [])[0]:
            data = received(source)
            if data == b"":
                return
            if data:
                ends[source].sendall(data)


def received(source):
    """What is there; None where TLS spoke only with itself."""
    source.setblocking(False)
    try:
        return source.recv(65536)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        return None
    finally:
        source.setblocking(True)


if __name__ == "__main__":
    OPTIONS = json.loads(sys.argv[1])
    threads = [threading.Thread(target=serve, args=(OPTIONS, listener)) for listener in OPTIONS["listeners"]]
    for thread in threads:
        thread.start()
