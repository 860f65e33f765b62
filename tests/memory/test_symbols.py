"""Definitions of sources in six languages, of broken ones and of hostile ones."""

import subprocess
import sys

import pytest

from evo_agent.core.errors import MissingDependencyError
from evo_agent.memory.code.grammars import language_of
from evo_agent.memory.code.symbols import LARGEST, Definition, definitions


def told(path: str, source: str) -> list[tuple[str, str, int, int]]:
    return [(d.qualified, d.kind, d.first, d.last) for d in definitions(path, source.encode())]


def test_python_with_decorators_methods_and_inner_functions():
    source = """\
@cache
@other
def f():
    "what f does"
    def g(): pass

class A(B):
    x = 1
    if x:
        @property
        def m(self):
            return 1
    async def n(self):
        pass
"""
    assert told("a.py", source) == [
        ("f", "function", 1, 5),
        ("f.g", "function", 5, 5),
        ("A", "class", 7, 14),
        ("A.m", "method", 10, 12),
        ("A.n", "method", 13, 14),
    ]


def test_documentation_is_the_docstring_or_the_comment_right_above():
    source = '''\
# far away

# about f,
# in two lines
def f(): pass

def g():
    """What g
    does."""
'''
    assert [d.doc for d in definitions("a.py", source.encode())] == [(3, 4), (8, 9)]


def test_javascript_functions_by_whatever_holds_them():
    source = """\
export class A {
  m() { return 1 }
  f = () => 1
}
const g = () => { function inner() {} };
exports.h = function () {};
run({ a: () => 1, b() {} });
const notOne = 1;
"""
    expected = [
        ("A", "class", 1, 4),
        ("A.m", "method", 2, 2),
        ("A.f", "method", 3, 3),
        ("g", "function", 5, 5),
        ("g.inner", "function", 5, 5),
        ("h", "function", 6, 6),
        ("a", "function", 7, 7),
        ("b", "method", 7, 7),
    ]
    assert told("a.js", source) == expected
    assert told("a.ts", source) == expected
    assert told("a.tsx", source) == expected


def test_typescript_interfaces_and_abstract_classes():
    source = "interface I { x: number }\nabstract class B { m(): void {} }\n"
    assert [d[0] for d in told("a.ts", source)] == ["I", "B", "B.m"]


def test_go_methods_belong_to_their_receiver():
    source = """\
package a

// Run runs.
func (s *Server[T]) Run() {}
func (c Conn) Close() {}
type Server struct{}
type Name string
func Free() {}
"""
    found = definitions("a.go", source.encode())
    names = [(d.qualified, d.kind) for d in found]
    assert names == [
        ("Server.Run", "method"),
        ("Conn.Close", "method"),
        ("Server", "class"),
        ("Free", "function"),
    ]
    assert found[0].doc == (3, 3)


def test_rust_methods_belong_to_what_is_implemented():
    source = """\
struct S;
impl<T> Shows<T> for Box<T> {
    fn show(&self) {}
}
trait Draw { fn draw(&self); }
mod inner { fn f() { fn g() {} } }
"""
    assert [d[:2] for d in told("a.rs", source)] == [
        ("S", "class"),
        ("Box.show", "method"),
        ("Draw", "class"),
        ("Draw.draw", "method"),
        ("f", "function"),
        ("f.g", "function"),
    ]


def test_java_constructors_and_inner_classes():
    source = (
        "/** Says. */\nclass A {\n A() {}\n int x() { return 1; }\n enum E { P; void q() {} }\n}\n"
    )
    assert [d[:2] for d in told("A.java", source)] == [
        ("A", "class"),
        ("A.A", "method"),
        ("A.x", "method"),
        ("A.E", "class"),
        ("A.E.q", "method"),
    ]
    assert definitions("A.java", source.encode())[0].doc == (1, 1)


def test_other_languages_and_data_have_none():
    assert language_of("a.rb") == ""
    assert definitions("a.rb", b"def f\nend") == ()
    assert definitions("Makefile", b"def f(): pass") == ()


def test_a_broken_source_keeps_what_can_be_read():
    source = (
        "def f(:\n    pass\n\nclass A:\n    def m(self):\n        return (\n\ndef h():\n    pass\n"
    )
    assert "m" in {d.name for d in definitions("a.py", source.encode())}


def test_bytes_that_are_no_text_in_names_and_around():
    assert definitions("a.py", b"\xff\xfe def f(): pass\n\x00\x00") is not None
    (found,) = definitions("a.py", "def größe(): pass\r\n".encode())
    assert found == Definition("größe", "größe", "function", 1, 1)


@pytest.mark.parametrize("path", ["a.py", "a.js", "a.tsx", "a.go", "a.rs", "a.java"])
def test_hostile_sources_end_and_crash_nothing(path: str):
    """In a process of its own: a deep tree overflows the stack of whoever recurses on it."""
    program = """
import sys
from evo_agent.memory.code.symbols import LARGEST, definitions
for part in ("(", "{", "(()=>{", "not ", "def f():", "class A{", "a.", "lambda:", "/*", "<A<"):
    definitions(sys.argv[1], (part * LARGEST)[: LARGEST // 8].encode())
print(len(definitions("a.py", b"def f(): pass")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_what_is_too_large_or_too_deep_is_left_out():
    assert definitions("a.py", b"def f(): pass\n" + b"#" * LARGEST) == ()
    assert definitions("a.py", b"def f(): pass\n" + b"[" * 501) == ()
    assert len(definitions("a.py", b"def f(): pass\n" + b"[" * 499 + b"]" * 499)) == 1


def test_a_missing_grammar_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch):
    from evo_agent.memory.code import grammars

    monkeypatch.setitem(sys.modules, "tree_sitter_go", None)
    grammars.grammar.cache_clear()
    with pytest.raises(MissingDependencyError, match="grammar of go") as raised:
        definitions("a.go", b"package a")
    assert "evo-agent[memory]" in raised.value.remedy
    grammars.grammar.cache_clear()
