"""Rows of data files, the hub and CCGbank, one by one, each with the place it stands at.

A row that cannot be read is given as the Mistake it makes, so that the reader may skip it; what is wrong with a whole
file is raised.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from trainables.errors import Mistake
from trainables.examples import Split
from trainables.tasks import HubSource
from trainables.untrusted import regular

Row = dict[str, Any]
Rows = Iterator[tuple[str, Row | Mistake]]
"""Where a row stands (for messages), and its fields, or what is wrong with it."""

LONGEST_ROW = 32 * 2**20
"""Bytes of a row at most; the longest contexts of published sets have some hundred thousand."""

RATIO, LEAST_UNPACKED = 200, 2**30
"""How many times its size a file may unpack to, beyond a first gigabyte."""

CCGBANK_SECTIONS: dict[Split, range] = {"train": range(2, 22), "dev": range(0, 1), "test": range(23, 24)}
"""The sections of the Wall Street Journal that each split is made of (Hockenmaier and Steedman 2007)."""


def file_rows(path: Path) -> Rows:
    """The rows of a file of JSON lines or of a parquet file."""
    return _parquet_rows(path) if path.suffix == ".parquet" else _lines(path)


def _lines(path: Path) -> Rows:
    number = 0
    try:
        with _opened(path) as lines:
            for number, line in enumerate(_cut(lines, path), 1):
                where = f"{path}, row {number}"
                yield where, _parsed(_without_mark(line, path) if number == 1 else line, where)
    except PermissionError as error:
        raise Mistake("the file cannot be read: permission denied", where=str(path)) from error
    except (EOFError, OSError, zlib.error) as error:
        right = "fetch the file again: it is truncated or no gzip file"
        raise Mistake(f"the file cannot be read: {error}", where=f"{path}, after row {number}", right=right) from error


def _opened(path: Path) -> BinaryIO:
    regular(path)
    return cast(BinaryIO, gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb")


def _cut(lines: BinaryIO, path: Path) -> Iterator[bytes]:
    """The lines of a file. Mistake for one that is no row, whatever it holds, and for a file that unpacks to far more
    than text does: neither is read to its end."""
    read, most = 0, max(LEAST_UNPACKED, path.stat().st_size * RATIO)
    while line := lines.readline(LONGEST_ROW + 1):
        read += len(line)
        if len(line) > LONGEST_ROW:
            raise Mistake(f"a row has more than {LONGEST_ROW:,} bytes", where=str(path), right="one example a line")
        if read > most:
            what = f"the file has {path.stat().st_size:,} bytes and unpacks to more than {most:,}"
            raise Mistake(what, where=str(path), right="text, which gzip makes some ten times smaller")
        yield line


OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""What files in other Unicode encodings begin with (UTF-32's little-endian mark begins with UTF-16's)."""


def _without_mark(line: bytes, path: Path) -> bytes:
    """A file's first line without the byte order mark that some editors put there."""
    if line.startswith(OTHER_MARKS):
        raise Mistake("the file is UTF-16 or UTF-32 text", where=str(path), right="the same file saved as UTF-8")
    return line.removeprefix(codecs.BOM_UTF8)


def _parsed(line: bytes, where: str) -> Row | Mistake:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        right = f"UTF-8; the byte 0x{line[error.start]:02x} in column {error.start + 1} belongs to another encoding"
        return Mistake(f"the row is no UTF-8 text: {error.reason}", where=where, right=right)
    except json.JSONDecodeError as error:
        return Mistake(f"the row is no JSON: {error.msg}, column {error.colno}", where=where)
    except RecursionError:
        return Mistake("the row is no example: it is nested too deeply", where=where)
    except ValueError:  # int() refuses numbers of thousands of figures
        return Mistake("the row is no example: it holds a number of thousands of figures", where=where)
    return row if isinstance(row, dict) else Mistake("the row is no JSON object", where=where)


def _parquet_rows(path: Path) -> Rows:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        for batch in ParquetFile(regular(path)).iter_batches():
            for row in _rows_of(batch):
                number += 1
                where = f"{path}, row {number}"
                yield where, Mistake(f"the row cannot be read: {row}", where=where) if isinstance(row, str) else row
    except (OSError, ArrowException) as error:
        right = "fetch the file again: it is truncated or no parquet file"
        raise Mistake(f"the file cannot be read: {error}", where=str(path), right=right) from error


def _rows_of(batch: Any) -> Iterator[Row | str]:
    """A batch's rows; in place of one that holds what Python cannot (text that is no UTF-8), what is wrong with it."""
    try:
        yield from batch.to_pylist()
        return
    except (ValueError, OverflowError):
        pass
    for number in range(batch.num_rows):
        try:
            yield batch.slice(number, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            yield str(error)


def hub_rows(hub: HubSource, split: Split) -> Rows:
    """Each row of a split, in all its languages, with its language as `lang` and class numbers as their names.

    `language_suffix` is cut off the field that says the language; `-*` cuts off everything from the first `-` on
    (`swahili` of the id `swahili-123-0`).
    """
    import datasets

    language = str(hub.fields.get("lang", "lang"))
    configs = {code: name for code, name in hub.configs.items() if split == "test" or code == "en"}
    for code, config in configs.items() or [(None, hub.config)]:
        place = f"hub {hub.path}@{hub.revision[:7]}" + (f", {config}" if config else "")
        try:
            found = datasets.load_dataset(hub.path, config, split=hub.splits[split], revision=hub.revision)
        except (OSError, ValueError) as error:
            right = "a connection to the hub, or --data-dir with a folder that holds the data"
            raise Mistake(f"the data set cannot be loaded: {error}", where=place, right=right) from error
        inner = {name: getattr(feature, "feature", feature) for name, feature in found.features.items()}
        classes = {name: feature.names for name, feature in inner.items() if isinstance(feature, datasets.ClassLabel)}
        for number, row in enumerate(found, 1):
            named = {name: _class_name(row[name], names) for name, names in classes.items()}
            own = code or _without(str(row.get(language) or "en"), hub.language_suffix)
            yield f"{place}, row {number}", {**row, **named, "lang": own}


def _without(code: str, suffix: str) -> str:
    return code.partition(suffix[:-1])[0] if suffix.endswith("*") and suffix != "*" else code.removesuffix(suffix)


def _class_name(value: Any, names: list[str]) -> Any:
    """The name of a class by its number, or of each in a list; -1 (no label) stays what it is."""
    if isinstance(value, list):
        return [_class_name(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


_ID = re.compile(r"^ID=(\S+)")
_LEAF = re.compile(r"<L (\S+) \S+ \S+ (\S+) \S+>")


def ccgbank_files(folder: Path, split: Split) -> list[Path]:
    """The AUTO files of a split's sections; Mistake where the folder has none."""
    sections = [folder / f"{section:02d}" for section in CCGBANK_SECTIONS[split]]
    files = sorted(file for section in sections for file in section.glob("*.auto"))
    if not files:
        raise Mistake(
            f"CCGbank's {split} sections ({sections[0].name} to {sections[-1].name}) are not there",
            where=str(folder),
            right="the folder data/AUTO of CCGbank, which the LDC sells as LDC2005T13; there is no public copy",
        )
    return files


def ccgbank_rows(folder: Path, split: Split) -> Rows:
    """Sentences with one category a word, read from the leaves of CCGbank's derivations."""
    for path in ccgbank_files(folder, split):
        name = ""
        try:
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            raise Mistake(f"the file cannot be read: {error.strerror}", where=str(path)) from error
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{path}, line {number}"
            found = _ID.match(line)
            if found:
                name = found[1]
                continue
            leaves = _LEAF.findall(line)
            if leaves:
                words, categories = [leaf[1] for leaf in leaves], [leaf[0] for leaf in leaves]
                yield where, {"id": name or where, "words": words, "tags": categories}
            elif line.strip():
                yield where, Mistake("the line is no derivation of CCGbank", where=where)
