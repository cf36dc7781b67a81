"""Documents of many kinds, made for tests: each says something that only it says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from docx import Document

WORDS = ("water", "gate", "valve", "turbine", "dam", "pressure", "river", "meadow", "pipe", "log", "offset")


def fact(number: int) -> str:
    """A sentence that stands in one document only."""
    return f"The qarnix{number} of the {WORDS[number % len(WORDS)]} holds {number * 7 + 3} cubits."


def write_all(folder: Path, count: int, first: int = 0) -> dict[str, str]:
    """Write `count` good files of mixed kinds into the folder, numbered from `first`; return their facts."""
    kinds = (markdown, text, html, table, records, code, word, pdf)
    facts = {}
    for number in range(first, first + count):
        name, body = kinds[number % len(kinds)](number)
        (folder / name).write_bytes(body)
        facts[name] = fact(number)
    return facts


def write_bad(folder: Path) -> set[str]:
    """Write files that nobody can read; return their names."""
    bad = {
        "empty.md": b"",
        "blank.txt": b" \n\t\n",
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "broken.pdf": b"%PDF-1.7\nnothing of the kind",
        "binary.txt": bytes(range(256)) * 8,
    }
    for name, body in bad.items():
        (folder / name).write_bytes(body)
    return set(bad)


def _filling(number: int) -> str:
    return " ".join(WORDS[(number + n * 5) % len(WORDS)] for n in range(80)) + "."


def markdown(number: int) -> tuple[str, bytes]:
    """Markdown with two sections."""
    body = f"# Manual {number}\n\n{_filling(number)}\n\n## Facts\n\n{fact(number)}\n"
    return f"manual-{number}.md", body.encode()


def text(number: int) -> tuple[str, bytes]:
    """Plain text in UTF-16."""
    return f"note-{number}.txt", f"Note {number}\n\n{_filling(number)}\n\n{fact(number)}\n".encode("utf-16")


def html(number: int) -> tuple[str, bytes]:
    """A page with navigation around it."""
    body = (
        f"<html><head><title>Page {number}</title></head><body><nav>Home About</nav>"
        f"<main><h1>Page {number}</h1><p>{_filling(number)}</p><h2>Facts</h2><p>{fact(number)}</p></main>"
        "</body></html>"
    )
    return f"page-{number}.html", body.encode()


def table(number: int) -> tuple[str, bytes]:
    """A table with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["name", "sentence"])
    writer.writerow(["filling", _filling(number)])
    writer.writerow(["fact", fact(number)])
    return f"table-{number}.csv", out.getvalue().encode()


def records(number: int) -> tuple[str, bytes]:
    """JSON."""
    body = {"title": f"Record {number}", "filling": _filling(number), "facts": [fact(number)]}
    return f"record-{number}.json", json.dumps(body).encode()


def code(number: int) -> tuple[str, bytes]:
    """Source code."""
    body = f'def measure_{number}() -> int:\n    """{fact(number)}"""\n    return {number * 7 + 3}\n'
    return f"measure_{number}.py", body.encode()


def word(number: int) -> tuple[str, bytes]:
    """A Word file with a heading."""
    document = Document()
    document.add_heading(f"Report {number}", 1)
    document.add_paragraph(_filling(number))
    document.add_paragraph(fact(number))
    out = io.BytesIO()
    document.save(out)
    return f"report-{number}.docx", out.getvalue()


def pdf(number: int) -> tuple[str, bytes]:
    """A PDF of two pages, the fact on the second."""
    return f"paper-{number}.pdf", pdf_of([f"Paper {number}. {_filling(number)}"[:90], fact(number)])


def pdf_of(pages: list[str]) -> bytes:
    """A PDF with one line of text a page (PDF 1.4, written by hand)."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, line in enumerate(pages):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>"
        )
        stream = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    for place in places:
        out.write(f"{place:010d} 00000 n \n".encode())
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()
