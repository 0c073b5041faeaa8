"""Columns of Parquet and Arrow files as arrays that are read in parts, by pyarrow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import DType
from xpnet.data._messages import listed
from xpnet.data._parts import KnownFile, Parts
from xpnet.errors import DataError, MissingPackageError


class Layout(NamedTuple):
    """What a column has in each row: an array of this shape and dtype."""

    shape: tuple[int, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}" if self.shape else str(self.dtype)


class TableColumns(Parts):
    """A column of the tables in several files, one after the other; or several columns side by side.

    Parameters
    ----------
    paths : sequence of Path
        Parquet files, which end in ".parquet", or Arrow files. The parts are their row groups, or their
        record batches.
    names : str or list of str
        A column of numbers has shape (n,); one of fixed-size lists, or of fixed-shape tensors, has their
        axes too. Several columns, of numbers, have shape (n, columns).

    Raises
    ------
    MissingPackageError
        pyarrow is not installed.
    DataError
        A file is damaged or lacks a column; or a column does not consist of numbers, or not of those
        of the first file. The message names file and column.
    """

    def __init__(self, paths: Sequence[Path], names: str | list[str]) -> None:
        self._names = [names] if isinstance(names, str) else names
        self._side_by_side = not isinstance(names, str)
        self._groups: list[tuple[KnownFile, int]] = []  # with the number of the group in the file
        sizes: list[int] = []
        layouts: list[Layout] = []
        for path in paths:
            file = KnownFile.now(path)
            with file.unchanged(), _opened(path, self._names) as table:
                found = [_layout(path, table.schema, name) for name in self._names]
                layouts = layouts or found
                for name, expected, given in zip(self._names, layouts, found, strict=True):
                    if given != expected:
                        raise DataError(
                            f"{path}: expected {expected} in the column {name!r}, as in {paths[0].name}, "
                            f"got {given}."
                        )
                rows = table.sizes()
            self._groups += [(file, i) for i in range(len(rows))]
            sizes += rows
        shape = layouts[0].shape
        if self._side_by_side:
            for name, layout in zip(names, layouts, strict=True):
                if layout.shape:
                    raise DataError(
                        f"{paths[0]}: expected a number per row in each of several columns, got {layout} "
                        f"in {name!r}. Give it alone: x={name!r}, or in a tuple of inputs."
                    )
            shape = (len(names),)
        dtype = np.result_type(*(layout.dtype for layout in layouts))
        super().__init__(sizes, shape, dtype, f"{listed(self._names)} of {paths[0].parent}")

    def read(self, part: int, start: int, stop: int) -> NDArray[Any]:
        file, group = self._groups[part]
        first = int(self.edges[part]) + start
        arrays = []
        with file.unchanged(), _opened(file.path, self._names) as table:
            rows = table.read(group).slice(start, stop - start)
            for name in self._names:
                where = f"{file.path}: the column {name!r}"
                arrays.append(_numbers(rows.column(name), first, where))
        return np.stack(arrays, axis=1, dtype=self.dtype) if self._side_by_side else arrays[0]


# --- files ----------------------------------------------------------------------------------------


class _Parquet:
    """A Parquet file that is open."""

    def __init__(self, source: Any, names: list[str]) -> None:
        self._file = import_module("pyarrow.parquet").ParquetFile(source)
        self._names = names
        self.schema = self._file.schema_arrow

    def sizes(self) -> list[int]:
        """The rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def read(self, group: int) -> Any:
        """The columns of a row group, as pyarrow's table."""
        return self._file.read_row_group(group, columns=self._names)


class _Arrow:
    """An Arrow file (IPC) that is open."""

    def __init__(self, source: Any, names: list[str]) -> None:
        ipc = import_module("pyarrow.ipc")
        self.schema = ipc.open_file(source).schema
        fields = [self.schema.get_field_index(name) for name in names]
        found = [i for i in fields if i >= 0]  # `_layout` refuses a name that is missing
        options = ipc.IpcReadOptions(included_fields=found)
        self._file = ipc.open_file(source, options=options)

    def sizes(self) -> list[int]:
        """The rows of each record batch."""
        return [self._file.get_batch(i).num_rows for i in range(self._file.num_record_batches)]

    def read(self, group: int) -> Any:
        """The columns of a record batch."""
        return self._file.get_batch(group)


@contextmanager
def _opened(path: Path, names: list[str]) -> Iterator[_Parquet | _Arrow]:
    """Open a file for reading; an error of pyarrow's becomes a DataError that names it."""
    try:
        arrow = import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f'{path}: Parquet and Arrow files need pyarrow: pip install "xpnet[arrow]"',
            name=error.name,
        ) from error
    kind = _Parquet if path.suffix == ".parquet" else _Arrow
    try:
        with arrow.OSFile(str(path)) as source:
            yield kind(source, names)
    except (arrow.ArrowException, OSError) as error:
        message = f"{path}: expected a file of {kind.__name__.strip('_')}, got: {error}."
        if kind is _Arrow:
            message += (
                " A stream (which has no list of its batches) becomes a file by "
                "pyarrow.ipc.new_file(path, schema)."
            )
        raise DataError(message) from error


# --- columns --------------------------------------------------------------------------------------


def _layout(path: Path, schema: Any, name: str) -> Layout:
    """What a column has in each row.

    Raises
    ------
    DataError
        There is no such column, or it does not consist of numbers.
    """
    arrow = import_module("pyarrow")
    if name not in schema.names:
        raise DataError(f"{path}: expected a column {name!r}, got {listed(schema.names)}.")
    kind = schema.field(name).type
    shape, numbers = _unpacked(kind)
    types = arrow.types
    if types.is_integer(numbers) or types.is_floating(numbers) or types.is_boolean(numbers):
        return Layout(shape, np.dtype(numbers.to_pandas_dtype()))
    advice = "Cast it to numbers: column.cast(pyarrow.float32())."
    if types.is_list(numbers) or types.is_large_list(numbers):
        advice = (
            "If all have one length, cast: column.cast(pyarrow.list_(pyarrow.float32(), length))."
        )
    elif types.is_string(numbers) or types.is_large_string(numbers) or types.is_dictionary(numbers):
        advice = "Encode the strings as numbers first: column.dictionary_encode().indices."
    raise DataError(f"{path}: expected numbers in the column {name!r}, got {kind}. {advice}")


def _unpacked(kind: Any) -> tuple[tuple[int, ...], Any]:
    """The shape of the array in a row of a column of this type, and the type of its numbers."""
    arrow = import_module("pyarrow")
    if isinstance(kind, arrow.FixedShapeTensorType):
        return tuple(kind.shape), kind.value_type
    shape: tuple[int, ...] = ()
    while arrow.types.is_fixed_size_list(kind):
        shape = (*shape, kind.list_size)
        kind = kind.value_type
    return shape, kind


def _numbers(column: Any, first: int, where: str) -> NDArray[Any]:
    """A column as a NumPy array.

    Parameters
    ----------
    column : pyarrow's array, or chunked array
    first : int
        The number of its first row in the data, for the message.
    where : str

    Raises
    ------
    DataError
        A value is null.
    """
    arrow = import_module("pyarrow")
    rows = len(column)
    shape, _ = _unpacked(column.type)
    if isinstance(column, arrow.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column.type, arrow.FixedShapeTensorType):
        column = column.storage
    while True:
        if column.null_count:
            place = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            row = first + place * rows // len(column)
            raise DataError(
                f"{where} has a null in row {row} of the data. Fill nulls first, for example with the "
                "mean: column.fill_null(mean); or leave such rows out."
            )
        if not arrow.types.is_fixed_size_list(column.type):
            numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
            return numbers.reshape(rows, *shape)
        column = column.flatten()
