"""The configuration of Sphinx, for both languages.

Why Sphinx, and not MkDocs: xpnet's docstrings are numpydoc, which Sphinx reads by the extension of that
name, and it checks every link to a name (`nitpicky`); pages are Markdown all the same, by MyST. Its search is an
index in a script, which works without a server, and its own texts are translated to Korean. MkDocs would need a
plugin for each of these.

Why Furo: a wheel of 0.3 MB, with style sheets and one small script, all local, and no fonts from elsewhere; light,
dark, or as the system is; readable on a phone. That of pydata-sphinx-theme, which NumPy and SciPy use, has 3.2 MB.
"""

import inspect
import posixpath
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from docutils import nodes
from sphinx.search.en import SearchEnglish

import xpnet
from docs.builder.docstrings import converted
from docs.builder.korean import LABELS, PARTICLES, Texts, words
from docs.builder.names import PUBLIC, links, paths, value_of

project = "xpnet"
author = "xpnet's authors"
release = xpnet.__version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
]

# --- reading --------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # the sections of the docstrings say more, such as shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # autodoc describes the members
numpydoc_xref_param_type = False
highlight_language = "none"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
smartquotes = False  # a flag begins with two hyphens
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
suppress_warnings = [
    "myst.header"
]  # a page of the changelog goes from the first level to the third

# Names in Korean pages lead to the English reference, which is built first, and lies one folder above.
intersphinx_mapping = {}
if tags.has("ko"):  # noqa: F821 - Sphinx defines it
    inventory = Path(__file__).parent / "_build" / "html" / "objects.inv"
    intersphinx_mapping = {"xpnet": ("..", str(inventory))}

# --- writing --------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "xpnet"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_search_summary = False  # they are fetched, which no browser allows for a file
html_show_copyright = False

FONTS = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Apple SD Gothic Neo", "Malgun Gothic", '
    '"Noto Sans KR", "Noto Sans CJK KR", "NanumGothic", sans-serif'
)
MONOSPACE = (
    'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, "D2Coding", '
    '"Noto Sans Mono CJK KR", "NanumGothicCoding", monospace'
)
html_theme_options = {
    "top_of_page_buttons": ["view"],  # the template of this button is the switch of language
    "light_css_variables": {"font-stack": FONTS, "font-stack--monospace": MONOSPACE},
}


class SearchKorean(SearchEnglish):
    """English words as in English, since code has them everywhere; Korean ones without their particles."""

    lang = "ko"
    language_name = "English"  # of the stemmer in the browser

    def split(self, text):
        """The words of a text."""
        return words(text)


def korean_texts(app):
    """Before anything is written: the theme's texts in Korean, which Sphinx's catalogue does not have."""
    if app.config.language == "ko":
        app.translator.add_fallback(Texts())


def plain_docstring(app, what, name, value, options, lines):
    """Before numpydoc: what is plain text becomes reStructuredText."""
    lines[:] = converted(lines)


def says_nothing_more(app, what, name, value, skip, options):
    """Whether a member is left out: what would be said of it is said of its class.

    That is a field of a named tuple, which the class lists with its meaning, and a `forward` of x alone, for
    which the docstring of `Layer.forward` would be repeated.
    """
    if (getattr(value, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    if name == "forward" and inspect.isfunction(value) and value.__doc__ is None:
        return [*inspect.signature(value).parameters] == ["self", "x"] or skip
    return None


def public_bases(app, name, value, options, bases):
    """A private base class is described by the public one that it extends."""
    bases[:] = dict.fromkeys(shown_base(base) for base in bases)


def shown_base(base):
    """The first public class of those that a base extends; Python's own are not links."""
    ancestors = getattr(base, "__mro__", ())
    for ancestor in ancestors:
        path = links().get(f"{ancestor.__module__}.{ancestor.__name__}") or links().get(
            ancestor.__name__
        )
        if path is not None and value_of(path) is ancestor:
            return f":py:class:`{ancestor.__name__} <{path}>`"
    of_python = [x for x in ancestors if x.__module__ in ("builtins", "collections.abc")]
    return f"``{of_python[0].__name__ if of_python else base.__name__}``"


def of_both_languages(app, page, template, context, doctree):
    """The address of the same page in the other language, from this page."""
    korean = app.config.language == "ko"
    up = "../" * (page.count("/") + korean)
    exists = doctree is not None or page in ("search", "genindex")
    target = page if exists else "index"
    context["labels"] = LABELS if korean else {}
    context["particles"] = PARTICLES
    context["other_language"] = f"{up}{'' if korean else 'ko/'}{target}.html"
    if page.startswith("_modules/"):
        context["body"] = listing(page.removeprefix("_modules/"), context["body"])


def mark_links_to_english(app, doctree, page):
    """In Korean: links to the reference, and to pages that are not translated, get a sign from the style sheet."""
    if app.config.language != "ko":
        return
    for link in doctree.findall(nodes.reference):
        path = link.get("refuri", "").partition("#")[0].removesuffix(".html")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        waits = "nosearch" in app.env.metadata.get(target, {})
        if waits or link.get("reftitle", "").startswith("(in xpnet"):
            link["classes"].append("in-english")


def keep_flags_whole(app, doctree, page):
    """A browser may break a line after a hyphen, as in `--drop`: not in a flag."""
    for code in doctree.findall(nodes.literal):
        if re.fullmatch(r"--?[\w-]+", code.astext()):
            code["classes"].append("whole")


BACK = re.compile(r'(class="viewcode-back" href="[^"#]*#)([\w.]+)')


def listing(module, body):
    """A listing as viewcode writes it, with two of its faults mended.

    Its links back to the reference take all names of a file for those of one public module. And in its index, lists
    are within lists, but not in their items, which HTML forbids.
    """
    if module == "index":
        return re.sub(r"</ul>(?=.*</ul>)|(?<=</li>)\s*<ul>", "", body, flags=re.DOTALL)
    source = module.replace("/", ".")
    described = {}
    for path in paths():
        if getattr(value_of(path), "__module__", "") == source:
            described[path.rpartition(".")[2]] = path

    def back(match):
        public = max((x for x in PUBLIC if match[2].startswith(f"{x}.")), key=len)
        name, dot, member = match[2].removeprefix(f"{public}.").partition(".")
        return match[1] + described.get(name, f"{public}.{name}") + dot + member

    return BACK.sub(back, body)


def setup(app):
    """Connect the functions above."""
    app.add_search_language(SearchKorean)
    app.connect("builder-inited", korean_texts)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)
    app.connect("autodoc-skip-member", says_nothing_more)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("doctree-resolved", mark_links_to_english)
    app.connect("doctree-resolved", keep_flags_whole)
    app.connect("html-page-context", of_both_languages)
