"""The server: only its own files, ranges that fit together, hashes, isolation, no foreign name, a token."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from export.serving.address import Place, place, qr_code
from export.serving.content import Served
from export.serving.server import FileServer
from mobile_diffusion.errors import ConfigError

CONTENT = bytes(range(256)) * 5000
HASH = hashlib.sha256(CONTENT).hexdigest()
Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Place], FileServer]]:
    """Starts servers with one file, which end with the test."""
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "a b.wasm").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    with ExitStack() as stack:

        def begin(where: Place) -> FileServer:
            content = {"files/a b.wasm": Served(folder / "a b.wasm", HASH)}
            server = stack.enter_context(FileServer(where, content))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield begin


@pytest.fixture
def server(start: Callable[[Place], FileServer]) -> FileServer:
    return start(Place("127.0.0.1", 0, ""))


def ask(server: FileServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.place.port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer, answer.read()


FILE = "/files/a%20b.wasm"


def test_a_file_comes_whole_with_its_hash_and_isolated(server: FileServer) -> None:
    answer, body = ask(server, FILE)
    assert (answer.status, body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "application/wasm" and answer.headers["ETag"] == f'"{HASH}"'
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    head, nothing = ask(server, FILE, "HEAD")
    assert head.status == 200 and head.headers["Content-Length"] == str(len(CONTENT)) and nothing == b""


def test_parts_make_the_whole(server: FileServer) -> None:
    size = len(CONTENT)
    first, begun = ask(server, FILE, Range="bytes=0-999")
    rest, ended = ask(server, FILE, Range="bytes=1000-", If_Range=f'"{HASH}"')
    assert (first.status, rest.status, begun + ended) == (206, 206, CONTENT)
    assert first.headers["Content-Range"] == f"bytes 0-999/{size}"
    other, whole = ask(server, FILE, Range="bytes=1000-", If_Range='"of another file"')
    assert (other.status, whole) == (200, CONTENT)
    behind, _ = ask(server, FILE, Range=f"bytes={size}-")
    assert behind.status == 416 and behind.headers["Content-Range"] == f"bytes */{size}"


def test_a_known_file_is_not_sent_again(server: FileServer) -> None:
    answer, body = ask(server, FILE, If_None_Match=f'"{HASH}"')
    assert (answer.status, body) == (304, b"")
    assert ask(server, FILE, If_None_Match='"another"')[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/files", "/files/", "/secret", "/files/../../secret", "/files/..%2f..%2fsecret"),
        *("/files/a%20b.wasm/", "/files/%2e%2e/%2e%2e/secret", "/%ff", "/files/a%20b.wasm%00", "/etc/passwd"),
    ],
)
def test_nothing_else_is_there(path: str, server: FileServer) -> None:
    answer, body = ask(server, path)
    assert answer.status == 404 and b"secret" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(method: str, server: FileServer) -> None:
    assert ask(server, FILE, method, Content_Length="0")[0].status == 501


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[::2]:8765"])
def test_a_page_of_another_site_that_points_its_name_here_is_refused(name: str, server: FileServer) -> None:
    assert ask(server, FILE, Host=name)[0].status == 403


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765"])
def test_this_computers_own_names_are_not(name: str, server: FileServer) -> None:
    assert ask(server, FILE, Host=name)[0].status == 200


def test_other_devices_need_the_token(start: Callable[[Place], FileServer]) -> None:
    where = place("0.0.0.0", 0)
    assert len(where.token) == 12 and where.token != place("0.0.0.0", 0).token
    server = start(where)
    assert ask(server, f"/{where.token}{FILE}", Host="computer.local")[1] == CONTENT
    for path in (FILE, f"/wrong{FILE}", f"/{where.token[:-1]}{FILE}", f"/{where.token}", f"/%C3%A4{where.token}"):
        assert ask(server, path)[0].status == 404
    assert server.place.address.endswith(f":{server.place.port}/{where.token}/")
    assert len(qr_code(server.place.address)) > 10


def test_loopback_has_no_token_and_names_itself() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        assert place(host, 1).token == ""
    assert place("127.0.0.1", 80).address == "http://127.0.0.1:80/"
    assert place("::1", 80).address == "http://[::1]:80/"


def test_a_port_in_use_is_one_line(server: FileServer) -> None:
    with pytest.raises(
        ConfigError, match="serve: expected to listen on 127.0.0.1, port .*choose another --port"
    ) as told:
        FileServer(Place("127.0.0.1", server.place.port, ""), {})
    assert "\n" not in str(told.value)


def test_a_host_that_is_none_is_one_line() -> None:
    with pytest.raises(ConfigError, match="serve: expected to listen on nowhere.invalid, port 1, got: "):
        FileServer(Place("nowhere.invalid", 1, "t"), {})


def test_a_file_that_is_removed_or_cut_ends_the_answer(server: FileServer) -> None:
    path = server.content["files/a b.wasm"].path
    path.unlink()
    assert ask(server, FILE)[0].status == 410
