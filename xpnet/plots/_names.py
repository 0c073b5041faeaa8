r"""Names in plots: drawn literally, in fonts that have their characters.

matplotlib reads text between two dollar signs as mathematics: it draws `$5-$9` in other letters, and
fails at `$\frac$`. And its default font has no Chinese, Japanese or Korean characters.
"""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from xpnet._printable import printable

LONGEST = 100  # characters of a name that are drawn: a plot has limited room
PREFERRED = (  # common fonts with many characters, in the order in which they are tried
    "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK SC", "NanumGothic", "Malgun Gothic",
    "Apple SD Gothic Neo", "AppleGothic", "Hiragino Sans", "Yu Gothic", "MS Gothic", "IPAexGothic",
    "Microsoft YaHei", "SimHei", "PingFang SC", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Noto Sans", "Arial Unicode MS", "Segoe UI Symbol", "Symbola", "Noto Emoji",
)  # fmt: skip


def drawn(names: Iterable[object]) -> tuple[list[str], dict[str, Any]]:
    """Names as a plot shows them, and the text properties with which to draw them.

    Control characters are escaped. So are characters that no installed font has, with one warning
    for all of them. Names of more than 100 characters are cut.

    Returns
    -------
    texts : list of str
    properties : dict
        Keyword arguments for `Axes.text`, `set_title`, `set_xticks` and the like.
    """
    texts = [_cut(printable(name)) for name in names]
    characters = {c for text in texts for c in text if not c.isascii()}
    families, missing = _families(characters)
    if missing:
        some = "".join(sorted(missing)[:10])
        warnings.warn(
            f"No installed font has {len(missing)} of the characters to be drawn, such as {some!r}, "
            "so they are escaped. Install a font that has them, such as Noto Sans CJK.",
            stacklevel=3,  # the caller of the function that draws
        )
        escapes = {ord(c): c.encode("unicode_escape").decode("ascii") for c in missing}
        texts = [text.translate(escapes) for text in texts]
    properties: dict[str, Any] = {"parse_math": False, "usetex": False}
    if families:
        properties["fontfamily"] = families
    return texts, properties


def _cut(text: str) -> str:
    """A name, or its beginning if it is too long."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 1]}…"


def _families(characters: set[str]) -> tuple[list[str], set[str]]:
    """The fonts to draw with, and the characters that no font has.

    The fonts are an empty list if those of the caller's settings have all characters.
    """
    if not characters:
        return [], set()
    from matplotlib import font_manager, rcParams

    usual = list(rcParams["font.family"])
    missing = set(characters)
    for family in usual:
        font = font_manager.FontProperties(family=[family])
        missing -= _characters_of(str(font_manager.findfont(font)))
    found: list[str] = []
    for name, path in _installed():
        if not missing:
            break
        in_this_font = missing & _characters_of(path)
        if in_this_font:
            found.append(name)
            missing -= in_this_font
    return [*usual, *found] if found else [], missing


def _installed() -> Iterator[tuple[str, str]]:
    """The name and the file of each upright font, the preferred ones first."""
    from matplotlib.font_manager import fontManager

    rank = {name: i for i, name in enumerate(PREFERRED)}
    # "Last Resort" has a box for every character, so that nothing would be missing.
    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith((".", "Last Resort"))
    ]
    fonts.sort(key=lambda font: (rank.get(font.name, len(rank)), font.name))
    for font in fonts:
        yield font.name, font.fname


@cache
def _characters_of(path: str) -> frozenset[str]:
    """The characters of a font; empty if matplotlib cannot use it, such as one of colour emoji."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
