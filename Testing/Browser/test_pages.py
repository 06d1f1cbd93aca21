"""The report's pages in a real browser: nothing is asked of the network, nothing is wrong in the console, everything fits and can be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from focusnet.compare.page import write_comparison_page
from focusnet.compare.summary import summarise
from focusnet.io.json_report import report
from focusnet.qa.audit import as_dict
from focusnet.reports.case_page import write_case_page
from focusnet.reports.cohort_page import report_folder
from focusnet.reports.corrections_page import report_corrections

from ..Core.helpers_collect import two_versions
from ..Core.helpers_compare import comparison
from ..Core.helpers_pages import ATTACK, case, scores

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it drives the browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this computer, in which the pages are looked at"
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PAGES = ("case", "cohort", "corrections", "compare")
TITLES = {"case": ATTACK, "cohort": ATTACK, "corrections": ATTACK, "compare": f"{ATTACK} 1 and han 1.1"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=120_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A case with everything on it, titles and reasons that try to be code, a folder of four such cases, corrections, and a comparison of two models."""
    folder = tmp_path_factory.mktemp("pages")
    full = case(qa=scores("Parotid_R", "Parotid_L", reason=ATTACK), title=ATTACK)
    write_case_page(full, folder / "case.html")
    assert full.audit is not None
    for n in range(4):
        content = {**report(full.segmentation), "created": f"2026-01-0{n + 1}T08:00:00"}
        (folder / f"a-long-name-of-a-scan-that-came-from-somewhere-{n}.json").write_text(json.dumps(content))
        edits = json.dumps(as_dict(full.audit)).replace("Infinity", "null").replace("NaN", "null")
        (folder / f"a-long-name-of-a-scan-that-came-from-somewhere-{n}.audit.json").write_text(edits)
    report_folder(folder, folder / "cohort.html", ATTACK)
    report_corrections(two_versions(folder / "set"), folder / "corrections.html", ATTACK)
    made, changes = comparison(old=ATTACK)
    write_comparison_page(made, summarise(made), changes.pictures, folder / "compare.html")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("colors", ["light", "dark"])
def test_a_page_loads_whole_asks_nothing_of_the_network_and_fits(
    browser: Any, pages: dict[str, Path], name: str, colors: str
) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 900}, color_scheme=colors)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", pages[name].as_uri()))] == []
    assert page.title() == TITLES[name]  # as text; had it run, the title would be another
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    assert page.evaluate(
        "[...document.querySelectorAll('a')].every(a => document.querySelector(a.getAttribute('href')))"
    )
    page.close()


def test_the_pictures_are_there_and_outlines_can_be_switched_off_from_the_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.goto(pages["case"].as_uri())
    sizes = page.evaluate("""async () => Promise.all([...document.querySelectorAll('svg image')].map(async i => {
        const picture = new Image(); picture.src = i.href.baseVal; await picture.decode(); return picture.naturalWidth }))""")
    assert len(sizes) == 12
    assert set(sizes) == {420}
    first = page.locator(".planes .model").first
    assert first.evaluate("e => getComputedStyle(e).display") != "none"
    page.locator("#show-model").focus()
    page.keyboard.press("Space")
    assert first.evaluate("e => getComputedStyle(e).display") == "none"
    page.close()


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_what_is_behind_it(browser: Any, pages: dict[str, Path], name: str, colors: str) -> None:
    """WCAG's contrast of 4.5 for every text on the page's own ground."""
    page = browser.new_page(color_scheme=colors)
    page.goto(pages[name].as_uri())
    worst = page.evaluate("""() => {
        const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
            .map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] };
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (!c.endsWith(', 0)')) return c } return 'rgb(255, 255, 255)' };
        let found = [99, ''];
        for (const e of document.querySelectorAll('p, dt, dd, td, th, h1, h2, h3, a, label, .tag, .why, .rank')) {
            if (!e.textContent.trim()) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
            const contrast = (a + .05) / (b + .05);
            if (contrast < found[0]) found = [contrast, e.tagName + ' ' + e.textContent.slice(0, 40)] }
        return found }""")
    assert worst[0] >= 4.5, worst
    page.close()


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_it_prints_with_nothing_cut_off_at_the_side(browser: Any, pages: dict[str, Path], size: str) -> None:
    width_px = {"A4": 210, "Letter": 216}[size] / 25.4 * 96 - 2 * 14 / 25.4 * 96  # the page's margins are 14 mm
    for name in PAGES:
        page = browser.new_page(viewport={"width": int(width_px), "height": 1000})
        page.emulate_media(media="print")
        page.goto(pages[name].as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= int(width_px) + 1, name
        assert page.pdf(format=size).startswith(b"%PDF")
        page.close()
