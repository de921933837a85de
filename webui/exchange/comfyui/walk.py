"""What the translators of a workflow share: the graph, what they have understood of it, and what they could not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from webui.exchange.comfyui.graph import HOPS, VALUE_INPUTS, Graph, Node
from webui.exchange.documents import shown
from webui.exchange.reading import NO_PLACE, Untranslated

LISTED = 200  # entries; a workflow may have thousands of nodes


@dataclass
class Walk:
    """A graph and the notes taken on the way through it. A node that was used is not listed a second time."""

    graph: Graph
    left_out: list[Untranslated] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    visits: int = 0  # of conditionings; ways through a graph may double at every node

    def use(self, node: Node) -> Node:
        """Remember that a node was understood."""
        self.used.add(node.id)
        return node

    def note(self, node: Node, reason: str = NO_PLACE, names: Sequence[str] | None = None) -> None:
        """List a node with the values of these inputs; without `names` with all that are no links."""
        self.use(node)
        if len(self.left_out) >= LISTED:
            return
        values = {name: self.graph.value(node, name) for name in (node.inputs if names is None else names)}
        told = ", ".join(f"{name}: {shown(value)}" for name, value in values.items() if value is not None)
        entry = Untranslated(shown(f"{node.type} #{node.id}"), shown(told), shown(reason))
        if entry not in self.left_out:
            self.left_out.append(entry)

    def value(self, node: Node, name: str, default: Any = None) -> Any:
        """The value of an input; one that some unknown node computes is listed, and the default stands for it."""
        if self.graph.is_computed(node, name):
            origin = self.graph.origin(node.inputs.get(name))
            self.note(node, f"Its {name} comes from a node that is not known here: {origin.type if origin else '?'}.")
        link = node.inputs.get(name)
        for _ in range(HOPS):
            origin = self.graph.origin(link)
            if origin is None or origin.type not in (*VALUE_INPUTS, "StringConcatenate"):
                break
            link = self.use(origin).inputs.get(VALUE_INPUTS.get(origin.type, "string_a"))
        return self.graph.value(node, name, default)
