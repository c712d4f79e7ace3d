"""The thread that answers questions: real sockets, patient and impatient clients, and worse ones."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from edge_lstm.addresses import parse_address
from edge_lstm.contracts.status import (
    Status,
    StatusBackend,
    StatusBroker,
    StatusBundle,
    StatusOutbox,
    StatusProcess,
    StatusReadings,
    StatusStorage,
    StatusStreams,
)
from edge_lstm.io.answers import Answers, Listener, Notice
from edge_lstm.io.control import CONTROL, QUESTION, ask, control_listener
from edge_lstm.io.facts import quarantined
from edge_lstm.io.metrics import render
from edge_lstm.io.metrics_http import http_answer
from edge_lstm.status import look, report
from edge_lstm.times import format_time

STATUS = Status(
    node="n",
    pid=7,
    version="1",
    state="ok",
    problems=[],
    time="2026-03-01T12:00:00.000Z",
    uptime_s=3.5,
    reloads=2,
    bundle=StatusBundle(id="pump", version="3", sha256="ab" * 32, path="/m.elb"),
    backend=StatusBackend(name="litert", reason="the fastest"),
    broker=StatusBroker(
        transport="paho",
        address="h:1883",
        tls=False,
        client_id="c",
        connected=True,
        subscribed=True,
        connections=4,
        sessions_lost=1,
        backlog=5,
        dropped=6,
    ),
    readings=StatusReadings(
        received=100,
        accepted=90,
        rejected={"late": 7, "undecodable": 3},
        bad_values=1,
        failures=0,
        scored=80,
        alerts=2,
        last=None,
    ),
    streams=StatusStreams(total=12, resident=10, commissioning=1, commissioned=2, alerts_open=1),
    outbox=StatusOutbox(depth=3, refused={"Not authorized": 2}, given_up=0),
    storage=StatusStorage(
        state_dir="/s",
        durability="strict",
        loss_window_s=0.0,
        lag_s=0.25,
        commit_age_s=0.5,
        snapshot_age_s=None,
        journal_bytes=4096,
    ),
    process=StatusProcess(rss_bytes=1000, cpu_s=1.5, threads=4, open_files=20),
    quarantine=[],
)


@pytest.fixture
def notice() -> Notice[Status]:
    """Facts laid out."""
    found = Notice[Status]()
    found.latest = STATUS
    return found


@pytest.fixture
def folder(tmp_path: Path, notice: Notice[Status]) -> Iterator[Path]:
    """A state folder whose daemon answers; clients have little time."""
    with closing(Answers([control_listener(tmp_path, notice)], patience_s=0.3)) as answers:
        answers.start()
        yield tmp_path


def connect(folder: Path) -> socket.socket:
    """A connection that says nothing yet."""
    found = socket.socket(socket.AF_UNIX)
    found.connect(str(folder / CONTROL))
    found.settimeout(10)
    return found


# --------------------------------------------------------------------------------------------- the thread


def test_control_answers_its_question(folder: Path) -> None:
    """Whole, and again and again."""
    for _ in range(100):
        assert STATUS == ask(folder)


def test_control_takes_a_question_in_pieces(folder: Path) -> None:
    """One byte a packet is slow, not wrong."""
    with connect(folder) as client:
        for byte in QUESTION:
            client.sendall(bytes([byte]))
            time.sleep(0.01)
        assert client.recv(1) == b"{"


@pytest.mark.parametrize("question", [b"stop\n", b"status", b"statusstatus\n", b"\0" * 100_000, b""])
def test_control_ends_what_is_no_question(folder: Path, question: bytes) -> None:
    """Nothing is said to it, and its time is limited."""
    with connect(folder) as client:
        try:
            client.sendall(question)
            said = client.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            said = b""
    assert b"" == said
    assert STATUS == ask(folder)


def test_control_ends_a_client_that_never_reads(tmp_path: Path) -> None:
    """An answer larger than every buffer is given up with the client's time, and others are answered."""
    notice = Notice[Status]()
    notice.latest = msgspec.structs.replace(STATUS, problems=["x" * 1000] * 3000)
    with closing(Answers([control_listener(tmp_path, notice)], patience_s=0.3)) as answers:
        answers.start()
        with connect(tmp_path) as client:
            client.sendall(QUESTION)
            assert notice.latest == ask(tmp_path)
            time.sleep(0.5)
            got = b"".join(iter(lambda: client.recv(65536), b""))
    assert len(got) < 3_000_000


def test_control_gives_the_oldest_place_away(folder: Path) -> None:
    """Clients that hold on cannot keep others out, nor make the daemon hold many sockets."""
    with ExitStack() as held:
        clients = [held.enter_context(connect(folder)) for _ in range(30)]
        assert STATUS == ask(folder)
        ended = sum(client.recv(1) == b"" for client in clients[:20])
    assert 20 == ended


def test_control_is_there_for_its_user_alone(folder: Path) -> None:
    """Rights of the file, from its first moment on; the rest is SO_PEERCRED's."""
    assert 0o600 == (folder / CONTROL).stat().st_mode & 0o777


def _speak_as_nobody(folder: Path, writer: int) -> None:
    """In a child: become nobody, connect by a way that needs no right on the folders above, and tell."""
    os.chdir(folder)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(CONTROL)
            os.write(writer, b"connected ")
            client.sendall(QUESTION)
            os.write(writer, client.recv(10) or b"nothing")
    except OSError as error:
        os.write(writer, type(error).__name__.encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_control_does_not_speak_to_other_users(folder: Path) -> None:
    """Even where the rights of the file would let them."""
    (folder / CONTROL).chmod(0o666)
    folder.chmod(0o711)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _speak_as_nobody(folder, writer)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode().split()

    assert "connected" == said[0]
    assert said[1] in ("nothing", "BrokenPipeError", "ConnectionResetError")
    assert STATUS == ask(folder)


def test_control_leaves_files_that_are_no_sockets(tmp_path: Path, notice: Notice[Status]) -> None:
    """What stands in its place was put there by somebody."""
    (tmp_path / CONTROL).write_text("mine")
    with pytest.raises(OSError, match="in use"):
        control_listener(tmp_path, notice)
    assert "mine" == (tmp_path / CONTROL).read_text()


def test_control_says_that_it_is_starting(tmp_path: Path) -> None:
    """Before the loop has turned there are no facts."""
    with closing(Answers([control_listener(tmp_path, Notice())])) as answers:
        answers.start()
        answer = look(tmp_path)
    assert (None, False) == (answer.status, answer.not_running)
    assert "starting" in answer.why


def test_answers_end_with_their_sockets(tmp_path: Path, notice: Notice[Status]) -> None:
    """Closed while clients are half way: no thread, no socket, no file is left."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    answers = Answers([control_listener(tmp_path, notice)])
    answers.start()
    with connect(tmp_path):
        assert STATUS == ask(tmp_path)
        answers.close()
    assert not answers._thread.is_alive()
    assert not (tmp_path / CONTROL).exists()
    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# ------------------------------------------------------------------------------------------- what is asked


def test_look_knows_a_loop_that_hangs(folder: Path, notice: Notice[Status]) -> None:
    """Facts that nobody has renewed are old, however good they were."""
    hung = look(folder).status
    assert hung is not None
    assert "degraded" == hung.state
    assert "has not turned for" in hung.problems[0]
    notice.latest = msgspec.structs.replace(STATUS, time=format_time(time.time_ns()))
    now = look(folder).status
    assert now is not None
    assert "ok" == now.state


@pytest.mark.parametrize("answer", [b"{}\n", b"null", b'{"schema": "edge-lstm.status/2"}', b"x", b"[" * 5000])
def test_look_survives_any_answer(tmp_path: Path, answer: bytes) -> None:
    """Another version's, or none: one line."""
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / CONTROL))
    bound.listen()
    listener = Listener(name="other", bound=bound, answer=lambda _question: answer)
    with closing(Answers([listener])) as answers:
        answers.start()
        found = look(tmp_path)
    assert found.status is None
    assert not found.not_running
    assert "\n" not in found.why


def test_report_lets_nothing_speak_to_the_terminal() -> None:
    """A topic from the network is data: no escape sequence and no line of its own."""
    kept = SimpleNamespace(
        topic="a\x1b]0;owned\x07\nproblem   x",
        reason="undecodable",
        detail="\u202e",
        size=3000,
        sha256="ab" * 32,
        head=b"\xff" * 256,
        first_ns=0,
        last_ns=10**18,
        count=3,
    )
    (evil, *more) = quarantined([kept] * 30)
    assert ("ff" * 64, "2001-09-09T01:46:40.000Z", 19) == (evil.head, evil.last, len(more))
    text = report(msgspec.structs.replace(STATUS, quarantine=[evil], problems=["p" * 10_000]))

    assert not set(text) & set("\x1b\x07\u202e")
    assert 1 == sum(line.startswith("quarantine") for line in text.splitlines())
    assert max(map(len, text.splitlines())) < 300


# ---------------------------------------------------------------------------------------------- metrics


def parse(text: str) -> dict[str, float]:
    """The text format, read strictly: HELP and TYPE before samples, each name once."""
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            sample, _, value = line.rpartition(" ")
            name = sample.partition("{")[0]
            assert name == list(kinds)[-1]
            assert (kinds[name] == "counter") == name.endswith("_total")
            assert sample not in found
            found[sample] = float(value)
    assert text.endswith("\n")
    return found


def test_metrics_have_every_fact() -> None:
    """Numbers as they are in the status; what is not known yet is not there."""
    found = parse(render(STATUS).decode())

    expected = {
        "edge_lstm_received_total": 100,
        "edge_lstm_accepted_total": 90,
        'edge_lstm_rejected_total{reason="late"}': 7,
        'edge_lstm_outbox_refused{reason="Not authorized"}': 2,
        "edge_lstm_durable_lag_seconds": 0.25,
        "edge_lstm_commit_age_seconds": 0.5,
        'edge_lstm_state{state="ok"}': 1,
        'edge_lstm_state{state="degraded"}': 0,
        "edge_lstm_facts_timestamp_seconds": 1772366400.0,
    }
    assert expected == {name: found[name] for name in expected}
    assert "edge_lstm_snapshot_age_seconds" not in found


def test_metrics_and_their_page_agree() -> None:
    """Every metric is explained, and every rule asks for one that there is."""
    full = msgspec.structs.replace(
        STATUS,
        readings=msgspec.structs.replace(STATUS.readings, last=STATUS.time),
        storage=msgspec.structs.replace(STATUS.storage, snapshot_age_s=1.0),
    )
    rendered = {name.partition("{")[0] for name in parse(render(full).decode())}
    page = (Path(__file__).parents[2] / "docs" / "howto-monitor.md").read_text("utf-8")

    assert rendered == set(re.findall(r"\bedge_lstm_[a-z0-9_]+", page))


def test_metrics_labels_are_bounded_and_escaped() -> None:
    """However many reasons there are and whatever is in them, the page stays small and well-formed."""
    odd = {f'r{number}"\\\n\x00}} 1\n': 1 for number in range(1000)}
    status = msgspec.structs.replace(
        STATUS, readings=msgspec.structs.replace(STATUS.readings, rejected=odd), node='n"\\'
    )
    text = render(status).decode()
    rejected = [line for line in text.splitlines() if line.startswith("edge_lstm_rejected_total{")]

    assert 51 == len(rejected)
    assert 'edge_lstm_rejected_total{reason="other"} 950' == rejected[-1]
    assert 'node="n\\"\\\\"' in text
    assert r'reason="r0\"\\\n' in text
    assert "\x00" not in text
    assert len(parse(text)) < 120


def respond(request: bytes, status: Status | None = STATUS) -> tuple[str, bytes]:
    """Status line and body."""
    answer = http_answer(request, status)
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = dict(line.split(": ") for line in head.decode().splitlines()[1:])
    assert "close" == lines["Connection"]
    return head.decode().splitlines()[0], body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics HTTP/1.1", "200 OK"),
        (b"GET /metrics?x=1 HTTP/1.0", "200 OK"),
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1", "404 Not Found"),
        (b"POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"GET /metrics", "400 Bad Request"),
        (b"PRI * HTTP/2.0", "400 Bad Request"),
        (b"\x16\x03\x01", "400 Bad Request"),
    ],
)
def test_http_knows_one_page(request_line: bytes, status: str) -> None:
    """Everything else has its own refusal."""
    assert f"HTTP/1.1 {status}" == respond(request_line + b"\r\nHost: x\r\n\r\n")[0]


def test_http_details() -> None:
    """HEAD has no body; before the first facts a scraper is told to come again; half a header waits."""
    assert b"" == respond(b"HEAD /metrics HTTP/1.1\r\n\r\n")[1]
    assert "HTTP/1.1 503 Service Unavailable" == respond(b"GET /metrics HTTP/1.1\r\n\r\n", None)[0]
    assert http_answer(b"GET /metrics HTTP/1.1\r\n", STATUS) is None


@pytest.mark.parametrize(
    ("text", "host"),
    [("127.0.0.1:9464", "127.0.0.1"), ("[::1]:1", "::1"), ("192.168.1.9:65535", "192.168.1.9")],
)
def test_address_is_understood(text: str, host: str) -> None:
    """Both families."""
    assert (host, int(text.rpartition(":")[2])) == (str(parse_address(text)[0]), parse_address(text)[1])


BAD_ADDRESSES = (
    *("", "9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9464"),
    *("127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:٣", "[127.0.0.1]:1", "127.1:80", f"127.0.0.1:{'9' * 5000}"),
)


@pytest.mark.parametrize("text", BAD_ADDRESSES)
def test_address_is_refused(text: str) -> None:
    """Names, and what is no address."""
    with pytest.raises(ValueError, match=r".+"):
        parse_address(text)
