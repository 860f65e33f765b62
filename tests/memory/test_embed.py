"""Embedders: deterministic, of length one, never a zero vector, and errors are errors."""

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from evo_agent.core.errors import ModelError, UsageError
from evo_agent.memory.journal.words import terms
from evo_agent.memory.recall.embed import Lexical, LiteLLM, normalised, open_embedder


def cosine(one: str, other: str) -> float:
    a, b = Lexical().embed([one, other])
    assert a is not None
    assert b is not None
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_terms_are_identifiers_and_their_parts_without_endings_and_stop_words():
    assert terms("Fixed parseURL_list when the tests were failing") == [
        "fix", "parseurl_list", "pars", "url", "list", "test", "fail",
    ]  # fmt: skip
    assert terms("naïve café") == ["naiv", "cafe"]
    assert terms("x" * 65) == []


def test_forms_of_a_word_are_one_term():
    for words in (
        "fix fixes fixed fixing",
        "merge merges merged merging",
        "call calls called calling",
        "stop stops stopped",
        "dependency dependencies",
        "configuration configure configured",
        "pass passes passed",
    ):
        assert len(set(terms(words))) == 1, words
    assert len(set(terms("class clause need speed status string"))) == 6


def test_lexical_vectors_are_the_same_in_another_process():
    code = "from evo_agent.memory.recall.embed import Lexical; print(Lexical().embed(['parse_url fails'])[0])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == Lexical().embed(["parse_url fails"])[0]


def test_lexical_is_of_length_one_and_empty_texts_have_no_vector():
    word, empty, stops = Lexical().embed(["a KeyError in merge", "", "the and of \n ..."])
    assert word is not None
    assert math.isclose(sum(x * x for x in word), 1.0)
    assert empty is None
    assert stops is None


def test_lexical_puts_like_near_like():
    issue = "TypeError in merge_settings when a header value is None"
    near = cosine(issue, "Fix merge_settings: drop headers whose value is None")
    far = cosine(issue, "Update the installation guide for Windows users")
    assert near > Lexical.floor > far


def test_zero_and_endless_vectors_are_no_vectors():
    assert normalised([0.0, 0.0]) is None
    assert normalised([float("nan"), 1.0]) is None
    assert normalised([3.0, 4.0]) == [0.6, 0.8]


def test_an_unknown_embedder_is_named():
    with pytest.raises(UsageError, match="'word2vec'"):
        open_embedder("word2vec")
    with pytest.raises(UsageError):
        open_embedder("litellm:")


class Provider(BaseHTTPRequestHandler):
    """Speaks OpenAI's embeddings API; the vector comes from the server's attribute."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [
            {"object": "embedding", "index": i, "embedding": self.server.vector}  # type: ignore[attr-defined]
            for i in range(len(asked["input"]))
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        body = json.dumps({"object": "list", "data": rows, "model": "m", "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        monkeypatch.setenv("OPENAI_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pydantic.warnings.PydanticDeprecatedSince20"
)
def test_litellm_embeds_over_http_and_refuses_a_zero_vector(provider: HTTPServer):
    embedder = LiteLLM("openai/text-embedding-3-small")
    provider.vector = [3.0, 4.0]  # type: ignore[attr-defined]
    assert embedder.embed(["a", "  "]) == [[0.6, 0.8], None]
    provider.vector = [0.0, 0.0]  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="unusable vectors"):
        embedder.embed(["a"])


def test_a_provider_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="does not answer") as caught:
        LiteLLM("openai/text-embedding-3-small").embed(["a"])
    assert "lexical" in caught.value.remedy
