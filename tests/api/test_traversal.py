"""Names that lead out of their folder, in every place of every route that takes a name or a path (R6).

Outside of the server's folders lies a secret, and links inside of them lead to it. No answer may hold it, the server
may not even open it, and nothing may be made outside. The asking client does not sit at the machine: who does may name
folders of it, that is what some scripts are for.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.api.access_table import EXPECTED
from tests.api.pictures import picture
from tests.api.started import HOOK, ROOT, complaints, server

SECRET = "the-canary-sings"
ALIGNED = [base64.b64encode(b" " * shift + SECRET.encode())[4:16] for shift in range(3)]  # the middle of it in base64
LOOK = """
import os
WATCHED = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename")
def see(event, arguments, outside=os.path.join(os.path.dirname(os.path.realpath(sys.argv[1])), "outside")):
    if event in WATCHED and isinstance(arguments[0], str):
        if arguments[0].startswith(outside):
            sys.stderr.write(f"OPENED {event} {arguments[0]!r}\\n")
sys.addaudithook(see)
open(os.path.join(os.path.dirname(os.path.realpath(sys.argv[1])), "outside", "witness")).close()  # that it is seen
"""
X = "\0name\0"  # where a name goes in the requests below


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traversal") / "outside"
    folder.mkdir()
    for name in (
        "witness",
        "secret",
        "secret.txt",
        "secret.json",
        "secret.yaml",
        "secret.safetensors",
        "secret.pt",
        "secret.css",
    ):
        (folder / name).write_text(SECRET)
    text = PngInfo()
    text.add_text("parameters", f"{SECRET}\nSteps: 1, Sampler: Euler, Seed: 1, Size: 8x8")
    Image.new("RGB", (8, 8)).save(folder / "secret.png", pnginfo=text)
    return folder


@pytest.fixture(scope="module")
def started(outside):
    house = outside.parent / "house"
    pictures, models = house / "outputs" / "txt2img", house / "models" / "checkpoints"
    for folder in (pictures, models, house / "models" / "loras"):
        folder.mkdir(parents=True)
    (models / "first.safetensors").write_bytes(b"first")
    (pictures / "link.png").symlink_to(outside / "secret.png")
    (pictures / "linked").symlink_to(outside)
    (house / "data").mkdir()
    (house / "data" / "linked").symlink_to(outside)
    before = sorted(outside.parent.rglob("*")), everything(outside)
    with server(house, "offline=True", HOOK + LOOK, engine="tests.api.quick_engine:engine") as running:
        yield running
    assert everything(outside) == before[1]
    assert sorted(path.name for path in outside.parent.iterdir()) == ["house", "outside"]
    for place in (ROOT, ROOT.parent, Path.home(), Path.cwd(), Path("/"), outside.parent.parent):
        assert not list(place.glob("*canary*")), place


def everything(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(outside: Path) -> list[str]:
    """What an attacker puts where a name is wanted: more than sixty forms."""
    plain = f"{outside}/secret.txt"
    up = [
        f"{'../' * steps}outside/secret{end}"
        for steps, end in ((1, ".txt"), (2, ".png"), (3, ".safetensors"), (4, ""), (9, ".txt"))
    ]
    ways = ["..\\", "%2e%2e%2f", "%2e%2e/", "..%2f", "..%5c", "%252e%252e%252f", "..%255c", "%c0%ae%c0%ae/", "..%c0%af"]
    ways += [
        "....//",
        "..././",
        "..;/",
        "..//",
        "\uff0e\uff0e/",
        "..\\/",
        "..\u2215",
        ".%00./",
        "/../",
        "./../",
        "x/../../",
    ]
    up += [f"{way * 4}outside/secret.txt" for way in ways]
    absolute = [
        plain,
        f"/{plain}",
        f"/.{plain}",
        f"file://{plain}",
        f"/proc/self/root{plain}",
        f"{plain}\0.png",
        f"{plain}%00.png",
    ]
    absolute += [
        f"{plain}.",
        f"{plain} ",
        f"{plain}/",
        f"{plain}/.",
        f"{plain}::$DATA",
        f"{plain}?x=.png",
        f"{plain}#.png",
    ]
    absolute += [
        plain.replace("/", "\\"),
        plain.upper(),
        quote(plain, safe=""),
        f"{outside}/secret.png",
        f"{outside}/secret",
    ]
    absolute += [
        f"{outside}/secret.safetensors",
        f"{outside}/",
        str(outside),
        "/etc/passwd",
        "~/canary",
        "~root/x",
        "$HOME/canary",
    ]
    windows = ["C:\\Windows\\win.ini", "C:/Windows/win.ini", "\\\\?\\C:\\x", "\\\\server\\share\\x", "//server/share/x"]
    windows += ["CON", "NUL.png", "aux.safetensors", "COM1", "con:x", "%USERPROFILE%\\canary", "a:b"]
    links = [
        "link.png",
        "txt2img/link.png",
        "linked/secret.txt",
        "txt2img/linked/secret.png",
        "linked",
        "LINKED/SECRET.TXT",
    ]
    long = ["a" * 5000, "../" * 1500 + "etc/passwd", "a/" * 1500, ".", "..", "/", "\0", "../canary", "../../canary.png"]
    return [*up, *absolute, *windows, *links, *long]


# Where names go ------------------------------------------------------------------------------------------------


PICTURE = picture(8, 8)
PASS = {"steps": 1, "width": 64, "height": 64}
TEXT = {"steps": 1, "send_images": True}
BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(
        ("POST", "/sdapi/v1/txt2img", {**TEXT, "override_settings": {name: X}})
        for name in ("sd_model_checkpoint", "sd_vae")
    ),
    *(
        ("POST", "/sdapi/v1/txt2img", {**TEXT, name: X})
        for name in ("refiner_checkpoint", "script_name", "infotext", "prompt")
    ),
    *(
        ("POST", "/sdapi/v1/txt2img", {**TEXT, "prompt": text})
        for text in (f"<lora:{X}:1>", f"<hypernet:{X}:1>", f"__{X}__")
    ),
    ("POST", "/sdapi/v1/txt2img", {**TEXT, "styles": [X]}),
    ("POST", "/sdapi/v1/txt2img", {**TEXT, "infotext": f'x\nSteps: 1, Model: {X}, VAE: {X}, Lora hashes: "{X}: 1"'}),
    (
        "POST",
        "/sdapi/v1/txt2img",
        {**TEXT, "alwayson_scripts": {"Aesthetic embeddings": {"args": [0.9, 5, 0.1, False, X]}}},
    ),
    ("POST", "/sdapi/v1/txt2img", {**TEXT, "enable_hr": True, "firstpass_image": X}),
    ("POST", "/sdapi/v1/txt2img", {**TEXT, "enable_hr": True, "hr_upscaler": X, "hr_checkpoint_name": X}),
    ("POST", "/sdapi/v1/img2img", {**TEXT, "init_images": [X]}),
    ("POST", "/sdapi/v1/img2img", {**TEXT, "init_images": [PICTURE], "mask": X}),
    (
        "POST",
        "/sdapi/v1/img2img",
        {**TEXT, "init_images": [PICTURE], "script_name": "Batch from a folder", "script_args": [X, X]},
    ),
    ("POST", "/sdapi/v1/extra-single-image", {"image": X, "upscaler_1": "None"}),
    ("POST", "/sdapi/v1/extra-single-image", {"image": PICTURE, "upscaler_1": X}),
    ("POST", "/sdapi/v1/extra-batch-images", {"imageList": [{"data": PICTURE, "name": X}]}),
    ("POST", "/sdapi/v1/extra-batch-images", {"imageList": [{"data": X, "name": "a"}]}),
    ("POST", "/sdapi/v1/interrogate", {"image": X, "model": "clip"}),
    ("POST", "/sdapi/v1/interrogate", {"image": PICTURE, "model": X}),
    ("POST", "/sdapi/v1/png-info", {"image": X}),
    ("POST", "/sdapi/v1/options", {"sd_model_checkpoint": X}),
    ("POST", "/sdapi/v1/options", {"sd_vae": X}),
    ("POST", "/internal/progress", {"id_task": X}),
    ("POST", "/controlnet/detect", {"controlnet_module": X, "controlnet_input_images": [X]}),
    ("POST", "/v1/images/generations", {"prompt": "x", "model": X}),
    ("POST", "/v1/images/generations", {"prompt": "x", "style": X, "vae": X}),
    ("POST", "/api/v1/jobs", {"request": {"prompt": "x", "checkpoint": X, "vae": X, "passes": [PASS]}}),
    (
        "POST",
        "/api/v1/jobs",
        {"request": {"prompt": "x", "passes": [{**PASS, "source": "image", "image": X, "mask": X}]}},
    ),
    ("POST", "/api/v1/jobs", {"request": {"prompt": "x", "passes": [PASS]}, "settings": {"folder_txt2img": X}}),
    *(("POST", f"{place}/tasks/extras", {"images": [X], "names": [X]}) for place in ("/ui", "/api/v1")),
    *(("POST", f"{place}/tasks/extras", {"folder": X}) for place in ("/ui", "/api/v1")),
    *(
        ("POST", f"{place}/tasks/extras", {"images": [PICTURE], "options": {"upscaler": X}})
        for place in ("/ui", "/api/v1")
    ),
    *(("POST", f"{place}/tasks/caption", {"images": [X], "captioner": X}) for place in ("/ui", "/api/v1")),
    *(
        (
            "POST",
            f"{place}/tasks/script",
            {"script": "Batch from a folder", "arguments": {name: X}, "request": {"prompt": "x"}},
        )
        for place in ("/ui", "/api/v1")
        for name in ("folder", "masks", "infotext_folder")
    ),
    ("POST", "/ui/tasks/script", {"script": "Batch from files", "arguments": {"files": X}, "request": {"prompt": "x"}}),
    ("POST", "/ui/scripts/Batch from files/cost", {"arguments": {"files": X}, "fields": {"mode": "img2img"}}),
    ("POST", "/ui/scripts/Batch from a folder/cost", {"arguments": {"folder": X}, "fields": {"mode": "img2img"}}),
    ("POST", "/ui/merge", {"models": [X, X], "name": "m"}),
    ("POST", "/ui/merge", {"models": ["first", "first"], "name": X, "vae": X, "loras": [{"name": X}]}),
    ("POST", "/ui/downloads", {"source": X}),
    ("POST", "/ui/downloads", {"source": "https://127.0.0.1:1/x", "kind": X}),
    ("POST", "/ui/tokens", {"texts": [X, f"<lora:{X}:1>"], "checkpoint": X}),
    ("POST", "/ui/library/recipes", {"loras": [X], "checkpoint": X}),
    ("PUT", "/ui/library/checkpoints/0/preview", {"job": X, "index": 0}),
    ("POST", "/ui/history/zip", {"ids": [X]}),
    ("POST", "/ui/history/trash", {"ids": [X]}),
    ("POST", "/ui/history/restore", {"trash": X}),
    ("POST", "/ui/styles/apply", {"prompt": "x", "negative_prompt": "", "styles": [X]}),
    ("PUT", "/ui/styles", {"name": X, "prompt": "x", "negative_prompt": "", "was": X}),
    ("PUT", "/ui/presets", {"name": X, "values": {"checkpoint": X, "vae": X, "source_image": X}}),
    ("PUT", "/ui/presets/start", {"name": X}),
    ("PUT", "/ui/vae", {"checkpoint": X, "vae": X}),
    ("PUT", "/ui/vae", {"checkpoint": "first", "vae": X}),
    ("PUT", "/ui/options", {"model_folders": {"loras": X}}),
    *(
        ("PUT", "/ui/options", {name: X})
        for name in ("folder_txt2img", "folder_pattern", "folder_extras", "name_pattern", "checkpoint")
    ),
)
QUESTIONS = (
    *("/sd_extra_networks/thumb?filename=", "/ui/vae?checkpoint=", "/ui/history?folder=", "/ui/history?start="),
    *(f"/sd_extra_networks/{name}?page=checkpoints&item=" for name in ("cover-images", "metadata")),
    *("/sd_extra_networks/get-single-card?page=lora&name=", "/sd_extra_networks/metadata?item=x&page="),
    *("/ui/library/checkpoints?folder=", "/ui/library/checkpoints?checkpoint=", "/ui/library/checkpoints?sort="),
    *(
        "/ui/scripts?language=",
        "/ui/options?language=",
        "/?lang=",
        "/login?next=",
        "/gradio_api/deep_link?session_hash=",
    ),
    *("/?deep_link=", "/api/v1/jobs/x/events?previews="),  # Gradio's upload_progress waits seconds for each, in a table
)
FILES = (
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/file=",
    "/static/",
    "/assets/",
    "/svelte/",
    "/login/",
    "/docs/",
    "/pwa_icon/",
    "/",
)
OF_GRADIO = ("/static/", "/assets/", "/svelte/", "/gradio_api/")  # 500 for names that are too long for the disk
PARTS = (
    r"\b(name|kind|file_id|picture_id|trash_id|job_id|download_id|model|path|path_or_url|event_id|api_name|index|0)\b"
)


def in_paths() -> Iterator[tuple[str, str]]:
    """Each route with a part that can be chosen, once for each such part."""
    for line in sorted(line.strip() for text in EXPECTED.values() for line in text.strip().splitlines()):
        method, path = line.split()
        if path.startswith("/gradio_api") and method != "GET":
            continue  # those are tried with data, in test_gradio_fuzz.py
        for found in re.finditer(PARTS, path):
            yield method, f"{path[: found.start()]}{X}{path[found.end() :]}"


# Asking --------------------------------------------------------------------------------------------------------


class Attacker:
    """Sends what it is told to, byte by byte, from a browser on another machine."""

    def __init__(self, address: str):
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)
        self.sent = 0

    def ask(self, method: str, path: str, body: Any = None) -> None:
        """Send a request; the answer may not hold the secret nor be a server error."""
        headers = {"x-forwarded-for": "10.0.0.9", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, headers)
        try:
            answer = self.connection.getresponse()
            said, told = answer.read(), (method, path[:300], str(body)[:300], answer.status)
        except http.client.HTTPException as broken:  # Gradio breaks off what it says about an unknown event
            assert path.startswith(OF_GRADIO), (method, path[:300], broken)
            assert SECRET.encode() not in getattr(broken, "partial", b"")
            self.connection.close()
            return
        self.sent += 1
        assert SECRET.encode() not in said and not any(part in said for part in ALIGNED), told
        assert answer.status < 500 or path.startswith(OF_GRADIO), (*told, said[:300])


@pytest.fixture(scope="module")
def attacker(started):
    attacker = Attacker(started.address)
    yield attacker
    attacker.connection.close()
    opened = [line for line in complaints(started.folder).splitlines() if line.startswith("OPENED")]
    assert set(opened) == {f"OPENED open {str(started.folder.parent / 'outside' / 'witness')!r}"}
    records = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", complaints(started.folder))
    assert [
        one for one in records if "Traceback" in one and not re.search("gradio/routes.py|fake_engine.py", one)
    ] == []


def raw(name: str) -> str:
    """A name as it may stand in an address without being encoded."""
    return quote(name, safe="/%.;:=~!$&'()*+,@\\-_<>{}|^`[]?")


def put(template: Any, name: str) -> Any:
    """The request with the name in its places."""
    if isinstance(template, str):
        return template.replace(X, name)
    if isinstance(template, dict):
        return {key: put(value, name) for key, value in template.items()}
    return [put(value, name) for value in template] if isinstance(template, list) else copy.copy(template)


def test_names_in_addresses_lead_nowhere_else(attacker, outside):
    routes = list(in_paths())
    assert len(routes) > 40 and len(names(outside)) > 60
    for method, path in routes:
        for name in names(outside):
            for written in {raw(name), quote(name, safe="")}:
                attacker.ask(method, put(path, written)[:8000], {} if method in ("POST", "PUT") else None)


def test_names_behind_the_addresses_of_files_lead_nowhere_else(attacker, outside):
    for prefix in FILES:
        for name in names(outside):
            for written in {raw(name), quote(name, safe="")}:
                attacker.ask("GET", (prefix + written)[:8000])


def test_names_in_questions_lead_nowhere_else(attacker, outside):
    for path in QUESTIONS:
        for name in names(outside):
            attacker.ask("GET", (path + quote(name, safe=""))[:8000])
    for path in ("/ui/styles?name=", "/ui/presets?name="):
        for name in names(outside):
            attacker.ask("DELETE", path + quote(name, safe="")[:8000])


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_names_in_bodies_lead_nowhere_else(attacker, outside, number):
    method, path, body = BODIES[number]
    for name in names(outside):
        attacker.ask(method, quote(path), put(body, name))


def test_links_in_the_outputs_are_not_followed(attacker, started):
    attacker.ask("POST", "/ui/history/rebuild")
    for question in ("", "?text=canary", "?folder=txt2img", "?folder=txt2img/linked"):
        attacker.ask("GET", f"/ui/history{question}")
    attacker.connection.request("GET", "/ui/history", headers={"x-forwarded-for": "10.0.0.9"})
    for one in json.loads(attacker.connection.getresponse().read())["pictures"]:
        for part in ("", "/file", "/thumbnail"):
            attacker.ask("GET", f"/ui/history/{one['id']}{part}")
