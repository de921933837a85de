"""The merging job: a recipe with names of files, made into a new checkpoint among the user's own.

Values: the fields of `merging.recipe.Recipe`. The outcome has the new file's `path` and `name`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.errors import FileError, InvalidRequest
from webui.merging.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from webui.engine.catalogue import Catalogue
    from webui.merging.merge import Merged
    from webui.paths import Paths
    from webui.workers.tasks import TaskJob

SUFFIX = ".safetensors"


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, complete. Raises InvalidRequest."""
    return dataclasses.asdict(read_recipe(values))


def run(values: Mapping[str, Any], job: TaskJob) -> None:
    """Find the files, merge them, and say where the result is."""
    catalogue = job.session.catalogue

    def progress(stage: str, step: int, steps: int) -> None:
        if step % max(1, steps // 100) == 0:  # a message for each of a thousand tensors tells nobody more
            job.report("progress", stage=stage, step=step, steps=steps, batch=0, batches=1)

    paths = job.session.settings.paths
    merged = merge_named(read_recipe(values), catalogue, paths, progress, job.control.check)
    for note in merged.notes:
        job.report("note", text=note)
    catalogue.refresh()
    job.report("outcome", values={"path": str(merged.path), "name": merged.path.name})


def merge_named(
    recipe: Recipe,
    catalogue: Catalogue,
    paths: Paths,
    progress: Callable[[str, int, int], None],
    check: Callable[[], None] = lambda: None,
) -> Merged:
    """Merge the files that a recipe names into a new one of the user's checkpoints.

    Raises NotFound with the closest names, InvalidRequest for a name that is taken, and what merging raises.
    """
    target = _target(recipe, paths)
    models = [catalogue.find(name) for name in recipe.models]
    vae = catalogue.find_vae(recipe.vae).path if recipe.vae else None
    loras = tuple(catalogue.find_file("loras", use.name, "LoRA").path for use in recipe.loras)
    from webui.merging.inputs import Files
    from webui.merging.merge import merge
    from webui.merging.metadata import Origin, legacy_hash
    from webui.weights.header import read_header

    origins = []
    for step, file in enumerate(models if recipe.write_recipe else ()):
        check()
        progress("hashing", step, len(models))
        digits = catalogue.sha256(file)
        origins.append(Origin(file.name, digits, legacy_hash(file.path), read_header(file.path).metadata))
    return merge(recipe, Files(tuple(file.path for file in models), vae, loras), origins, target, progress, check)


def _target(recipe: Recipe, paths: Paths) -> Path:
    target = paths.new_folder("checkpoints") / f"{recipe.name}{SUFFIX}"
    if target.exists():
        raise InvalidRequest(f"There is already a checkpoint named {target.name}.", "", "Choose another name.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder {target.parent} cannot be made: {error.strerror}.") from None
    return target
