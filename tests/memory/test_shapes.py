"""What a diff says of functions and of its own shape."""

import pytest
from tests.conftest import RepoFactory, git

from evo_agent.memory.kinship.shapes import MOST_FUNCTIONS, defined, statement, touched

HEAD = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n"


def test_a_changed_line_belongs_to_the_definition_that_stands_above_it():
    patch = HEAD.format("url.py") + (
        "@@ -10,9 +10,10 @@ def parse(text):\n"
        "     a = 1\n"
        "-    return a\n"
        "+    return text\n"
        " \n"
        " def split(text):\n"
        "     # what is around a change is not changed\n"
        " \n"
        " async def join(parts):\n"
        "     if not parts:\n"
        '+        return ""\n'
    )
    assert touched(patch).functions == (("url.py", "parse"), ("url.py", "join"))


def test_a_line_outside_of_any_definition_belongs_to_none():
    patch = HEAD.format("url.py") + (
        "@@ -1,5 +1,6 @@ def parse(text):\n     return 1\n \n+LIMIT = 3\n \n class Url:\n     pass\n"
    )
    assert touched(patch).functions == ()


def test_a_method_is_found_under_its_class_by_git_s_own_diff(repo_factory: RepoFactory):
    body = "".join(f"        x{n} = {n}\n" for n in range(9))
    before = f"class Url:\n    def parse(self):\n{body}        return 1\n\n    def other(self):\n        return 2\n"
    after = before.replace("return 2", "return 3")
    repo = repo_factory(({"url.py": before}, "Add"), ({"url.py": after}, "Fix"))
    assert touched(git(repo, "show", "HEAD")).functions == (("url.py", "other"),)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("def parse(text):", "parse"),
        ("class Url(Base):", "Url"),
        ("func (s *Server) Serve(l net.Listener) error {", "Serve"),
        ("pub fn parse(text: &str) -> Url {", "parse"),
        ("export default function render(node) {", "render"),
        ("public static int size(List<String> all) {", "size"),
        ("static method tests if the class or static", ""),
        ("", ""),
    ],
)
def test_a_hunk_s_header_names_a_definition_in_several_languages(header: str, name: str):
    assert defined(header) == name


def test_the_shape_forgets_names_and_values_and_tests():
    def patch(name: str, value: str) -> str:
        return (
            HEAD.format("a.py")
            + f"@@ -1,3 +1,5 @@ def f(x):\n-    {name} = g({value})\n+    {name} = h({value})\n"
            + f"+    if {name} is None:\n+        return {value}\n"
            + HEAD.format("tests/test_a.py")
            + f"@@ -1,1 +1,2 @@\n+import {name}\n"
        )

    assert touched(patch("a", "1")).shape == ("+if", "+return", "~assign")
    assert touched(patch("a", "1")).shape == touched(patch("other", "'text'")).shape


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("    elif x:", "if"),
        ("from a import b", "import"),
        ("    x.y[0] += 1", "assign"),
        ("    if a == b:", "if"),
        ("a == b", ""),
        ("call(x)", "call"),
        ("@property", "decorator"),
        ("# if x", ""),
        ('"""if x"""', ""),
        ("", ""),
    ],
)
def test_a_line_is_a_kind_of_statement(line: str, kind: str):
    assert statement(line) == kind


def test_what_is_no_diff_and_what_is_too_much_of_one_is_read_without_harm():
    assert touched("").functions == touched("nonsense\n@@ @@\n+++\n").functions == ()
    lines = "".join(f"+def f{n}():\n+    return {n}\n" for n in range(10 * MOST_FUNCTIONS))
    found = touched(HEAD.format("a.py") + "@@ -0,0 +1,9 @@\n" + lines)
    assert len(found.functions) == MOST_FUNCTIONS
    hostile = HEAD.format("a.py") + "@@ -1 +1 @@ " + "(" * 100_000 + "\n+" + "a." * 100_000 + "\n"
    assert touched(hostile).functions == ()
