"""CSV and TSV: rows as Markdown tables, each with the header."""

import csv
from collections.abc import Iterator
from io import StringIO

from penstock.ingestion.adapters.parsing.builder import Builder, base_name
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.adapters.parsing.rows import markdown_tables
from penstock.ingestion.domain.parsed import Kind, Parsed, ParseFailed

_DELIMITERS = ",;\t|"
_SAMPLE = 8_000  # the sniffer's patterns take long on a long hostile sample


def parse_table(data: bytes, file_name: str) -> Parsed:
    """Return the table; its first row names the columns."""
    rows = _rows(decode(data), file_name)
    header = next(rows, [])
    builder = Builder()
    try:
        for piece in markdown_tables(header, rows):
            builder.add(Kind.TABLE, piece)
    except csv.Error as error:
        raise ParseFailed("invalid_file", "The table cannot be read: a quote may be open.") from error
    return builder.finish(file_name, base_name(file_name))


def _rows(text: str, file_name: str) -> Iterator[list[str]]:
    reader = csv.reader(StringIO(text, newline=""), _dialect(text[:_SAMPLE], file_name))
    return (row for row in reader if any(map(str.strip, row)))


def _dialect(sample: str, file_name: str) -> csv.Dialect | type[csv.Dialect]:
    if file_name.lower().endswith((".tsv", ".tab")):
        return csv.excel_tab
    try:
        return csv.Sniffer().sniff(sample, _DELIMITERS)
    except csv.Error:  # one column, or too little to judge
        return csv.excel
