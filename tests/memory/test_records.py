"""The envelope: ids by content, JSON both ways, refusal of what does not fit."""

import hashlib
import json
from dataclasses import replace

import pytest

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import (
    Body,
    Episode,
    FileChange,
    Guardrail,
    Hunk,
    Insight,
    Kind,
    Skill,
)
from evo_agent.memory.journal.records import (
    AsOf,
    Record,
    Scope,
    State,
    Trust,
    canonical,
    from_json,
    make,
    to_json,
)

EPISODE = Episode(
    origin="run",
    title="gcd recurses for ever",
    issue_id="t1",
    files=(FileChange("a.py"), FileChange("b.py", "R", "c.py", binary=True)),
    hunks=(Hunk("a.py", 1, 2, 1, 3, "def gcd(a, b):"),),
    tests=("test_a.py::test_gcd",),
    facts={"operators": ["swap-arguments"], "location": {"line": 3}},
)
BODIES = (
    EPISODE,
    Insight("rule", "look at the caller first", precondition="a traceback"),
    Guardrail("command", {"pattern": "rm -rf"}, "block", "data was lost"),
    Skill("fix-gcd", "How gcd was fixed", "# gcd", "t1", {"operators": ["swap"]}),
)


def record(body: Body = EPISODE, **changes: object) -> Record:
    return make(body, **{"repo": "r", "scope": Scope.LANGUAGE, **changes})


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_kind_goes_through_json_and_keeps_its_id(body: Body):
    first = record(
        body,
        as_of=AsOf("c0ffee", 12.5),
        created=13.0,
        source_ids=("a", "b"),
        evidence_ids=("run:1#2",),
        parent_id="p",
        trust=Trust.VERIFIED,
        when_to_use="when it recurses",
        tags=("python",),
        state=State.ACTIVE,
    )
    assert from_json(to_json(first)) == first
    assert from_json(to_json(first)).id == first.id


def test_the_id_is_of_kind_repo_scope_and_body_only():
    base = record()
    same = record(
        created=99.0, as_of=AsOf("x", 1.0), trust=Trust.HUMAN, tags=("z",), source_ids=("s",),
        evidence_ids=("e",), parent_id="p", when_to_use="w", state=State.ARCHIVED,
    )  # fmt: skip
    assert same.id == base.id
    others = (
        record(repo="other"),
        record(scope=Scope.GLOBAL),
        record(replace(EPISODE, title="another")),
        record(Insight("rule", "x")),
    )
    assert len({base.id, *(other.id for other in others)}) == 5


def test_an_empty_field_is_not_part_of_the_id():
    """A field that a later version adds must not change the ids of what is there."""
    data = json.loads(to_json(record()))
    assert "reverts" not in data["body"]
    assert all("submodule" not in file for file in data["body"]["files"])


def test_make_redacts_the_body_and_the_envelope():
    token = "ghp_" + "a1B2" * 9
    made = make(
        Episode("run", f"title {token}", problem=token, facts={"note": token}),
        repo="r",
        scope=Scope.REPO,
        when_to_use=f"when {token}",
        tags=(token,),
    )
    assert token not in to_json(made)


def test_a_ten_megabyte_record_is_refused_with_the_reason():
    with pytest.raises(StoreError, match="refused") as caught:
        to_json(record(Insight("rule", "x y " * 2_500_000)))
    assert caught.value.remedy


def test_a_changed_a_torn_and_a_newer_record_are_told_apart():
    line = to_json(record())
    with pytest.raises(StoreError, match="does not fit its id"):
        from_json(line.replace("recurses", "recourses"))
    with pytest.raises(StoreError, match="cannot be read"):
        from_json(line[:-5])
    with pytest.raises(StoreError, match="schema 2"):
        from_json(line.replace('"schema":1', '"schema":2'))


def test_kinds_are_told_by_their_bodies():
    assert [record(body).kind for body in BODIES] == list(Kind)


def test_an_id_and_a_line_are_those_of_plain_canonical_json():
    for body in BODIES:
        made = record(body)
        content = [made.kind, made.repo, made.scope, made.body_json]
        assert made.id == hashlib.sha256(canonical(content)).hexdigest()
        line = to_json(made)
        assert line == canonical(json.loads(line)).decode()
        assert canonical(json.loads(line)["body"]) == canonical(made.body_json)
    tricky = record(Insight("rule", 'says "body":null, twice: "body":null'))
    assert from_json(to_json(tricky)) == tricky
