"""The folder from which Sphinx builds one language.

English: the pages of docs/, with README, CHANGELOG and CONTRIBUTING, the generated reference, and a listing of
each file that a page links to. Links out of docs/ lead to those listings.

Korean: the same pages, from docs/ko/ where it has them; a page that is not translated yet has the title and the
sentence with which a Korean page lists it, and links to the English one. So every page has the same address in
both languages.
"""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from docs.builder import reference
from docs.builder.korean import TITLES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENGLISH = "en"
KOREAN = "ko"
LANGUAGES = (ENGLISH, KOREAN)

NOT_PAGES = ("builder", "pictures", "ko", "_build", "_static", "_templates", "__pycache__")
"""Folders of docs/ that hold no English pages."""

FROM_ROOT = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files of the project that are pages too."""

LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
"""A link to a file in Markdown: not to an address, which has a colon, nor within the page."""

TITLE_OF_README = re.compile(r"\A# xpnet$", re.MULTILINE)
"""On the site the front page has this title."""

OTHER_LANGUAGE = re.compile(r"^\[(?:English|한국어)\]\(\S+\)\n\n", re.MULTILINE)
"""The README's line that leads to its other language: on the site each page has such a link at its top."""

TOCTREE = re.compile(r"^```\{toctree\}.*?^```$", re.DOTALL | re.MULTILINE)

LISTED = re.compile(r"^\s*(?:- )?\[([^\]]+)\]\(([^)#\s]+)\)(?:: (.+))?$", re.MULTILINE)
"""A line of a list of pages: a title, its page, and perhaps a sentence about it."""

NOTE = "아직 한국어로 옮기지 않은 페이지입니다"
NOT_TRANSLATED = """{about}

```{{admonition}} {note}
영어로 읽으세요: {link}
```
"""


def pages(language: str) -> dict[str, str]:
    """{the path of a page: its text} in one language."""
    english = english_pages()
    if language == ENGLISH:
        return english
    return {path: korean(path, text) for path, text in english.items()}


def english_pages() -> dict[str, str]:
    """The pages of docs/, those of the project's root, the reference, and what these link to."""
    found = {}
    linked: set[str] = set()
    for path in files(DOCS):
        if path.suffix in (".md", ".rst"):
            name = path.relative_to(DOCS).as_posix()
            found[name] = with_links(path, name, linked)
    for name, page in FROM_ROOT.items():
        found[page] = with_links(ROOT / name, page, linked)
    found["how-to.md"] += others(found)
    return found | reference.pages() | listings(linked)


def others(found: dict[str, str]) -> str:
    """A table of contents with the pages of docs/ that no other one names, for the end of How-to."""
    named = {"index", "capabilities", "conformance"}  # the last two are the reference's
    for page, text in found.items():
        folder = Path(page).parent
        for tree in TOCTREE.findall(text):
            named |= {(folder / line).as_posix() for line in tree.splitlines()[1:-1] if line}
    rest = [page.removesuffix(".md") for page in found if page.removesuffix(".md") not in named]
    return "\n```{toctree}\n" + "\n".join(rest) + "\n```\n" if rest else ""


def files(folder: Path) -> list[Path]:
    """The files of docs/ that are the English pages', pictures too."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix in (".md", ".rst", ".svg", ".png", ".ipynb")
        and path.relative_to(folder).parts[0] not in NOT_PAGES
    )


# --- links out of docs/ ---------------------------------------------------------------------------


def with_links(path: Path, page: str, linked: set[str]) -> str:
    """The text of a page, whose links to files of the project lead to pages; the files are added to `linked`."""

    def moved(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        file = (path.parent / target).resolve()
        if not file.exists() or not file.is_relative_to(ROOT):
            return match[0]  # Sphinx warns of it
        new = page_of(file, linked)
        relative = os.path.relpath(new, Path(page).parent).replace(os.sep, "/")
        return f"{before}{relative}{anchor or ''}{after}"

    text = OTHER_LANGUAGE.sub("", path.read_text(encoding="utf-8"))
    if page == "readme.md":
        text = TITLE_OF_README.sub("# README", text)
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def page_of(file: Path, linked: set[str]) -> str:
    """The page of a file or a folder of the project; a file that has none gets a listing."""
    if file.is_dir() and (file / "README.md").exists():
        file /= "README.md"
    name = file.relative_to(ROOT).as_posix()
    if file.is_relative_to(DOCS / "ko"):
        return file.relative_to(DOCS / "ko").as_posix()
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS).as_posix()
    if name in FROM_ROOT:
        return FROM_ROOT[name]
    linked.add(name)
    return f"{listing(name)}.md"


def listing(name: str) -> str:
    """The name of the page that shows a file of the project."""
    return "files/" + name.removesuffix(".md")


def listings(linked: set[str]) -> dict[str, str]:
    """A page for each file that is linked to, and for those that these link to."""
    found: dict[str, str] = {}
    todo = sorted(linked)
    while todo:
        name = todo.pop()
        page = f"{listing(name)}.md"
        if page not in found:
            more: set[str] = set()
            found[page] = "---\norphan: true\n---\n" + shown(name, page, more)
            todo += sorted(more)
    return found


def shown(name: str, page: str, linked: set[str]) -> str:
    """A page of Markdown as it is, a program as a listing, and a folder as a list of its files."""
    path = ROOT / name
    if path.suffix == ".md":
        return with_links(path, page, linked)
    if path.is_dir():
        names = sorted(
            x.name + "/" * x.is_dir()
            for x in path.iterdir()
            if not x.name.startswith("__pycache__")
        )
        return f"# {name}/\n\n" + "\n".join(f"- `{x}`" for x in names) + "\n"
    languages = {".py": "python", ".toml": "toml", ".c": "c", ".h": "c"}
    language = languages.get(path.suffix, "text")
    return f"# {name}\n\n`````{language}\n{path.read_text(encoding='utf-8').rstrip()}\n`````\n"


# --- Korean ---------------------------------------------------------------------------------------


def korean(path: str, english: str) -> str:
    """The Korean page, if there is one; else a page that leads to the English one."""
    translated = DOCS / "ko" / path
    if path == "reference/index.md":
        return reference.korean_index()
    if path.startswith("files/") and not (ROOT / path.removeprefix("files/")).exists():
        return english  # a listing of a program
    if translated.exists():
        text = with_links(translated, path, set())
        own = "\n".join(TOCTREE.findall(text)).splitlines()
        more = [tree for tree in TOCTREE.findall(english) if not set(tree.splitlines()) <= set(own)]
        return text + "\n".join(["", *more])  # the pages that no table of contents names
    return not_translated(path, english)


def not_translated(path: str, english: str) -> str:
    """A Korean title, a note that leads to the English page, and its table of contents for the menu."""
    up = "../" * (path.count("/") + 1)
    address = f"{up}{Path(path).with_suffix('.html').as_posix()}"
    title = title_of(path, english)
    korean_title, about = listed().get(path.rpartition(".")[0], (TITLES.get(title, title), ""))
    orphan = "orphan: true\n" * english.startswith("---\norphan")
    link = f'<a href="{address}" lang="en" hreflang="en">{title}</a>'
    if path.endswith(".rst"):
        head = ":nosearch:\n\n" + reference.underlined(korean_title)
        html = f"<p>영어로 읽으세요: {link}</p>"
        note = f".. admonition:: {NOTE}\n\n   .. raw:: html\n\n      {html}\n"
        return f"{head}\n{about}\n\n{note}"
    note = NOT_TRANSLATED.format(about=about, note=NOTE, link=link)
    contents = "\n\n".join(TOCTREE.findall(english))
    return f"---\n{orphan}nosearch: true\n---\n# {korean_title}\n\n{note}\n{contents}\n"


@cache
def listed() -> dict[str, tuple[str, str]]:
    """{a page without suffix: its Korean title, and a sentence about it}, from the Korean pages that list it."""
    found: dict[str, tuple[str, str]] = {}
    for path in files(DOCS / "ko"):
        if path.suffix == ".md":
            for title, target, about in LISTED.findall(path.read_text(encoding="utf-8")):
                page = page_of((path.parent / target).resolve(), set())
                found.setdefault(page.removesuffix(".md"), (title, about))
    return found


def title_of(path: str, text: str) -> str:
    """The first heading of a page."""
    if path.endswith(".rst"):
        return text.partition("\n")[0]
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert heading is not None, f"{path} has no title."
    return heading[1]


# --- the folder -----------------------------------------------------------------------------------


def write(language: str, folder: Path) -> None:
    """Write the sources of one language, and only what has changed, so that Sphinx reads only that anew."""
    new = {path: text.encode() for path, text in pages(language).items()}
    for path in files(DOCS):
        if path.suffix not in (".md", ".rst"):
            new[path.relative_to(DOCS).as_posix()] = path.read_bytes()
    if language == KOREAN:
        for path in files(DOCS / "ko"):
            if path.suffix not in (".md", ".rst"):
                new[path.relative_to(DOCS / "ko").as_posix()] = path.read_bytes()
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in new:
            path.unlink()
    for name, content in new.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for name in ("_static", "_templates"):
        shutil.copytree(DOCS / name, folder / name, dirs_exist_ok=True)
