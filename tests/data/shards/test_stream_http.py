import socket
import threading
from contextlib import closing, suppress
from http.server import HTTPServer, SimpleHTTPRequestHandler
from itertools import pairwise

import pytest

from tests.data.shards.hostile_tars import END, ONE, TWO, header
from worldmodel_train.batch import Skip
from worldmodel_train.data.shards.stream_http import HttpStream
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_patience import Patience
from worldmodel_train.data.shards.stream_samples import stream_samples

WHOLE = ONE + TWO + END
CUT_CHUNK = b"99999\r\n" + ONE + TWO


class Waits:
    """A clock that only sleeping moves."""

    def __init__(self, retry_s=100.0, *, then=lambda: None):
        self.pauses, self._now, self._then = [], 0.0, then
        self.outages = Outages(retry_s, clock=lambda: self._now, sleep=self._sleep)

    def _sleep(self, seconds):
        self.pauses.append(seconds)
        self._now += seconds
        self._then()


def items(shard, timeout_s=20.0, outages=None):
    found = stream_samples(shard, timeout_s, outages or Outages(0.0))
    return [i.reason if isinstance(i, Skip) else i.key for i in found]


def answering(*answers):
    """A handler that gives each answer once and the last one from then on."""
    left = list(answers)

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.close_connection = True
            with suppress(ConnectionError):
                (left.pop(0) if len(left) > 1 else left[0])(self)

    return Handler


def answer(status, content=b"", **headers):
    def give(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return give


def drip(start, then, every_s=0.01):
    """Sends one byte every few milliseconds, for ever."""
    gone = threading.Event()

    def give(handler):
        handler.wfile.write(start)
        while not gone.wait(every_s):
            handler.wfile.write(then)

    return give


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(200, WHOLE, Content_Length=str(len(WHOLE) + 9)), ["1", "2", "truncated_shard"]),
        (answer(200, WHOLE, Content_Length=str(len(ONE))), ["1", "truncated_shard"]),
        (answer(200, WHOLE, Content_Length="-5"), ["1", "2"]),
        (answer(200, WHOLE, Content_Length="many"), ["1", "2"]),
        (answer(200, b"-1\r\n" + WHOLE, Transfer_Encoding="chunked"), ["unreadable_shard"]),
        (answer(200, b"zzz\r\n" + WHOLE, Transfer_Encoding="chunked"), ["unreadable_shard"]),
        (answer(200, CUT_CHUNK, Transfer_Encoding="chunked"), ["1", "2", "truncated_shard"]),
        (answer(200, Content_Length="9"), ["truncated_shard"]),
        (answer(204), ["empty_shard"]),
        (answer(404), ["unreadable_shard"]),
        (answer(403), ["unreadable_shard"]),
        (answer(302, Location="/again"), ["unreadable_shard"]),
        (answer(302, Location="http://[1::"), ["unreadable_shard"]),
        (answer(302, Location="http://a..b/"), ["unreadable_shard"]),
        (answer(302, Location=f"http://{'a' * 70}.b/"), ["unreadable_shard"]),
        (answer(302, Location="http://x:y/"), ["unreadable_shard"]),
        (answer(302, Location="ftp://127.0.0.1/"), ["unreadable_shard"]),
        (answer(302, Location="file:///etc/passwd"), ["unreadable_shard"]),
        (answer(302, Location="a b\x01"), ["unreadable_shard"]),
        (answer(302), ["unreadable_shard"]),
        (answer(200, b"", X="y" * 70_000), ["unreadable_shard"]),
    ],
)
def test_a_lying_server_costs_its_shard_at_most(serving, given, expected):
    with serving(answering(given)) as url:
        assert items(f"{url}/a.tar") == expected


@pytest.mark.parametrize(
    "given",
    [
        drip(b"HTTP/1.1 200 OK\r\n", b"X"),  # within the headers
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"\1"),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 2, b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
        # bytes enough, but of nothing that makes a sample
        drip(b"HTTP/1.1 200 OK\r\n\r\n", header("d/", 0, b"5"), 0.005),
        drip(b"HTTP/1.1 200 OK\r\n\r\n" + header("a", 8**11 - 1), bytes(50_000), 0.001),
    ],
)
def test_a_server_that_sends_little_or_nothing_of_use_is_given_up(serving, given):
    with serving(answering(given)) as url:
        assert items(f"{url}/a.tar", timeout_s=0.05) == ["stalled_shard"]


def test_the_body_of_a_redirect_is_not_read(serving):
    there = drip(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n", bytes(100_000), 0.0)
    with serving(answering(there, answer(200, WHOLE))) as url:
        assert items(f"{url}/a.tar") == ["1", "2"]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_busy_server_is_asked_again_with_growing_pauses_and_logged_once(serving, status, caplog):
    waits = Waits()
    busy = [answer(status)] * 4
    with serving(answering(*busy, answer(200, WHOLE))) as url:
        assert items(f"{url}/a.tar", outages=waits.outages) == ["1", "2"]
    assert len(waits.pauses) == 4
    assert all(before * 1.1 < after for before, after in pairwise(waits.pauses))
    assert caplog.text.count("trying again") == caplog.text.count("is back after") == 1


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        *(("7", 7), ("Fri, 31 Dec 9999 23:59:59 GMT", 100), ("soon", 0), ("-1", 0)),
        *(
            (f"Mon, 01 Jan 2024 00:00:00 +{'9' * 20}", 0),
            (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", 0),
        ),
    ],
)
def test_retry_after_is_followed_as_far_as_there_is_time(serving, asked, least):
    waits = Waits()
    with serving(answering(answer(429, Retry_After=asked), answer(200, WHOLE))) as url:
        assert items(f"{url}/a.tar", outages=waits.outages) == ["1", "2"]
    (pause,) = waits.pauses
    assert least <= pause <= 100


def test_a_server_that_starts_late_is_waited_for():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    started = []

    def start():
        started.append(HTTPServer(place, answering(answer(200, WHOLE))))
        threading.Thread(target=started[0].handle_request, daemon=True).start()

    waits = Waits(then=start)
    assert items(f"http://127.0.0.1:{place[1]}/a.tar", outages=waits.outages) == ["1", "2"]
    assert len(waits.pauses) == 1
    started[0].server_close()


def test_an_outage_is_waited_for_once_and_then_costs_one_shard_each(serving, caplog):
    waits = Waits(retry_s=100.0)
    with serving(answering(answer(503))) as url:
        assert items(f"{url}/a.tar", outages=waits.outages) == ["unreachable_shard"]
        assert sum(waits.pauses) == pytest.approx(100)
        tries = len(waits.pauses)
        assert items(f"{url}/b.tar", outages=waits.outages) == ["unreachable_shard"]
    assert len(waits.pauses) == tries
    assert caplog.text.count("still away") == 1


def test_a_host_without_an_address_is_waited_for_too():
    waits = Waits(retry_s=2.0)
    assert items("http://nowhere.invalid/a.tar", outages=waits.outages) == ["unreachable_shard"]
    assert sum(waits.pauses) == pytest.approx(2.0)


class Cutting:
    """Sends a piece of a file over each connection, and then hangs up."""

    def __init__(self, piece, *, shift=0, asked_again=206):
        self.piece, self.shift, self.asked_again, self.asked = piece, shift, asked_again, []

    def __call__(self, handler):
        wanted = handler.headers.get("Range", "")
        self.asked.append((wanted, handler.headers.get("If-Range")))
        begin, end = int(wanted.removeprefix("bytes=").rstrip("-") or 0), len(CONTENT)
        handler.send_response(self.asked_again if begin else 200)
        handler.send_header("ETag", '"one"')
        handler.send_header("Content-Range", f"bytes {begin + self.shift}-{end - 1}/{end}")
        handler.send_header("Content-Length", str(end - begin))
        handler.end_headers()
        handler.wfile.write(CONTENT[begin : begin + self.piece])


CONTENT = bytes(i * i % 251 for i in range(350_000))


def everything(url):
    parts = []
    with closing(HttpStream(url, Patience(20.0), Outages(0.0))) as stream:
        while part := stream.read(1 << 20):
            parts.append(part)
        assert stream.cut == (sum(map(len, parts)) < len(CONTENT))
    return b"".join(parts)


def test_a_connection_that_is_lost_is_made_again_where_it_was(serving):
    server = Cutting(100_000)
    with serving(answering(server)) as url:
        assert everything(f"{url}/a") == CONTENT
    later = [(f"bytes={begin}-", '"one"') for begin in (100_000, 200_000, 300_000)]
    assert server.asked == [("", None), *later]


@pytest.mark.parametrize(
    "server",
    [
        Cutting(100_000, shift=1),
        Cutting(100_000, asked_again=200),  # from the beginning: the file has changed
        Cutting(100_000, asked_again=416),
    ],
)
def test_other_bytes_than_asked_for_are_not_taken(serving, server):
    with serving(answering(server)) as url:
        assert everything(f"{url}/a") == CONTENT[:100_000]
    assert len(server.asked) == 2


def test_a_server_that_soon_cuts_every_connection_is_not_asked_again(serving):
    server = Cutting(1000)
    with serving(answering(server)) as url:
        assert everything(f"{url}/a") == CONTENT[:1000]
    assert len(server.asked) == 1
