"""Diffusers folders: components in subfolders, each with a config and one or several weight files.

Nothing of the folder is imported or passed to a library: of each JSON file only the keys in `ALLOWED` are read, with
their types checked. A folder that brings code, or names a class of its own, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from webui.errors import DamagedFile, UnsafeFile
from webui.weights.tensors import Header, Place, TensorInfo

MAXIMUM_JSON = 16 << 20
COMPONENTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion", "onnxruntime", "flax", "optimum", None})
Numbers = (int, float, list)
ALLOWED: dict[str, Any] = {
    "_class_name": str,
    "act_fn": str,
    "architectures": list,
    "attention_head_dim": (int, list),
    "beta_end": (int, float),
    "beta_schedule": str,
    "beta_start": (int, float),
    "cross_attention_dim": (int, list),
    "force_zeros_for_empty_prompt": bool,
    "hidden_act": str,
    "hidden_size": int,
    "in_channels": int,
    "latent_channels": int,
    "latents_mean": Numbers,
    "latents_std": Numbers,
    "num_attention_heads": (int, list),
    "num_hidden_layers": int,
    "num_train_timesteps": int,
    "prediction_type": str,
    "projection_dim": int,
    "rescale_betas_zero_snr": bool,
    "sample_size": (int, list),
    "scaling_factor": (int, float),
    "shift_factor": (int, float),
    "sigma_data": (int, float),
    "sigma_max": (int, float),
    "sigma_min": (int, float),
    "timestep_spacing": str,
    "use_linear_projection": bool,
}
CODE_KEYS = ("auto_map", "custom_pipeline", "_attn_implementation_internal", "custom_pipelines")
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)")
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
VARIANTS = ("", ".fp16", ".bf16", ".non_ema")


def read_folder(path: Path, read_file: Callable[[Path], Header]) -> Header:
    """Header of a diffusers folder: tensors named "component/name", configs as JSON text in the metadata under
    "component/config". Raises UnsafeFile, DamagedFile."""
    index = path / "model_index.json"
    if not index.is_file():
        raise DamagedFile(f"The folder {path.name} has no model_index.json.", "A diffusers folder was wanted.")
    _refuse_code(path)
    components = _components(path, _read_json(index))
    tensors: dict[str, TensorInfo] = {}
    places: dict[str, Place] = {}
    metadata: dict[str, str] = {}
    for component in components:
        folder = path / component
        if not folder.is_dir():
            raise DamagedFile(
                f"{path.name} has no folder {component}.", "model_index.json names it.", "Fetch it again."
            )
        if (folder / "config.json").is_file():
            metadata[f"{component}/config"] = json.dumps(_allowed(folder / "config.json"))
        for name, info, place in _weights(folder, read_file):
            tensors[f"{component}/{name}"] = info
            places[f"{component}/{name}"] = place
    scheduler = path / "scheduler" / "scheduler_config.json"
    if scheduler.is_file():
        metadata["scheduler/config"] = json.dumps(_allowed(scheduler))
    metadata["class"] = str(_read_json(index).get("_class_name", ""))
    return Header(path, "diffusers", tensors, metadata, places)


def _refuse_code(path: Path) -> None:
    for file in path.rglob("*"):
        if file.suffix.lower() in (".py", ".pyc", ".so", ".pyd", ".dll"):
            raise UnsafeFile(f"The folder {path.name} brings code: {file.name}.", "Weights and settings only are read.")


def _components(path: Path, index: dict[str, Any]) -> list[str]:
    """Components with weights that the index names."""
    if not isinstance(index.get("_class_name", ""), str):
        raise UnsafeFile(
            f"model_index.json of {path.name} names a pipeline of its own.", "A class of diffusers is read."
        )
    found = []
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list):
            continue
        if len(entry) != 2 or not all(part is None or isinstance(part, str) for part in entry):
            raise UnsafeFile(f"model_index.json of {path.name} has an odd entry for {name!r:.40}.")
        if entry[0] not in LIBRARIES:
            raise UnsafeFile(
                f"{name!r:.40} of {path.name} comes from {entry[0]!r:.60}.", "Known libraries only are read."
            )
        if name in COMPONENTS and entry[1] is not None:
            found.append(name)
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAXIMUM_JSON:
        raise UnsafeFile(f"{path.parent.name}/{path.name} has over {MAXIMUM_JSON} bytes.")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path.parent.name}/{path.name} is not valid JSON ({str(error)[:80]}).") from None
    if not isinstance(data, dict):
        raise DamagedFile(f"{path.parent.name}/{path.name} is not a JSON object.")
    return data


def _allowed(path: Path) -> dict[str, Any]:
    """The known settings of a config, types checked."""
    data = _read_json(path)
    for key in CODE_KEYS:
        if data.get(key):
            raise UnsafeFile(f"{path.parent.name}/{path.name} wants to run code ({key}).", "Settings only are read.")
    result = {}
    for key, kind in ALLOWED.items():
        value = data.get(key)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, list) and not all(_plain(v) for v in value)):
            raise DamagedFile(f"{path.parent.name}/{path.name}: {key} is {value!r:.60}.", "Another type was wanted.")
        result[key] = value
    return result


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _weights(folder: Path, read_file: Callable[[Path], Header]) -> list[tuple[str, TensorInfo, Place]]:
    """Tensors of one component, out of its one file or all its shards."""
    names = {entry.name for entry in folder.iterdir()}
    for ending in (".safetensors", ".bin"):
        for stem in STEMS:
            for variant in VARIANTS:
                single = f"{stem}{variant}{ending}"
                if single in names:
                    return _entries([folder / single], read_file)
                index = f"{stem}{ending}.index{variant}.json"
                if index in names:
                    return _indexed(folder, _read_json(folder / index), read_file)
    shards = sorted(name for name in names if SHARD.fullmatch(name))
    if not shards:
        raise DamagedFile(
            f"The folder {folder.name} of {folder.parent.name} has no weight file.", "", "Fetch it again."
        )
    match = SHARD.fullmatch(shards[0])
    assert match is not None
    wanted = [f"{match[1]}-{number:05d}-of-{match[3]}{match[4]}" for number in range(1, int(match[3]) + 1)]
    return _entries([_shard(folder, name) for name in wanted], read_file)


def _shard(folder: Path, name: str) -> Path:
    if not SHARD.fullmatch(name) or "/" in name or "\\" in name:
        raise UnsafeFile(f"The index in {folder.name} names {name!r:.100}.", "Shards lie beside their index.")
    if not (folder / name).is_file():
        raise DamagedFile(
            f"{folder.parent.name}/{folder.name} lacks the shard {name}.", "", "The download is incomplete."
        )
    return folder / name


def _indexed(
    folder: Path, index: dict[str, Any], read_file: Callable[[Path], Header]
) -> list[tuple[str, TensorInfo, Place]]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise DamagedFile(f"The index in {folder.parent.name}/{folder.name} has no weight_map.")
    entries = _entries([_shard(folder, name) for name in sorted(set(weight_map.values()))], read_file)
    missing = set(weight_map) - {name for name, _, _ in entries}
    if missing:
        raise DamagedFile(
            f"The shards in {folder.parent.name}/{folder.name} lack {min(missing)!r:.100}.", "", "Fetch them again."
        )
    return entries


def _entries(files: list[Path], read_file: Callable[[Path], Header]) -> list[tuple[str, TensorInfo, Place]]:
    result: dict[str, tuple[str, TensorInfo, Place]] = {}
    for file in files:
        header = read_file(file)
        for name, info in header.tensors.items():
            if name in result:
                raise DamagedFile(f"{name!r:.100} occurs in two shards of {file.parent.name}.")
            result[name] = (name, info, header.places[name])
    return list(result.values())
