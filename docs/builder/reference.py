"""The pages of the reference: one for each chapter, an index, and the command line."""

import importlib
import inspect
import re

import typer

from docs.builder import korean, names
from docs.builder.docstrings import converted, inline
from xpnet.cli.commands import app

OF_THE_REFERENCE = (
    "Every public name, by chapter, with its parameters, shapes and errors, from its docstring. A name is "
    "described where it is shortest: `xpnet.layers.Conv2d` as `xpnet.Conv2d`. `F` stands for "
    "`xpnet.functions`. [Capabilities](../capabilities.md) is a table of all functions with what is "
    "tested of each; [Conformance](../conformance.md) is about the versions of the array API standard."
)
OF_THE_COMMAND_LINE = (
    "This page is made from the program itself: `xpnet --help`, and `xpnet train --help` for a command, "
    "print the same."
)


def pages() -> dict[str, str]:
    """{the path of a page, with its suffix: its text}."""
    found = {f"reference/{c.page}.rst": chapter(c) for c in names.CHAPTERS}
    found["reference/index.md"] = index()
    found["reference/command-line.md"] = command_line()
    return found


def underlined(text: str, line: str = "=") -> str:
    """A heading, and a line below it that is long enough for letters of double width, such as Hangul."""
    return f"{text}\n{line * 2 * len(text)}\n"


def first_sentence(path: str) -> str:
    """The first paragraph of the docstring of a public name."""
    value = names.value_of(path)
    if not callable(value) or isinstance(value, names.xpnet.Variable):
        return ""
    text = inspect.getdoc(value) or ""
    return " ".join(text.partition("\n\n")[0].split())


def chapter(chapter: names.Chapter) -> str:
    """A page: what the module says, a table of its names, and each of them."""
    here = names.contents()[chapter.page]
    described = importlib.import_module(chapter.text or chapter.module)
    text = inspect.getdoc(described) or ""
    parts = [underlined(chapter.title), *converted(text.splitlines()), ""]
    parts += ["", ".. list-table::", "   :widths: 30 70", "   :class: names", ""]
    for path in here:
        name = path.rpartition(".")[2]
        parts.append(f"   * - :py:obj:`{name} <{path}>`")
        parts.append(f"     - {inline(first_sentence(path), link=False)}")
    for path in here:
        parts += ["", *entry(path)]
    parts += elsewhere(chapter)
    return "\n".join(parts) + "\n"


def entry(path: str) -> list[str]:
    """The directive that describes a public name, below a heading."""
    name = path.rpartition(".")[2]
    lines = [underlined(name, "-")]
    value = names.value_of(path)
    if inspect.isclass(value):
        lines += [f".. autoclass:: {path}", "   :members:", "   :show-inheritance:"]
    elif callable(value) and hasattr(value, "__name__"):
        lines += [f".. autofunction:: {path}"]
    else:
        lines += [f".. autodata:: {path}", "   :no-value:"]
    return lines


def elsewhere(chapter: names.Chapter) -> list[str]:
    """A sentence with the names of the module that are described in other chapters."""
    others = {other: path for path, found in names.paths().items() for other in found}
    here = [f"{chapter.module}.{name}" for name in names.exported(chapter.module)]
    aliases = [path for path in here if path in others]
    if not aliases or chapter.files or chapter.module in ("xpnet.autodiff", "xpnet.errors"):
        return []
    links = ", ".join(
        f":py:obj:`{path.rpartition('.')[2]} <{others[path]}>`" for path in sorted(aliases)
    )
    return [
        "",
        underlined("Also in this module", "-"),
        f"{links}: described in other chapters.",
        "",
    ]


def index() -> str:
    """The chapters of the reference, by its parts."""
    lines = [
        "# Reference",
        "",
        OF_THE_REFERENCE,
        "",
    ]
    for part, chapters in by_part().items():
        lines += [f"## {part}", ""]
        lines += [f"- [{c.title}]({c.page}.rst): {summary(c)}" for c in chapters]
        lines += [""]
    lines += ["## Command line and standard", ""]
    lines += [
        "- [Command line](command-line.md): the commands and their flags",
        "- [Capabilities](../capabilities.md): every function with its derivative, and what is tested",
        "- [Conformance](../conformance.md): what the standard's own test suite finds",
        "",
    ]
    return "\n".join([*lines, *toctrees()])


def by_part() -> dict[str, list[names.Chapter]]:
    """The chapters of each part."""
    found: dict[str, list[names.Chapter]] = {}
    for chapter in names.CHAPTERS:
        found.setdefault(chapter.part, []).append(chapter)
    return found


def toctrees() -> list[str]:
    """The tables of contents of the index, for the menu."""
    lines = []
    for part in by_part():
        lines += ["```{toctree}", ":hidden:", f":caption: {part}", ""]
        lines += [c.page for c in names.CHAPTERS if c.part == part]
        lines += ["```", ""]
    others = ["command-line", "../capabilities", "../conformance"]
    lines += ["```{toctree}", ":hidden:", "", *others, "```", ""]
    return lines


def korean_index() -> str:
    """The same in Korean. Its links lead to the English chapters."""
    lines = ["# 레퍼런스", "", korean.OF_THE_REFERENCE, ""]
    for part, chapters in by_part().items():
        lines += [f"## {korean.PARTS[part]}", ""]
        lines += [f"- {in_english(f'reference/{c.page}', c.title)}: {summary(c)}" for c in chapters]
        lines += [""]
    about = {
        ("reference/command-line", "Command line"): "명령과 플래그",
        ("capabilities", "What the namespace can do"): "함수마다 미분과 테스트한 것",
        ("conformance", "What the standard's own suite finds"): "표준의 공식 테스트가 찾아낸 것",
    }
    lines += [f"## {korean.PARTS['Command line and standard']}", ""]
    lines += [f"- {in_english(*page)}: {text}" for page, text in about.items()]
    lines += [""]
    return "\n".join([*lines, *toctrees()])


def in_english(page: str, title: str) -> str:
    """A link from the Korean index to an English page, with its Korean title."""
    address = f"../../{page}.html"
    return (
        f'<a class="reference in-english" href="{address}" hreflang="en">{korean.TITLES[title]}</a>'
    )


def summary(chapter: names.Chapter) -> str:
    """Some of the names of a chapter."""
    shown = [path.rpartition(".")[2] for path in names.contents()[chapter.page]]
    more = ", ..." if len(shown) > 6 else ""
    return ", ".join(f"`{name}`" for name in shown[:6]) + more


# --- the command line ----------------------------------------------------------------------------


def command_line() -> str:
    """The commands and their flags, as `--help` prints them."""
    group = typer.main.get_command(app)
    lines = [
        "# Command line",
        "",
        OF_THE_COMMAND_LINE,
        "",
    ]
    for name, command in group.commands.items():
        if not command.hidden:
            lines += of_command(name, command)
    return "\n".join(lines)


def of_command(name: str, command: typer.core.TyperCommand) -> list[str]:
    """A command: how it is called, what it does, and its flags by panel."""
    parameters = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    usage = " ".join(["xpnet", name, *(metavar_of(p, command) for p in arguments)])
    lines = [f"## xpnet {name}", "", "```console", f"$ {usage} [FLAGS]", "```", ""]
    lines += [paragraph(text) + "\n" for text in (command.help or "").split("\n\n")]
    panels = dict.fromkeys(getattr(p, "rich_help_panel", None) for p in parameters)
    for panel in panels:
        here = [p for p in parameters if getattr(p, "rich_help_panel", None) == panel]
        if panel is not None:
            lines += [f"### {panel}: xpnet {name}", ""]
        lines += [line for p in here for line in of_parameter(p, command)]
    return lines


def context(command: typer.core.TyperCommand) -> object:
    """What a command's own methods want to be given."""
    return command.make_context(command.name, [], resilient_parsing=True)


def metavar_of(argument: object, command: object) -> str:
    """The name of an argument, in brackets if it may be left out."""
    name = argument.make_metavar(context(command)).strip("[]{}")
    return name if argument.required else f"[{name}]"


def of_parameter(parameter: object, command: object) -> list[str]:
    """An argument or a flag, with its help and its default, as an item of a definition list."""
    if parameter.param_type_name == "argument":
        head = f"`{metavar_of(parameter, command)}`"
        text = parameter.help or ""
        return [head, f": {paragraph(text)}", ""]
    flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if not parameter.is_flag:
        flags += f" {parameter.make_metavar(context(command))}"
    text = parameter.help or ""
    default = parameter.default
    if parameter.show_default and isinstance(default, (int, float, str)) and not parameter.is_flag:
        text += f" Default: `{default}`."
    return [f"`{flags}`", f": {paragraph(text)}", ""]


FLAG = re.compile(r"(?<![\w`-])(--?[a-z][a-z-]*)")


def paragraph(text: str) -> str:
    """Text of a help page in one line, in which no character has a meaning for Markdown."""
    text = FLAG.sub(r"`\1`", " ".join(text.split()))
    parts = text.split("`")
    return "`".join(
        part
        if i % 2
        else part.replace("*", r"\*").replace("<", r"\<").replace("_", r"\_").replace("[", r"\[")
        for i, part in enumerate(parts)
    )
