"""`evo learn`, as a person types it."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import RepoFactory

TOLD = {
    "problem": "Padded input was split into empty parts.",
    "root_cause": "parse did not strip its argument.",
    "solution": "It strips first, so that blanks at the ends make no parts.",
    "keywords": ["strip"],
}


def history(repo_factory: RepoFactory) -> Path:
    return repo_factory(
        ({"url.py": "def parse(u):\n    return u\n"}, "Add parse"),
        ({"url.py": "def parse(u):\n    return u.strip()\n"}, "Fix parse (#2)"),
        ({"url.py": "def parse(u):\n    return u.strip().split()\n"}, "Fix split"),
    )


def test_a_limit_learns_the_newest_and_says_that_there_are_more(
    evo: Any, repo_factory: RepoFactory, tmp_path: Path
):
    repo = history(repo_factory)
    env = {"EVO_MEMORY_PATH": str(tmp_path / "memory")}
    first = json.loads(evo("learn", "--json", "--limit", "1", cwd=repo, env=env).out)
    assert (first["seen"], first["added"], first["limited"]) == (1, 1, True)
    rest = json.loads(evo("learn", "--json", cwd=repo, env=env).out)
    assert (rest["known"], rest["added"], rest["limited"]) == (1, 2, False)
    assert evo("learn", "--limit", "0", cwd=repo, env=env).code == 2


def test_a_model_explains_as_many_commits_as_were_asked_for(
    evo: Any, repo_factory: RepoFactory, tmp_path: Path, model_server: Any
):
    repo = history(repo_factory)
    env = {"EVO_MEMORY_PATH": str(tmp_path / "memory"), "OPENAI_API_KEY": "none"}
    model = ("--model", "openai/fake", "--api-base", model_server.url)
    model_server.say(json.dumps(TOLD))
    ran = evo("learn", "--json", "--explain", "1", *model, cwd=repo, env=env)
    explained = json.loads(ran.out)["explained"]
    assert (explained["asked"], explained["added"], explained["left"]) == (1, 1, 1)
    model_server.say("no")
    ran = evo("learn", "--explain", "5", *model, cwd=repo, env=env)
    assert ran.code == 0
    assert "malformed 1" in ran.out


def test_explaining_without_a_model_is_refused_before_the_work(
    evo: Any, repo_factory: RepoFactory, tmp_path: Path
):
    ran = evo("learn", "--explain", "1", cwd=history(repo_factory), env={"EVO_HOME": str(tmp_path)})
    assert ran.code == 2
    assert "no model is configured" in ran.err
    assert "learnt" not in ran.err
