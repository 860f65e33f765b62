"""The languages that are parsed, and which nodes of their trees are definitions.

Node types are those of each grammar's `node-types.json`. Trees are walked by these tables and not
by tree-sitter's queries: on a deep tree a query's cursor is quadratic (40 s for 120 kB of nested
lambdas), and its progress callback, which could stop it, crashes the interpreter (0.26.1).
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from evo_agent.core.errors import MissingDependencyError

if TYPE_CHECKING:
    from tree_sitter import Language

Kind = Literal["function", "class", "method"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one language's trees are read.

    Attributes:
        module: the Python package that holds the grammar.
        function: its function that returns it.
        kinds: node type to what it defines; a function inside a class is a method anyway.
        scopes: node types that give names to what is inside without being definitions.
        named_by: node type to the field that holds the name, where that is not `name`.
        values: node types that define something only when their value is a function, with the
            field that holds the value.
        entered: node types that are looked into; empty for all but `closed`.
        closed: node types that hold no definition.
        docstrings: whether a definition's first statement may be its documentation.
    """

    module: str
    function: str
    kinds: Mapping[str, Kind]
    scopes: frozenset[str] = frozenset()
    named_by: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    entered: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    docstrings: bool = False


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})

_PYTHON = Grammar(
    module="tree_sitter_python",
    function="language",
    kinds={"function_definition": "function", "class_definition": "class"},
    entered=_types("""module block function_definition class_definition decorated_definition if_statement
        elif_clause else_clause try_statement except_clause except_group_clause finally_clause
        with_statement for_statement while_statement match_statement case_clause ERROR"""),
    docstrings=True,
)
_SCRIPT_KINDS: Mapping[str, Kind] = {
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "class_declaration": "class",
    "abstract_class_declaration": "class",
    "interface_declaration": "class",
    "enum_declaration": "class",
    "method_definition": "method",
    "variable_declarator": "function",
    "assignment_expression": "function",
    "pair": "function",
    "field_definition": "method",
    "public_field_definition": "method",
}
_SCRIPT_CLOSED = _types("""string template_string regex comment formal_parameters type_annotation type_arguments
    type_parameters import_statement binary_expression jsx_text""")


def _script(module: str, function: str) -> Grammar:
    return Grammar(
        module=module,
        function=function,
        kinds=_SCRIPT_KINDS,
        named_by={"assignment_expression": "left", "pair": "key", "field_definition": "property"},
        values={
            "variable_declarator": "value",
            "assignment_expression": "right",
            "pair": "value",
            "field_definition": "value",
            "public_field_definition": "value",
        },
        closed=_SCRIPT_CLOSED,
    )


_GO = Grammar(
    module="tree_sitter_go",
    function="language",
    kinds={
        "function_declaration": "function",
        "method_declaration": "method",
        "type_spec": "class",
    },
    values={"type_spec": "type"},
    entered=frozenset({"source_file", "type_declaration", "ERROR"}),
)
_RUST = Grammar(
    module="tree_sitter_rust",
    function="language",
    kinds={
        "function_item": "function",
        "function_signature_item": "function",
        "macro_definition": "function",
        "struct_item": "class",
        "enum_item": "class",
        "union_item": "class",
        "trait_item": "class",
    },
    scopes=frozenset({"impl_item"}),
    named_by={"impl_item": "type"},
    entered=_types("""source_file mod_item declaration_list impl_item trait_item function_item block
        ERROR"""),
)
_JAVA = Grammar(
    module="tree_sitter_java",
    function="language",
    kinds={
        "class_declaration": "class",
        "interface_declaration": "class",
        "enum_declaration": "class",
        "record_declaration": "class",
        "method_declaration": "method",
        "constructor_declaration": "method",
    },
    entered=_types("""program class_body interface_body enum_body enum_body_declarations class_declaration
        interface_declaration enum_declaration record_declaration ERROR"""),
)
_GRAMMARS = {
    "python": _PYTHON,
    "javascript": _script("tree_sitter_javascript", "language"),
    "typescript": _script("tree_sitter_typescript", "language_typescript"),
    "tsx": _script("tree_sitter_typescript", "language_tsx"),
    "go": _GO,
    "rust": _RUST,
    "java": _JAVA,
}
_SUFFIXES = {
    "python": ".py .pyi",
    "javascript": ".js .jsx .mjs .cjs",
    "typescript": ".ts .mts .cts",
    "tsx": ".tsx",
    "go": ".go",
    "rust": ".rs",
    "java": ".java",
}
_LANGUAGE = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def language_of(path: str) -> str:
    """Name of the language that a path's suffix tells; empty when it is not parsed."""
    return _LANGUAGE.get(PurePosixPath(path).suffix.lower(), "")


@cache
def grammar(language: str) -> "tuple[Grammar, Language]":
    """How a language of `language_of` is parsed.

    Raises:
        MissingDependencyError: tree-sitter, or the language's package, is not installed.
    """
    known = _GRAMMARS[language]
    try:
        from tree_sitter import Language

        return known, Language(getattr(importlib.import_module(known.module), known.function)())
    except ImportError as error:
        raise MissingDependencyError(
            f"the grammar of {language} is not installed ({known.module})",
            "pip install 'evo-agent[memory]'",
        ) from error
