"""The data dictionary of a table: what each column is, and how it becomes inputs of a network.

It is made of the training rows only, stored with the model, and applied to every other table:

    number     the number; a missing one becomes the median
    boolean    0 or 1; true and false, yes and no, 0 and 1
    date       seconds since 1970, year, month, weekday and hour, as far as they vary
    category   an input for each of the most frequent values, 1 or 0, and one for all others together
    constant   nothing, if it is a text

Where the training rows lack values, a further input is 1 for a missing value and 0 otherwise.

Categories are one-hot and not embedded: a network for embeddings would have to take whole numbers beside
the others, and `MOST_CATEGORIES` inputs with a first layer are an embedding already, of as many numbers as
that layer is wide. A column with many more values, nearly all of them different, is an identifier or a
sentence: it is refused, since the network would learn the rows by heart.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from xpnet._printable import counted
from xpnet.data._csv_dates import PARTS, is_ambiguous, is_like_a_date, parsed, parts_of
from xpnet.data._csv_notation import is_number, pointed
from xpnet.data._csv_numbers import (
    advice_on_signs,
    is_missing,
    missing_numbers,
    require_number,
)
from xpnet.data._messages import listed, share, shortened
from xpnet.errors import ArgumentError, DataError

Kind: TypeAlias = Literal["number", "boolean", "date", "category", "constant", "identifier"]
Numbers: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Numbers | list[str]
At: TypeAlias = Callable[[int], str]
"""A function from the number of a row to its place in the file, for an error."""

MOST_CATEGORIES = 30  # inputs of one column; the others share one
MOST_RARE = 1000  # names of others that are stored, so that new ones are noted
_MOSTLY_DIFFERENT = 0.9  # the share of different texts from which a column identifies the rows
_BOOLEANS = ({"false": 0.0, "true": 1.0}, {"no": 0.0, "yes": 1.0}, {"n": 0.0, "y": 1.0},
             {"f": 0.0, "t": 1.0})  # fmt: skip
_TRUTH = {word: value for words in _BOOLEANS for word, value in words.items()}


@dataclass(frozen=True)
class Column:
    """An entry of the data dictionary: a column of the training rows, and how it is encoded.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "date", "category", "constant", "identifier"}
        A column of kind "identifier" is one that the user named; it is not an input.
    text : bool
        Whether its cells are read as texts. Otherwise they are numbers.
    missing : int
        How many training rows have no value.
    parts : tuple of str
        What the numbers are of which it consists: ("",) for a number, or some of `PARTS` for a date.
        Empty for a category.
    fill : tuple of float
        The number that replaces a missing one, for each part: the median of the training rows.
    low, high : str
        The least and the largest value; empty if there is none.
    categories : tuple of str
        The values that have an input of their own, the most frequent first; or those of a boolean.
    counts : tuple of int
        How many training rows have each of these.
    others : int
        How many training rows have another value, which is rare.
    rare : tuple of str
        These values, or the first `MOST_RARE` of them.
    distinct : int
        The number of different values in the training rows.

    Examples
    --------
    >>> age = Column("age", missing=2, fill=(37.0,), low="17", high="90", distinct=73)
    >>> age.kind, age.fill
    ('number', (37.0,))
    """

    name: str
    kind: Kind = "number"
    text: bool = False
    missing: int = 0
    parts: tuple[str, ...] = ("",)
    fill: tuple[float, ...] = (0.0,)
    low: str = ""
    high: str = ""
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    others: int = 0
    rare: tuple[str, ...] = ()
    distinct: int = 0

    @property
    def inputs(self) -> list[str]:
        """The names of the network's inputs that the column becomes."""
        if self.kind == "category":
            names = [f"{self.name}={category}" for category in self.categories]
            if self.others:
                names.append(f"{self.name}=(other)")
        else:
            names = [f"{self.name} {part}".strip() for part in self.parts]
        if self.missing and names:
            names.append(f"{self.name}=(missing)")
        return names

    @property
    def scaled(self) -> int:
        """How many of the inputs, from the first on, are standardised. The others are 0 or 1."""
        return 0 if self.kind == "category" else len(self.parts)

    def encode(
        self, values: Values, at: At, missing: Collection[str], decimal: str = "."
    ) -> Numbers:
        """The inputs of some rows.

        Parameters
        ----------
        values : ndarray of float64, shape (n,), or list of str
            The column's cells.
        at : callable
            The place of a row.
        missing : collection of str
            The texts in place of missing values.
        decimal : {".", ","}
            The decimal mark of the numbers in texts.

        Returns
        -------
        ndarray of float64, shape (n, inputs)

        Raises
        ------
        DataError
            A cell is not of this kind.
        """
        if self.kind == "category":
            return self._one_hot(values, missing, decimal)
        x = numbers_in(self.kind, values, at, missing, decimal)
        if self.kind == "date":
            x = x[:, [PARTS.index(part) for part in self.parts]]
        x = x[:, : len(self.parts)]
        empty = np.isnan(x)
        x = np.where(empty, np.asarray(self.fill), x)
        if not self.missing or not self.parts:
            return x
        return np.concatenate([x, empty[:, :1].astype(np.float64)], axis=1)

    def _one_hot(self, values: Values, missing: Collection[str], decimal: str) -> Numbers:
        inputs = len(self.inputs)
        places = {category: i for i, category in enumerate(self.categories)}
        other = len(places) if self.others else inputs  # the last one is cut off
        empty = inputs - 1 if self.missing else other
        chosen = [
            empty if is_missing(text, missing) else places.get(same_text(text, decimal), other)
            for text in values
        ]
        x = np.zeros((len(chosen), inputs + 1))
        x[np.arange(len(chosen)), chosen] = 1.0
        return x[:, :inputs]

    def unlike(self, values: Values, missing: Collection[str], decimal: str = ".") -> list[str]:
        """How these values differ from all that the training rows have, as phrases for a message."""
        found = []
        if self.text:
            gaps = sum(is_missing(text, missing) for text in values)
        else:
            gaps = int(np.isnan(np.asarray(values)).sum())
        if gaps and not self.missing:
            became = "the median" if self.kind != "category" else "no category"
            found.append(f"{_values(gaps)} missing, as none was in training; taken as {became}")
        if self.kind == "category":
            known = {*self.categories, *self.rare}
            if len(known) < self.distinct:  # some rare ones were not stored
                return found
            new = Counter(
                text
                for text in (same_text(value, decimal) for value in values)
                if text not in known and not is_missing(text, missing)
            )
            if new:
                names = listed(repr(shortened(text)) for text, _ in new.most_common())
                became = "a rare category" if self.others else "no category"
                found.append(
                    f"{_values(new.total())} not among the categories of the training ({names}); taken as "
                    f"{became}"
                )
        return found

    def described(self, rows: int) -> str:
        """The range, or the most frequent values, for people to read.

        Parameters
        ----------
        rows : int
            The number of training rows.
        """
        if self.kind == "identifier":
            return "not an input"
        if not self.distinct:
            return "empty, not an input"
        if self.kind == "constant":
            return f"always {shortened(self.low, 20)}{'' if self.parts else ', not an input'}"
        if self.kind in ("number", "date"):
            median = f", median {self.fill[0]:.6g}" if self.kind == "number" else ""
            return f"{self.low} to {self.high}{median}"
        shares = [
            f"{shortened(name, 20)} {share(count, rows)}"
            for name, count in zip(self.categories, self.counts, strict=True)
        ]
        phrases = [", ".join(shares[:3])] if shares else []
        rare = self.distinct - len(self.categories)
        if rare:
            count = f"{self.distinct} categories, {rare} of them rare"
            phrases.append(count if self.distinct > 1 else "1 category, rare")
        elif len(shares) > 3:
            phrases.append(f"{self.distinct} categories")
        return "; ".join(phrases)

    def to_dict(self) -> dict[str, Any]:
        """The entry as a dict that JSON can store."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """The entry from the dict that `to_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not one.
        """
        column = cls(
            **{**stored, **{key: tuple(stored[key]) for key in _TUPLES}},
        )
        kinds = {"name": str, "kind": str, "text": bool, "missing": int, "low": str, "high": str,
                 "others": int, "distinct": int}  # fmt: skip
        for key, kind in kinds.items():
            if type(getattr(column, key)) is not kind:
                raise ArgumentError(f"{key} is {getattr(column, key)!r}")
        for key, kind in _TUPLES.items():
            if not all(type(value) is kind for value in getattr(column, key)):
                raise ArgumentError(f"{key} is {getattr(column, key)!r}")
        counts = (column.missing, column.others, column.distinct, *column.counts)
        if not 0 <= min(counts) <= max(counts) < 2**63:
            raise ArgumentError("a count is negative, or too large")
        if column.kind not in get_args(Kind) or len(column.categories) != len(column.counts):
            raise ArgumentError(f"kind is {column.kind!r}")
        parts = PARTS if column.kind == "date" else ("",)
        if not {*column.parts} <= {*parts} or len(column.fill) != len(column.parts):
            raise ArgumentError(f"parts are {column.parts!r}")
        if not all(map(math.isfinite, column.fill)):
            raise ArgumentError(f"fill is {column.fill!r}")
        return column


_TUPLES: dict[str, type] = {
    "parts": str,
    "fill": float,
    "categories": str,
    "counts": int,
    "rare": str,
}


def _values(count: int) -> str:
    return f"{counted(count, 'value')} {'is' if count == 1 else 'are'}"


def same_text(text: str, decimal: str = ".") -> str:
    """A category as it is compared: a whole number has one form, so that 1, 01.0 and 1.0 are one.

    >>> same_text("1.0"), same_text("1e1"), same_text("007"), same_text("A1")
    ('1', '10', '007', 'A1')
    """
    if is_number(text, decimal) and not text.isdecimal() and len(text) < 16:
        number = float(pointed(text, decimal))
        if number.is_integer():
            return str(int(number))
    return text


# --- from cells to numbers ------------------------------------------------------------------------


def numbers_in(
    kind: Kind, values: Values, at: At, missing: Collection[str], decimal: str = "."
) -> Numbers:
    """The numbers of a column, NaN where a value is missing.

    Returns
    -------
    ndarray of float64, shape (n, parts)
        For a date, all of `PARTS`.

    Raises
    ------
    DataError
        A cell is not of this kind.
    """
    width = len(PARTS) if kind == "date" else 1
    if not isinstance(values, list):
        return np.asarray(values, np.float64).reshape(-1, 1)
    if kind == "constant":
        return np.zeros((len(values), 1))
    found: dict[str, tuple[float, ...]] = {}
    for row, text in enumerate(values):
        if text in found:
            continue
        if is_missing(text, missing):
            found[text] = (math.nan,) * width
        elif kind == "date":
            found[text] = _date(text, at(row))
        elif kind == "boolean":
            found[text] = (_truth(text, at(row)),)
        else:
            found[text] = (require_number(text, at(row), decimal=decimal),)
            if found[text][0] in missing_numbers(missing):
                found[text] = (math.nan,)
    return np.asarray([found[text] for text in values], np.float64).reshape(len(values), width)


def _truth(text: str, where: str) -> float:
    if text.lower() in ("0", "1"):
        return float(text)
    if text.lower() not in _TRUTH:
        raise DataError(
            f"{where}: expected true or false, yes or no, as in training; found {shortened(text)!r}. Correct "
            "or empty this cell"
        )
    return _TRUTH[text.lower()]


def _date(text: str, where: str) -> tuple[float, ...]:
    value = parsed(text)
    if value is not None:
        return parts_of(value)
    if is_ambiguous(text):
        raise DataError(
            f"{where}: dates of the form {text} have two meanings: which number is the month? Write them as "
            "2021-04-03, year first (ISO 8601), or leave the column out (--drop)"
        )
    raise DataError(
        f"{where}: expected a date or time, as 2021-04-03 or 2021-04-03 17:30; found {shortened(text)!r}. "
        "Correct or empty this cell. To train with it as a missing date: --missing TEXT"
    )


# --- what a column is -----------------------------------------------------------------------------


def fit_column(
    name: str,
    values: Values,
    at: At,
    missing: Collection[str],
    as_category: bool = False,
    decimal: str = ".",
) -> Column:
    """The entry of a column in the data dictionary.

    Parameters
    ----------
    name : str
    values : ndarray of float64, or list of str
        Its cells in the training rows.
    at, missing, decimal
        See `Column.encode`.
    as_category : bool
        Whether numbers are codes of categories.

    Returns
    -------
    Column
        Of kind "identifier" if it is text of which nearly every value is different.

    Raises
    ------
    DataError
        Most values are dates with two meanings, or numbers with signs.
    """
    if not isinstance(values, list):
        return _numbers(name, np.asarray(values, np.float64))
    known = Counter(text for text in values if not is_missing(text, missing))
    gaps = len(values) - known.total()
    if as_category or len(known) < 2:
        return _category(name, known, gaps, decimal)
    if sum(map(is_like_a_date, known)) > len(known) / 2:
        return _dates(name, known, values, at, missing)
    words = {text.lower() for text in known}
    if any(words == choice.keys() for choice in _BOOLEANS):
        ordered = sorted(words, key=_TRUTH.__getitem__)
        x = numbers_in("boolean", values, at, missing)[:, 0]
        return _boolean(name, x, gaps, (ordered[0], ordered[1]), text=True)
    if all(is_number(text, decimal) for text in known):
        return _numbers(name, numbers_in("number", values, at, missing, decimal)[:, 0])
    _require_no_signs(known, values, at, decimal)
    return _category(name, known, gaps, decimal)


def _numbers(name: str, x: Numbers) -> Column:
    """A column of numbers, NaN where one is missing."""
    known = x[~np.isnan(x)]
    gaps = len(x) - len(known)
    distinct = np.unique(known)
    if not len(known):
        return Column(name, "constant", missing=gaps, parts=(), fill=())
    if not gaps and len(distinct) == 1:
        low = f"{distinct[0]:.6g}"
        return Column(name, "constant", fill=(float(distinct[0]),), low=low, distinct=1)
    if distinct.tolist() == [0.0, 1.0]:
        return _boolean(name, x, gaps, ("0", "1"))
    return Column(
        name,
        missing=gaps,
        fill=(float(np.median(known)),),
        low=f"{known.min():.6g}",
        high=f"{known.max():.6g}",
        distinct=len(distinct),
    )


def _boolean(
    name: str, x: Numbers, gaps: int, words: tuple[str, str], text: bool = False
) -> Column:
    known = x[~np.isnan(x)]
    yes = int(known.sum())
    return Column(
        name, "boolean", text, gaps, fill=(float(np.median(known)),), categories=words,
        counts=(len(known) - yes, yes), distinct=2,
    )  # fmt: skip


def _dates(
    name: str, known: Counter[str], values: list[str], at: At, missing: Collection[str]
) -> Column:
    x = numbers_in("date", values, at, missing)
    there = x[~np.isnan(x[:, 0])]
    varies = [i for i in range(len(PARTS)) if np.ptp(there[:, i]) > 0] or [0]
    ordered = sorted(known, key=lambda text: _date(text, name)[0])
    return Column(
        name, "date", True, len(x) - len(there),
        parts=tuple(PARTS[i] for i in varies),
        fill=tuple(np.median(there[:, varies], axis=0).tolist()),
        low=ordered[0], high=ordered[-1], distinct=len(known),
    )  # fmt: skip


def _category(name: str, known: Counter[str], gaps: int, decimal: str) -> Column:
    merged: Counter[str] = Counter()
    for text, count in known.items():
        merged[same_text(text, decimal)] += count
    total = merged.total()
    if not merged or (len(merged) == 1 and not gaps):
        return Column(
            name, "constant", True, gaps, parts=(), fill=(), low=min(merged, default=""),
            distinct=len(merged),
        )  # fmt: skip
    if len(merged) > 1 and len(merged) > _MOSTLY_DIFFERENT * total:
        return Column(
            name, "identifier", True, gaps, parts=(), fill=(), low=min(merged), distinct=len(merged)
        )
    by_count = sorted(merged.items(), key=lambda item: (-item[1], item[0]))
    kept = [(text, count) for text, count in by_count[:MOST_CATEGORIES] if count > 1]
    rare = [text for text, _ in by_count[len(kept) :]]
    return Column(
        name, "category", True, gaps, parts=(), fill=(),
        categories=tuple(text for text, _ in kept),
        counts=tuple(count for _, count in kept),
        others=total - sum(count for _, count in kept),
        rare=tuple(rare[:MOST_RARE]),
        distinct=len(merged),
    )  # fmt: skip


def _require_no_signs(known: Counter[str], values: Sequence[str], at: At, decimal: str) -> None:
    """Refuse numbers with units, such as $5.1: as categories they would be without order."""
    advice = {text: advice_on_signs(text, decimal) for text in known}
    signed = [text for text, found in advice.items() if found]
    plain = sum(is_number(text, decimal) for text in known)
    if signed and len(signed) + plain > len(known) / 2:
        row = next(i for i, text in enumerate(values) if advice.get(text))
        raise DataError(
            f"{at(row)}: expected a number, found the text {values[row]!r}. {advice[values[row]]}; or leave "
            "the column out (--drop)"
        )
