"""The words in which a wrong setting is refused: what it must be, what it is, and what was probably meant."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from lampion.study.document import Place

MISSING = ("missing", "missing_keyword_only_argument", "missing_argument")
UNKNOWN = "unexpected_keyword_argument"

KINDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "dataclass_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
"""What a value must be, by pydantic's name of what it is not."""

_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_FORMS = {r"^[A-Z][a-z]?-[A-Z][a-z]?$": "two chemical symbols joined by -, as Na-Cl"}
"""What a pattern asks for."""

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def say(detail: ErrorDetails, where: Place, given: Any, schema: Mapping[str, Any]) -> str:
    """Return the sentence about an error at `where`, where the file says `given`."""
    kind, context, value = detail["type"], detail.get("ctx") or {}, detail["input"]
    match kind:
        case "unexpected_keyword_argument":
            known = known_keys(schema, detail["loc"][:-1])
            close = near(str(where[-1]), known)
            return f"unknown key; {_did_you_mean(close) or 'the keys here are ' + ', '.join(known)}"
        case "missing" | "missing_keyword_only_argument" | "missing_argument":
            return "is missing, and is needed"
        case "union_tag_not_found":
            key = str(context["discriminator"]).strip("'")
            meant = near(key, list(given)) if isinstance(given, Mapping) else []
            known = known_tags(schema, detail["loc"])
            return f"needs the key {key}{f' ({meant[0]} is none)' if meant else ''}, one of {', '.join(known)}"
        case "literal_error" | "union_tag_invalid":
            known = re.findall(r"'([^']+)'", str(context.get("expected") or context.get("expected_tags")))
            close = near(given, known) if isinstance(given, str) else []
            hint = f"; {_did_you_mean(close)}" if close else ""
            return f"must be {'one of ' if len(known) > 1 else ''}{', '.join(known)}, not {show(given)}{hint}"
        case "value_error":
            text = str(context.get("error"))
            told = isinstance(value, Mapping | list) or repr(value) in text
            return text if told else f"{text} (it is {show(value)})"
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            return f"must be {_FORMS.get(pattern, f'of the form {pattern}')}, not {show(value)}"
        case "string_too_short":
            return "is empty; write its text, or leave the key away"
        case "string_too_long":
            return f"must be at most {context['max_length']} characters long, not {len(value)}"
        case "too_short":
            return f"must hold at least {_counted(context['min_length'])}, not {context['actual_length']}"
        case "too_long":
            return f"must hold at most {_counted(context['max_length'])}, not {context['actual_length']}"
        case _ if kind in _BOUNDS:
            words, key = _BOUNDS[kind]
            bound = context[key]
            return f"must be {words} {bound if isinstance(bound, int) else f'{bound:.15g}'}, not {show(value)}"
        case _:
            return f"{show(value)} is refused: {detail['msg']}"


def say_kind(kinds: Sequence[str], value: Any) -> str:
    """Return the sentence about a value that is none of `kinds`."""
    listed = [kind for kind in kinds if kind != "a whole number" or "a number" not in kinds]
    must = " or ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    if value is None:
        return f"has no value; it must be {must}, or leave the key away"
    hint = ""
    if isinstance(value, str) and "number" in must:
        if _NUMBER.fullmatch(value):
            hint = "; write it without quotes"
        elif re.match(rf"{_NUMBER.pattern} *[^\W\d_]", value):
            hint = "; write the number alone, without a unit"
    elif isinstance(value, str) and must == "a list" and value.isalnum():
        hint = f"; write it as [{value}]"
    elif isinstance(value, float) and must == "a whole number" and value.is_integer():
        hint = f"; write {value:.0f}"
    elif must == "true or false" and str(value).lower() in ("yes", "on", "1", "no", "off", "0"):
        hint = f"; write {'true' if str(value).lower() in ('yes', 'on', '1') else 'false'}"
    elif must == "text" and isinstance(value, bool | int | float):
        hint = "; put it in quotes"
    return f"must be {must}, not {show(value)}{hint}"


def show(value: Any) -> str:
    """Return a value as the file writes it, in one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def near(word: str, known: Sequence[str]) -> list[str]:
    """Return which of `known` the user may have meant: by case, by beginning, or by a slip.

    >>> near("temprature", ["temperature", "thermostat"]), near("eam", ["meam", "eam/alloy", "eam/fs"])
    (['temperature'], ['eam/alloy', 'eam/fs'])
    """
    lower = {name.lower(): name for name in known}
    if word.lower() in lower:
        return [lower[word.lower()]]
    begun = [name for name in known if len(word) > 2 and name.lower().startswith(f"{word.lower()}/")]
    return begun or [lower[name] for name in difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.7)]


def _did_you_mean(close: Sequence[str]) -> str:
    return f"did you mean {' or '.join(close)}?" if close else ""


def _counted(n: int) -> str:
    return f"{n} value{'' if n == 1 else 's'}"


def known_keys(schema: Mapping[str, Any], loc: Sequence[str | int]) -> list[str]:
    """Return the keys that `schema` knows at `loc`, unions' labels included."""
    return sorted(_resolve(schema, _descend(schema, loc)).get("properties", {}))


def known_tags(schema: Mapping[str, Any], loc: Sequence[str | int]) -> list[str]:
    """Return what the key that tells the members of the union at `loc` apart may be."""
    node = _descend(schema, loc)
    return list(node.get("discriminator", {}).get("mapping", {}))


def _descend(schema: Mapping[str, Any], loc: Sequence[str | int]) -> Any:
    node: Any = schema
    for part in loc:
        node = _resolve(schema, node)
        name = str(part)
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"].get(name, "")}
        elif name in node.get("properties", {}):
            node = node["properties"][name]
        elif "items" in node:
            node = node["items"]
        elif isinstance(node.get("additionalProperties"), Mapping):
            node = node["additionalProperties"]
    return node


def _resolve(schema: Mapping[str, Any], node: Any) -> Any:
    """Follow references, and of a union with null the other member."""
    while True:
        if "$ref" in node:
            node = schema["$defs"].get(node["$ref"].rsplit("/", 1)[-1], {})
        elif "anyOf" in node:
            node = next((member for member in node["anyOf"] if member.get("type") != "null"), {})
        else:
            return node
