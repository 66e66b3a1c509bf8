"""Stands in for Weaviate's two inference services: small vectors that depend only on the input.

Run as `inference_stub.py HOST PORT`. It answers as the real containers do, for text and images
alike: `GET /.well-known/ready`, `GET /meta`, and `POST /vectors`.
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = 16


def vector(content):
    """Equal input gives an equal vector, and no vector is zero."""
    digest = hashlib.sha512(content.encode()).digest()
    return [(int.from_bytes(digest[2 * i : 2 * i + 2], "big") + 1) / 65536 - 0.5 or 0.5 for i in range(DIMENSIONS)]


def vectors(request):
    """The text service is asked with `text` and answers `dims`; the image service with `image`, and `dim`."""
    numbers = vector(request.get("image") or request.get("text") or "")
    return {**request, "vector": numbers, "dims": DIMENSIONS, "dim": DIMENSIONS}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(200, {}) if self.path == "/meta" else self.reply(204)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.reply(200, vectors(json.loads(body)))
        except (ValueError, AttributeError) as error:
            self.reply(400, {"error": str(error)})

    def reply(self, status, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
