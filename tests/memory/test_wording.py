"""What a model words is marked as such, and outranks nobody."""

import pytest
from tests.memory.conftest import MakeRun

from evo_agent.core.errors import UsageError
from evo_agent.core.types import Query
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.records import Trust
from evo_agent.memory.lifecycle.wording import worded
from evo_agent.memory.store import Memory


def test_a_models_words_are_a_record_of_their_own_below_the_lesson(
    memory: Memory, make_run: MakeRun
):
    kept = memory.record_run(make_run())
    lesson = memory.get(kept.insights[0])
    assert lesson is not None
    told = "bitcount did not return TimeoutError: the mask was xored where it must be anded"
    said = worded(lesson.record, lambda prompt: f"  {told}\n" if "swap-bitwise" in prompt else "")
    assert isinstance(said.body, Insight)
    assert (said.body.text, said.trust, said.parent_id) == (told, Trust.MODEL, lesson.record.id)
    assert said.evidence_ids == lesson.record.evidence_ids
    assert said.body.issue_id == "task-1"  # so it never answers for the task either
    memory.upkeep.admit(said)
    asked = Query(
        "bitcount did not return TimeoutError", repo="b", issue_id="x", kinds=("insight",)
    )
    found = memory.recall(asked)
    assert [record.trust for record in found] == ["verified", "model"]


def test_a_law_is_not_worded(memory: Memory, make_run: MakeRun):
    kept = memory.record_run(make_run())
    episode = memory.get(kept.episode_id)
    assert episode is not None
    with pytest.raises(UsageError, match="only an insight"):
        worded(episode.record, str)
