"""The pages of docs/: their code runs, and both languages have the same headings and the same code."""

import contextlib
import doctest
import io
import posixpath
import re

import pytest

import xpnet
from docs.builder import sources
from xpnet.metrics import accuracy

DOCS = sources.DOCS
FENCE = re.compile(r"^(`{3,}|:{3,})(.*?)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
TRANSLATED = sorted(
    path.relative_to(DOCS / "ko").as_posix() for path in (DOCS / "ko").rglob("*.md")
)
RUN_HERE = ("index.md", "start.md", "variables.md", "design.md")
"""The other pages with programs have tests of their own."""


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def code(text, kinds=("python", "console", "toml", "")):
    """The blocks of code of a page."""
    return [
        (kind, body)
        for kind, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        if kind in kinds
    ]


def headings(text):
    """The levels of a page's headings."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [len(level) for level in re.findall(r"^(#+) ", without_code, re.MULTILINE)]


def run(name):
    """Run the programs of a page from top to bottom; return their names and what they print."""
    scope = {}
    printed = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS)
    for kind, program in code(read(name)):
        if kind != "python":
            continue
        if program.startswith(">>>"):
            example = doctest.DocTestParser().get_doctest(program, {}, name, name, 0)
            example.globs = scope
            assert not runner.run(example, clear_globs=False).failed, name
        else:
            with contextlib.redirect_stdout(printed):
                exec(compile(program, name, "exec"), scope)
    return scope, printed.getvalue()


@pytest.fixture
def as_by_default(tmp_path, monkeypatch):
    """The backend and its dtype as they are without xpnet.use, which pages call; files go to a folder."""
    monkeypatch.chdir(tmp_path)
    with xpnet.using("numpy"):
        yield tmp_path


@pytest.mark.parametrize("name", RUN_HERE)
def test_the_code_of_a_page_runs(name, as_by_default):
    if name == "start.md":
        pytest.importorskip("matplotlib", reason="the page draws the curves")
    assert code(read(name), ("python",))
    run(name)


def test_the_first_network_reads_digits(as_by_default):
    pytest.importorskip("matplotlib", reason="the page draws the curves")
    scope, printed = run("start.md")
    shapes, found, digits = printed.splitlines()
    assert shapes == "(60000, 784) (60000,)"
    assert float(found) == pytest.approx(0.957, abs=0.01)  # "about 0.96", by another BLAS too
    assert digits == "7 7"
    assert scope["history"]["test_accuracy"][-1] > 0.95
    assert (as_by_default / "curves.png").stat().st_size > 10_000


def test_the_network_of_the_front_page_divides_the_spirals(as_by_default):
    scope, _ = run("index.md")
    assert accuracy(scope["model"](scope["x"]), scope["t"]) == 1.0


def test_some_pages_are_translated():
    assert {"index.md", "readme.md", "start.md"} <= set(TRANSLATED)


@pytest.mark.parametrize("name", TRANSLATED)
def test_both_languages_have_the_same_headings_and_code(name):
    english = DOCS / name
    if name in sources.FROM_ROOT.values():
        (source,) = [x for x, page in sources.FROM_ROOT.items() if page == name]
        english = sources.ROOT / source
    korean = read(f"ko/{name}")
    text = english.read_text(encoding="utf-8")
    assert headings(korean) == headings(text)
    assert code(korean) == code(text)
    assert re.search("[가-힣]", korean)


def test_the_korean_page_on_pytorch_has_the_same_names():
    """`python -m tests.pytorch` writes the English page; here the reasons are in Korean."""
    english, korean = (names_of_rows(read(name)) for name in ("pytorch.md", "ko/pytorch.md"))
    assert korean == english
    assert len(english) > 60


def names_of_rows(text):
    """The names in the columns of each row of a table, but for the last column, which explains them."""
    rows = re.findall(r"^\| (.+) \| (.+) \|$", text, re.MULTILINE)
    return [re.findall("`[^`]+`", row) for row, _ in rows]


def test_the_readme_leads_to_the_same_pages_in_both_languages():
    english = targets(sources.pages("en")["readme.md"])
    assert targets(sources.pages("ko")["readme.md"]) == english
    assert "performance.md" in english
    assert "readme.md" not in english  # each page of the site has a link to the other language


def targets(text):
    """What a page links to, and its pictures."""
    return set(re.findall(r"\]\(([^)#\s]+)", text))


def test_the_korean_gallery_shows_the_same_programs():
    english, korean = read("gallery/index.md"), read("ko/gallery/index.md")
    shown = re.findall(r"\]\(\.\./\.\./gallery/([^)]+)\)", korean)
    assert shown == re.findall(r"\]\(([^)]+)\)", english)


GENERATED = re.compile(r"(?:\.\./)*(?:reference/.*|(?:readme|changelog|contributing)\.md)")
"""Links to pages that are on the site only."""


@pytest.mark.parametrize(
    "name",
    sorted(
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if "_build" not in path.relative_to(DOCS).parts
    ),
)
def test_links_lead_to_files_of_a_clone(name):
    """Those of Korean pages to English ones, too: they are also read without the site."""
    path = DOCS / name
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    links = {x for x in re.findall(r"\]\(([^)#\s]+)", text) if ":" not in x}
    dead = {x for x in links if not (path.parent / x).exists()}
    assert [x for x in dead if not GENERATED.fullmatch(x)] == []


def test_a_page_that_is_not_translated_has_a_korean_title_and_leads_to_the_english_one():
    korean = sources.pages("ko")
    for name in ("scipy.md", "gallery/newton.md", "performance.md", "capabilities.md"):
        text = korean[name]
        assert re.search("[가-힣]", sources.title_of(name, text)), name
        address = "../" * (name.count("/") + 1) + name.rpartition(".")[0] + ".html"
        assert f'<a href="{address}" lang="en" hreflang="en">' in text


def test_every_korean_page_has_a_korean_title():
    """All but the names of xpnet, of ONNX and of the project's files."""
    heading = re.compile(r"^# (.+)$|^(.+)\n=+$", re.MULTILINE)
    titles = {name: heading.search(text) for name, text in sources.pages("ko").items()}
    in_english = {name for name, title in titles.items() if not re.search("[가-힣]", title[0])}
    names = {"index.md", "onnx.md", *sources.FROM_ROOT.values()}
    assert {name for name in in_english if not name.startswith("files/")} == names


def test_every_english_page_has_a_korean_one():
    english = sources.pages("en")
    korean = sources.pages("ko")
    assert english.keys() == korean.keys()
    waiting = [name for name, text in korean.items() if sources.NOTE in text]
    translated = {*TRANSLATED, "reference/index.md"}
    assert set(waiting) == {x for x in english if not x.startswith("files/")} - translated | {
        x for x in waiting if x.startswith("files/")
    }


def test_the_korean_index_of_the_reference_leads_to_the_english_chapters():
    english, korean = (sources.pages(language)["reference/index.md"] for language in ("en", "ko"))
    pages = re.findall(r"^- \[.+?\]\((.+)\.\w+\)", english, re.MULTILINE)
    links = re.findall(
        r'^- <a class="[^"]+" href="\.\./\.\./([^"]+)\.html" hreflang="en">(.+?)</a>: ',
        korean,
        re.MULTILINE,
    )
    assert [link for link, _ in links] == [
        posixpath.normpath(f"reference/{page}") for page in pages
    ]
    assert [title for _, title in links if not re.search("[가-힣]", title)] == []
    assert headings(korean) == headings(english)


def test_a_page_that_no_table_of_contents_names_is_in_how_to(tmp_path, monkeypatch):
    found = {
        "index.md": "```{toctree}\nstart\nhow-to\n```",
        "start.md": "",
        "how-to.md": "",
        "new.md": "",
    }
    assert "\nnew\n" in sources.others(found)
    del found["new.md"]
    assert sources.others(found) == ""
