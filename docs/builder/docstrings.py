"""Docstrings as reStructuredText.

xpnet's docstrings are numpydoc's, but plain text within its sections: a name in single backticks is code, an
indented block is a formula or a program, and stars and underscores are themselves. Here they are written as
Sphinx reads them, before numpydoc makes lists of the sections.
"""

import re

from docs.builder.names import links

LISTS = (
    "Parameters", "Other Parameters", "Returns", "Yields", "Raises", "Warns", "Attributes", "Methods",
)  # fmt: skip
"""The sections that are lists of names, each with an indented text."""

CODE = re.compile(r"(``.+?``|`[^`]+`)")
BULLET = re.compile(r"[-*] |\d+\. ")


def inline(text: str, link: bool = True) -> str:
    """A line of text, with code as code, and every other character as itself."""
    parts = CODE.split(text)
    return "".join(
        code(part.strip("`"), link) if part.startswith("`") else escaped(part) for part in parts
    )


def escaped(text: str) -> str:
    """Text in which no character has a meaning for reStructuredText."""
    text = re.sub(r"([\\*|`])", r"\\\1", text)
    return re.sub(r"_(?!\w)", r"\\_", text)


def code(text: str, link: bool) -> str:
    """A literal; a link if it is the name of something public."""
    path = links().get(text)
    if path is None or not link:
        return f"``{text}``"
    return f":py:obj:`{text} <{path}>`"


def indent(line: str) -> int:
    """The number of spaces at its beginning."""
    return len(line) - len(line.lstrip())


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText with numpydoc's sections."""
    return Converter(lines).run()


class Converter:
    """A docstring line by line; each method takes the lines of one kind, and moves on."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0
        self.section = ""
        self.written: list[str] = []

    def run(self) -> list[str]:
        """All lines."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if self._is_heading():
                self.section = line.strip()
                self._copy(2)
            elif line.lstrip().startswith(">>>"):
                self._doctest()
            elif self._is_block():
                self._block()
            else:
                if self._is_term() and self.written and self.written[-1].strip():
                    self.written.append("")
                self.written.append(self._text(line))
                self.at += 1
        return self.written

    def _is_heading(self) -> bool:
        following = self.lines[self.at + 1 : self.at + 2]
        line = self.lines[self.at].strip()
        return bool(line) and bool(following) and set(following[0].strip()) == {"-"}

    def _is_term(self) -> bool:
        """Whether a line of text has its explanation below, indented: an item of a definition list."""
        if self.section in LISTS or self.section == "See Also":
            return False
        line, *following = self.lines[self.at : self.at + 2]
        below = "".join(following)
        return bool(line.strip()) and bool(below.strip()) and indent(below) > indent(line)

    def _copy(self, count: int) -> None:
        self.written += self.lines[self.at : self.at + count]
        self.at += count

    def _doctest(self) -> None:
        """Copy an example, up to the next empty line."""
        while self.at < len(self.lines) and self.lines[self.at].strip():
            self._copy(1)

    def _is_block(self) -> bool:
        """Whether a formula or a program begins: indented, after an empty line, and no item of a list."""
        line = self.lines[self.at]
        if not line.strip() or (self.written and self.written[-1].strip()):
            return False
        before = next((x for x in reversed(self.lines[: self.at]) if x.strip()), "")
        base = 4 if self.section in LISTS else 0
        in_item = bool(BULLET.match(before.lstrip())) or indent(before) > base
        return indent(line) > base and not in_item and not BULLET.match(line.lstrip())

    def _block(self) -> None:
        """A literal block: all lines that are indented as its first one is, or further."""
        margin = indent(self.lines[self.at])
        begins = next((x for x in reversed(self.written) if x.strip()), "")
        if not begins.endswith("::"):
            self.written += [" " * (4 if self.section in LISTS else 0) + "::", ""]
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and indent(line) < margin:
                break
            self._copy(1)

    def _text(self, line: str) -> str:
        if self.section in LISTS and line and not line[0].isspace():
            # The name is numpydoc's to escape; Raises and Returns may have a type alone.
            name, colon, kind = line.partition(" : ")
            if colon:
                return name + colon + inline(kind, link=False)
            if self.section in ("Parameters", "Other Parameters", "Attributes"):
                return line
            return inline(line, link=False)
        if self.section == "See Also":
            name, colon, text = line.partition(" : ")
            return links().get(name, name) + colon + inline(text)
        return inline(line)
