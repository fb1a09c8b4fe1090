"""hl7 send: what a file holds, what a receiver says, and receivers that say nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from broker.cli import main as cli
from broker.errors import PeerFailed
from broker.hl7.sender import send, split_messages

MESSAGE = b"MSH|^~\\&|RIS|HOSP|||20260302||ORM^O01|C1|P|2.5\rPID|1||P1\r"


def answer(code: str) -> bytes:
    return b"\x0bMSH|^~\\&|MWLBROKER||RIS|HOSP|20260302||ACK^O01|1|P|2.5\rMSA|" + code.encode() + b"|C1\r\x1c\r"


class Receiver:
    """Takes one connection and gives the prepared answers; None: close instead."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.got: list[bytes] = []
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            for one in self._answers:
                self.got.append(self._block(connection))
                if one is None:
                    return
                connection.sendall(one)
            with suppress(ConnectionResetError):
                connection.recv(1)

    def _block(self, connection: socket.socket) -> bytes:
        received = b""
        while not received.endswith(b"\x1c\r"):
            received += connection.recv(65_536)
        return received

    def close(self) -> None:
        self._thread.join(5)
        self._listening.close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*answers: bytes | None) -> Receiver:
        made.append(Receiver(list(answers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["mwl-broker", "hl7", "send", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_an_answer_acts_on_no_terminal(
    receiver: Callable[..., Receiver],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: tuple[str, ...],
) -> None:
    file = tmp_path / "order.hl7"
    file.write_bytes(MESSAGE)

    run(monkeypatch, file, "--port", receiver(answer("A\x1b[2J\n\u202e\x9b[red]")).port, *form)

    printed = capsys.readouterr()
    assert all(line.isprintable() for line in (printed.out + printed.err).splitlines())
    assert "[red]" in printed.out


@pytest.mark.parametrize(
    "content",
    [
        MESSAGE,
        MESSAGE.replace(b"\r", b"\n"),
        MESSAGE.replace(b"\r", b"\r\n"),
        b"\xef\xbb\xbf" + MESSAGE,
        b"\x0b" + MESSAGE + b"\x1c\r",
        MESSAGE.rstrip(),
        b"\n\n" + MESSAGE + b"\r\n",
    ],
)
def test_a_file_of_any_line_ends_and_framing_holds_the_same_message(content: bytes) -> None:
    assert split_messages(content) == [MESSAGE]
    assert split_messages(content + b"\r\n" + content) == [MESSAGE, MESSAGE]


def test_a_file_without_a_message_holds_none() -> None:
    assert split_messages(b"BHS|^~\\&\rhello\r") == []


def test_accepted_messages_end_with_0_and_show_each_answer(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    receiver: Callable[..., Receiver],
) -> None:
    (tmp_path / "two.hl7").write_bytes(MESSAGE + MESSAGE)
    there = receiver(answer("AA"), answer("AA"))

    code = run(monkeypatch, tmp_path / "two.hl7", "--port", there.port)

    printed = capsys.readouterr()
    assert code == 0
    assert printed.out.count("MSA|AA|C1") == 2
    assert printed.err == "2 messages: 2 AA.\n"
    assert there.got == [b"\x0b" + MESSAGE + b"\x1c\r"] * 2


def test_one_refused_message_ends_with_1_and_the_others_are_sent_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    receiver: Callable[..., Receiver],
) -> None:
    (tmp_path / "one.hl7").write_bytes(MESSAGE)
    there = receiver(answer("AE"), answer("AA"), answer("AA"))

    code = run(monkeypatch, tmp_path / "one.hl7", "--port", there.port, "--repeat", 3, "--json")

    answers = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [(one["file"], one["code"], one["accepted"]) for one in answers] == [
        ("one.hl7", "AE", False),
        ("one.hl7", "AA", True),
        ("one.hl7", "AA", True),
    ]


def test_a_receiver_that_closes_is_said_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    receiver: Callable[..., Receiver],
) -> None:
    (tmp_path / "one.hl7").write_bytes(MESSAGE)

    code = run(monkeypatch, tmp_path / "one.hl7", "--port", receiver(None).port)

    assert code == 1
    assert "closed the connection without an answer" in capsys.readouterr().err


def test_nobody_there_is_said_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "one.hl7").write_bytes(MESSAGE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]

    code = run(monkeypatch, tmp_path / "one.hl7", "--port", free)

    assert code == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_receiver_that_says_nothing_is_waited_for_only_so_long(receiver: Callable[..., Receiver]) -> None:
    with pytest.raises(PeerFailed, match="did not answer in time"):
        list(send("127.0.0.1", receiver(b"").port, [MESSAGE], answer_seconds=0.2))


def test_a_receiver_that_never_ends_its_answer_is_left(receiver: Callable[..., Receiver]) -> None:
    with pytest.raises(PeerFailed, match="has no end"):
        list(send("127.0.0.1", receiver(b"x" * 1_100_000).port, [MESSAGE], answer_seconds=5))
