"""Aesthetic gradients of a request: which files they need, and the conditioning of texts under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from webui.adapters.aesthetic import (
    check_width,
    features,
    moved_encoder,
    projections,
    read_file,
    read_projection,
    read_target,
    shifted,
    slerp,
    target_shape,
)
from webui.engine.adapters import HASH_LENGTH
from webui.engine.catalogue import Catalogue, CheckpointFile
from webui.errors import FileError, IncompatibleModel, NotFound
from webui.families import FAMILIES
from webui.request import GenerationRequest
from webui.text.chunks import chunk_prompt
from webui.text.tokenizers import clip_tokenizer
from webui.weights.canonical import CLIP, OPEN_CLIP, canonical
from webui.weights.header import read_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from webui.adapters.aesthetic import Input
    from webui.diffusion.conditioning import Conditioning
    from webui.families.base import Model, ModelFacts
    from webui.request import AestheticGradients
    from webui.text.chunks import Chunk

KIND = "aesthetic_embeddings"
LABEL = "aesthetic embedding"
HASH = "Aesthetic embedding hash"  # infotext key
# Where checkpoints keep the projection. `cond_stage_model.text_projection` is not among them: merges have the unit
# matrix there, which was never trained.
OWN = tuple(
    f"{prefix}text_projection{end}"
    for prefix, end in ((CLIP, ".weight"), (CLIP.removesuffix("text_model."), ".weight"), (OPEN_CLIP, ""))
)


@dataclass(frozen=True)
class AestheticUse:
    """What a request asks for, with its file, and the tensor that takes texts to where pictures are."""

    options: AestheticGradients
    file: CheckpointFile
    projection: CheckpointFile
    tensor: str

    @property
    def key(self) -> str:
        """Equal for equal effects."""
        return f"{self.options}|{self.file.key}|{self.projection.key}|{self.tensor}"


def aesthetic_use(
    options: AestheticGradients | None, catalogue: Catalogue, checkpoint: CheckpointFile, facts: ModelFacts
) -> AestheticUse | None:
    """What a request's aesthetic gradients need with a checkpoint; None without any, or where they change nothing.

    Raises NotFound for an embedding or a text projection that is not there, saying which file to put where,
    IncompatibleModel for a family with several text encoders or an embedding of another CLIP, FileError for a file that
    cannot be read. Reads headers alone.
    """
    if options is None:
        return None
    file = catalogue.find_file(KIND, options.embedding, LABEL)
    _, width = target_shape(read_file(file.path))
    family = FAMILIES[facts.family]
    if len(family.text_encoders) != 1 or facts.pooled_width:
        raise IncompatibleModel(
            f"Aesthetic gradients cannot steer {facts.label}.",
            "They move one CLIP text encoder, as Stable Diffusion 1 and 2 have it.",
            "Leave them out, or choose such a checkpoint.",
        )
    header = canonical(read_header(checkpoint.path))
    if header.container == "diffusers" and family.text_encoders[0].cut_in_folders:
        raise IncompatibleModel(
            f"The text encoder in the folder {checkpoint.stem} lacks its last layer, which aesthetic gradients need.",
            "A single file of this checkpoint has it.",
        )
    own = [name for name in OWN if name in header.tensors]
    place, tensor = (checkpoint, own[0]) if own else _projection_file(catalogue, checkpoint, facts, width)
    known = projections(canonical(read_header(place.path)), facts.context_width)
    check_width(options.embedding, width, known.get(tensor, 0), facts.label)
    if not (options.steps and options.learning_rate and options.weight):
        return None
    return AestheticUse(options, file, place, tensor)


def _projection_file(
    catalogue: Catalogue, checkpoint: CheckpointFile, facts: ModelFacts, wanted: int
) -> tuple[CheckpointFile, str]:
    """A CLIP file of the user's with a projection for this text encoder, best one with the wanted features."""

    def inside(file: CheckpointFile) -> dict[str, int]:
        def read() -> dict[str, int]:
            try:
                return projections(read_header(file.path), facts.context_width)
            except FileError:
                return {}  # a damaged neighbour

        return catalogue.remembered(f"projections of {facts.context_width}", file, read)

    found = [
        (width != wanted, file.name.casefold(), file, name)
        for file in (*catalogue.files("text_encoders"), *catalogue.files("image_encoders"))
        for name, width in inside(file).items()
    ]
    if not found:
        raise NotFound(
            f"{checkpoint.stem} has no text projection, which aesthetic gradients need.",
            "Checkpoints of Stable Diffusion 1 come without it; CLIP files have it.",
            "Put a CLIP-L file with text_projection.weight, such as clip_l.safetensors or the model.safetensors of "
            "openai/clip-vit-large-patch14, into models/text_encoders.",
        )
    _, _, file, name = min(found, key=lambda one: one[:2])
    return file, name


def steered(
    use: AestheticUse,
    model: Model,
    texts: Sequence[str],
    negative: Sequence[bool],
    made: Sequence[Conditioning],
    encode: Callable[[Model, Sequence[str], Sequence[bool]], Sequence[Conditioning]],
    request: GenerationRequest,
    vectors: Mapping[str, Sequence[Tensor]],
    check: Callable[[], None],
) -> list[Conditioning]:
    """`made` of `texts`, the positive ones mixed with what a moved copy of the text encoder makes of them.

    `encode(model, texts, negative)` is how `made` was made. The loaded encoder is not touched. Each text has a copy of
    its own, so that others in the prompt never change it. `check` may raise before every step.
    """
    target = read_target(read_header(use.file.path)).to(model.device)
    encoder = model.text_encoders[0]
    projection = None
    if not getattr(encoder.config, "projection", 0):
        projection = read_projection(canonical(read_header(use.projection.path)), use.tensor).to(model.device)
    chunks = {text: _chunks(text, request, vectors) for text in texts}
    longest = max(texts, key=lambda text: len(chunks[text]))
    words = _input(_chunks(use.options.text, request, {}, "None")[0], model, {})

    def wanted(moved: nn.Module) -> Tensor:
        if not use.options.text:
            return target
        said = features(moved, projection, words)
        return shifted(target, said, use.options.text_angle, use.options.text_negative)

    def other(text: str) -> Conditioning:
        inputs = [_input(chunk, model, vectors) for chunk in chunks[text]]
        steps, rate = use.options.steps, use.options.learning_rate
        moved = moved_encoder(encoder, projection, inputs, wanted, steps, rate, check)
        return encode(replace(model, text_encoders=(moved,)), [text, longest], [False, False])[0]

    return [
        plain if is_negative else replace(plain, context=_mixed(plain.context, other(text).context, use.options))
        for text, is_negative, plain in zip(texts, negative, made, strict=True)
    ]


def _mixed(plain: Tensor, other: Tensor, options: AestheticGradients) -> Tensor:
    """Contexts [1, T, D] in the type of the first."""
    first, second = plain.float(), other.float()
    if options.slerp:
        return slerp(first, second, options.weight).to(plain)
    return (first * (1 - options.weight) + second * options.weight).to(plain)


def _chunks(
    text: str, request: GenerationRequest, vectors: Mapping[str, Sequence[Tensor]], emphasis: str = ""
) -> list[Chunk]:
    lengths = {name: len(tensors[0]) for name, tensors in vectors.items()}
    return chunk_prompt(text, clip_tokenizer(), emphasis or request.emphasis, request.comma_backtrack, lengths)


def _input(chunk: Chunk, model: Model, vectors: Mapping[str, Sequence[Tensor]]) -> Input:
    import torch

    padding = model.family.text_encoders[0].padding
    tokens = chunk.tokens if padding is None else chunk.padded(padding)
    replacements = [(0, position, vectors[name][0]) for position, name in chunk.embeddings]
    return torch.tensor([tokens], device=model.device), replacements or None


def infotext_hashes(options: AestheticGradients | None, catalogue: Catalogue) -> dict[str, str]:
    """The field that lets a reader find the embedding again whatever it is called."""
    if options is None:
        return {}
    return {HASH: catalogue.sha256(catalogue.find_file(KIND, options.embedding, LABEL))[:HASH_LENGTH]}


def with_present_name(request: GenerationRequest, fields: dict[str, str], catalogue: Catalogue) -> GenerationRequest:
    """A request from an infotext with an embedding that is called otherwise here under its present name."""
    digits = fields.pop(HASH, "")
    if request.aesthetic is None or not digits:
        return request
    for name in (request.aesthetic.embedding, digits):
        try:
            found = catalogue.find_file(KIND, name, LABEL)
        except NotFound:
            continue  # the plan will say so, with close names
        return replace(request, aesthetic=replace(request.aesthetic, embedding=found.stem))
    return request


__all__ = ["AestheticUse", "aesthetic_use", "infotext_hashes", "steered", "with_present_name"]
