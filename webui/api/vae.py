"""GET and PUT /ui/vae: the VAE that "Automatic" means with a checkpoint."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from webui.api.context import Context
from webui.engine.catalogue import CheckpointFile
from webui.engine.vae import BUILT_IN, CHOICES, remembered_vae, with_vae_choice


class VaeFields(BaseModel):
    """A checkpoint, and the VAE to remember for it: a name, "None" for its own, None to forget what was chosen."""

    checkpoint: str = Field(max_length=4000)
    vae: str | None = Field(None, max_length=4000)


def make_router(context: Context) -> APIRouter:
    """The routes. What they remember is the setting `vae_choices`."""
    router = APIRouter(prefix="/ui")

    def answer(checkpoint: CheckpointFile) -> dict[str, Any]:
        return {
            "checkpoint": checkpoint.name,
            "vae": remembered_vae(checkpoint, context.catalogue.vae_choices),
        }

    @router.get("/vae")
    def read(checkpoint: str) -> dict[str, Any]:
        """The name of the VAE that is remembered, None where none is."""
        return answer(context.catalogue.find(checkpoint))

    @router.put("/vae")
    def remember(fields: VaeFields) -> dict[str, Any]:
        """Remember or forget one. A name that no file has is refused."""
        checkpoint, wanted = context.catalogue.find(fields.checkpoint), fields.vae
        vae = wanted if wanted is None or wanted in BUILT_IN else context.catalogue.find_vae(wanted)
        with context.changing:
            choices = with_vae_choice(context.catalogue.vae_choices, checkpoint, vae)
            context.change_settings({CHOICES: choices})
        return answer(checkpoint)

    return router
