"""What people type: addresses, ids of a hub; and the tokens that go with them."""

from __future__ import annotations

import json

import pytest

from tests.library.file_server import FileServer, send
from webui.errors import DownloadFailed, InvalidRequest, NotFound
from webui.library.download import read_wish


def test_a_hub_id_with_a_file_is_an_address_of_the_endpoint(fetch, server, lora):
    server.serve("/ann/film/resolve/v1/sub/film.safetensors", lora)
    found = fetch("ann/film/sub/film.safetensors@v1")
    assert found.path.name == "film.safetensors"
    server.serve("/ann/film/resolve/main/a.safetensors", lora)
    assert fetch(f"{server.url}/ann/film/blob/main/a.safetensors").path.name == "a.safetensors"


def test_a_hub_id_alone_means_its_only_model_file(fetch, server, lora):
    names = ["README.md", "film.safetensors", "film.ckpt", "vae/x.safetensors"]
    listing = json.dumps({"siblings": [{"rfilename": name} for name in names]}).encode()
    server.answers["/api/models/ann/film/revision/main"] = lambda handler: send(handler, listing)
    server.serve("/ann/film/resolve/main/film.safetensors", lora)
    assert fetch("ann/film").path.name == "film.safetensors"


def test_a_hub_id_with_several_files_names_them(fetch, server):
    listing = json.dumps({"siblings": [{"rfilename": f"{n}.safetensors"} for n in "ab"]}).encode()
    server.answers["/api/models/ann/film/revision/main"] = lambda handler: send(handler, listing)
    with pytest.raises(InvalidRequest, match=r"a\.safetensors, b\.safetensors"):
        fetch("ann/film")
    server.answers["/api/models/ann/film/revision/main"] = lambda handler: send(handler, b"[]")
    with pytest.raises(DownloadFailed, match="hub"):
        fetch("ann/film")
    with pytest.raises(NotFound):
        fetch("ann/nothing")


@pytest.mark.parametrize(
    "typed", ["", "film", "../x/y", "a/b/../../c", "file:///etc/passwd", "ftp://a/b", "http://", "a b/c"]
)
def test_what_is_no_address_is_refused(fetch, typed):
    with pytest.raises(InvalidRequest):
        fetch(typed)


@pytest.mark.parametrize(("kind", "sha256"), [("picture", ""), ("lora", "123"), ("../x", "")])
def test_a_wish_with_an_unknown_kind_or_hash_is_refused(kind, sha256):
    with pytest.raises(InvalidRequest):
        read_wish("a/b", kind, sha256)


def test_a_token_goes_to_its_own_host_only(fetch, server, lora):
    other = FileServer()
    other.url = other.url.replace("127.0.0.1", "localhost")
    other.serve("/film.safetensors", lora)
    fetch.paths.data.mkdir()
    (fetch.paths.data / "tokens.json").write_text(json.dumps({"127.0.0.1": "secret"}))
    server.redirect("/film.safetensors", f"{other.url}/film.safetensors")
    fetch("/film.safetensors")
    assert server.asked[0][1]["authorization"] == "Bearer secret"
    assert "authorization" not in other.asked[0][1]
    other.close()


def test_hub_and_civitai_tokens_come_from_the_environment(server, tmp_path, monkeypatch):
    from webui.library.sources import token_for

    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("CIVITAI_API_TOKEN", "civ")
    assert token_for("huggingface.co", server.url, tmp_path) == "hf_x"
    assert token_for("civitai.com", server.url, tmp_path) == "civ"
    assert token_for("example.org", server.url, tmp_path) is None
