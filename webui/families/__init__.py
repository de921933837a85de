"""Model families: which one a file belongs to, decided by its header alone.

Detectors exclude each other; when two of them fit, that is an error that names both.
"""

from __future__ import annotations

from dataclasses import replace

from webui.errors import UnknownModel
from webui.families import sd1, sd2, sdxl
from webui.families.base import Defaults, Family, LatentFormat, Model, ModelFacts
from webui.families.detection import own_concepts
from webui.families.unknown import looks_like
from webui.registry import Registry
from webui.weights.canonical import canonical
from webui.weights.tensors import Header

FAMILIES: Registry[Family] = Registry("model family")
for _family in (sd1.FAMILY, sd2.FAMILY, sdxl.BASE, sdxl.REFINER):
    FAMILIES.register(_family.name)(_family)


def detect(header: Header) -> Family:
    """The one family whose checkpoint this is.

    Raises UnknownModel: none fits (it says what the file looks like instead), or several do.
    """
    named = canonical(header)
    fitting = [entry.value for entry in FAMILIES if entry.value.detects(named)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UnknownModel(
            f"{header.path.name} fits several families: {', '.join(family.label for family in fitting)}.",
            "Exactly one was wanted.",
            "Please report the file.",
        )
    found, remedy = looks_like(header)
    known = ", ".join(entry.value.label for entry in FAMILIES)
    raise UnknownModel(f"{header.path.name} is {found}.", f"A checkpoint of one of these was wanted: {known}.", remedy)


def facts(header: Header) -> ModelFacts:
    """Facts of a checkpoint. Raises UnknownModel."""
    return replace(detect(header).facts(header), concepts=own_concepts(header))


__all__ = ["FAMILIES", "Defaults", "Family", "LatentFormat", "Model", "ModelFacts", "detect", "facts"]
