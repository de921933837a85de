"""/sd_extra_networks and what SD.Next's clients ask: forms, and that no name leads out of the model folders."""

from __future__ import annotations

import base64
import json

import pytest

from tests.adapters.files import write_lora
from tests.api.pictures import picture

CANARY = "the-canary-sings"


@pytest.fixture(scope="module", autouse=True)
def files(house):
    """A LoRA with a preview and a cover image, and a secret outside of the model folders."""
    loras = house.paths.models / "loras"
    metadata = {"ss_output_name": "film-v1", "ssmd_cover_images": json.dumps([picture()])}
    write_lora(loras / "film.v1.safetensors", metadata)
    (loras / "film.v1.preview.png").write_bytes(base64.b64decode(picture()))
    write_lora(loras / "<img src=x onerror=alert(1)>.safetensors", {})
    (house.paths.models.parent / "secret.png").write_text(CANARY)
    (house.paths.models.parent / "secret.safetensors").write_text(CANARY)
    (loras / "link.preview.png").symlink_to(house.paths.models.parent / "secret.png")
    house.catalogue.refresh()
    house.catalogue.library.read_pending()
    return loras


def test_a_thumbnail_is_found_by_the_path_of_the_model_or_of_its_preview(client, files):
    for name in ("film.v1.safetensors", "film.v1.preview.png"):
        answer = client.get("/sd_extra_networks/thumb", params={"filename": str(files / name)})
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
        assert answer.content[8:12] == b"WEBP" and answer.headers["x-content-type-options"] == "nosniff"


def test_a_card_leads_to_its_thumbnail_and_holds_no_markup_of_a_file(client):
    card = client.get("/sd_extra_networks/get-single-card?page=Lora&tabname=txt2img&name=film.v1").json()["html"]
    address = card.split('src="./')[1].split('"')[0]
    assert client.get(f"/{address}").status_code == 200 and "&lt;lora:film.v1:" in card
    name = "<img src=x onerror=alert(1)>"
    card = client.get("/sd_extra_networks/get-single-card", params={"page": "lora", "name": name}).json()["html"]
    assert "&lt;img src=x" in card and "<img src=x" not in card


def test_metadata_is_json_within_json_without_the_pictures(client):
    answer = client.get("/sd_extra_networks/metadata?page=lora&item=film.v1").json()
    assert json.loads(answer["metadata"]) == {"ss_output_name": "film-v1"}
    assert client.get("/sd_extra_networks/metadata?page=lora&item=nobody").json() == {}
    assert client.get("/sd_extra_networks/metadata?page=nothing&item=film.v1").json() == {}


def test_cover_images_come_from_the_metadata(client):
    answer = client.get("/sd_extra_networks/cover-images?page=lora&item=film.v1&index=0")
    assert answer.content == base64.b64decode(picture()) and answer.headers["content-type"] == "image/png"
    for index in (1, -1, 64, 10**9):
        address = f"/sd_extra_networks/cover-images?page=lora&item=film.v1&index={index}"
        assert client.get(address).status_code == 404


def ways_out(folder) -> list[str]:
    """Names that would lead to the secret, were they opened."""
    here, secret = str(folder), str(folder.parent.parent / "secret.png")
    ways = [secret, f"{here}/../../secret.png", f"{here}/film.v1.safetensors/../../../secret.png", "../../secret.png"]
    ways += [f"{here}/..%2f..%2fsecret.png", f"{here}/..\\..\\secret.png", f"{here}/....//....//secret.png"]
    ways += [f"file://{secret}", f"{secret}\0.png", f"{here}/link.preview.png", "/etc/passwd", "C:\\Windows\\win.ini"]
    ways += ["//server/share/secret.png", "CON", ".", "", "/", "~", "%2e%2e%2fsecret.png", secret.upper(), f"{secret}."]
    ways += ["\ud800", "x" * 100_000, "." * 5000, "' OR 1=1 --", "%", "_" * 24, str(folder.parent / "checkpoints")]
    ways += [f"/proc/self/root{secret}", f"{here}//film.v1.safetensors/", f"{secret}#.png", f"{secret}?x=.png"]
    return ways


def test_no_name_leads_out_of_the_library(client, files):
    for way in ways_out(files):
        asked = {"filename": way}, {"page": "lora", "item": way}, {"page": way, "item": "film.v1"}
        asked += ({"page": "lora", "name": way, "tabname": way},)
        for route in ("thumb", "cover-images", "metadata", "get-single-card"):
            for params in asked:
                query = {name: value.encode("utf-8", "surrogatepass") for name, value in params.items()}
                if len(way) > 50_000:
                    query = {name: value[:30_000] for name, value in query.items()}
                answer = client.get(f"/sd_extra_networks/{route}", params=query)
                assert CANARY not in answer.text and answer.status_code < 500, (route, way)
                assert "root:" not in answer.text


def test_sdnexts_routes_tell_version_status_options_and_ones_own_jobs(house, client):
    assert client.get("/sdapi/v1/version").json()["app"] == "Emulsion"
    status = client.get("/sdapi/v1/status").json()
    assert status["status"] == "idle" and status["queued"] == 0
    info = client.get("/sdapi/v1/options-info").json()
    assert info["options"]["sd_model_checkpoint"]["type"] == "str" and "limits" in info["sections"]
    body = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1, "prompt": "a secret"}
    client.post("/sdapi/v1/txt2img", json=body)
    text = client.get("/sdapi/v1/history").text
    (job, *_) = json.loads(text)
    assert job["state"] == "done" and job["job"] == "txt2img" and len(job["outputs"]) == 1 and job["duration"] > 0
    assert "secret" not in text and str(house.paths.outputs) not in text
