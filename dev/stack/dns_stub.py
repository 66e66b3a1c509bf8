"""A name server that knows one domain: every name in it is 127.0.0.1, any other does not exist.

Run as `dns_stub.py ADDRESS DOMAIN`; a resolver asks at port 53.
"""

import socket
import struct
import sys

NO_ERROR, NO_SUCH_NAME = 0, 3
A = 1


def answer(query, domain):
    """The reply to a query of one question."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    question = query[12:at + 5]
    known = len(labels) == domain.count(".") + 2 and ".".join(labels).endswith(f".{domain}")
    found = known and kind == A
    flags = 0x8580 | (NO_ERROR if known else NO_SUCH_NAME)
    header = query[:2] + struct.pack(">HHHHH", flags, 1, int(found), 0, 0)
    record = struct.pack(">HHHIH", 0xC00C, A, 1, 5, 4) + socket.inet_aton("127.0.0.1") if found else b""
    return header + question + record


def main(address, domain):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, client = server.recvfrom(512)
            server.sendto(answer(query, domain), client)


if __name__ == "__main__":
    main(*sys.argv[1:])
