"""LoRAs that PEFT trained on diffusers' networks, attached here, give the weights that PEFT merges there."""

import copy
import json
from types import SimpleNamespace

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from tests.families.tiny import build
from webui import families
from webui.engine.adapters import Adapters, AdapterUse
from webui.engine.catalogue import CheckpointFile
from webui.weights.header import read_header
from webui.weights.save import save_safetensors

UNET_LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "conv1", "time_emb_proj"]
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def trained(module, layers, seed):
    """A LoRA's tensors for a network, and the network with them merged in."""
    torch.manual_seed(seed)
    merged = copy.deepcopy(module)
    config = peft.LoraConfig(r=4, lora_alpha=2, target_modules=layers, init_lora_weights=False)
    model = peft.inject_adapter_in_model(config, copy.deepcopy(module))
    state = {name: tensor.clone() for name, tensor in peft.get_peft_model_state_dict(model).items()}
    for layer in model.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
    whole = {n.replace(".base_layer", ""): t for n, t in model.state_dict().items() if "lora_" not in n}
    merged.load_state_dict(whole)
    return state, merged


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peft") / request.param
    tiny = build(request.param, folder)
    texts = ["text_encoder", "text_encoder_2"][: len(tiny.texts)]
    tensors, said = {}, {}
    for name, module, layers in (
        ("unet", tiny.unet, UNET_LAYERS),
        *((name, module, TEXT_LAYERS) for name, module in zip(texts, tiny.texts, strict=True)),
    ):
        state, merged = trained(module, layers, len(said))
        tensors |= {f"{name}.{key}": tensor for key, tensor in state.items()}
        said |= {f"{name}.lora_alpha": 2, f"{name}.r": 4}
        merged.save_pretrained(folder / name)
    file = folder.parent / "trained.safetensors"
    save_safetensors(file, tensors, {"lora_adapter_metadata": json.dumps(said)})
    return SimpleNamespace(base=tiny.file, merged=folder, lora=file, layers=len(tensors) // 2)


def load(path):
    return families.detect(read_header(path)).load(path, dtype=torch.float32)


def test_the_weights_equal_pefts(case):
    model, merged = load(case.base), load(case.merged)
    adapters = Adapters(model)
    size = case.lora.stat()
    use = AdapterUse("lora", "trained", CheckpointFile("t", case.lora, size.st_size, size.st_mtime_ns), 1.0, 1.0)
    changed = 0
    before = [dict(part.named_parameters()) for part in (model.unet, *model.text_encoders)]
    assert adapters.switch([use]) == []
    parts = (model.unet, *model.text_encoders), (merged.unet, *merged.text_encoders), before
    for ours, theirs, base in zip(*parts, strict=True):
        wanted = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            torch.testing.assert_close(parameter, wanted[name], rtol=1e-5, atol=1e-6)
            changed += parameter is not base[name]
    assert changed > case.layers // 2  # query, key and value share a parameter in some text encoders
