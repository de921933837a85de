"""Block weights: one strength for each block of the network, in the order that the community writes them.

The order is that of "merge block weighted": input blocks, middle block, output blocks. SD 1 and 2 have 12 + 1 + 12,
XL has 9 + 1 + 9. One number more, in front, is for everything else (text encoders, VAE); without it alpha is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from webui.errors import InvalidRequest
from webui.weights.canonical import UNET

BLOCK = re.compile(re.escape(UNET) + r"(input_blocks|middle_block|output_blocks)\.(\d+)\.")
BEFORE = (UNET + "time_embed.", UNET + "label_emb.")  # go with the first input block
AFTER = (UNET + "out.",)  # goes with the last output block
LONG, SHORT = 12, 9  # input blocks of SD 1 and of XL


class BlockWeights:
    """The strength of each tensor. `numbers` may be empty: then it is alpha everywhere.

    Raises InvalidRequest for a number of numbers that does not fit the network whose tensor names are given.
    """

    def __init__(self, numbers: Sequence[float], alpha: float, names: Iterable[str]):
        blocks = {(match[1], int(match[2])) for name in names if (match := BLOCK.match(name))}
        self._inputs = sum(kind == "input_blocks" for kind, _ in blocks)
        self._outputs = sum(kind == "output_blocks" for kind, _ in blocks)
        count = self._inputs + 1 + self._outputs
        numbers = list(numbers)
        if self._inputs == self._outputs == SHORT and len(numbers) in (2 * LONG + 1, 2 * LONG + 2):
            numbers = _shortened(numbers)
        if numbers and len(numbers) not in (count, count + 1):
            raise InvalidRequest(
                f"There are {len(numbers)} block weights.",
                f"This network has {count} blocks: {self._inputs} input, 1 middle and {self._outputs} output blocks; "
                f"one number more in front is for text encoders and VAE.",
            )
        self._base = numbers.pop(0) if len(numbers) == count + 1 else alpha
        self._numbers = numbers or [alpha] * count

    def of(self, name: str) -> float:
        """The strength for one tensor."""
        place = self._place(name)
        return self._base if place is None else self._numbers[place]

    def _place(self, name: str) -> int | None:
        if name.startswith(BEFORE):
            return 0
        if name.startswith(AFTER):
            return len(self._numbers) - 1
        match = BLOCK.match(name)
        if match is None:
            return None
        if match[1] == "middle_block":
            return self._inputs
        return int(match[2]) + (self._inputs + 1 if match[1] == "output_blocks" else 0)


def _shortened(numbers: list[float]) -> list[float]:
    """Numbers written for SD 1 on XL, whose last three input and output blocks are not there."""
    first = len(numbers) - (2 * LONG + 1)
    base, blocks = numbers[:first], numbers[first:]
    return [*base, *blocks[:SHORT], blocks[LONG], *blocks[LONG + 1 : LONG + 1 + SHORT]]
