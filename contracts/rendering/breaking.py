"""Finds what would break a reader or a writer of an earlier release.

Old records stay in the log and replicas of two releases run side by side, so both directions count: a new
reader must read old records, and an old reader new ones. Within a version an event may therefore gain or
lose an optional field and change its descriptions, nothing else.
"""

from collections.abc import Iterator, Mapping

from rendering.text import Json

_ADVICE = "breaking: make a new version"
_ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples"}
_METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}


def breaking_schemas(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """Return one line for every breaking difference between two sets of schemas, by file name."""
    found = []
    for name, schema in sorted(old.items()):
        event = name.removesuffix(".json")
        if name not in new:
            found.append(f"{event}: the event is gone ({_ADVICE})")
            continue
        changes = _changes(_plain(schema, schema), _plain(new[name], new[name]), "$")
        found += [f"{event}: {change} ({_ADVICE})" for change in changes]
    return found


def breaking_topics(old: Json, new: Json) -> list[str]:
    """Return one line for every topic, key or event of a topic that is no longer what it was."""
    found = []
    now = {topic["name"]: topic for topic in new.get("topics", [])}
    for topic in old.get("topics", []):
        name = topic["name"]
        if name not in now:
            found.append(f"{name}: the topic is gone (breaking)")
            continue
        found += [
            f"{name}: {what} was {topic[what]}, is {now[name][what]} (breaking)"
            for what in ("key", "partition")
            if topic[what] != now[name][what]
        ]
        found += [
            f"{name}: {event} is no longer in it (breaking)"
            for event in topic["events"]
            if event not in now[name]["events"]
        ]
    return found


def breaking_operations(old: Json, new: Json) -> list[str]:
    """Return one line for every HTTP operation that an OpenAPI document has lost."""
    return [
        f"{method.upper()} {path}: the operation is gone (breaking)"
        for path, item in old.get("paths", {}).items()
        for method in sorted(_METHODS & item.keys())
        if method not in new.get("paths", {}).get(path, {})
    ]


def _plain(schema: object, root: Json, within: frozenset[str] = frozenset()) -> object:
    """Return a schema without annotations, references replaced by what they stand for.

    `within` are the references that lead here: one that leads back into itself stays.
    """
    if isinstance(schema, list):
        return [_plain(each, root, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return schema if name in within else _plain(root["$defs"][name], root, within | {name})
    plain = {key: _plain(value, root, within) for key, value in schema.items() if key not in _ANNOTATIONS}
    if "properties" in schema:  # whose keys are names of fields, not keywords
        plain["properties"] = {
            name: _plain(value, root, within) for name, value in schema["properties"].items()
        }
    return plain


def _changes(old: object, new: object, at: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for keyword in sorted(old.keys() | new.keys()):
            if keyword == "properties":
                before, after = old.get(keyword, {}), new.get(keyword, {})
                for field in sorted(before.keys() & after.keys()):
                    yield from _changes(before[field], after[field], f"{at}.{field}")
            elif keyword == "required":
                yield from _required(set(old.get(keyword, [])), set(new.get(keyword, [])), at)
            elif keyword in ("items", "additionalProperties") and keyword in old and keyword in new:
                yield from _changes(old[keyword], new[keyword], f"{at}[]")
            elif old.get(keyword) != new.get(keyword):
                yield f"{at} {keyword} was {old.get(keyword)}, is {new.get(keyword)}"
    elif old != new:
        yield f"{at} was {old}, is {new}"


def _required(old: set[str], new: set[str], at: str) -> Iterator[str]:
    for field in sorted(new - old):
        yield f"{at}.{field} is newly required: old records lack it"
    for field in sorted(old - new):
        yield f"{at}.{field} is no longer required: old readers fail without it"
