"""A workflow as nodes by id whose inputs are values or links, whichever of ComfyUI's two formats it came in.

The format for the server ("API", the PNG text `prompt`) is nearly that already. The editor's format (the PNG text
`workflow`) is flattened in editor.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.errors import DamagedFile
from webui.exchange.documents import as_object, as_text

NODE_LIMIT = 20_000
HOPS = 1_000  # links that are followed in one go; more are a circle

# Nodes that hold one value for others, and the input that holds it.
VALUE_INPUTS = {
    "PrimitiveNode": "value",
    "PrimitiveInt": "value",
    "PrimitiveFloat": "value",
    "PrimitiveBoolean": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "Int": "Number",
    "Float": "Number",
    "INTConstant": "value",
    "FloatConstant": "value",
    "StringConstant": "string",
    "StringConstantMultiline": "string",
    "String Literal": "string",
    "Text Multiline": "text",
    "Text box": "text",
    "CR Text": "text",
    "CR Seed": "seed",
    "CR Prompt Text": "prompt",
    "Seed": "seed",
    "Seed (rgthree)": "seed",
    "easy seed": "seed",
    "ImpactWildcardProcessor": "populated_text",
    "easy positive": "positive",
    "easy negative": "negative",
    "JWInteger": "value",
    "JWFloat": "value",
    "JWString": "text",
    "ttN text": "text",
    "ttN seed": "seed",
}
PASS_THROUGH = {"Reroute": "", "Reroute (rgthree)": "", "ShowText|pysssss": "text"}


@dataclass(frozen=True)
class Link:
    """One output of a node: its id and the number of the output."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """A node that is executed. Inputs are values or Links."""

    id: str
    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""


@dataclass(frozen=True)
class Graph:
    """All nodes by id."""

    nodes: Mapping[str, Node]

    def origin(self, value: Any) -> Node | None:
        """The node that an input comes from, past nodes that only hand on; None where it is no link."""
        for _ in range(HOPS):
            node = self.nodes.get(value.node) if isinstance(value, Link) else None
            if node is None or node.type not in PASS_THROUGH:
                return node
            value = node.inputs.get(PASS_THROUGH[node.type])
        return None

    def source(self, node: Node, *names: str) -> Node | None:
        """The node behind the first of these inputs that is linked."""
        return next((found for name in names if (found := self.origin(node.inputs.get(name)))), None)

    def value(self, node: Node, name: str, default: Any = None) -> Any:
        """The value of an input, fetched from nodes that hold values; the default where it is absent or computed."""
        value = node.inputs.get(name, default)
        for _ in range(HOPS):
            if not isinstance(value, Link):
                return value
            origin = self.origin(value)
            if origin is None or origin.type not in VALUE_INPUTS:
                return self._joined(origin) if origin and origin.type == "StringConcatenate" else default
            value = origin.inputs.get(VALUE_INPUTS[origin.type], default)
        return default

    def is_computed(self, node: Node, name: str) -> bool:
        """Whether an input's value comes from a node that is not understood."""
        missing = object()
        return isinstance(node.inputs.get(name), Link) and self.value(node, name, missing) is missing

    def links(self, node: Node) -> Iterator[tuple[str, Link]]:
        """Names and links of the inputs that are linked."""
        return ((name, value) for name, value in node.inputs.items() if isinstance(value, Link))

    def before(self, node: Node) -> dict[str, Node]:
        """All nodes that lead to a node, with it, by id."""
        found: dict[str, Node] = {}
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here.id not in found:
                found[here.id] = here
                waiting += [self.nodes[link.node] for _, link in self.links(here) if link.node in self.nodes]
        return found

    def _joined(self, node: Node) -> str:
        parts = [
            self.nodes[value.node].inputs.get("value")
            if isinstance(value, Link) and value.node in self.nodes
            else value
            for value in (node.inputs.get("string_a"), node.inputs.get("string_b"))
        ]
        return (as_text(node.inputs.get("delimiter")) or "").join(part for part in parts if isinstance(part, str))


def is_api_format(data: Mapping[str, Any]) -> bool:
    """Whether an object is a workflow in the format for the server."""
    return any("class_type" in as_object(node) for node in data.values())


def read_api_format(data: Mapping[str, Any]) -> Graph:
    """The graph of a workflow in the format for the server. Raises DamagedFile."""
    if len(data) > NODE_LIMIT:
        raise DamagedFile(f"The workflow has {len(data)} nodes.", f"At most {NODE_LIMIT} are read.")
    nodes = {}
    for id, node in data.items():
        kind = as_text(as_object(node).get("class_type"))
        if kind:
            inputs = {name: _api_input(value) for name, value in as_object(node.get("inputs")).items()}
            title = as_text(as_object(node.get("_meta")).get("title")) or ""
            nodes[id] = Node(id, kind, inputs, title)
    return Graph(nodes)


def _api_input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        slot = value[1]
        if isinstance(slot, int) and not isinstance(slot, bool):
            return Link(str(value[0]), slot)
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value
