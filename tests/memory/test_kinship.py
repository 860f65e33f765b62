"""The earlier fixes that are most like a task."""

from evo_agent.memory.kinship.kinship import Evidence, Weights, evidence, kin, weighed
from evo_agent.memory.kinship.precedents import Precedent, message_words
from evo_agent.memory.kinship.resemblance import Resemblance

URL = ("url.py", "parse")


def fix(
    number: int,
    title: str,
    *functions: tuple[str, str],
    intent: str = "fix",
    shape: tuple[str, ...] = (),
) -> Precedent:
    """An earlier fix."""
    return Precedent(
        sha=f"{number:040x}",
        time=number,
        title=title,
        intent=intent,
        words=message_words(title),
        files=tuple(dict.fromkeys(path for path, _ in functions)) or ("other.py",),
        functions=functions,
        shape=shape,
    )


def titles(found: tuple[object, ...]) -> list[str]:
    return [one.precedent.title for one in found]  # type: ignore[attr-defined]


def test_a_fix_of_the_same_function_is_nearer_than_one_of_the_same_file():
    changes = [
        fix(1, "Mend parsing", URL),
        fix(2, "Mend joining", ("url.py", "join")),
        fix(3, "Mend colours", ("colour.py", "mix")),
    ]
    found = kin(changes, "hosts are lost", {"url.py": 1.0}, {URL: 1.0})
    assert titles(found) == ["Mend parsing", "Mend joining"]
    assert "mended url.py::parse" in found[0].why


def test_of_two_fixes_of_one_place_the_newer_comes_first():
    changes = [fix(1, "Mend it once", URL), fix(2, "Mend it twice", URL)]
    assert titles(kin(changes, "", {}, {URL: 0.8})) == ["Mend it twice", "Mend it once"]


def test_a_message_alone_makes_kin_and_says_so():
    changes = [fix(1, "Escape markup in tooltips"), fix(2, "Round half to even")]
    found = kin(changes, "markup is not escaped in a tooltip", {}, {})
    assert titles(found) == ["Escape markup in tooltips"]
    assert "its message says 100% of what the task says" in found[0].why


def test_only_fixes_are_kin_and_nothing_without_evidence():
    changes = [fix(1, "Add parsing of hosts", URL, intent="feature"), fix(2, "Round to even")]
    assert kin(changes, "parsing of hosts", {"url.py": 1.0}, {URL: 1.0}) == ()
    assert kin([], "parsing", {}, {}) == ()


def test_like_worded_fixes_vote_on_the_kind_of_edit():
    guard, swap = ("+if", "+return"), ("~return",)
    changes = [
        fix(1, "Crash on empty input of the reader", shape=guard),
        fix(2, "Crash on empty input of the writer", shape=guard),
        fix(3, "Crash on wrong order", shape=swap),
    ]
    alike = Resemblance(changes).to("crash on empty input")
    found = evidence(changes, alike, {}, {})
    assert found[0].kind == found[1].kind > found[2].kind > 0


def test_every_weight_counts_and_only_once():
    assert weighed(Evidence(message=1.0, file=1.0), Weights(message=2.0, file=0.25)) == 2.25
    assert weighed(Evidence(kind=1.0, function=1.0, place="a.py"), Weights(kind=3, function=1)) == 4
