"""Constants of a frozen TensorFlow graph, read without TensorFlow: DeePMD keeps its type names and cutoff so.

A message is a list of (field number, value); see https://protobuf.dev/programming-guides/encoding. In a GraphDef
field 1 is a node; in a node 1 is its name, 2 its operation, 5 its attributes; in an attribute's value 8 is a tensor.
"""

import struct
from collections.abc import Iterator

_DOUBLE, _FLOAT = 2, 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield the fields of a message.

    Raises:
        ValueError: it is no message.
        IndexError: it is cut short.

    >>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x4F, 0x48])))
    [(1, 150), (2, b'OH')]
    """
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _number(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _number(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or at + length > len(data):
            raise ValueError("a field beyond the end")
        yield number, data[at : at + length]
        at += length


def _bytes(data: bytes, wanted: int) -> list[bytes]:
    return [value for number, value in fields(data) if number == wanted and isinstance(value, bytes)]


def constants(data: bytes, names: frozenset[str]) -> dict[str, str | float]:
    """Return the scalar constants of a GraphDef that are called `names`: text, or a number.

    Raises:
        ValueError: `data` is no GraphDef.
        IndexError: it is cut short.
    """
    found: dict[str, str | float] = {}
    for node in _bytes(data, 1):
        name = next(iter(_bytes(node, 1)), b"").decode("utf-8", "replace")
        if name not in names:
            continue
        for attribute in _bytes(node, 5):
            for value in _bytes(attribute, 2):
                for tensor in _bytes(value, 8):
                    scalar = _scalar(tensor)
                    if scalar is not None:
                        found[name] = scalar
    return found


def _scalar(tensor: bytes) -> str | float | None:
    kind, content = 0, b""
    for number, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        elif number in (4, 5, 6) and isinstance(value, bytes):
            content = value
    if kind == _DOUBLE and len(content) >= 8:
        return float(struct.unpack("<d", content[:8])[0])
    if kind == _FLOAT and len(content) >= 4:
        return float(struct.unpack("<f", content[:4])[0])
    return None
