"""An example: mixes a colour into finished pictures, and offers <upper:words> in prompts."""

import numpy as np

from webui.extend import DirectiveCall, Extension, JobHooks, Option, PictureInfo, Registries

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class TintHooks(JobHooks):
    """One job's tint."""

    def __init__(self, amount: float, colour: str):
        self.amount, self.colour = amount, colour

    def edit_image(self, image, info: PictureInfo):
        """Mix the colour in."""
        colour = np.asarray(COLOURS[self.colour], dtype=image.dtype)
        amount = image.dtype.type(self.amount)
        return image * (1 - amount) + colour * amount, info


class Tint(Extension):
    """Declares two options; takes part in a job only when there is something to do."""

    name = "tint"
    label = "Tint"
    options = (
        Option("amount", "Tint", 0.0, minimum=0.0, maximum=1.0, step=0.05, help="0 leaves pictures alone."),
        Option("colour", "Tint colour", "red", choices=tuple(COLOURS)),
    )

    def register(self, registries: Registries) -> None:
        """Add the directive."""
        registries.directives.register("upper")(_upper)

    def begin(self, options):
        """No hooks where the amount is 0."""
        return TintHooks(options["amount"], options["colour"]) if options["amount"] else None


def _upper(call: DirectiveCall) -> str:
    return " ".join(call.positional).upper()


EXTENSION = Tint()
