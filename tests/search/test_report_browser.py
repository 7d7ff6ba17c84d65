"""The report as a person uses it: opened in a headless Chromium from a file, without a network."""

from __future__ import annotations

import re

import pytest
from browser import browser_path, chromium
from made_runs import made_run

from search.analysis.findings import findings
from search.publish import published
from search.report.write import write_report
from search.results import load

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(browser_path() is None, reason="there is no Chromium or Chrome on the PATH")

SLOW = 60_000
"""Milliseconds that a busy machine may need."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    folder = made_run(
        tmp_path_factory.mktemp("browser") / "run", tasks=("mini-nli", "mini-tags", "mini-topic"), max_length=2,
        roots=3, edits=["keyboard"], severities=[1, 3], methods=("full", "adapter"), forgetting=True, order_sd=0.8,
    )  # fmt: skip
    results = load([folder])
    made = published(results)[0]
    item = {"target": "mini-xnli", "id": "test-1", "text": "<b>نص</b>", "gold": "yes", "predicted": "no"}
    shown = [{**item, "as": "clean", "score": "right"}, {**item, "as": "keyboard, severity 1", "score": "wrong"}]
    examples = {"ar": shown}
    write_report(results, folder, made.board, findings(results), made.about, examples)
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(browser, page_file):
    """A tab that tests share; none of them relies on what another left."""
    yield from opened(browser, page_file)


def opened(browser, file, script="", **settings):
    """A tab with the report, and lists of all that was told on the console or asked of the network."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    tab = context.new_page()
    tab.set_default_timeout(SLOW)
    tab.told, tab.asked = [], []
    tab.on("console", lambda message: tab.told.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: tab.told.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: tab.told.append(f"dialog: {dialog.message}"))
    tab.on("request", lambda request: tab.asked.append(request.url))
    if script:
        tab.add_init_script(script)
    tab.goto(file.as_uri())
    yield tab
    context.close()


def plot(tab, name):
    """A figure, drawn."""
    found = tab.locator(f'.plot[data-figure="{name}"]')
    found.scroll_into_view_if_needed()
    found.locator(".main-svg").first.wait_for(state="attached")
    return found


def draw_all(tab):
    """Scroll through the page, so that every figure that is shown is drawn."""
    for found in tab.locator(".picture:not([hidden]) .plot").all():
        found.scroll_into_view_if_needed()
        found.locator(".main-svg").first.wait_for(state="attached")


def orders(tab):
    rows = "[...document.querySelectorAll('#board tbody tr')].filter(r => !r.hidden)"
    return tab.evaluate(f"{rows}.map(r => r.dataset.order)")


def column(tab, heading):
    """The sort values of a column, shown rows alone."""
    return tab.evaluate(
        """name => {
            const at = [...document.querySelectorAll('#board thead th')].findIndex(th => th.dataset.name === name);
            const rows = [...document.querySelectorAll('#board tbody tr')];
            return rows.filter(r => !r.hidden).map(r => r.cells[at].dataset.v);
        }""",
        heading,
    )


def test_it_opens_without_a_word_on_the_console_or_a_request_and_draws_what_is_seen(browser, page_file):
    for tab in opened(browser, page_file):
        assert tab.locator(".plot .main-svg").count() == 0  # nothing is drawn before it comes into view
        draw_all(tab)
        tab.locator("details.data summary").first.click()
        assert tab.told == []
        assert {url for url in tab.asked if not url.startswith(("data:", "blob:"))} == {page_file.as_uri()}


def test_the_table_sorts_by_click_and_by_keyboard(page):
    page.fill("#search", "")
    page.locator('th[data-name="order"] button').click()
    score = page.locator('th[data-name="score"] button')
    score.click()
    values = [float(value) for value in column(page, "score")]
    assert values == sorted(values, reverse=True)
    heading = page.locator('th[data-name="score"]')
    assert heading.get_attribute("aria-sort") == "descending"
    score.focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in column(page, "score")] == sorted(values)
    page.keyboard.press("Tab")  # the next heading is the next stop
    page.keyboard.press("Space")
    assert page.locator("th[aria-sort]").get_attribute("data-name") == "robust"
    page.locator('th[data-name="order"] button').click()
    assert orders(page) == sorted(orders(page), key=str.lower)
    assert "by order, ascending" in page.locator("#count").inner_text()


def test_the_table_is_searched_and_filtered(page):
    page.fill("#search", "")
    every = len(orders(page))
    page.fill("#search", "tags topic")
    found = orders(page)
    assert 0 < len(found) < every
    assert all("mini-tags" in order and "mini-topic" in order for order in found)
    page.select_option("#method", "adapter")
    assert len(orders(page)) == len(found) // 2
    assert page.locator("#count").inner_text().startswith(f"{len(found) // 2} of {every} candidates")
    page.fill("#search", "")
    assert len(orders(page)) == every // 2
    page.select_option("#method", "")
    assert len(orders(page)) == every


def test_columns_are_shown_by_their_group(page):
    family = page.locator("#board th.part-families").first
    assert not family.is_visible()
    page.check('input[data-part="families"]')
    assert family.is_visible()


def test_a_figure_reacts_to_hover_and_another_is_chosen_by_keyboard(page):
    found = plot(page, "languages-clean")
    box = found.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + 22)
    hover = found.locator(".hoverlayer .hovertext")
    hover.first.wait_for()
    assert "%" in hover.first.text_content()
    page.locator('input[value="languages-clean"]').focus()
    page.keyboard.press("ArrowRight")
    plot(page, "languages-robust")
    assert not found.is_visible()


def test_dark_and_light_follow_the_system_and_the_button(browser, page_file):
    for tab in opened(browser, page_file, color_scheme="dark"):
        ground = "getComputedStyle(document.body).backgroundColor"
        assert tab.evaluate(ground) == "rgb(21, 24, 28)"
        letters = plot(tab, "languages-clean").locator(".ytick text").first
        assert "rgb(230, 233, 237)" in letters.get_attribute("style")
        assert tab.get_attribute("#theme", "aria-label") == "Switch to light colours"
        tab.click("#theme")
        assert tab.evaluate(ground) == "rgb(255, 255, 255)"
        tab.locator('.plot[data-figure="languages-clean"] .ytick text[style*="rgb(31, 35, 40)"]').first.wait_for(
            state="attached"
        )
        assert tab.told == []


def test_a_phone_scrolls_no_sideways(browser, page_file):
    for tab in opened(browser, page_file, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True):
        draw_all(tab)
        tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        tab.locator("#findings details table").first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.locator(".board").evaluate("one => one.scrollWidth > one.clientWidth")
        assert tab.told == []


def test_print_draws_all_figures_and_leaves_controls_out(browser, page_file):
    for tab in opened(browser, page_file, color_scheme="dark"):
        plot(tab, "languages-clean")
        text = tab.pdf(prefer_css_page_size=True)
        assert len(text) > 100_000
        tab.emulate_media(media="print")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert tab.locator(".picture:not([hidden]) .plot.waiting").count() == 0
        assert not tab.locator("nav").is_visible()
        assert not tab.locator("#theme").is_visible()
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert tab.told == []


def test_tables_are_there_for_every_figure_and_save_as_csv(page):
    details = page.locator('details[data-table="precedence"]')
    details.locator("summary").click()
    details.locator("thead th").first.wait_for()
    headings = details.locator("thead th").all_inner_texts()
    assert headings[2:4] == ["first", "second"]
    assert details.locator("tbody tr").count() > 0
    assert details.locator("caption").text_content()
    with page.expect_download() as download:
        details.locator("button").click()
    assert download.value.suggested_filename == "precedence.csv"


def test_the_page_of_a_language_shows_its_examples_as_text(page):
    page.select_option("#language", "ar")
    shown = page.locator("#language-page")
    assert shown.locator("h3").inner_text() == "Arabic"
    assert "<b>نص</b>" in shown.inner_text()
    item = shown.locator(".examples table")
    assert item.count() == 1  # one item, a row each text
    assert item.locator("caption").inner_text() == "mini-xnli · test-1 · gold: yes"
    assert item.locator("tbody tr").count() == 2
    scores = [float(text) for text in shown.locator("td.bar").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(orders(page))


def test_without_a_way_to_unpack_figures_their_tables_stand_there(browser, page_file):
    for tab in opened(browser, page_file, script="delete window.DecompressionStream"):
        tab.locator(".no-figures").wait_for()
        assert tab.locator(".plot").count() == 0
        assert tab.locator(".picture:not([hidden]) details table").first.is_visible()


def test_all_is_reached_by_keyboard_and_has_a_name(page):
    skip = page.locator(".skip")
    skip.focus()
    assert skip.bounding_box()["y"] >= 0  # it is in view once it has the focus
    named = page.evaluate(
        """[...document.querySelectorAll('button, input, select, summary, [role=region], [role=img]')].filter(
            one => !(one.getAttribute('aria-label') || one.textContent.trim() || (one.labels || []).length)
        ).map(one => one.outerHTML.slice(0, 100))"""
    )
    assert named == []


def test_contrast_is_enough_in_both_themes(browser, page_file):
    """WCAG AA: 4.5 to 1 for text, of what is written on the page's own ground."""
    for scheme in ("light", "dark"):
        for tab in opened(browser, page_file, color_scheme=scheme):
            colours = tab.evaluate(
                """() => {
                    const style = getComputedStyle(document.documentElement);
                    const names = 'ground raised ink muted link yes no warn warn-ground'.split(' ');
                    return Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
                }"""
            )
            for name in ("ink", "muted", "link", "yes", "no"):
                for ground in ("ground", "raised"):
                    assert contrast(colours[name], colours[ground]) >= 4.5, (scheme, name, ground)
            assert contrast(colours["warn"], colours["warn-ground"]) >= 4.5


def contrast(first, second):
    def light(colour):
        parts = [int(part, 16) / 255 for part in re.findall("..", colour.removeprefix("#"))]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    one, other = sorted((light(first), light(second)))
    return (other + 0.05) / (one + 0.05)
