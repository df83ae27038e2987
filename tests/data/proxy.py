"""A proxy between a server and who asks it, which can make trouble."""

import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, but for those that `fault` names.

    `fault(method, path)` returns a status to answer with, "cut" to end the connection in the middle of the
    answer, or None. `seen` holds (method, path, Range header, status).
    """

    daemon_threads = True

    def __init__(self, upstream, fault=lambda method, path: None):
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.upstream, self.fault, self.seen = upstream, fault, []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # connections that the test or the client cut


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.fault(self.command, self.path)
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=20)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        status = fault if isinstance(fault, int) else answer.status
        self.server.seen.append((self.command, self.path, self.headers.get("Range"), status))
        headers = answer.getheaders()
        if isinstance(fault, int):
            content, headers = b"", []
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - http.server calls these names

    def log_message(self, *args):
        pass
