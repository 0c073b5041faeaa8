r"""Names in pictures: drawn as they are, in fonts that have their letters.

matplotlib takes what stands between two dollar signs for mathematics: of `$5-$9` it draws other
letters, and of `$\frac$` none. And its own font has no Chinese, Japanese or Korean letters.
"""

import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from xpnet._printable import printable

LONGEST = 100  # letters of a name; a picture must have room for it
PREFERRED = (  # those with many letters that are on most systems, in the order in which to try them
    "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK SC", "NanumGothic", "Malgun Gothic",
    "Apple SD Gothic Neo", "AppleGothic", "Hiragino Sans", "Yu Gothic", "MS Gothic", "IPAexGothic",
    "Microsoft YaHei", "SimHei", "PingFang SC", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Noto Sans", "Arial Unicode MS", "Segoe UI Symbol", "Symbola", "Noto Emoji",
)  # fmt: skip


def drawn(names: Iterable[object]) -> tuple[list[str], dict[str, Any]]:
    """Names as a picture shows them, and the properties of the texts that do.

    Control characters become escapes. So do letters that no installed font has, with one warning
    for all of them. Names of more than 100 letters are cut.

    Returns
    -------
    texts : list of str
    properties : dict
        Keyword arguments for `Axes.text`, `set_title`, `set_xticks` and the like.
    """
    texts = [_cut(printable(name)) for name in names]
    letters = {c for text in texts for c in text if not c.isascii()}
    families, missing = _families(letters)
    if missing:
        some = "".join(sorted(missing)[:10])
        warnings.warn(
            f"No installed font has {len(missing)} of the letters to be drawn, such as {some!r}: "
            "escapes stand for them. Install a font that has them, Noto Sans CJK say.",
            stacklevel=4,
        )
        texts = ["".join(_escaped(c) if c in missing else c for c in text) for text in texts]
    properties = {"parse_math": False, "usetex": False}
    return texts, properties | ({"fontfamily": families} if families else {})


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _escaped(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")


def _families(letters: set[str]) -> tuple[list[str], set[str]]:
    """The fonts for these letters, none if the usual ones have all; and the letters that none has."""
    from matplotlib import font_manager, rcParams

    usual = list(rcParams["font.family"])
    missing = set(letters)
    for family in usual if missing else ():
        font = font_manager.FontProperties(family=[family])
        missing -= _letters(str(font_manager.findfont(font)))
    found = []
    for name, path in _installed() if missing else ():
        if here := missing & _letters(path):
            found.append(name)
            missing -= here
        if not missing:
            break
    return [*usual, *found] if found else [], missing


def _installed() -> Iterator[tuple[str, str]]:
    """Name and file of each upright font, those that are likely to do first."""
    from matplotlib.font_manager import fontManager

    rank = {name: i for i, name in enumerate(PREFERRED)}
    # The last resort has a box for each letter of every script, so that none would be missing.
    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith((".", "Last Resort"))
    ]
    fonts.sort(key=lambda font: (rank.get(font.name, len(rank)), font.name))
    for font in fonts:
        yield font.name, font.fname


@cache
def _letters(path: str) -> frozenset[str]:
    """What a font has; nothing, if matplotlib cannot draw with it, as with pictures of emoji."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
