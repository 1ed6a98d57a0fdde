"""A stand-in for the Hugging Face hub on loopback: the few endpoints a download needs.

Faults are switched on by attributes: `cut_after` ends the first transfer early, `corrupt` flips a
byte, `gated` answers 403.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub:
    """One repository, `maker/tiny-GGUF`, with the given files."""

    repo = "maker/tiny-GGUF"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cut_after = 0
        self.corrupt = False
        self.gated = False
        self.ranges: list[str] = []  # Range headers of the transfers
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, http: BaseHTTPRequestHandler, body: bool) -> None:
        path = unquote(urlsplit(http.path).path)
        if self.gated:
            self._say(http, 403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif re.fullmatch(rf"/api/models/{self.repo}(/revision/\w+)?", path):
            self._say(http, 200, json.dumps(self._listing()).encode(), {}, body)
        elif found := re.fullmatch(rf"/{self.repo}/resolve/[^/]+/(.+)", path):
            self._file(http, found[1], body)
        else:
            self._say(http, 404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

    def _listing(self) -> dict[str, object]:
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": "b" * 40,
             "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}}
            for name, data in self.files.items()
        ]  # fmt: skip
        return {"id": self.repo, "modelId": self.repo, "sha": COMMIT, "siblings": siblings,
                "tags": [], "downloads": 0, "likes": 0, "private": False}  # fmt: skip

    def _file(self, http: BaseHTTPRequestHandler, name: str, body: bool) -> None:
        if name not in self.files:
            self._say(
                http, 404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body
            )
            return
        data = self.files[name]
        digest = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"', "X-Linked-ETag": f'"{digest}"',
                   "X-Linked-Size": str(len(data)), "Accept-Ranges": "bytes"}  # fmt: skip
        if not body:
            self._say(http, 200, data, headers, False)
            return
        if self.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start, status = 0, 200
        if wanted := http.headers.get("Range"):
            self.ranges.append(wanted)
            start = int(re.match(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.cut_after:
            cut, self.cut_after = self.cut_after, 0
            http.send_response(status)
            for key, value in headers.items():
                http.send_header(key, value)
            http.send_header("Content-Length", str(len(data) - start))
            http.end_headers()
            http.wfile.write(data[start : start + cut])
            http.wfile.flush()
            http.close_connection = True
            http.connection.shutdown(2)
            return
        self._say(http, status, data[start:], headers, True)

    @staticmethod
    def _say(
        http: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], body: bool
    ) -> None:
        http.send_response(status)
        for key, value in headers.items():
            http.send_header(key, value)
        http.send_header("Content-Length", str(len(data)))
        http.end_headers()
        if body:
            http.wfile.write(data)
