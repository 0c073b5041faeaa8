"""The site as it was built: its links, and its pages in a browser, on a screen and on a phone."""

import json
import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs.builder.korean import LABELS
from tests.docs.axe import MissingAxeError, find_axe
from tests.docs.test_pages import TRANSLATED
from tests.report.drawing.browser import BROWSER, Browser

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
LISTINGS = ("_modules/", "files/", "ko/files/")
"""Pages that show a file of the project; all of a kind look alike, so that a few of them are opened."""

pytestmark = pytest.mark.skipif(not PAGES, reason="the site is not built: nox -s docs")


# --- links ----------------------------------------------------------------------------------------


class Links(HTMLParser):
    """The addresses that a page links to or loads, and the names of its places."""

    def __init__(self):
        super().__init__()
        self.links = []
        self.loaded = []
        self.places = set()
        self.language = None

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "html":
            self.language = found.get("lang")
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("index", "search", "next", "prev"):
            self.loaded.append(found["href"])
        elif found.get("src"):
            self.loaded.append(found["src"])


@cache
def parsed(name):
    page = Links()
    page.feed((SITE / name).read_text(encoding="utf-8"))
    return page


def dead(name):
    """The links of a page that lead nowhere within the site."""
    page = parsed(name)
    for link in page.links + page.loaded:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = name
        if parts.path:
            target = os.path.normpath(Path(name).parent / unquote(parts.path))
        if not (SITE / target).is_file():
            yield link
        elif parts.fragment and target.endswith(".html"):
            place = unquote(parts.fragment)
            if place not in parsed(target).places:
                yield link


def test_no_link_is_dead():
    assert {name: found for name in PAGES if (found := list(dead(name)))} == {}


def test_nothing_is_loaded_from_elsewhere():
    outside = {
        (name, link) for name in PAGES for link in parsed(name).loaded if re.match(r"\w+:|//", link)
    }
    assert {(name, link) for name, link in outside if not link.startswith("data:")} == set()


def test_no_link_names_a_folder_of_the_machine():
    """Links are relative, so that the site may be in any folder."""
    assert [
        (name, x) for name in PAGES for x in parsed(name).links if x.startswith(("/", "file:"))
    ] == []


# --- two languages --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PAGES if not name.startswith("_modules/")])
def test_a_page_leads_to_itself_in_the_other_language(name):
    page = parsed(name)
    korean = name.startswith("ko/")
    assert page.language == ("ko" if korean else "en")
    other = name.removeprefix("ko/") if korean else f"ko/{name}"
    if Path(name).name in ("search.html", "genindex.html"):
        assert (SITE / other).is_file()
    switch = Path(os.path.relpath(other, Path(name).parent)).as_posix()
    assert switch in page.links


def test_the_texts_of_the_theme_are_korean_on_korean_pages():
    html = (SITE / "ko" / "start.html").read_text(encoding="utf-8")
    assert [text for text in LABELS if text in html] == []
    assert [text for text in ("Next", "Previous", "Home", "Made with") if f">{text}" in html] == []
    assert "다음</span>" in html


def test_links_of_korean_pages_to_english_ones_are_marked():
    html = (SITE / "ko" / "start.html").read_text(encoding="utf-8")
    marked = re.findall(r'<a class="in-english reference [^>]*href="([^"]+)"', html)
    assert "../reference/training.html#xpnet.training.Trainer" in marked
    assert "reference/command-line.html" in marked  # a Korean page that leads to the English one
    assert [x for x in marked if x.startswith(("lessons/", "own-layer", "readme"))] == []


def test_a_flag_is_not_broken_after_its_hyphens():
    html = (SITE / "ko" / "readme.html").read_text(encoding="utf-8")
    assert re.search(r'<code class="whole [^>]*><span class="pre">--drop</span>', html)


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome was found; XPNET_BROWSER names one")
    if not hasattr(os, "posix_spawnp"):
        pytest.skip("the pipes to the browser are those of POSIX")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def axe():
    try:
        return find_axe()
    except MissingAxeError as error:
        pytest.skip(str(error))


def opened(browser, name, width, height=800):
    """Open a page of the site in a window of this width."""
    browser.resize(width, height)
    browser.events.clear()
    browser.call("Page.navigate", url=(SITE / name).as_uri())
    browser.wait(f"document.readyState === 'complete' && location.pathname.endsWith('{name}')")


def in_browser(names):
    """Those that are opened: all but most of the listings."""
    few = [name for kind in LISTINGS for name in [x for x in names if x.startswith(kind)][:2]]
    return [name for name in names if not name.startswith(LISTINGS)] + few


WIDER = """
[...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest('.table-wrapper, pre, .highlight')).map(e => e.outerHTML.slice(0, 120)).slice(0, 5)
"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", in_browser(PAGES))
def test_a_page_fits_a_width_and_complains_of_nothing(browser, name, width):
    opened(browser, name, width)
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth") <= width, browser.run(WIDER)


RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
CHECK = """
axe.run(document, {runOnly: %s, resultTypes: ['violations']}).then(found => found.violations.map(v => [
  v.id, v.help, v.nodes.slice(0, 5).map(n => n.html.slice(0, 200) + ' | '
    + n.any.concat(n.all, n.none).map(x => x.message).join(' '))]))
"""


def violations(browser, axe, rules):
    """What axe-core finds on the page that is open."""
    browser.run(f"{axe}; true")
    return browser.run(CHECK % json.dumps(rules))


def to_check(names):
    """The pages of which axe-core checks every element, which takes a second each: of the Korean ones, those
    that are translated, and two others."""
    translated = [f"ko/{path.removesuffix('.md')}.html" for path in TRANSLATED]
    waiting = ["ko/explanation.html", "ko/reference/training.html"]
    english = [name for name in names if not name.startswith("ko/")]
    return english + [name for name in dict.fromkeys(translated + waiting) if name in names]


@pytest.mark.parametrize("name", to_check(in_browser(PAGES)))
def test_a_page_is_accessible(browser, axe, name):
    """Contrast, headings, landmarks, names of controls: axe-core finds nothing."""
    browser.prefer(color_scheme="light")
    opened(browser, name, 1280)
    assert violations(browser, axe, RULES) == []


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "start.html",
        "how-to.html",
        "variables.html",
        "performance.html",
        "ko/start.html",
        "reference/index.html",
        "reference/backend.html",
        "reference/layers/affine.html",
        "reference/command-line.html",
        "search.html",
    ],
)
def test_a_page_has_enough_contrast_in_the_dark(browser, axe, name):
    """One page of each kind: all have the same two palettes."""
    browser.prefer(color_scheme="dark")
    opened(browser, name, 1280)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 22)"
    found = violations(browser, axe, ["wcag2aa"])
    browser.prefer(color_scheme="light")
    assert found == []


@pytest.mark.parametrize(
    "name", ["index.html", "gallery/index.html", "lessons/multilayer-perceptron.html"]
)
def test_pictures_are_cards_in_the_dark(browser, name):
    """They are drawn on white. In the light theme, the page is their margin; the front page's picture needs none."""
    style = (
        "[...document.querySelectorAll('article img')].map(getComputedStyle)"
        ".map(s => [s.paddingTop, s.backgroundColor, s.filter, s.borderTopLeftRadius])"
    )
    opened(browser, name, 1280)
    light = browser.run(style)
    browser.prefer(color_scheme="dark")
    dark = browser.run(style)
    browser.prefer(color_scheme="light")
    margin = "0px" if name == "index.html" else "12px"
    assert light
    assert set(map(tuple, light)) == {("0px", "rgb(255, 255, 255)", "none", "6.4px")}
    assert set(map(tuple, dark)) == {(margin, "rgb(255, 255, 255)", "brightness(0.9)", "6.4px")}


def found_in_search(browser, address):
    """Wait for a result with this in its address; results appear one by one."""
    links = "[...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    browser.wait(f"{links}.some(x => x.includes('{address}'))")


def test_search_finds_a_name_without_a_server(browser):
    opened(browser, "search.html", 1280)
    address = (SITE / "search.html").as_uri()
    browser.call("Page.navigate", url=f"{address}?q=Conv2d")
    found_in_search(browser, "convolution.html#xpnet.Conv2d")
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("순전파", "/ko/start.html"),  # there: 순전파는
        ("시그모이드를", "/ko/lessons/define-by-run.html"),
        ("경사하강법", "/ko/lessons/one-layer.html"),  # there: 경사 하강법
    ],
)
def test_search_finds_a_korean_noun_with_any_particle(browser, query, page):
    address = (SITE / "ko" / "search.html").as_uri()
    browser.call("Page.navigate", url=f"{address}?q={query}")
    found_in_search(browser, page)


def test_the_korean_search_leads_to_the_english_one(browser):
    """Which knows the reference; the words that are looked for stay."""
    address = (SITE / "ko" / "search.html").as_uri()
    browser.call("Page.navigate", url=f"{address}?q=Conv2d")
    browser.wait("document.readyState === 'complete' && location.search === '?q=Conv2d'")
    link = browser.run("document.querySelector('a.in-english').href")
    assert link == f"{(SITE / 'search.html').as_uri()}?q=Conv2d"
    browser.call("Page.navigate", url=link)  # a click would end the page while it is asked
    found_in_search(browser, "/html/reference/layers/convolution.html#xpnet.Conv2d")
    assert browser.complaints() == []
