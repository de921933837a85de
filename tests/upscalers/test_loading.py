"""Model files through our readers and spandrel's networks."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.upscalers.networks import network
from webui.errors import DamagedFile, FileError, UnknownModel, UnsafeFile
from webui.upscalers.loading import import_spandrel, load_upscaler
from webui.weights.save import save_safetensors


def saved(path, module, wrapper=None):
    tensors = dict(module.state_dict())
    if path.suffix == ".safetensors":
        save_safetensors(path, {name: t.contiguous() for name, t in tensors.items()})
    else:
        torch.save({wrapper: tensors} if wrapper else tensors, path)
    return path


@pytest.mark.parametrize("kind", ["Compact", "ESRGAN", "SPAN", "PLKSR"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_gives_what_its_network_gives(tmp_path, kind, suffix):
    module = network(kind)
    model = load_upscaler(saved(tmp_path / f"small{suffix}", module), "cpu")
    x = torch.rand(1, 3, 20, 24)
    with torch.inference_mode():
        wanted = module(x).clamp(0, 1)
    assert (model.scale, wanted.shape[2:]) == (2, (40, 48))
    assert torch.allclose(model(x), wanted, atol=1e-6)


@pytest.mark.parametrize("wrapper", ["params_ema", "params-ema", "params", "state_dict", "net"])
def test_tensors_are_found_inside_of_wrappers(tmp_path, wrapper):
    assert load_upscaler(saved(tmp_path / "small.pth", network("Compact"), wrapper), "cpu").scale == 2


def test_averaged_weights_are_preferred(tmp_path):
    plain, averaged = network("Compact"), network("Compact")
    torch.nn.init.zeros_(averaged.body[-1].weight)
    torch.save({"params": plain.state_dict(), "params-ema": averaged.state_dict()}, tmp_path / "both.pth")
    loaded = load_upscaler(tmp_path / "both.pth", "cpu").descriptor.model
    assert float(loaded.body[-1].weight.detach().abs().sum()) == 0


def test_half_precision_files_are_read_as_float32_on_a_cpu(tmp_path):
    model = load_upscaler(saved(tmp_path / "half.safetensors", network("Compact").half()), "cpu")
    assert model.descriptor.dtype == torch.float32


def test_the_last_network_stays_loaded_until_its_file_changes(tmp_path):
    path = saved(tmp_path / "small.pth", network("Compact"))
    first = load_upscaler(path, "cpu")
    assert load_upscaler(path, "cpu") is first
    saved(path, network("Compact", scale=4))
    assert load_upscaler(path, "cpu").scale == 4


def test_a_file_that_is_no_upscaler_is_refused_in_words(tmp_path):
    save_safetensors(tmp_path / "lora.safetensors", {"lora_unet.alpha": torch.ones(1)})
    with pytest.raises(UnknownModel, match=r"lora\.safetensors is no upscaler"):
        load_upscaler(tmp_path / "lora.safetensors", "cpu")


def test_a_file_whose_tensors_do_not_fit_together_is_refused_in_words(tmp_path):
    tensors = {name: t.contiguous() for name, t in network("Compact").state_dict().items()}
    tensors["body.2.weight"] = torch.zeros(8, 9, 3, 3)
    save_safetensors(tmp_path / "odd.safetensors", tensors)
    with pytest.raises(UnknownModel, match=r"odd\.safetensors is no upscaler.*size mismatch|RuntimeError"):
        load_upscaler(tmp_path / "odd.safetensors", "cpu")


def test_weights_that_give_no_numbers_are_told_and_make_no_black_picture(tmp_path):
    tensors = {name: torch.full_like(tensor, float("nan")) for name, tensor in network("Compact").state_dict().items()}
    torch.save(tensors, tmp_path / "nan.pth")
    with pytest.raises(DamagedFile, match="nan makes pictures of no numbers"):
        load_upscaler(tmp_path / "nan.pth", "cpu")(torch.rand(1, 3, 8, 8))


def test_a_pickle_that_wants_more_than_tensors_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"params": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(UnsafeFile):
        load_upscaler(tmp_path / "bomb.pth", "cpu")


@pytest.mark.parametrize("data", [b"", b"nothing", b"PK\x03\x04" + b"\0" * 40])
def test_damaged_files_are_refused_in_words(tmp_path, data):
    (tmp_path / "broken.pth").write_bytes(data)
    with pytest.raises(FileError):
        load_upscaler(tmp_path / "broken.pth", "cpu")


def test_spandrel_is_imported_without_torchvision_and_leaves_nothing_behind():
    code = (
        "import sys; from webui.upscalers.loading import import_spandrel\n"
        "assert len(import_spandrel().MAIN_REGISTRY) >= 42\n"
        "assert not [name for name in sys.modules if name.startswith('torchvision')]\n"
        "import transformers; assert not transformers.utils.is_torchvision_available()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert import_spandrel() is import_spandrel()
