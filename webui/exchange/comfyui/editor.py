"""The editor's format of a workflow, flattened: subgraphs, reroutes, primitives, set and get, muted and bypassed nodes.

Source: ComfyUI's workflow JSON, versions 0.4 and 1. Links stand in a list of their own, as lists or as objects; values
of widgets have no names (see widgets.py). A subgraph is a definition; nodes of its id's type are its instances, and
within it links begin at its input node and end at its output node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.errors import DamagedFile
from webui.exchange.comfyui.graph import HOPS, NODE_LIMIT, Graph, Link, Node
from webui.exchange.comfyui.widgets import named_values
from webui.exchange.documents import as_integer, as_list, as_object, as_text

_MUTED, _BYPASSED = 2, 4
_DEPTH = 20  # subgraphs within subgraphs
_REROUTES = ("Reroute", "Reroute (rgthree)")
_NOTES = ("Note", "MarkdownNote", "Fast Groups Bypasser (rgthree)", "Fast Groups Muter (rgthree)", "Label (rgthree)")


@dataclass
class _Scope:
    """The workflow itself, or one instance of a subgraph: its nodes and links by their ids in there."""

    prefix: str
    nodes: dict[str, dict[str, Any]]
    links: dict[str, tuple[str, int]]  # link -> node and output that it comes from
    outputs: dict[int, str]  # outputs of a subgraph -> link
    parent: _Scope | None = None
    instance: dict[str, Any] = field(default_factory=dict)
    input_id: str = "-10"
    children: dict[str, _Scope] = field(default_factory=dict)
    setters: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Value:
    """A value that was found in place of a link."""

    value: Any


def read_editor_format(data: Mapping[str, Any]) -> Graph:
    """The graph of a workflow in the editor's format. Raises DamagedFile."""
    definitions = {
        str(one.get("id")): one for one in map(as_object, as_list(as_object(data.get("definitions")).get("subgraphs")))
    }
    budget = [NODE_LIMIT]
    scope = _scope(data, "", definitions, budget, 0)
    return Graph({node.id: node for node in _nodes(scope)})


def _scope(
    data: Mapping[str, Any], prefix: str, definitions: Mapping[str, Any], budget: list[int], depth: int
) -> _Scope:
    nodes = {str(node.get("id")): node for node in map(as_object, as_list(data.get("nodes")))}
    budget[0] -= len(nodes)
    if budget[0] < 0 or depth > _DEPTH:
        raise DamagedFile(
            "The workflow is too large.", f"At most {NODE_LIMIT} nodes in {_DEPTH} levels of subgraphs are read."
        )
    links, targets = _links(as_list(data.get("links")))
    end = str(as_object(data.get("outputNode")).get("id", -20))
    scope = _Scope(prefix, nodes, links, {slot: link for (node, slot), link in targets.items() if node == end})
    scope.input_id = str(as_object(data.get("inputNode")).get("id", -10))
    for id, node in nodes.items():
        kind = str(node.get("type"))
        if kind in definitions:
            child = _scope(definitions[kind], f"{prefix}{id}:", definitions, budget, depth + 1)
            child.parent, child.instance = scope, node
            scope.children[id] = child
        elif kind == "SetNode":
            scope.setters[str(next(iter(as_list(node.get("widgets_values"))), ""))] = node
    return scope


def _links(entries: list[Any]) -> tuple[dict[str, tuple[str, int]], dict[tuple[str, int], str]]:
    """Where each link comes from, and which one ends at a node's input."""
    origins: dict[str, tuple[str, int]] = {}
    targets: dict[tuple[str, int], str] = {}
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    for entry in entries:
        parts = entry[:5] if isinstance(entry, list) else [as_object(entry).get(name) for name in names]
        if len(parts) == 5:
            link, slots = str(parts[0]), (as_integer(parts[2]), as_integer(parts[4]))
            if slots[0] is not None and slots[1] is not None:
                origins[link] = (str(parts[1]), slots[0])
                targets[str(parts[3]), slots[1]] = link
    return origins, targets


def _nodes(scope: _Scope) -> Iterator[Node]:
    """All nodes that are executed, with the ids that the server's format gives them."""
    for id, node in scope.nodes.items():
        if _mode(node) in (_MUTED, _BYPASSED):
            continue
        if id in scope.children:
            yield from _nodes(scope.children[id])
        elif node.get("type") not in (*_REROUTES, *_NOTES, "PrimitiveNode", "SetNode", "GetNode"):
            yield _node(scope, id, node)


def _node(scope: _Scope, id: str, node: Mapping[str, Any]) -> Node:
    kind = as_text(node.get("type")) or ""
    inputs: dict[str, Any] = dict(_widgets(node))
    for entry in map(as_object, as_list(node.get("inputs"))):
        found = _trace(scope, entry.get("link"))
        if isinstance(found, _Value):
            inputs[str(entry.get("name"))] = found.value
        elif found is not None:
            inputs[str(entry.get("name"))] = found
    return Node(scope.prefix + id, kind, inputs, as_text(node.get("title")) or "")


def _widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return values
    shown = [
        str(as_object(entry["widget"]).get("name") or entry.get("name"))
        for entry in map(as_object, as_list(node.get("inputs")))
        if entry.get("widget")
    ]
    return named_values(as_text(node.get("type")) or "", as_list(values), shown)


def _trace(scope: _Scope | None, link: Any) -> Link | _Value | None:
    """Where a link comes from, past everything that is not executed; None where it leads nowhere."""
    for _ in range(HOPS):
        if scope is None or link is None or str(link) not in scope.links:
            return None
        id, slot = scope.links[str(link)]
        if id == scope.input_id and scope.parent is not None:
            entries = as_list(scope.instance.get("inputs"))
            entry = as_object(entries[slot]) if 0 <= slot < len(entries) else {}
            if entry.get("link") is None:
                return _instance_value(scope.instance, entry)
            scope, link = scope.parent, entry["link"]
            continue
        node = scope.nodes.get(id)
        kind = node.get("type") if node else None
        if node is None or _mode(node) == _MUTED:
            return None
        if kind == "PrimitiveNode":
            values = as_list(node.get("widgets_values"))
            return _Value(values[0]) if values else None
        if kind == "GetNode":
            scope, setter = _setter(scope, node)
            link = _link_of(setter, 0)
        elif kind in (*_REROUTES, "SetNode"):
            link = _link_of(node, 0)
        elif _mode(node) == _BYPASSED:
            link = _bypass(node, slot)
        elif id in scope.children:
            scope = scope.children[id]
            link = scope.outputs.get(slot)
        else:
            return Link(scope.prefix + id, slot)
    return None


def _setter(scope: _Scope, getter: Mapping[str, Any]) -> tuple[_Scope | None, Mapping[str, Any]]:
    """The SetNode of a GetNode's name, in the same scope or one around it."""
    name = str(next(iter(as_list(getter.get("widgets_values"))), ""))
    here: _Scope | None = scope
    while here is not None and name not in here.setters:
        here = here.parent
    return here, here.setters[name] if here else {}


def _bypass(node: Mapping[str, Any], slot: int) -> Any:
    """The link that a bypassed node hands on: the input at the output's place if its type fits, else the first."""
    outputs, inputs = as_list(node.get("outputs")), [as_object(entry) for entry in as_list(node.get("inputs"))]
    kind = as_object(outputs[slot]).get("type") if 0 <= slot < len(outputs) else None
    fitting = [number for number, entry in enumerate(inputs) if entry.get("type") == kind]
    chosen = slot if slot in fitting else fitting[0] if fitting else None
    return None if chosen is None else inputs[chosen].get("link")


def _instance_value(instance: Mapping[str, Any], entry: Mapping[str, Any]) -> _Value | None:
    """The value of a widget that an instance of a subgraph shows; the widgets stand in the order of `proxyWidgets`."""
    values, name = as_list(instance.get("widgets_values")), entry.get("name")
    proxies = as_list(as_object(instance.get("properties")).get("proxyWidgets"))
    names = [as_list(proxy)[1] if len(as_list(proxy)) == 2 else None for proxy in proxies]
    if not names:
        entries = map(as_object, as_list(instance.get("inputs")))
        names = [one.get("name") for one in entries if one.get("widget")]
    place = names.index(name) if name in names else len(values)
    return _Value(values[place]) if place < len(values) else None


def _link_of(node: Mapping[str, Any], slot: int) -> Any:
    inputs = as_list(node.get("inputs"))
    return as_object(inputs[slot]).get("link") if slot < len(inputs) else None


def _mode(node: Mapping[str, Any]) -> int:
    mode = node.get("mode")
    return mode if isinstance(mode, int) else 0
