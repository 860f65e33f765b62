"""What a repository says about its set-up, read as hostile input."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from evo_agent.core.config import Config, SandboxConfig
from evo_agent.core.errors import ConfigError, EnvironmentBuildError
from evo_agent.tasks.detect import detect

PIP = "python -m pip install --disable-pip-version-check"


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def setup(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    return detect(tree(folder, files), Config()).setup


def test_modules_and_tests_without_packaging_need_only_pytest(tmp_path: Path):
    project = detect(tree(tmp_path, {"gcd.py": "", "test_gcd.py": ""}), Config())
    assert (project.language, project.runner, project.setup) == ("python", "pytest", ())


def test_a_package_is_installed_in_place_with_its_test_extra(tmp_path: Path):
    pyproject = """
        [build-system]
        requires = ["setuptools"]
        [project]
        name = "shape"
        [project.optional-dependencies]
        test = ["hypothesis"]
        docs = ["sphinx"]
    """
    project = detect(tree(tmp_path, {"pyproject.toml": pyproject}), Config())
    assert project.setup == (f"{PIP} --use-pep517 -e '.[test]' pytest",)
    assert project.editable
    assert "pyproject.toml" in project.inputs


def test_dependencies_without_a_build_system_are_installed_but_no_package(tmp_path: Path):
    pyproject = '[project]\nname = "x"\ndependencies = ["attrs>=23; python_version<\'4\'"]\n'
    assert setup(tmp_path, {"pyproject.toml": pyproject}) == (
        f"""{PIP} 'attrs>=23; python_version<'"'"'4'"'"'' pytest""",
    )


def test_dependency_groups_are_expanded_and_a_cycle_ends(tmp_path: Path):
    pyproject = """
        [dependency-groups]
        test = ["pytest>=8", {include-group = "typing"}]
        typing = ["mypy", {include-group = "test"}]
        docs = ["sphinx"]
    """
    assert setup(tmp_path, {"pyproject.toml": pyproject}) == (f"{PIP} 'pytest>=8' mypy",)


def test_requirements_for_tests_and_what_they_include_are_inputs(tmp_path: Path):
    project = detect(
        tree(
            tmp_path,
            {
                "requirements.txt": "attrs\n",
                "requirements-docs.txt": "sphinx\n",
                "requirements/test.txt": "-r base.in\npytest\n",
                "requirements/base.in": "six\n",
            },
        ),
        Config(),
    )
    assert project.setup == (f"{PIP} -rrequirements.txt -rrequirements/test.txt pytest",)
    assert "requirements/base.in" in project.inputs
    assert "requirements-docs.txt" not in project.inputs


def test_setup_py_extras_are_read_without_running_it(tmp_path: Path):
    source = """
        import pathlib, setuptools
        pathlib.Path("ran").touch()
        setuptools.setup(name="x", extras_require={"dev": ["pytest"], "docs": []})
    """
    files = {"setup.py": "\n".join(line[8:] for line in source.splitlines())}
    assert setup(tmp_path, files) == (f"{PIP} --use-pep517 -e '.[dev]' pytest",)
    assert not (tmp_path / "ran").exists()


def test_tox_gives_dependencies_and_extras_but_no_single_factors(tmp_path: Path):
    tox = """[testenv]
extras = testing
deps =
    -r{toxinidir}/more.txt
    hypothesis
    py38: importlib-metadata
    {[other]deps}
commands = python -m unittest
"""
    files = {"tox.ini": tox, "setup.py": "from setuptools import setup; setup()"}
    project = detect(tree(tmp_path, files), Config())
    assert project.setup == (f"{PIP} --use-pep517 -e '.[testing]' -rmore.txt hypothesis pytest",)
    assert any("tox runs `python -m unittest`" in note for note in project.notes)


def test_nox_gives_the_names_that_its_test_sessions_install(tmp_path: Path):
    nox = """
def tests(session):
    session.install("-e", ".", "pytest", "hypothesis")
    session.install(*EXTRA)
def docs(session):
    session.install("sphinx")
"""
    project = detect(tree(tmp_path, {"noxfile.py": nox, "a.py": ""}), Config())
    assert project.setup == (f"{PIP} pytest hypothesis",)
    assert any("noxfile.py" in note for note in project.notes)


def test_uv_lock_is_followed(tmp_path: Path):
    pyproject = '[project]\nname = "x"\n[dependency-groups]\ndev = ["pytest"]\n'
    commands = setup(tmp_path, {"pyproject.toml": pyproject, "uv.lock": "version = 1\n"})
    assert commands[0] == f"{PIP} uv"
    assert commands[1].endswith("uv sync --frozen --inexact --group dev")


def test_pipfile_and_poetry_groups_are_taken_as_far_as_they_go(tmp_path: Path):
    pipfile = '[packages]\nattrs = "*"\nsix = "==1.16"\n[packages.x]\ngit = "https://e.org/x"\n'
    assert setup(tree(tmp_path / "a", {}), {"Pipfile": pipfile}) == (
        f"{PIP} attrs six==1.16 pytest",
    )
    poetry = '[tool.poetry.group.test.dependencies]\nhypothesis = "^6"\n'
    project = detect(tree(tmp_path / "b", {"pyproject.toml": poetry}), Config())
    assert project.setup == (f"{PIP} hypothesis pytest",)
    assert any("poetry" in note for note in project.notes)


def test_plugins_that_the_pytest_configuration_needs_are_installed(tmp_path: Path):
    pyproject = '[tool.pytest.ini_options]\naddopts = "--cov=x -n auto"\nasyncio_mode = "auto"\n'
    assert setup(tmp_path, {"pyproject.toml": pyproject}) == (
        f"{PIP} pytest-asyncio pytest-cov pytest-xdist pytest",
    )


def test_conda_alone_is_refused_plainly_and_beside_pip_it_is_noted(tmp_path: Path):
    files = {"environment.yml": "dependencies: [numpy]\n", "a.py": ""}
    with pytest.raises(EnvironmentBuildError, match="conda") as error:
        setup(tmp_path, files)
    assert "sandbox.setup" in error.value.remedy
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert "environment.yml (conda) is not read" in detect(tmp_path, Config()).notes


def test_configured_setup_and_test_replace_detection(tmp_path: Path):
    config = Config(sandbox=SandboxConfig(setup=("make deps",), test="make check"))
    project = detect(tree(tmp_path, {"requirements.txt": "attrs\n"}), config)
    assert project.setup == ("make deps",)
    assert (project.runner, project.test) == ("command", "make check")


def test_another_language_needs_a_configured_command(tmp_path: Path):
    tree(tmp_path, {"package.json": "{}", "index.js": ""})
    with pytest.raises(ConfigError) as error:
        detect(tmp_path, Config())
    assert "[sandbox] test" in error.value.remedy
    project = detect(tmp_path, Config(sandbox=SandboxConfig(test="node --test")))
    assert (project.language, project.runner, project.setup) == ("other", "command", ())


def test_hostile_files_are_no_trouble(tmp_path: Path):
    secret = tmp_path / "secret.toml"
    secret.write_text('[build-system]\nrequires = []\n[project]\nname = "outside"\n')
    inside = tmp_path / "tree"
    tree(
        inside,
        {
            "setup.cfg": "[metadata\n",
            "tox.ini": "no section",
            "noxfile.py": "(" * 5000,
            "setup.py": "x = " + "-" * 100_000 + "1",
            "requirements.txt": "-r requirements.txt\n-r ../../../../etc/passwd\n",
            "Pipfile": "[" * 10_000,
        },
    )
    (inside / "pyproject.toml").symlink_to(secret)
    project = detect(inside, Config())
    assert project.setup == (f"{PIP} --use-pep517 -e . -rrequirements.txt pytest",)
    assert not any(".." in name or "pyproject" in name for name in project.inputs)


def test_a_requirement_cannot_reach_the_shell(tmp_path: Path):
    pyproject = '[project]\ndependencies = ["x; $(touch /tmp/pwned)", "--index-url=`id`"]\n'
    (command,) = setup(tmp_path, {"pyproject.toml": pyproject})
    assert command == f"{PIP} 'x; $(touch /tmp/pwned)' '--index-url=`id`' pytest"
