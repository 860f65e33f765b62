"""Which earlier messages say what a task says."""

from evo_agent.memory.kinship.precedents import Precedent, message_words
from evo_agent.memory.kinship.resemblance import Resemblance


def said(*messages: str) -> list[Precedent]:
    return [
        Precedent(str(n), n, text, words=message_words(text)) for n, text in enumerate(messages)
    ]


def test_a_rare_word_tells_more_than_a_common_one():
    index = Resemblance(said("Fix the reader", "Fix the writer", "Fix the quaternion", "Fix it"))
    found = index.to("fix quaternion")
    assert found[2] == max(found.values()) > 0.9
    assert 0 < found[0] < 0.1


def test_endings_of_words_do_not_matter_and_words_that_nobody_wrote_count_against():
    index = Resemblance(said("Escaped the tooltips", "Other things"))
    whole = index.to("escaping a tooltip")
    assert whole.keys() == {0}
    assert whole[0] > 1.5 * index.to("escaping a tooltip of quaternions")[0]
    assert index.to("") == Resemblance([]).to("anything") == {}


def test_a_long_message_resembles_less_than_a_short_one_that_says_the_same():
    long = "Mend the parser " + " ".join(f"word{n}" for n in range(50))
    found = Resemblance(said("Mend the parser", long)).to("mend parser")
    assert found[0] > found[1] > 0
