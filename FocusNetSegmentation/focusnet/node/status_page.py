"""Status of the node, for people (a page) and programs (JSON), on this computer only. Read only; no patient's name in it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..reports import render as reports
from ..version import __version__
from ..wording import DISCLAIMER
from .service import Node
from .settings import LOCAL
from .spool import AT_WORK, DONE, FAILED, IGNORED, INCOMPLETE, STATES, UNSENT, Series

ATTENTION = (FAILED, INCOMPLETE, UNSENT)
LONGEST_LIST = 100
TEMPLATES = Path(__file__).parent / "templates"


def status(node: Node) -> dict[str, Any]:
    """Return everything that the page shows: health, counts by state, and the latest series."""
    settings, series = node.settings, node.spool.snapshot()
    troubles = node.troubles()
    counts = {state: sum(s.state == state for s in series) for state in STATES}
    latest = sorted(series, key=lambda s: s.changed, reverse=True)
    lists = {
        "attention": [s for s in latest if s.state in ATTENTION],
        "at_work": [s for s in latest if s.state in AT_WORK],
        "finished": [s for s in latest if s.state in (DONE, IGNORED)],
    }
    return {
        "health": "ok" if not troubles else "trouble",
        "troubles": troubles,
        "ae_title": settings.ae_title,
        "host": settings.host,
        "port": settings.port,
        "tls": settings.tls is not None,
        "version": __version__,
        "uptime_s": round(time.time() - node.started),
        "now": round(time.time()),
        "instances_stored": node.receiver.stored,
        "associations_refused": node.receiver.refused,
        "spool": {
            "used_bytes": node.spool.used_bytes(),
            "limit_bytes": settings.spool_limit_bytes,
            "disk_free_bytes": shutil.disk_usage(settings.spool).free,
        },
        "counts": counts,
        **{name: [_row(s) for s in found[:LONGEST_LIST]] for name, found in lists.items()},
    }


def _row(series: Series) -> dict[str, Any]:
    return {
        "series": series.uid,
        "sender": series.sender,
        "instances": len(series.instances),
        "state": series.state,
        "reason": series.reason,
        "rule": series.rule.get("name", ""),
        "tries": series.tries,
        "received": round(series.received),
        "changed": round(series.changed),
        "sent": list(series.sent),
    }


def page(values: dict[str, Any]) -> str:
    """Return ``status`` as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=duration,
        ago=lambda when: f"{duration(max(0, values['now'] - when))} ago",
        clock=lambda when: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)),
        gigabytes=lambda value: f"{value:.1f}",
    )
    style = (reports.TEMPLATES / "report.css").read_text(encoding="utf-8")
    spool = values["spool"]
    return environment.get_template("status.html.j2").render(
        **values,
        style=style,
        disclaimer=DISCLAIMER,
        bad_states=ATTENTION,
        states=STATES,
        spool_percent=min(100, round(100 * spool["used_bytes"] / spool["limit_bytes"])),
        tables=[
            ("Needs somebody", values["attention"]),
            ("At work", values["at_work"]),
            ("Finished", values["finished"]),
        ],
    )


def duration(seconds: float) -> str:
    """Return a time span with one unit: 40 s, 5 min, 3 h, 2 days."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


class StatusServer:
    """``/``, ``/status.json`` and ``/health`` (200, or 503 in trouble) on 127.0.0.1."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Raises OutputError if the port cannot be had."""
        port = self.node.settings.status_port
        if port == 0:
            return
        try:
            self._server = ThreadingHTTPServer((LOCAL, port), _handler(self.node))
        except OSError as problem:
            raise OutputError(
                f"Port {port} for the status page cannot be had ({problem.strerror}); choose another status_port, or 0 for none."
            ) from problem
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler(node: Node) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            # a page elsewhere that points its own name at 127.0.0.1 must not read this one
            if (self.headers.get("Host") or "").rpartition(":")[0] not in (LOCAL, "localhost"):
                return self._answer(403, "text/plain", "Only for http://127.0.0.1.\n")
            if self.path not in ("/", "/status.json", "/health"):
                return self._answer(404, "text/plain", "There are /, /status.json and /health.\n")
            try:
                self._show(status(node))
            except OSError:  # the disk: the next look may succeed
                self._answer(503, "text/plain", "Not now; look again.\n")

        def _show(self, values: dict[str, Any]) -> None:
            if self.path == "/":
                return self._answer(200, "text/html", page(values))
            if self.path == "/health":
                code = 200 if values["health"] == "ok" else 503
                return self._answer(code, "text/plain", "\n".join(["ok"] if code == 200 else values["troubles"]) + "\n")
            return self._answer(200, "application/json", json.dumps(values, indent=1))

        def _answer(self, code: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
