"""A study file as it was written: YAML 1.2 in its core schema, and the line of every value.

Stricter than YAML where a study could mean something else than it says: no tags, no merge keys, no second document,
no key twice. The core schema knows no dates, no `yes` and no octal 010: each is the text or the number that it
looks like.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from lampion.errors import SettingError

Place = tuple[str | int, ...]
"""Keys and items, from the top, that lead to a value."""

MAX_BYTES = 1_000_000
"""A bigger file is no study."""

MAX_VALUES = 200_000
"""With all aliases written out; more is a mistake, or a trap."""

MAX_DEPTH = 50
MAX_NUMBER = 100
"""Characters of a number."""

# Newlines and tabs are judged where a value is used; nothing else below the blank belongs into text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False} | dict.fromkeys(
    ("", "~", "null", "Null", "NULL")
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value, and the line on which it, or its key, stands."""

    value: "bool | int | float | str | dict[str, Node] | list[Node] | None"
    line: int


class Document:
    """A study file as it was written."""

    def __init__(self, path: Path, root: Node) -> None:
        self.path, self.root = path, root
        self.values: Mapping[str, Any] = _Plain(path).value(root, ())

    def line(self, where: Place) -> int | None:
        """Return the line on which the value at `where`, or the nearest one above it, stands."""
        node, line = self.root, None
        for part in where:
            if isinstance(node.value, dict) and str(part) in node.value:
                node = node.value[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                break
            line = node.line
        return line

    def refuse(self, where: Place, message: str, at: Place | None = None) -> SettingError:
        """Return the error that says `message` of the value at `where`, with the line of `at`."""
        return _refusal(self.path, self.line(where if at is None else at), where, message)


def read_document(path: Path) -> Document:
    """Read the file `path`.

    Raises:
        SettingError: it can't be read, or is no YAML mapping.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingError(f"{path}: can't be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise SettingError(f"{path}: is larger than {MAX_BYTES:,} bytes, so it is no study file")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SettingError(f"{path}: is UTF-16 text; save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{path}:{line}: is no UTF-8 text (byte {error.start}); save it as UTF-8") from error
    strange = _CONTROL.search(text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        raise SettingError(f"{path}:{line}: holds the control character {strange.group()!r}; a study is plain text")
    return Document(path, _parse(path, text))


def _parse(path: Path, text: str) -> Node:
    events = YAML(typ="safe", pure=True).parse(io.StringIO(text))
    try:
        root = _Composer(path, events).document()
    except MarkedYAMLError as error:
        line, words = _yaml_words(error)
        raise _refusal(path, line, (), f"is no valid YAML: {words}") from error
    except (YAMLError, ValueError) as error:
        raise _refusal(path, None, (), f"is no valid YAML: {' '.join(str(error).split())}") from error
    if root is None or not isinstance(root.value, dict):
        found = "is empty" if root is None or root.value is None else "is no study"
        raise SettingError(f"{path}: {found}: it must be a mapping with structure, potential and protocol")
    return root


class _Composer:
    """Makes nodes of a parser's events. The parser keeps a stack of its own, so depth is ours to limit."""

    def __init__(self, path: Path, events: Iterator[Event]) -> None:
        self.path, self.events = path, events
        self.anchors: dict[str, Node | None] = {}

    def document(self) -> Node | None:
        """Return the one document of the stream; None where there is none."""
        root = None
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    raise self.refuse(event, (), "a second document (---) begins here; write one study a file")
                if event.version not in (None, (1, 2)):
                    raise self.refuse(event, (), "a study file is YAML 1.2; remove the line %YAML")
                event = next(self.events)
                root = self.node(event, (), event.start_mark.line + 1)
        return root

    def refuse(self, event: Event, where: Place, message: str) -> SettingError:
        """Return the error that says `message` of what stands at `event`."""
        return _refusal(self.path, event.start_mark.line + 1, where, message)

    def node(self, event: Event, where: Place, line: int) -> Node:
        """Return the value that begins with `event`."""
        if isinstance(event, AliasEvent):
            known = self.anchors.get(event.anchor)
            if known is None:
                problem = "stands inside of itself" if event.anchor in self.anchors else "is defined nowhere above"
                raise self.refuse(event, where, f"*{event.anchor} {problem}")
            return Node(value=known.value, line=line)
        begun = cast("ScalarEvent | CollectionStartEvent", event)
        if begun.tag is not None:
            raise self.refuse(event, where, f"has the tag {_tag(begun.tag)}; a study takes none, so remove it")
        if len(where) > MAX_DEPTH:
            raise self.refuse(event, where[:3], f"is nested deeper than {MAX_DEPTH} levels")
        if begun.anchor is not None:
            self.anchors[begun.anchor] = None
        value: Any
        if isinstance(event, ScalarEvent):
            value = self.scalar(event, where)
        elif isinstance(event, MappingStartEvent):
            value = self.mapping(where)
        else:
            value = self.sequence(where)
        node = Node(value=value, line=line)
        if begun.anchor is not None:
            self.anchors[begun.anchor] = node
        return node

    def mapping(self, where: Place) -> dict[str, Node]:
        """Return the mapping whose entries come next."""
        nodes: dict[str, Node] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent) or event.tag is not None or event.anchor is not None:
                raise self.refuse(
                    event, where, "a key must be plain text, and is a list, a mapping, an alias or tagged"
                )
            key, line = event.value, event.start_mark.line + 1
            if _CONTROL.search(key):
                raise self.refuse(event, (*where, key), "is a key with a control character; remove that")
            if key == "<<" and not event.style:
                raise self.refuse(event, where, "merge keys (<<) are no part of YAML 1.2; write the entries out")
            if key in nodes:
                first = nodes[key].line
                raise self.refuse(event, (*where, key), f"is given twice, first in line {first}; keep one")
            nodes[key] = self.node(next(self.events), (*where, key), line)
        return nodes

    def sequence(self, where: Place) -> list[Node]:
        """Return the list whose items come next."""
        nodes: list[Node] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            nodes.append(self.node(event, (*where, len(nodes)), event.start_mark.line + 1))
        return nodes

    def scalar(self, event: ScalarEvent, where: Place) -> bool | int | float | str | None:
        """Return text that is quoted as it is, and other text as what it looks like."""
        text = event.value
        strange = _CONTROL.search(text)
        if strange:
            raise self.refuse(event, where, f"holds the control character {strange.group()!r}; remove it")
        if event.style:
            return str(text)
        if text in _WORDS:
            return _WORDS[text]
        whole = _INTEGER.fullmatch(text)
        if not whole and not _FLOAT.fullmatch(text) and not _NOT_FINITE.fullmatch(text):
            return str(text)
        if len(text) > MAX_NUMBER:
            raise self.refuse(event, where, f"is a number of {len(text)} characters; at most {MAX_NUMBER} are taken")
        if whole:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _NOT_FINITE.fullmatch(text) or math.isinf(float(text)):
            raise self.refuse(event, where, f"must be a finite number, not {text}")
        return float(text)


class _Plain:
    """Turns nodes into plain dictionaries, lists and scalars, each alias a copy of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0

    def value(self, node: Node, where: Place) -> Any:
        """Return the value at `where`.

        Raises:
            SettingError: aliases of aliases blow the file up.
        """
        self.count += 1
        if self.count > MAX_VALUES or len(where) > MAX_DEPTH:
            limit = f"{MAX_VALUES:,} values" if self.count > MAX_VALUES else f"{MAX_DEPTH} levels"
            raise _refusal(self.path, node.line, where[:3], f"grows beyond {limit} with its aliases written out")
        if isinstance(node.value, dict):
            return {key: self.value(child, (*where, key)) for key, child in node.value.items()}
        if isinstance(node.value, list):
            return [self.value(child, (*where, i)) for i, child in enumerate(node.value)]
        return node.value


def _refusal(path: Path, line: int | None, where: Place, message: str) -> SettingError:
    name = ".".join(_shown(str(part)) for part in where)
    # A message quotes the file, which may hold ends of lines, what a terminal acts on, and much of anything.
    quoted = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    quoted = quoted if len(quoted) <= 800 else f"{quoted[:200]} ... {quoted[-200:]}"
    return SettingError(f"{path}{f':{line}' if line else ''}: {name + ': ' if name else ''}{quoted}")


def _shown(part: str) -> str:
    """Return a key as a message can hold it: in one line, and short."""
    short = part if len(part) <= 60 else part[:57] + "..."
    return short if short.isprintable() and short.strip() == short and short else repr(short)


def _tag(tag: str) -> str:
    return _shown(str(tag).replace("tag:yaml.org,2002:", "!!"))


def _yaml_words(error: MarkedYAMLError) -> tuple[int | None, str]:
    """Return the line to look at, and what is wrong there, in words of a reader of YAML, not of its parser."""
    problem = " ".join(str(error.problem or error.context).split())
    here, begin = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    context = str(error.context)
    if "'\\t'" in problem:
        words = "a tab; indent with blanks"
    elif found := re.match(r"found character '(.)' that cannot start", problem):
        words = f"text can't begin with {found.group(1)}; put it in quotes"
    elif problem == "mapping values are not allowed here":
        words = "a second colon in one line, or a line that is indented too far; put text with a colon in quotes"
    elif "scanning a quoted scalar" in context or "scanning a double" in context or "scanning a single" in context:
        here, words = begin, "a quote opens here and is not closed"
        words = words if "end of" in problem else problem
    elif "flow" in context and ("stream end" in problem or "expected ','" in problem):
        here, words = begin, "a bracket opens here and is not closed, or a comma is missing in it"
    elif "could not find expected ':'" in problem:
        here, words = begin, "a key without a colon and a blank after it"
    elif "expected <block end>" in problem:
        words = "indented other than the lines above it, or a - is missing or too much"
    else:
        words = problem
    return (here.line + 1 if here else None), words
