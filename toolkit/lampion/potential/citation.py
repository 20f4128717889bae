"""The papers behind the shipped potentials: BibTeX by what a header's citation says."""

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from lampion.potential.record import Header, Reference

_BIB = Path(__file__).with_name("citations.bib")


@lru_cache
def entries() -> dict[str, str]:
    """Return the BibTeX entries of `citations.bib` by key."""
    text = _BIB.read_text(encoding="utf-8")
    found = re.findall(r"^@\w+\{([^,\s]+),.*?^\}", text, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^@\w+\{[^,\s]+,.*?^\}", text, re.DOTALL | re.MULTILINE)
    return dict(zip(found, blocks, strict=True))


def bibtex(citation: str) -> str:
    """Return the entry that the text `citation` means.

    It is named by its doi, its arXiv number, its title, or its first page and year together with its volume or its
    first author: what headers hold is often incomplete, and sometimes has a number wrong.

    >>> bibtex("somebody, unpublished")
    ''
    """
    said = citation.lower()
    numbers = set(re.findall(r"[a-z]?\d+", said)) | set(re.findall(r"\bp(\d+)", said))
    for entry in entries().values():
        fields = {k.lower(): v for k, v in re.findall(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$", entry, re.MULTILINE)}
        names = [fields[k].lower() for k in ("doi", "eprint") if k in fields]
        if any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", said) for name in names):
            return entry
        if _letters(fields["title"]) in _letters(citation):
            return entry
        first_page = re.split(r"\D*[-–]", fields.get("pages", "").lower())[0]
        author = _letters(fields["author"].split(",")[0])
        if not (first_page and {first_page, fields.get("year", "")} <= numbers):
            continue
        if fields.get("volume", "") in numbers or author in _letters(citation):
            return entry
    return ""


def _letters(text: str) -> str:
    """Return the lower-case letters and digits, without accents, blanks and BibTeX's braces."""
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("ł", "l"))
    return "".join(c for c in plain.lower() if c.isascii() and c.isalnum())


def reference(file: str, header: Header) -> Reference:
    """Return the reference that a potential file's header gives."""
    return Reference(file=file, citation=header.citation, date=header.date, bibtex=bibtex(header.citation))
