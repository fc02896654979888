"""The terminal shows untrusted text literally, in every position."""

import pytest
from rich.table import Table

from keras_hypernet.common.terminal import LiteralConsole, printable
from keras_hypernet.experiments.runner import describe_best
from keras_hypernet.runs.progress import RunsProgress

# Wrong markup, valid markup, an emoji code, and both escape sequences that clear a screen.
OTHERS = "[/3, /5] [mirror] :warning: \x1b[2J\x9b2J \x08\r\n\u202e\ud800 Ünïcode ± 字"
SHOWN = r"[/3, /5] [mirror] :warning: \x1b[2J\x9b2J \x08\r\n\u202e\ud800 Ünïcode ± 字"
SHOWN_IN_A_SENTENCE = SHOWN.replace(r"\r\n", " ").replace(r"\x08 ", r"\x08 ")


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


@pytest.mark.regression
def test_printable_characters_stay(capfd):
    assert printable(OTHERS) == SHOWN
    assert printable(SHOWN) == SHOWN
    LiteralConsole().warn(f"  {OTHERS}\n\n{OTHERS}")
    assert capfd.readouterr().out == f"Warning: {SHOWN_IN_A_SENTENCE} {SHOWN_IN_A_SENTENCE}\n"


@pytest.mark.regression
@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_shows_text_as_it_is(capfd, monkeypatch, terminal):
    if terminal:
        for name, value in {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TERM": "xterm"}.items():
            monkeypatch.setenv(name, value)
    console = LiteralConsole()
    assert console.is_terminal == terminal
    table = Table("column", OTHERS, title=OTHERS)
    table.add_row("row", OTHERS)
    console.print(table)
    console.print(OTHERS, soft_wrap=True)
    console.warn(OTHERS)
    with console.status(OTHERS):
        pass
    shown = capfd.readouterr().out
    assert shown.count(SHOWN) == 4 + terminal
    assert SHOWN_IN_A_SENTENCE in shown
    assert "\x1b[2J" not in shown
    assert not set(shown) & {"\x9b", "\x08", "\u202e"}


@pytest.mark.regression
def test_a_long_error_loses_its_middle(capfd):
    LiteralConsole(stderr=True).say("Error", "red", "begin " + "x" * 100_000 + " end.")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Error: begin xxx")
    assert line.endswith("xxx end.")
    assert len(line) < 2100


@pytest.mark.regression
@pytest.mark.parametrize("terminal", [False, True])
def test_the_progress_of_an_experiment_shows_names_as_they_are(capfd, monkeypatch, terminal):
    if terminal:
        for name, value in {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TERM": "xterm"}.items():
            monkeypatch.setenv(name, value)
    with RunsProgress(OTHERS, 2, [], describe_best) as progress:
        progress.add({"panel": "mnist", "method": OTHERS, "status": OTHERS, "test": 0.5})
        progress.console.warn(OTHERS)
    shown = capfd.readouterr().err
    assert shown.count(f"best {SHOWN} 0.5; 1 {SHOWN}") >= 1
    assert shown.count(SHOWN) >= 3
    assert f"Warning: {SHOWN_IN_A_SENTENCE}\n" in shown.replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert "\x1b[2J" not in shown
    assert not set(shown) & {"\x9b", "\x08", "\u202e"}
