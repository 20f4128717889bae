"""Judge what a study file says: strict settings, and of all that is wrong the one thing to tell, with its line."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from lampion.study.document import Document, Place, read_document
from lampion.study.settings import Study
from lampion.study.words import KINDS, MISSING, UNKNOWN, say, say_kind, show

__all__ = ["Document", "Place", "read_document", "schema", "validate"]


@lru_cache
def _adapter() -> TypeAdapter[Study]:
    return TypeAdapter(Study)


@lru_cache
def _schema() -> dict[str, Any]:
    whole: dict[str, Any] = _closed(_adapter().json_schema())
    return whole


def _closed(node: Any) -> Any:
    """Return a schema whose mappings take no key of another form than their pattern's."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(one) for key, one in node.items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in node else closed


def schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_schema(),
        "title": "Lampion study",
    }


def validate(document: Document, values: Mapping[str, Any], swept: Mapping[str, Place]) -> Study:
    """Return the settings in `values`, strictly.

    Args:
        document: where they come from, for lines in messages.
        values: the settings, the swept ones filled in.
        swept: where each swept value stands in the file, by its dotted name.

    Raises:
        SettingError: the first thing that is wrong, with file, line, key, value and remedy.
    """
    try:
        # JSON's strict mode takes 1 for 1.0 and a list for a tuple, but no text for a number.
        return _adapter().validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        where, message = _choose(values, error.errors(include_url=False))
        raise document.refuse(where, message, _blame(document, where, message, swept)) from error


def _choose(values: Mapping[str, Any], details: Sequence[ErrorDetails]) -> tuple[Place, str]:
    """Return the place and the words of the error that explains the others best."""
    found = [(detail, *_where(values, detail)) for detail in details]
    # Each member of a union complains under its own label; the one that complains least is the one that was meant.
    complaints = Counter(label for _, _, label in found)

    def rank(one: tuple[ErrorDetails, Place, str]) -> tuple[int, int, bool]:
        detail, where, label = one
        # A wrong key explains a missing one better than the other way round; wrong text, another member's type.
        lacks = detail["type"] in MISSING and isinstance(where[-1], str)
        return 0 if detail["type"] == UNKNOWN else 2 if lacks else 1, complaints[label], detail["type"] in KINDS

    detail, where, label = min(found, key=rank)
    kind = detail["type"]
    if kind in MISSING and isinstance(where[-1], int):
        items = [place[-1] for _, place, other in found if other == label and place[:-1] == where[:-1]]
        n = 1 + max(item for item in items if isinstance(item, int))
        return where[:-1], f"must be a list of {n} values, not {show(at(values, where[:-1]))}"
    if kind in KINDS:
        equal = [d["type"] for d, place, other in found if place == where and complaints[other] == complaints[label]]
        return where, say_kind(list(dict.fromkeys(KINDS[k] for k in equal if k in KINDS)), detail["input"])
    message = say(detail, where, at(values, where), _schema())
    # What a block refuses as a whole begins with the name of the key that is wrong.
    key, _, rest = message.partition(" ")
    inner = (*where, *key.split("."))
    return (inner, rest) if kind == "value_error" and at(values, inner) is not None else (where, message)


def _where(values: Any, detail: ErrorDetails) -> tuple[Place, str]:
    """Return the place in the file that an error means, and the labels of unions on the way to it."""
    where: list[str | int] = []
    labels: list[str] = []
    node, last = values, len(detail["loc"]) - 1
    for i, part in enumerate(detail["loc"]):
        if isinstance(node, Mapping) and str(part) in node:
            node = node[str(part)]
            where.append(str(part))
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
            where.append(part)
        elif i == last and detail["type"] in MISSING:
            where.append(part)
        else:
            labels.append(str(part))
    if detail["type"] == "union_tag_invalid":
        where.append(str(detail["ctx"]["discriminator"]).strip("'"))
    return tuple(where), ".".join(labels)


def _blame(document: Document, where: Place, message: str, swept: Mapping[str, Place]) -> Place:
    """Return the place whose line the reader must look at: the sweep's, where that brought the wrong value."""
    name = ".".join(str(part) for part in where)
    for one, place in swept.items():
        if f"{name}.".startswith(f"{one}."):
            return place
    # The sweep also made a mapping that the file lacks, chose the keys of one, or gave what a message speaks of.
    above = ".".join(str(part) for part in where[:-1])
    for one, place in swept.items():
        block, _, last = one.rpartition(".")
        made = f"{block}.".startswith(f"{above}.") and at(document.values, where[:-1]) is None
        chose = block == above and last in ("name", "style")
        spoken = f"{block}.".startswith((f"{name}.", f"{above}.")) and re.search(rf"\b{re.escape(last)}\b", message)
        if made or chose or spoken:
            return place
    return where


def at(values: Any, where: Place) -> Any:
    """Return the value at `where`; None where there is none."""
    for part in where:
        if isinstance(values, Mapping) and str(part) in values:
            values = values[str(part)]
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            return None
    return values
