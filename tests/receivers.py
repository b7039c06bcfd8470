"""Servers on loopback that keep what they are sent: mail, HTTP posts, metrics, datagrams."""

import datetime as dt
import gzip
import ipaddress
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from local.processes import free_port

PATIENCE_SECONDS = 60


class Received(list):
    """What came so far."""

    def wait(self, look, seconds=PATIENCE_SECONDS):
        """The first of it that `look` says yes to; waits for it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for each in list(self):
                if look(each):
                    return each
            time.sleep(0.1)
        raise AssertionError(f"it did not come; these did: {list(self)}")


@contextmanager
def mail(tls=None, certificate=None, login=None):
    """A mail server; yields its port and the messages.

    :param tls: None; "from_the_beginning", or "starttls", which it then demands.
    :param certificate: see `certificate`.
    :param login: (user, password) without which it takes nothing.
    """
    received = Received()
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            received.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    def is_known(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login.decode(), data.password.decode()) == login)

    demands = {"authenticator": is_known, "auth_required": True, "auth_require_tls": True} if login else {}
    if tls == "starttls":
        demands |= {"tls_context": context, "require_starttls": True}
    elif login:
        demands["auth_require_tls"] = False  # it does not know that there is TLS below it
    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=free_port(None),
        ssl_context=context if tls == "from_the_beginning" else None,
        **demands,
    )
    controller.start()
    try:
        yield controller.port, received
    finally:
        controller.stop()


def certificate(folder):
    """The file of a key and its certificate for 127.0.0.1, by nobody that is trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def _served(handler):
    """An HTTP server whose requests a handler answers; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def web(status=200, delay_seconds=0):
    """A receiver of posts that answers `status`; yields its port and the bodies with their path, as `(path, body)`."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)))
            time.sleep(delay_seconds)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with _served(Handler) as port:
        yield port, received


@contextmanager
def collector():
    """What an OpenTelemetry collector takes over HTTP; yields its address and the metrics, as `(name, attributes)`."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                told = ExportMetricsServiceRequest.FromString(body)
                scopes = [scope for resource in told.resource_metrics for scope in resource.scope_metrics]
                for metric in (metric for scope in scopes for metric in scope.metrics):
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    received.extend(
                        (metric.name, {each.key: each.value.string_value for each in point.attributes})
                        for point in points
                    )
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with _served(Handler) as port:
        yield f"http://127.0.0.1:{port}", received


@contextmanager
def datagrams():
    """A UDP listener; yields its port and the lines that came."""
    received = Received()
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))

    def listen():
        while data := listener.recv(65_535):
            received.extend(data.decode().splitlines())

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listener.getsockname()[1], received
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", listener.getsockname())
        listener.close()
