"""Text made to be slow to read: commit messages and issues are anybody's."""

import signal
from collections.abc import Iterator

import pytest

from evo_agent.memory.history.messages import _REFERENCE
from evo_agent.memory.recall.scoring import _PATH

LONG = 200_000  # characters, the most that an issue may have


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail instead of hanging for the hours that quadratic patterns take."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the text hangs the reader")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("unit", ["a", "a.", "-.", "Aa", "a-", "a/", "a#"])
def test_no_text_hangs_what_looks_for_references_and_paths(unit: str) -> None:
    text = unit * (LONG // len(unit)) + "!"
    assert sum(1 for _ in _REFERENCE.finditer(text)) == 0
    for found in _PATH.finditer(text):
        assert found.group() in text


def test_references_and_paths_are_still_found() -> None:
    text = "see psf/requests#12, (#7) and GH-3; src/a-b/c.py, ./x/y, /abs/z.c or lone.py"
    assert _REFERENCE.findall(text) == ["psf/requests#12", "#7", "GH-3"]
    assert _PATH.findall(text) == [
        *("psf/requests", "src/a-b/c.py", "./x/y", "abs/z.c", "lone.py"),
    ]
