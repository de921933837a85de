"""Good files of every kind that attaches to a checkpoint, to be damaged; and what reading one of them means."""

import io

import torch

from tests.adapters.files import lora_tensors
from tests.adapters.hypernetworks import sequential, state
from tests.adapters.pictures import a1111, encoded, in_pixels, in_text
from webui.adapters.aesthetic import read_file, read_target
from webui.adapters.embedding import embedding_header, read_vectors, vector_tensors
from webui.adapters.hypernetwork import read_hypernetwork
from webui.adapters.names import Part, name_table
from webui.adapters.weight_file import fit, read_weight_file
from webui.families.loading import _load_vae
from webui.weights.save import save_safetensors

WIDTH = 64
SHAPES = {  # of the network that LoRAs here are for
    "middle_block.1.transformer_blocks.0.attn2.to_k.weight": (64, 64),
    "middle_block.1.transformer_blocks.0.attn1.to_q.weight": (64, 64),
}
KOHYA = {"lora_unet_middle_block_1_transformer_blocks_0_" + name: (64, 64) for name in ("attn2_to_k", "attn1_to_q")}


def pickled(value, zipped=True):
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def saved(tensors, folder):
    save_safetensors(folder / "made.safetensors", tensors)
    data = (folder / "made.safetensors").read_bytes()
    (folder / "made.safetensors").unlink()
    return data


def loha_tensors():
    generator = torch.Generator().manual_seed(1)
    sizes = {"hada_w1_a": (64, 4), "hada_w1_b": (4, 64), "hada_w2_a": (64, 4), "hada_w2_b": (4, 64)}
    return {f"{n}.{role}": torch.randn(size, generator=generator) for n in KOHYA for role, size in sizes.items()}


def vae_tensors():
    from webui.nn.vae import Autoencoder, AutoencoderConfig

    torch.manual_seed(6)
    return Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1, 1, 1), blocks=1)).state_dict()


def good_files(folder):
    """Bytes by kind; the word after the colon is the file's suffix."""
    torch.manual_seed(3)
    lora, vectors = lora_tensors(KOHYA), torch.randn(3, WIDTH)
    a_pickle = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "x", "step": 3}
    network = {w: tuple(state(sequential(w, norm=True)) for _ in "kv") for w in (WIDTH, 32)}
    network |= {"activation_func": "relu", "is_layer_norm": True, "layer_structure": [1, 2, 1], "step": 4}
    return {
        "LoRA:safetensors": saved(lora, folder),
        "LoRA:pt": pickled(lora),
        "LyCORIS:safetensors": saved(loha_tensors(), folder),
        "embedding:safetensors": saved({"emb_params": vectors}, folder),
        "embedding:pt": pickled(a_pickle),
        "embedding:bin": pickled([{"<x>": vectors}], zipped=False),
        "embedding in text:png": in_text(a1111(vectors)),
        "embedding in pixels:png": encoded(in_pixels(a1111(vectors))),
        "embedding in pixels:webp": encoded(in_pixels(a1111(vectors)), "WEBP", lossless=True, exact=True),
        "hypernetwork:pt": pickled(network),
        "hypernetwork:bin": pickled(network, zipped=False),
        "aesthetic embedding:pt": pickled(torch.randn(1, 48)),
        "VAE:safetensors": saved(vae_tensors(), folder),
        "VAE:ckpt": pickled({"state_dict": vae_tensors()}),
    }


def use(kind, path, facts):
    """Read a file as far as a job would; returns its numbers."""
    kind = kind.partition(":")[0].partition(" in ")[0]
    if kind in ("LoRA", "LyCORIS"):
        file = fit(read_weight_file(path, path.stem), name_table([Part(0, "unet", SHAPES)]), "narrow")
        totals = {}
        with torch.no_grad():
            for name, changes in file.changes(0, 1.0).items():
                base = totals[name] = torch.zeros(SHAPES[name])
                for change in changes:
                    change(base, torch.zeros(SHAPES[name]))
        return totals
    if kind == "embedding":
        header = embedding_header(path)
        return dict(enumerate(read_vectors(header, vector_tensors(header, 1, WIDTH))))
    if kind == "hypernetwork":
        network = read_hypernetwork(path)
        network.check({32}, WIDTH)
        x = torch.ones(1, 2, WIDTH)
        hooks = network.hooks(1.0, torch.device("cpu"), torch.float32)
        return dict(enumerate(hooks.run_sources(None, x, x)))
    if kind == "aesthetic embedding":
        return {0: read_target(read_file(path))}
    vae, _ = _load_vae(facts, None, path, lambda tensor: tensor.clone(), torch.float32)
    return dict(vae.state_dict())
