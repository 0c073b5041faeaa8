"""The encoding of a text file: chosen, or guessed from its bytes."""

import codecs
from pathlib import Path
from typing import TextIO

from xpnet.errors import ArgumentError, DataError

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def guess_encoding(path: Path) -> str:
    """The encoding of a text: "utf-8", "utf-16", "cp949" or "cp1252".

    A byte order mark decides. Without one, a text is UTF-8 if its bytes are valid UTF-8; CP949, which
    contains EUC-KR, if most of its other characters are then common Korean syllables; and CP1252 if most of
    them are then letters. Any other text is taken as UTF-8, and reading it will fail.
    """
    with path.open("rb") as file:
        start = file.read(3)
        for mark, name in _MARKS.items():
            if start.startswith(mark):
                return name
        decoder = codecs.getincrementaldecoder("utf-8")()
        block = start
        try:
            while block:
                decoder.decode(block)
                block = file.read(1 << 20)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            content = path.read_bytes()
        else:
            return "utf-8"
    if b"\0" in content:
        return "utf-8"
    for name, is_usual in (("cp949", _is_korean), ("cp1252", str.isalpha)):
        try:
            others = [c for c in content.decode(name) if not c.isascii()]
        except UnicodeDecodeError:
            continue
        if 2 * sum(map(is_usual, others)) > len(others):
            return name
    return "utf-8"


def _is_korean(c: str) -> bool:
    """Whether a character is a Korean syllable that EUC-KR has: one of the 2350 that are usual."""
    if not "가" <= c <= "힣":
        return False
    try:
        c.encode("euc-kr")
    except UnicodeEncodeError:
        return False
    return True


def codec_of(encoding: str) -> str:
    """The name of the codec that opens a file of this encoding."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # fails for codecs from bytes to bytes, such as base64
    except (LookupError, ValueError):
        raise ArgumentError(
            f"Unknown encoding {encoding!r}. Expected one of Python's, such as utf-8, utf-16, cp1252 "
            "(Western Europe), cp949 (Korea), cp932 (Japan) or gb18030 (China)."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def require_text(path: Path, file: TextIO, encoding: str) -> None:
    """Refuse an archive, and a file of UTF-16 that would be read as UTF-8, with advice."""
    if codecs.lookup(encoding).name != "utf-8":
        return
    start: bytes = file.buffer.peek(1024)  # type: ignore[attr-defined] # it is a BufferedReader
    if start.startswith(b"PK\3\4"):
        raise DataError(
            f"{path}: expected text, but this file is a ZIP archive, as workbooks of Excel are. If it is one, "
            f"call it {path.with_suffix('.xlsx').name}; else extract the table from it"
        )
    is_marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_marked or b"\0" in start:
        what = "is UTF-16"
        name = "utf-16"
        if not is_marked:
            what = (
                "has NUL characters, like UTF-16 without a byte order mark, or data other than text"
            )
            # Most characters of a table are ASCII, whose other byte is 0.
            name = "utf-16-be" if start[::2].count(0) > start[1::2].count(0) else "utf-16-le"
        raise DataError(
            f"{path}: expected UTF-8 text, but this file {what}. Save it as UTF-8 (in Excel: CSV UTF-8), "
            f"or name its encoding: --encoding {name} (in Python, encoding='{name}')"
        )


def undecodable(path: Path, encoding: str, error: UnicodeError) -> DataError:
    """The error for a file of another encoding, with the first line that cannot be decoded."""
    if codecs.lookup(encoding).name != "utf-8":
        return DataError(
            f"{path}: expected text in the encoding {encoding}: {getattr(error, 'reason', error)}"
        )
    place = ""
    found = "another encoding"
    with path.open("rb") as file:
        for line, content in enumerate(file, 1):
            try:
                content.decode("utf-8")
            except UnicodeDecodeError as invalid:
                place = f", line {line}"
                found = f"the byte 0x{content[invalid.start]:02x}"
                break
    return DataError(
        f"{path}{place}: expected UTF-8 text, found {found}. Save the table as UTF-8 (in Excel: CSV "
        "UTF-8), or name its encoding, such as --encoding cp1252 (Western Europe) or cp949 (Korea); "
        "in Python, encoding='cp1252'"
    )
