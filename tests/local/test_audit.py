"""Known vulnerabilities fail, and silence is no good news: pip-audit itself, asking a service on this machine."""

import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local import audit
from local.processes import free_port

TODAY = dt.date(2026, 11, 28)
ADVISORY = {
    "id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "summary": "bad", "details": "bad",
    "published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
    "affected": [{"package": {"name": "example", "ecosystem": "PyPI"},
                  "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]}],
}  # fmt: skip


@pytest.fixture
def service():
    """Answers OSV's queries: what it knows, by package; its address."""
    known = {}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            found = {"vulns": [json.loads(json.dumps(ADVISORY).replace('"example"', f'"{asked}"'))]}
            content = json.dumps(found if asked in known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.known, server.url = known, f"http://127.0.0.1:{server.server_port}/v1/query"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pins(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("example==1.0\nother==1.0 ; sys_platform != 'plan9'\n")
    return file


def ask(url, *files):
    return audit.main(["--osv-url", url, *map(str, files)], TODAY)


def test_a_vulnerability_fails_unless_it_was_looked_at(service, pins, tmp_path, monkeypatch, capsys):
    service.known |= {"jinja2": 1, "example": 1}
    assert ask(service.url, pins) == 1
    assert "example 1.0: PYSEC-2026-1, CVE-2026-1; mended in 2.0" in capsys.readouterr().out
    reviewed = tmp_path / "known_vulnerabilities.yaml"
    reviewed.write_text("CVE-2026-1: {package: example, reason: not reached, until: 2027-01-01}\n")
    monkeypatch.setattr(audit, "REVIEWED", reviewed)
    assert ask(service.url, pins) == 0
    assert "1 found, 0 to be seen to" in capsys.readouterr().out


def test_a_service_without_advisories_is_not_believed(service, pins, capsys):
    assert ask(service.url, pins) == 0
    told = capsys.readouterr().out
    assert told.startswith("Vulnerabilities: NOT AUDITED, because no service could be asked")
    assert "knows no vulnerability of a package that has some" in told


def test_no_network_is_told_and_fails_nothing(pins, capsys):
    assert ask(f"http://127.0.0.1:{free_port()}/v1/query", pins) == 0
    told = capsys.readouterr().out
    assert told.startswith("Vulnerabilities: NOT AUDITED")
    assert "ConnectionError" in told


@pytest.mark.parametrize(
    ("entry", "told"),
    [({"reason": "r", "until": TODAY}, "was to be looked at again by 2026-11-28"),
     ({"until": dt.date(2027, 1, 1)}, "needs a reason"), ({"reason": "r", "until": "soon"}, "a day as `until`"),
     ({"reason": "r", "until": dt.date(2027, 1, 1)}, "is no vulnerability of what is pinned now"),
     (None, "needs a reason")],
)  # fmt: skip
def test_exceptions_have_a_reason_and_an_end(entry, told):
    [said] = audit.faults([], {"CVE-2026-2": entry}, TODAY)
    assert told in said
