"""Actions parsed from text and from tool calls, as models really write them."""

import pytest

from evo_agent.core.agent.actions import (
    Action,
    Bash,
    Create,
    Freeze,
    Recall,
    Replace,
    Submit,
    View,
    from_text,
    from_tool_call,
)
from evo_agent.core.agent.patches import by_file, limited
from evo_agent.core.agent.stops import ToolError
from evo_agent.core.chat import ToolCall


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("I look.\n\n```bash\n\n  ls -la\n```\nThen more.", Bash("ls -la")),
        ("```bash\ncat <<'EOF' > a\nx\nEOF\n```", Bash("cat <<'EOF' > a\nx\nEOF")),
        ("```python\nprint(1)\n```\nthe fix:\n```bash\ntrue\n```", Bash("true")),
        ("```edit\nview a.py\n```", View("a.py")),
        ("```edit\nview a.py 3-9\n```", View("a.py", 3, 9)),
        ("```edit\ncreate a.py\nx = 1\n\ny = 2\n```", Create("a.py", "x = 1\n\ny = 2\n")),
        ("````edit\ncreate a.md\n```\ncode\n```\n````", Create("a.md", "```\ncode\n```\n")),
        (
            "```edit\nstr_replace a.py\n<<<<<<< SEARCH\n  x\n\n=======\n  y\n>>>>>>> REPLACE\n```",
            Replace("a.py", "  x\n", "  y"),
        ),
        (
            "```edit\nstr_replace a.py\n<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE\n```",
            Replace("a.py", "x", ""),
        ),
        ("```recall\nwrong sign\n```", Recall("wrong sign")),
        (
            "```freeze_test\nt.py t.py::test_a\ndef test_a():\n    assert 0\n```",
            Freeze("t.py", "def test_a():\n    assert 0\n", "t.py::test_a"),
        ),
        ("```submit\nDone.\nCited: a1, b2\n```", Submit("Done.", ("a1", "b2"))),
        ("```submit\n\n```", Submit()),
    ],
)
def test_text_is_understood(text: str, action: Action) -> None:
    assert from_text(text) == action


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found 0"),
        ("```bash\nls", "found 0"),
        ("```bash\nls\n```\n```submit\n\n```", "found 2"),
        ("```edit\nview\n```", "COMMAND PATH"),
        ("```edit\nview a.py 3,9\n```", "FIRST-LAST"),
        ("```edit\nstr_replace a.py\nold\nnew\n```", "<<<<<<< SEARCH"),
        ("```edit\nrename a.py b.py\n```", "no command 'rename'"),
        ("```freeze_test\nt.py\nassert 0\n```", "PATH TEST_ID"),
    ],
)
def test_text_that_cannot_be_understood_is_told_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        from_text(text)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("bash", '{"command": 5}', "must be a string"),
        ("bash", '{"command": "a\\u0000b"}', "NUL"),
        ("edit", '{"command": "str_replace", "path": "a", "old": "x"}', "'new' is missing"),
        ("edit", '{"command": "view", "path": "a", "lines": [1, 2, 3]}', "whole numbers"),
        ("edit", '{"command": "view", "path": "a", "lines": [true, 2]}', "whole numbers"),
        ("submit", '{"cited": "r1"}', "list of record ids"),
        ("", "{}", "no tool ''"),
    ],
)
def test_a_wrong_tool_call_is_told_what_is_wrong(name: str, arguments: str, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        from_tool_call(ToolCall("c", name, arguments))


def test_no_arguments_at_all_are_an_empty_object() -> None:
    assert from_tool_call(ToolCall("c", "submit", "")) == Submit()


def test_a_diff_is_taken_apart_and_limited_by_its_own_headers() -> None:
    diff = (
        "diff --git a/a b.txt b/a b.txt\n--- a/a b.txt\n+++ b/a b.txt\n@@ -1 +1 @@\n"
        "-diff --git a/x b/x\n+diff --git a/y b/y\n"
        'diff --git "a/\\303\\251" "b/\\303\\251"\nnew file mode 100644\n'
    )
    assert list(by_file(diff)) == ["a b.txt", '"\\303\\251"']
    kept, left_out = limited(diff, frozenset({"a b.txt", "never.txt"}))
    assert kept + by_file(diff)['"\\303\\251"'] == diff
    assert left_out == ('"\\303\\251"',)


@pytest.mark.parametrize(
    "text",
    [
        "```bash" + "\n" * 100_000,
        "```edit\nstr_replace a.py\n<<<<<<< SEARCH\n" + "=======\n" * 50_000 + "x\n```",
    ],
)
def test_no_reply_hangs_the_reader(text: str) -> None:
    """Quadratic patterns took minutes for these."""
    with pytest.raises(ToolError):
        from_text(text)


def test_blank_lines_before_an_action_do_not_count() -> None:
    assert from_text("```edit  \n\n \nview a.py\n```") == View("a.py")
