"""How words of Korean pages are found: without the particles at their ends."""

import re

PARTICLES = (
    "에서는", "에서의", "으로는", "으로서", "으로써", "이라는", "에서", "으로", "까지", "부터", "처럼", "보다", "마다", "에는",
    "에게", "이나", "이란", "라는", "은", "는", "이", "가", "을", "를", "의", "에", "로", "와", "과", "도", "만",
)  # fmt: skip
"""Longest first: a word loses the first that it ends with, if two syllables are left."""

WORD = re.compile(r"[\w가-힣]+")
HANGUL = re.compile(r"[가-힣]")


def without_particle(word: str) -> str:
    """A noun as a reader types it: 순전파는, 순전파를 and 순전파 are one word."""
    for particle in PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= 2:
            return word.removesuffix(particle)
    return word


def words(text: str) -> list[str]:
    """The words of a text, in Korean or English."""
    found = WORD.findall(text)
    return [without_particle(word) if HANGUL.search(word) else word for word in found]
