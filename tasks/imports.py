"""Which tests a change touches: the tree's static import graph, walked backwards.

The tree is hostile input: files are parsed (ast), never run, and their number, size and kind
are bounded; links are not followed. A file that does not parse has no edges.
"""

import ast
import os
import warnings
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_FILES = 20_000
MAX_FILE_BYTES = 1024 * 1024
NAMED_AFTER = 2  # distance of a test that is only named after the changed module

_SKIPPED_FOLDERS = {"node_modules", "venv", "env", "site-packages", "__pycache__", "build", "dist"}


@dataclass(frozen=True, slots=True)
class ImportGraph:
    """Paths are relative to the tree, with slashes.

    Attributes:
        imports: file to the files that it imports.
        tests: files that look like tests to pytest's default patterns.
    """

    imports: Mapping[str, frozenset[str]]
    tests: tuple[str, ...]

    def reaches(self, start: str) -> frozenset[str]:
        """Files that a file imports, directly or not, itself included."""
        return frozenset(_distances(self.imports, [start]))

    def touched(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Tests that import a changed file, nearest first; changed tests come before all.

        A test named after a changed module counts as NAMED_AFTER imports away, because tests
        also reach code through subprocesses, plugins and importlib. Of tests equally near,
        the one named after a changed module comes first.
        """
        files = [path for path in dict.fromkeys(changed) if path.endswith(".py")]
        stems = {_stem(path) for path in files} - {"__init__"}
        distances = _distances(_reversed(self.imports), files)
        ranked: list[tuple[int, bool, str]] = []
        for test in self.tests:
            named = _stem(test) in stems
            distance = distances.get(test, NAMED_AFTER if named else None)
            if distance is not None:
                ranked.append((distance, not named, test))
        return tuple(test for _, _, test in sorted(ranked))


def is_test_file(path: str) -> bool:
    """Whether pytest collects a file of this name by default (or Django's runner: tests.py)."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (
        name.startswith("test_") or name.endswith("_test.py") or name == "tests.py"
    )


def is_test_support(path: str) -> bool:
    """Whether a file belongs to the tests rather than to what they test."""
    folders = PurePosixPath(path).parts[:-1]
    name = PurePosixPath(path).name
    inside = any(folder in ("test", "tests", "testing") for folder in folders)
    return inside or is_test_file(path) or name == "conftest.py"


def import_graph(tree: Path) -> ImportGraph:
    """Read every Python file of a tree and resolve what it imports inside the tree."""
    files = sorted(_python_files(tree))
    modules = _modules(files)
    conftests = {str(PurePosixPath(f).parent): f for f in files if f.endswith("conftest.py")}
    imports: dict[str, frozenset[str]] = {}
    for path in files:
        source = _source(tree / path)
        found = {modules[name] for name in _imported(path, source, modules)}
        if is_test_file(path):  # pytest imports these for it
            parents = map(str, PurePosixPath(path).parents)
            found.update(conftests[folder] for folder in parents if folder in conftests)
        imports[path] = frozenset(found - {path})
    return ImportGraph(imports, tuple(path for path in files if is_test_file(path)))


def tests_touched(tree: Path, changed_paths: Iterable[str]) -> tuple[str, ...]:
    """Test files that a change touches, nearest first (see ImportGraph.touched)."""
    return import_graph(tree).touched(changed_paths)


def _python_files(tree: Path) -> Iterator[str]:
    count = 0
    for folder, names, files in os.walk(tree):
        names[:] = sorted(n for n in names if n not in _SKIPPED_FOLDERS and not n.startswith("."))
        for name in files:
            path = Path(folder, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                count += 1
                if count > MAX_FILES:
                    return
                yield path.relative_to(tree).as_posix()


def _source(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return ""
    return data.decode("utf-8", "replace") if len(data) <= MAX_FILE_BYTES else ""


def _modules(files: Sequence[str]) -> dict[str, str]:
    """Dotted name to file; a file has one name for each folder that may be on sys.path."""
    packages = {str(PurePosixPath(f).parent) for f in files if f.endswith("__init__.py")}
    modules: dict[str, str] = {}
    for path in files:
        for name in _names(path, packages):
            modules.setdefault(name, path)
    return modules


def _names(path: str, packages: set[str]) -> Iterator[str]:
    """Names a file can be imported by: below its topmost package, below src/, and in full."""
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    top = len(PurePosixPath(path).parts) - 1
    while top > 0 and "/".join(parts[:top]) in packages:
        top -= 1
    starts = {0, top} | ({1} if parts[:1] == ["src"] else set())
    for start in sorted(starts, reverse=True):
        if parts[start:]:
            yield ".".join(parts[start:])


def _imported(path: str, source: str, modules: Mapping[str, str]) -> Iterator[str]:
    for module, name in _statements(path, source):
        for candidate in (f"{module}.{name}".strip("."), *_prefixes(module)):
            if candidate in modules:
                yield candidate
                break


def _prefixes(module: str) -> Iterator[str]:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


def _statements(path: str, source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of every import; relative ones are made absolute from the tree's root."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in somebody's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    package = list(PurePosixPath(path).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def _reversed(edges: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    back: defaultdict[str, set[str]] = defaultdict(set)
    for source, targets in edges.items():
        for target in targets:
            back[target].add(source)
    return {target: frozenset(sources) for target, sources in back.items()}


def _distances(edges: Mapping[str, frozenset[str]], starts: Iterable[str]) -> dict[str, int]:
    distances = dict.fromkeys(starts, 0)
    queue = deque(distances)
    while queue:
        path = queue.popleft()
        for neighbour in edges.get(path, ()):
            if neighbour not in distances:
                distances[neighbour] = distances[path] + 1
                queue.append(neighbour)
    return distances


def _stem(path: str) -> str:
    return PurePosixPath(path).stem.removeprefix("test_").removesuffix("_test")
