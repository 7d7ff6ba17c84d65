"""Reading what others may have written: regular files of a size, JSON and YAML within limits, and nothing executed.

What a file may do to its reader is bounded before it is built: a pipe or a device is not waited for, a YAML bomb
(aliases of aliases) is weighed before it is unpacked, and nesting that would break the stack is an error in words.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST_YAML = 4 * 2**20
"""Bytes of a YAML file at most: hundreds of times those that are shipped."""

LARGEST_JSON = 256 * 2**20
"""Bytes of a JSON file at most."""

DEEPEST = 40
"""Levels of nesting at most."""

MOST_NODES = 100_000
"""Values that a YAML file has at most, each alias counted as all that it stands for."""

LONGEST_NUMBER = 100
"""Characters of a whole number at most: no setting is as large, and thousands of digits cannot even be printed."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters that no text of a file needs: all but tab, line breaks and NEL."""

_MERGE, _INT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:int"


def read_file(path: Path, most: int) -> bytes:
    """A file's content. OSError where it is no regular file (a pipe would be waited for without end), ValueError where
    it has more than `most` bytes."""
    with regular(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        room = min(max(size, 2**16), most)  # some file systems tell no sizes
        content = file.read(room + 1)
    if len(content) > room or size > most:
        raise ValueError(f"the file has more than {most:,} bytes")
    return content


def regular(path: Path) -> Path:
    """The path, if what is there is a file or nothing; OSError for a pipe or a device."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def read_json(path: Path, most: int = LARGEST_JSON, *, finite: bool = False) -> Any:
    """A JSON file's content; OSError and ValueError as of `read_file` and `parse_json`."""
    return parse_json(read_file(path, most), finite=finite)


_NESTED = {dict, list}


def parse_json(content: bytes | str, *, finite: bool = False) -> Any:
    """JSON's content. ValueError, in words, where it is none, no UTF-8, or nested too deeply; with `finite` also where
    a number is NaN or infinite, which JSON does not have and Python reads."""
    try:
        found = json.loads(content, parse_constant=_no_number if finite else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [found] if type(found) in _NESTED else [], 0
    # Every record of a store is looked at so: no calls, no subclasses, which a parser does not make.
    while level := [
        part for one in level for part in (one.values() if type(one) is dict else one) if type(part) in _NESTED
    ]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def parse_yaml(text: str) -> Any:
    """YAML's content by the safe loader. yaml.YAMLError where it is malformed or beyond a limit (size once unpacked,
    nesting, a key named twice, a control character, a number of very many figures, a tag of Python)."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        for one in _nodes(node):
            _check(one)
        _weigh(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, which stops where nesting becomes too deep or values too many."""

    depth = nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """A node with all that is in it."""
        if self.depth > DEEPEST:
            raise _error(f"it is nested more than {DEEPEST} levels deep", self._next())
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        if self.nodes > MOST_NODES:
            raise _error(f"it has more than {MOST_NODES:,} values", self._next())
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def _next(self) -> Any:
        return self.peek_event()  # type: ignore[no-untyped-call]


def _nodes(node: Node) -> Iterator[Node]:
    """The node and all in it, each once."""
    waiting, seen = [node], {id(node)}
    while waiting:
        one = waiting.pop()
        yield one
        for part in _parts(one):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)


def _parts(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _check(node: Node) -> None:
    """An error where a node by itself is refused."""
    if isinstance(node, ScalarNode):
        if CONTROL.search(node.value):
            raise _error("it holds a control character", node)
        if node.tag == _INT and len(node.value) > LONGEST_NUMBER:
            raise _error(f"a number has more than {LONGEST_NUMBER} figures", node)
    if isinstance(node, MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in seen:
                raise _error(f"the key '{key.value[:80]}' stands there twice", key)
            seen.add((key.tag, key.value))


def _weigh(node: Node, known: dict[int, int]) -> int:
    """How many values a node comes to, aliases unpacked. As deep as the nesting, so within the stack."""
    found = known.get(id(node))
    if found == 0:
        raise _error("an alias stands inside of what it names", node)
    if found is None:
        known[id(node)] = 0
        found = 1 + sum(_weigh(part, known) for part in _parts(node))
        if found > MOST_NODES:
            raise _error(f"it comes to more than {MOST_NODES:,} values, aliases unpacked", node)
        known[id(node)] = found
    return found


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
