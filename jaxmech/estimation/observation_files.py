"""Files of observations as rows of cells: delimited text in any usual encoding, and workbooks."""

import codecs
import csv
import hashlib
import io
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from jaxmech.estimation.number_texts import DECIMALS, THOUSANDS
from jaxmech.extras import extra
from jaxmech.inputs import MarketError, bytes_of, one_of, path_of, shown, whole_number

DELIMITERS = (",", ";", "\t", "|")
WORKBOOKS = (".xlsx", ".xlsm")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_MARKS += ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LOOKED_AT = 50  # rows in which the columns' names are looked for
_FORM_FEEDS = "\t\n\r\v\f\x1a"


class Format(NamedTuple):
    """How a table is written. What is None is found out, and what was found is told."""

    delimiter: str | None = None  # one letter
    decimal: str | None = None  # "." or ","
    thousands: str | None = None  # ",", ".", " ", "'", or "" for none
    encoding: str | None = None  # as Python names it
    missing: tuple = ()  # texts, or one, that mean a gap, besides the usual ones
    skip_rows: int = 0  # lines at the top to leave out
    header_row: int | None = None  # line of the columns' names, the file's first is 1; 0: none, they are 1, 2, 3, …
    sheet: str | None = None  # of a workbook


class Rows(NamedTuple):
    """What a file holds. Made by `file_rows`."""

    names: tuple  # of the columns
    cells: list  # a list for each row below, as long as the names; texts, or what a workbook has
    lines: list  # of each row, as an editor counts them
    ragged: dict  # by line: why a row was left out of those
    said: tuple  # how the file was read
    digest: str  # SHA-256 of its bytes


def checked_format(**given) -> Format:
    """The format; MarketError for one that no table has."""
    form = Format(**given)
    letter = form.delimiter
    if letter is not None and (not isinstance(letter, str) or len(letter) != 1 or letter in '"\r\n\0'):
        raise MarketError(f"delimiter is {shown(letter)}; give one letter, such as ';'")
    for name, choices in (("decimal", DECIMALS), ("thousands", THOUSANDS)):
        value = getattr(form, name)
        if value is not None and (not isinstance(value, str) or value not in choices):
            raise MarketError(f"{name} is {shown(value)}; choose one of {', '.join(map(repr, choices))}")
    if form.decimal is not None and form.decimal == form.thousands:
        raise MarketError(f"decimal and thousands are both {form.decimal!r}; give two marks")
    missing = form.missing if isinstance(form.missing, list | tuple | set) else (form.missing,)
    for text in missing:
        if not isinstance(text, str):
            raise MarketError(f"missing is {shown(text)}; give texts, as they stand in the table")
    try:
        codecs.lookup(form.encoding or "utf-8")
    except (LookupError, TypeError, ValueError):
        raise MarketError(f"encoding is {shown(form.encoding)}; give a name such as 'cp1252'") from None
    whole_number("skip_rows", form.skip_rows)
    if form.header_row is not None:
        whole_number("header_row", form.header_row)
    if form.sheet is not None and not isinstance(form.sheet, str):
        raise MarketError(f"sheet is {shown(form.sheet)}; give its name")
    return form._replace(missing=tuple(missing))


def file_rows(path, columns, form) -> Rows:
    """The rows of a file that has the columns: .xlsx, .xlsm, or text whatever its suffix.

    The columns' names are in the first row that has all of those asked for, among the first fifty. MarketError for no
    such file, one that is no table, no such column, or two of that name.
    """
    path = path_of("path", path)
    data = bytes_of(path, "the path of a table")
    workbook = path.suffix.lower() in WORKBOOKS
    for name in ("delimiter", "encoding") if workbook else ("sheet",):
        if getattr(form, name) is not None:
            raise MarketError(f"{path}: {name} is not for {'workbooks' if workbook else 'text'}; leave it out")
    try:
        line, names, records, said = (_of_workbook if workbook else _of_text)(data, columns, form)
        if line > form.skip_rows + 1:
            said.append(f"columns' names in line {line}")
        return _below(names, records, columns, said, hashlib.sha256(data).hexdigest())
    except MarketError as error:
        raise MarketError(f"{path}: {error}") from None


def _below(names, records, columns, said, digest):
    """The rows under the columns' names: those that have a cell for each, and the others."""
    for column in columns:
        if column not in names:
            raise MarketError(_no_column(columns, names))
        if names.count(column) > 1:
            raise MarketError(f"{names.count(column)} columns are named {column!r}; rename all but one")
    cells, lines, ragged, empty = [], [], {}, 0
    for line, row in records:
        if len(names) > 1 and all(map(_blank, row)):
            empty += bool(row)
        elif len(row) == len(names):
            cells.append(row)
            lines.append(line)
        elif row:
            remedy = "quote a cell that holds the delimiter, or give the delimiter or the header_row"
            ragged[line] = f"{len(row)} cells under {len(names)} columns' names: {shown(row)}; {remedy}"
    if not cells and not ragged:
        raise MarketError("no rows below the columns' names")
    said += [f"{empty} empty rows left out"] if empty else []
    return Rows(names, cells, lines, ragged, tuple(said), digest)


def _no_column(columns, names, place=""):
    absent = next((column for column in columns if column not in names), columns[0])
    return f"no column {absent!r}{place}; there are {', '.join(filter(None, names)) or 'none'}"


def _blank(cell):
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _header(records, columns, row):
    """(its line, names) of the first row that has the columns, or of the row that is told; None if there is none."""
    if row == 0:
        first = next(iter(records), None)
        return first and (0, tuple(str(k) for k in range(1, len(first[1]) + 1)))
    for line, cells in islice(records, None if row else _LOOKED_AT):
        names = tuple("" if _blank(cell) else str(cell).strip() for cell in cells)
        if line == row or (row is None and set(columns) <= set(names)):
            return line, names
    return None


def _of_text(data, columns, form):
    text, encoding = _decoded(data, form.encoding)
    said = [] if encoding == "utf-8" else [f"encoding {encoding}"]
    delimiters, headers = (form.delimiter,) if form.delimiter else DELIMITERS, {}
    for delimiter in delimiters:
        try:
            headers[delimiter] = _header(_records(text, delimiter, form), columns, form.header_row)
        except csv.Error as error:
            headers[delimiter] = None
            if form.delimiter:
                raise MarketError(f"not a table with delimiter {delimiter!r}: {error}") from None
    widths = {delimiter: len(found[1]) for delimiter, found in headers.items() if found}
    if not widths:
        raise MarketError(_no_header(text, columns, form))
    best = [delimiter for delimiter in widths if widths[delimiter] == max(widths.values())]
    if max(widths.values()) == 1:  # which letter is inside the cells, and which between them, only the rows can tell
        best.sort(key=lambda delimiter: _ragged(text, delimiter, form, headers[delimiter]))
    line, names = headers[best[0]]
    said.append(f"delimiter {best[0]!r}" if len(names) > 1 else "one column")
    return line, names, _read(text, best[0], form, line), said


def _read(text, delimiter, form, after):
    try:
        return [(line, cells) for line, cells in _records(text, delimiter, form) if line > after]
    except csv.Error as error:
        raise MarketError(f"not a table with delimiter {delimiter!r}: {error}; check the quotes") from None


def _ragged(text, delimiter, form, header):
    """Whether any row has more cells than names."""
    try:
        return any(len(cells) > len(header[1]) for line, cells in _records(text, delimiter, form) if line > header[0])
    except csv.Error:
        return True


def _records(text, delimiter, form):
    """(line, cells) of each row; the line is the row's first."""
    stream = io.StringIO(text, newline="")
    skipped = sum(1 for _ in islice(stream, form.skip_rows))
    reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True)
    line = skipped
    for cells in reader:
        yield line + 1, cells
        line = skipped + reader.line_num


def _no_header(text, columns, form):
    """What is wrong with a table whose columns' names were not found."""
    if form.header_row:
        return f"no line {form.header_row}; header_row is the line of the columns' names"
    delimiters = (form.delimiter,) if form.delimiter else DELIMITERS
    firsts = [[]]
    for delimiter in delimiters:
        with suppress(csv.Error):
            firsts.append(next(_records(text, delimiter, form), (0, []))[1])
    names = [cell.strip() for cell in max(firsts, key=len)]
    whole = len(names) == 1 and any(column in names[0] for column in columns) and not form.delimiter
    return _no_column(columns, names) + (", one name; give the delimiter between names" if whole else "")


def _decoded(data, encoding):
    """(text, the encoding's name)."""
    half = len(data) // 2 + 1
    if encoding is None:
        encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:  # Latin letters in UTF-16 have a zero for every other byte
        zeros = {"utf-16-le": data[1::2].count(0), "utf-16-be": data[::2].count(0)}
        encoding = next((name for name, count in zeros.items() if count > 0.8 * half), None)
    for name in [encoding] if encoding else ["utf-8", "cp1252", "latin-1"]:
        try:
            text = data.decode(name).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            problem = f"not a text in {name}: {error.reason}; give its encoding"
        except LookupError:
            problem = f"{name} is no encoding of texts; give another"
        else:
            if any(letter < " " and letter not in _FORM_FEEDS for letter in set(text)):
                raise MarketError("not a text; save it as .csv or .xlsx, or give a DataFrame of it")
            return text, name
    raise MarketError(problem)


def _of_workbook(data, columns, form):
    with extra("data"):
        from openpyxl import load_workbook
    try:
        values, formulas = (load_workbook(io.BytesIO(data), data_only=only) for only in (True, False))
    except Exception as error:  # whatever a zip, its XML and openpyxl find wrong with damaged bytes
        raise MarketError(f"not a workbook: {error}; save it again as .xlsx or .csv") from None
    sheets = [sheet.title for sheet in values.worksheets]
    if form.sheet is not None:
        sheets = [one_of("sheet", form.sheet, sheets)]
    records = {sheet: _sheet(values[sheet], formulas[sheet], form) for sheet in sheets}
    headers = {sheet: _header(rows, columns, form.header_row) for sheet, rows in records.items()}
    fitting = [sheet for sheet, header in headers.items() if header]
    if len(fitting) > 1:
        raise MarketError(f"sheets {', '.join(fitting)} have these columns; give the sheet")
    if not fitting:
        first = next((row for sheet in sheets for _, row in records[sheet]), [])
        names = [str(cell).strip() for cell in first if not _blank(cell)]
        raise MarketError(_no_column(columns, names, f" in sheet {', '.join(sheets)}"))
    line, names = headers[fitting[0]]
    return line, names, [row for row in records[fitting[0]] if row[0] > line], [f"sheet {fitting[0]!r}"]


def _sheet(values, formulas, form):
    """(row, cells) of a sheet; a formula that was never calculated stands as its text, and is no gap."""
    rows = []
    for line, pair in enumerate(zip(values.iter_rows(), formulas.iter_rows(), strict=True), 1):
        if line > form.skip_rows:
            cells = [(value.value, formula.value) for value, formula in zip(*pair, strict=True)]
            rows.append((line, [text if value is None and isinstance(text, str) else value for value, text in cells]))
    while rows and all(map(_blank, rows[-1][1])):
        rows.pop()
    return rows
