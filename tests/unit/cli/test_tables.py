"""Tables keep words whole where the terminal is wide enough, and lose nothing where it is not."""

from __future__ import annotations

import pytest

from broker.cli import output

COLUMNS = ("Id", "Accession", "Changed (UTC)")
ROW = ("9", "ACC1010", "2026-11-21 15:49:08")


@pytest.mark.parametrize(
    ("width", "pieces"),
    [(80, ["9 ACC1010 2026-11-21 15:49:08"]), (30, ["9 ACC1010 2026-11-21", "15:49:08"])],
)
def test_words_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, pieces: list[str]
) -> None:
    monkeypatch.setattr(output, "PIPE_COLUMNS", width)

    output.print_table("", COLUMNS, [ROW])

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line in pieces] == pieces


@pytest.mark.parametrize("width", [12, 20, 30, 80])
def test_no_character_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(output, "PIPE_COLUMNS", width)

    output.print_table("", ("A", "B"), [("1", "x" * 70 + "." + "y" * 70)])

    printed = capsys.readouterr().out
    assert (printed.count("x"), printed.count("y")) == (70, 70)
