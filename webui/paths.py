"""Where things lie on disk: the program, the user's data, model folders, pictures. Plain data, no file is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webui.logs import LogOptions

PROGRAM = Path(__file__).resolve().parent.parent

# kind of model -> folder names inside a models folder; the first is ours, the others are those of older programs,
# so that `--models-dir` can point at an existing collection.
MODEL_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints", "Stable-diffusion", "diffusers", "Diffusers"),
    "vae": ("vae", "VAE"),
    "preview_decoders": ("preview_decoders", "VAE-approx", "vae_approx"),
    "text_encoders": ("text_encoders", "text_encoder", "clip"),
    "diffusion_models": ("diffusion_models", "unet", "UNET"),
    "loras": ("loras", "Lora", "LyCORIS"),
    "embeddings": ("embeddings",),
    "hypernetworks": ("hypernetworks",),
    "aesthetic_embeddings": ("aesthetic_embeddings",),
    "controlnet": ("controlnet", "ControlNet", "t2i_adapter"),
    "ip_adapters": ("ip_adapters", "ipadapter"),
    "image_encoders": ("image_encoders", "clip_vision"),
    "motion_modules": ("motion_modules", "animatediff_models", "animatediff_motion_lora", "AnimateDiff"),
    "upscalers": (
        *("upscalers", "upscale_models", "ESRGAN", "RealESRGAN", "BSRGAN"),
        *("SwinIR", "DAT", "HAT", "ScuNET"),
    ),
    "captioners": ("captioners",),  # a folder each
}


@dataclass(frozen=True)
class Paths:
    """Folders of one run. `extra` holds the folders given with --ckpt-dir, --lora-dir and the like, by kind."""

    data: Path = PROGRAM / "data"  # settings.json, the queue and the history
    models: Path = PROGRAM / "models"
    outputs: Path = PROGRAM / "outputs"
    extra: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    program: Path = PROGRAM

    @property
    def settings_file(self) -> Path:
        """The settings, as JSON."""
        return self.data / "settings.json"

    @property
    def starter(self) -> Path:
        """The folder of the embedded checkpoint, which is found wherever the other models lie."""
        return self.program / "models" / "starter"

    def folders(self, kind: str) -> tuple[Path, ...]:
        """Existing folders to search for one kind of model, the user's own first, each once.

        Raises KeyError for a kind that is not in MODEL_FOLDERS."""
        wanted = [*self.extra.get(kind, ()), *(self.models / name for name in MODEL_FOLDERS[kind])]
        if kind == "embeddings":  # A1111 keeps them beside its models folder
            wanted.append(self.models.parent / "embeddings")
        if kind == "aesthetic_embeddings":  # and its extension, in a folder of its own
            extension = "stable-diffusion-webui-aesthetic-gradients"
            wanted.append(self.models.parent / "extensions" / extension / "aesthetic_embeddings")
        if kind in ("checkpoints", "preview_decoders"):
            wanted.append(self.starter)
        if kind == "upscalers":  # the embedded ones
            wanted.append(self.program / "models" / "upscalers")
        found: dict[tuple[int, int], Path] = {}  # by device and inode: VAE and vae are one folder on some disks
        for folder in wanted:
            try:
                facts = folder.stat()
            except OSError:
                continue
            if folder.is_dir():
                found.setdefault((facts.st_dev, facts.st_ino or hash(folder)), folder)
        return tuple(found.values())

    def new_folder(self, kind: str) -> Path:
        """Where new files of a kind go: the first folder of the user's that there is, else ours, which is to be made.

        Raises KeyError for a kind that is not in MODEL_FOLDERS."""
        own = [*self.extra.get(kind, ()), *(self.models / name for name in MODEL_FOLDERS[kind])]
        return next((folder for folder in own if folder.is_dir()), self.models / MODEL_FOLDERS[kind][0])


def make_paths(
    data_dir: str | os.PathLike[str] | None = None,
    models_dir: str | os.PathLike[str] | None = None,
    outputs_dir: str | os.PathLike[str] | None = None,
    extra: Mapping[str, tuple[str, ...]] | None = None,
) -> Paths:
    """Paths from what the command line says. A data folder of one's own holds models/ and outputs/ too."""
    data_dir = data_dir or os.environ.get("EMULSION_DATA_DIR") or None
    own = Path(data_dir).expanduser().absolute() if data_dir else None
    base = own or PROGRAM
    return Paths(
        data=own or PROGRAM / "data",
        models=Path(models_dir).expanduser().absolute() if models_dir else base / "models",
        outputs=Path(outputs_dir).expanduser().absolute() if outputs_dir else base / "outputs",
        extra={
            kind: tuple(Path(folder).expanduser().absolute() for folder in folders)
            for kind, folders in (extra or {}).items()
        },
    )


@dataclass(frozen=True)
class StartOptions:
    """What the command line says about one run of the server. Nothing here can be changed from the page."""

    paths: Paths = field(default_factory=Paths)
    host: str = "127.0.0.1"  # "0.0.0.0" with --listen
    port: int | None = None  # None: 7860, or the next free one up to 7869
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()  # user, password: administrators
    api_auth: tuple[tuple[str, str], ...] = ()  # more of them
    insecure_no_login: bool = False  # others may reach the program without a login
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded headers count
    nowebui: bool = False
    autolaunch: bool = False
    allow_hosts: tuple[str, ...] = ()  # further Host names to answer to
    subpath: str = ""
    tls_keyfile: Path | None = None
    tls_certfile: Path | None = None
    theme: str | None = None  # "light", "dark" or None: as in the settings
    language: str | None = None
    checkpoint: str | None = None  # loaded first; None: as in the settings
    vae: str | None = None
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1", "mps"; several with commas between: a worker each
    workers: int | None = None  # None: as many as there are devices named
    precision: str = "auto"  # "auto", "float32", "bfloat16", "float16"
    offline: bool = False
    extensions: bool = True
    api_server_stop: bool = False  # whether /sdapi/v1/server-stop and its kin are there
    mcp: bool = False  # whether /mcp is there
    log: LogOptions = field(default_factory=LogOptions)
    max_connections: int = 512  # that are open at once
    header_timeout: float = 10.0  # seconds within which the headers of a request have to be there
    idle_timeout: float = 30.0  # seconds without a byte of a body that is being sent
