"""Which tests a change touches, in layouts that real projects have."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from evo_agent.tasks import imports
from evo_agent.tasks.imports import import_graph, is_test_file, is_test_support


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


LAYOUT = {
    "src/shape/__init__.py": "from .area import area\n",
    "src/shape/area.py": "from shape.units import METRE\ndef area(): ...\n",
    "src/shape/units.py": "METRE = 1\n",
    "src/shape/deep/__init__.py": "",
    "src/shape/deep/curve.py": "from .. import units\nfrom ..area import area\n",
    "src/shape/alone.py": "",
    "tests/conftest.py": "import helper\n",
    "tests/helper.py": "from shape import alone\n",
    "tests/unit/test_area.py": "import shape.area\n",
    "tests/unit/test_top.py": "from shape import area\n",
    "tests/unit/test_curve.py": "def test():\n    from shape.deep.curve import area\n",
    "tests/unit/test_units.py": "import subprocess\n",
}


def test_the_nearest_tests_come_first(tmp_path: Path):
    found = imports.tests_touched(tree(tmp_path, LAYOUT), ["src/shape/units.py"])
    assert found == (
        "tests/unit/test_units.py",  # named after it: two imports away, and first of those
        "tests/unit/test_area.py",
        "tests/unit/test_curve.py",
        "tests/unit/test_top.py",
    )


def test_relative_imports_reach_the_package_above(tmp_path: Path):
    graph = import_graph(tree(tmp_path, LAYOUT))
    assert graph.imports["src/shape/deep/curve.py"] == {"src/shape/units.py", "src/shape/area.py"}
    assert graph.touched(["src/shape/deep/curve.py"]) == ("tests/unit/test_curve.py",)


def test_a_conftest_connects_what_it_imports_with_all_tests_below_it(tmp_path: Path):
    graph = import_graph(tree(tmp_path, {**LAYOUT, "other/test_far.py": ""}))
    touched = graph.touched(["src/shape/alone.py"])
    assert len(touched) == 4
    assert "other/test_far.py" not in touched
    assert "tests/helper.py" in graph.reaches("tests/unit/test_area.py")


def test_changed_tests_come_before_all_and_other_files_touch_nothing(tmp_path: Path):
    folder = tree(tmp_path, LAYOUT)
    changed = ["README.md", "tests/unit/test_top.py", "src/shape/area.py"]
    assert imports.tests_touched(folder, changed)[0] == "tests/unit/test_top.py"
    assert imports.tests_touched(folder, ["README.md", "src/shape/deep/data.json"]) == ()


def test_a_deleted_module_still_touches_its_namesake(tmp_path: Path):
    assert imports.tests_touched(tree(tmp_path, {"test_gone.py": ""}), ["gone.py"]) == (
        "test_gone.py",
    )


def test_cycles_and_flat_layouts_end(tmp_path: Path):
    files = {"a.py": "import b\n", "b.py": "import a\n", "test_a.py": "from a import x\n"}
    assert imports.tests_touched(tree(tmp_path, files), ["b.py"]) == ("test_a.py",)


def test_hostile_trees_are_no_trouble(tmp_path: Path):
    outside = tmp_path / "outside"
    tree(outside, {"secret.py": "import os\n"})
    folder = tree(
        tmp_path / "tree",
        {
            "good.py": "x = '\\d'\n",
            "test_good.py": "import good\n",
            "nul.py": "import good\0",
            "deep.py": "(" * 10_000,
            "unary.py": "x = " + "-" * 200_000 + "1",
            "huge.py": "import good\n" + "#" * 2_000_000,
            "node_modules/x/test_x.py": "import good\n",
        },
    )
    (folder / "latin.py").write_bytes(b"# \xe9\nimport good\n")
    (folder / "loop").symlink_to(folder)
    (folder / "link.py").symlink_to(outside / "secret.py")
    graph = import_graph(folder)
    assert "link.py" not in graph.imports
    assert graph.imports["latin.py"] == {"good.py"}
    assert graph.imports["huge.py"] == graph.imports["deep.py"] == frozenset()
    assert graph.touched(["good.py"]) == ("test_good.py",)


@pytest.mark.parametrize(
    ("path", "test", "support"),
    [
        ("tests/test_a.py", True, True),
        ("pkg/a_test.py", True, True),
        ("app/tests.py", True, True),
        ("tests/helper.py", False, True),
        ("conftest.py", False, True),
        ("src/testing_tools.py", False, False),
        ("test_data.txt", False, False),
    ],
)
def test_what_looks_like_a_test(path: str, *, test: bool, support: bool):
    assert is_test_file(path) is test
    assert is_test_support(path) is support
