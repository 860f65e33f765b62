"""The run page: what it shows, that nothing in it is live, and how a real browser sees it."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from evo_agent.core.errors import StoreError
from evo_agent.core.types import Grade
from evo_agent.tasks.report import write_report
from evo_agent.tasks.story import read_story

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = (
    "</pre><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


runs: Any = _sibling("recorded_run")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("EVO_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


def test_story_tells_what_the_log_holds(tmp_path: Path):
    story = read_story(runs.record_run(tmp_path / "run-1"))
    assert story.id == "run-1"
    assert story.task is not None
    assert story.task.issue.title.startswith("gcd never ends")
    assert story.verdict == runs.PROVED
    assert story.patch == runs.PATCH
    assert [r.kind for r in story.recalled] == ["episode"]
    assert story.cost.model_calls == 4
    assert story.cost.dollars is None
    assert story.skill == "swap-arguments"
    phases = [(e.title, e.detail) for e in story.entries if e.kind == "phase"]
    assert phases[-1] == ("record", "round 2")
    commands = [(e.title.strip(), e.bad) for e in story.entries if e.kind == "command"]
    assert commands == [("pytest -q", True), ("cat", False), ("cat", False)]
    verdicts = [e.title for e in story.entries if e.kind == "verdict"]
    assert verdicts[0] == "rejected: the failing test still fails"


def test_unknown_and_malformed_events_are_shown_as_they_stand(tmp_path: Path):
    folder = runs.record_run(tmp_path / "run-1")
    with (folder / "events.jsonl").open("a") as log:
        log.write('{"seq": 90, "time": "x", "kind": "model-result", "data": {"value": 3}}\n')
        log.write('{"seq": 91, "time": "x", "kind": "command-result", "data": {"call": 999}}\n')
        log.write('{"seq": 92, "time": "torn')
    story = read_story(folder)
    assert [e.detail for e in story.entries][-2:] == ["model-result", "command-result"]
    assert "something-new" in [e.detail for e in story.entries]
    write_report(folder)


def test_a_stopped_run_has_a_page_that_says_so(tmp_path: Path):
    folder = runs.record_run(tmp_path / "run-1")
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:6]))
    (folder / "verdict.json").unlink()
    (folder / "patch.diff").unlink()
    page = write_report(folder).read_text()
    assert "no verdict" in page
    assert "evo runs resume" in page
    assert "<h2>Patch</h2>" not in page


def test_the_page_is_as_private_as_the_log(tmp_path: Path):
    folder = runs.record_run(tmp_path / "run")
    assert write_report(folder).stat().st_mode & 0o077 == 0
    assert (folder / "events.jsonl").stat().st_mode & 0o077 == 0


def test_a_folder_without_a_log_is_an_error_with_a_remedy(tmp_path: Path):
    with pytest.raises(StoreError) as caught:
        write_report(tmp_path)
    assert "events.jsonl" in caught.value.cause
    assert caught.value.remedy


def test_nothing_a_run_holds_becomes_markup(tmp_path: Path):
    page = write_report(
        runs.record_run(tmp_path / "run", HOSTILE, patch=f"+{HOSTILE}\n")
    ).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 15
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page


def test_bidi_marks_and_escapes_are_shown_not_obeyed(tmp_path: Path):
    page = write_report(runs.record_run(tmp_path / "run", "a\u202eb\x1b[31mc")).read_text()
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "a\ufffdb" in page


def test_a_huge_output_is_cut_in_the_page(tmp_path: Path):
    page = write_report(runs.record_run(tmp_path / "run", "x" * 50_000)).read_text()
    assert "characters more in events.jsonl" in page


@pytest.mark.parametrize("grade", list(Grade))
def test_every_grade_says_what_it_means(tmp_path: Path, grade: Grade):
    verdict = replace(runs.PROVED, grade=grade, reason="because")
    page = write_report(runs.record_run(tmp_path / "run", verdict=verdict)).read_text()
    tone = "good" if verdict.holds else "warn" if grade in ("unproved", "flaky") else "bad"
    assert f'<div class="verdict {tone}"><strong>{grade}</strong>' in page


@pytest.mark.browser
def test_a_real_browser_runs_nothing_of_a_hostile_run(tmp_path: Path, browser: "Browser"):
    path = write_report(runs.record_run(tmp_path / "run", HOSTILE))
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.title().endswith("· evo")
    assert asked == [path.as_uri()]
    assert page.locator("script, img, iframe").count() == 0
    assert HOSTILE in page.locator("h1").inner_text()
    page.close()


@pytest.mark.browser
def test_the_policy_holds_even_where_escaping_would_not(tmp_path: Path, browser: "Browser"):
    path = write_report(runs.record_run(tmp_path / "run"))
    text = path.read_text().replace("</h1>", f"</h1>{HOSTILE}", 1)
    path.write_text(text)
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title().startswith("gcd never ends")
    page.close()


@pytest.mark.browser
def test_the_page_unfolds_by_keyboard_and_fits_a_phone(tmp_path: Path, browser: "Browser"):
    path = write_report(runs.record_run(tmp_path / "run", "w" * 300))
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    command = page.locator("summary", has_text="pytest -q").first
    output = page.get_by_role("region", name="command").first
    assert not output.is_visible()
    command.focus()
    page.keyboard.press("Enter")
    assert output.is_visible()
    assert "RecursionError" in output.inner_text()
    page.close()


@pytest.mark.browser
def test_the_page_follows_dark_and_light_and_stays_readable(tmp_path: Path, browser: "Browser"):
    path = write_report(runs.record_run(tmp_path / "run"))
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(path.as_uri())
        pairs = "s => [getComputedStyle(document.querySelector(s)).color, %s]"
        ground = "getComputedStyle(document.querySelector(s)).backgroundColor"
        seen[scheme] = [page.evaluate(pairs % ground, s) for s in ("body", ".add", ".del")]
        page.close()
    assert seen["light"] != seen["dark"]
    for colours in seen.values():
        assert min(_contrast(*pair) for pair in colours) >= 4.5  # WCAG 2.2, 1.4.3


def _contrast(ink: str, ground: str) -> float:
    high, low = sorted((_luminance(ink), _luminance(ground)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(c) / 255 for c in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
