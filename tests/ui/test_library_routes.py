"""The library over HTTP: what the page's scripts ask and change."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.adapters.files import write_lora
from tests.library.conftest import models, paths  # noqa: F401 - fixtures
from tests.library.made import SD1_LAYER, picture, write_key_list
from webui.engine.catalogue import Catalogue
from webui.errors import NotFound
from webui.library.cards import SORTS
from webui.library.index import Library
from webui.ui.library_routes import WHY_NOT, library_routes
from webui.ui.routes import page_routes

PICTURE = picture()


@pytest.fixture
def house(paths, models, tmp_path):  # noqa: F811
    """The routes over a library with two checkpoints, and a service that has finished one job."""
    write_key_list("sd15", models / "checkpoints" / "base.safetensors")
    write_key_list("sdxl-base", models / "checkpoints" / "large.safetensors")
    library = Library(paths)
    library.read_pending()
    (tmp_path / "made.png").write_bytes(PICTURE)

    def job(job_id):
        if job_id != "j1":
            raise NotFound("There is no such job.")
        return SimpleNamespace(results=[SimpleNamespace(path=str(tmp_path / "made.png"))])

    service = SimpleNamespace(catalogue=Catalogue(library, "base"), job=job)
    client = TestClient(Starlette(routes=library_routes(service)))
    return SimpleNamespace(client=client, library=library, models=models, service=service)


def ask(house, address="loras", **parameters):
    return house.client.get(f"/ui/library/{address}", params=parameters)


def by_name(answer):
    return {card["name"]: card for card in answer.json()["cards"]}


def one(house, name="film"):
    card = by_name(ask(house))[name]
    return f"/ui/library/{card['kind']}/{card['id']}"


def test_a_page_of_cards_is_judged_against_the_default_checkpoint_or_a_named_one(house):
    answer = ask(house)
    assert answer.json()["total"] == 3 and answer.json()["base"] == "Stable Diffusion 1"
    assert by_name(answer)["film"]["fits"] and by_name(answer)["film"]["why_not"] is None
    wash = by_name(answer)["wash"]
    assert (wash["fits"], wash["why"]) == (False, "family")
    assert wash["why_not"] == "Made for Stable Diffusion XL; the chosen checkpoint is Stable Diffusion 1."
    assert "Stable Diffusion XL" in by_name(ask(house, language="zh-CN"))["wash"]["why_not"]
    assert by_name(ask(house, language="zh-CN"))["wash"]["why_not"].startswith("适用")
    large = ask(house, checkpoint="large", fitting="1").json()
    assert [card["name"] for card in large["cards"]] == ["wash"] and large["hidden"] == 2
    assert ask(house, checkpoint="nothing of that").json()["base"] is None


def test_every_reason_has_its_sentence():
    assert set(WHY_NOT) == {"family", "width", "problem"}


def test_cards_are_searched_sorted_and_paged(house):
    assert list(by_name(ask(house, text="mine"))) == ["film"]
    assert list(by_name(ask(house, folder="ink"))) == ["Brush", "wash"]
    assert list(by_name(ask(house, sort="rank", descending="1", limit="1"))) == ["wash"]
    assert list(by_name(ask(house, offset="2"))) == ["wash"]
    assert ask(house).json()["folders"] == [{"name": "ink", "count": 2}]
    for sort in SORTS:
        assert ask(house, sort=sort).status_code == 200


@pytest.mark.parametrize(
    ("address", "parameters", "status"),
    [
        ("nonsense", {}, 422),
        ("loras", {"sort": "path; --"}, 422),
        ("loras", {"offset": "-1"}, 422),
        ("loras", {"limit": "many"}, 422),
        ("loras/nothing", {}, 404),
        ("loras/..%2F..%2Fetc%2Fpasswd", {}, 404),
        ("loras/%2Fetc%2Fpasswd/preview", {}, 404),
        ("loras/nothing/preview", {}, 404),
    ],
)
def test_wrong_questions_are_refused_in_words(house, address, parameters, status):
    answer = ask(house, address, **parameters)
    assert answer.status_code == status
    if answer.headers["content-type"] == "application/json":
        assert answer.json()["error"]["found"]


def test_one_file_tells_more_than_its_card(house):
    told = house.client.get(one(house)).json()
    assert told["author"] == "A. Person" and told["licence"] == "CC0" and told["details"]["tags"][0][0] == "film grain"
    assert told["metadata"]["ss_output_name"] == "film-v1" and told["insert"] == "<lora:film:0.7> film grain"


def test_notes_are_changed_and_wrong_ones_refused(house):
    answer = house.client.put(one(house), json={"notes": "new", "favourite": True})
    assert answer.status_code == 200 and answer.json()["notes"] == "new" and answer.json()["favourite"]
    assert list(by_name(ask(house, favourites="1"))) == ["film"]
    assert house.client.put(one(house), json={"id": "x"}).status_code == 422
    assert house.client.put(one(house), content=b"[").status_code == 422
    assert house.client.put(one(house), content=b" " * (2 << 20)).status_code == 422


def test_a_finished_picture_becomes_the_preview(house):
    assert by_name(ask(house))["film"]["preview"] is None
    answer = house.client.put(f"{one(house)}/preview", json={"job": "j1", "index": 0})
    address = answer.json()["preview"]
    shown = house.client.get(address)
    assert shown.headers["content-type"] == "image/webp" and "immutable" in shown.headers["cache-control"]
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert by_name(ask(house))["film"]["preview"] == address


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"job": "j2"}, 404),
        ({"job": "j1", "index": 5}, 404),
        ({"job": "j1", "index": -1}, 422),
        ({"path": "/etc/passwd"}, 422),
    ],
)
def test_a_picture_that_is_not_there_becomes_no_preview(house, body, status):
    assert house.client.put(f"{one(house)}/preview", json=body).status_code == status


def test_a_picture_file_becomes_the_preview_and_nothing_else_does(house):
    png = {"content-type": "image/png"}
    assert house.client.put(f"{one(house)}/preview", content=PICTURE, headers=png).status_code == 200
    assert house.client.put(f"{one(house)}/preview", content=b"<svg/>", headers=png).status_code == 422


def test_a_deleted_file_lies_in_the_trash_and_comes_back(house):
    answer = house.client.delete(one(house))
    assert "film" not in by_name(ask(house)) and not (house.models / "loras" / "film.safetensors").exists()
    (listed,) = ask(house, "trash").json()["files"]
    assert listed["id"] == answer.json()["trash"] and listed["name"] == "film.safetensors" and "folder" not in listed
    back = house.client.post(f"/ui/library/trash/{listed['id']}/restore")
    assert back.json() == {"name": "film.safetensors", "kind": "loras"} and "film" in by_name(ask(house))
    assert house.client.post("/ui/library/trash/nothing/restore").status_code == 404


def test_new_files_are_seen_after_a_refresh_and_progress_is_told(house):
    write_key_list("vae-flux-ae", house.models / "vae" / "ae.safetensors")
    status = house.client.post("/ui/library/refresh").json()
    assert status["files"] == 8 and status["unread"] == 1
    assert ask(house, "status").json() == status
    assert house.client.post("/ui/library/stop").json()["state"] == "stopped"


def test_what_distilled_models_of_a_prompt_want_is_told_by_their_names(house):
    write_lora(house.models / "loras" / "quick" / "lcm-lora-sdv1-5.safetensors", layers=SD1_LAYER)
    house.library.refresh()
    house.library.read_pending()
    names = ["film", "LCM-lora-sdv1-5", "nothing of that"]
    body = house.client.post("/ui/library/recipes", json={"loras": names, "checkpoint": "base"}).json()
    (found,) = body["recipes"]
    assert found["name"] == "LCM-lora-sdv1-5" and found["recipe"]["sampler"] == "LCM"
    by_folder = house.client.post("/ui/library/recipes", json={"loras": ["quick/lcm-lora-sdv1-5"]}).json()["recipes"]
    assert [one["recipe"] for one in by_folder] == [found["recipe"]]


def test_a_distilled_checkpoint_tells_too_and_only_lists_of_names_are_taken(house):
    write_key_list("sdxl-base", house.models / "checkpoints" / "sdxl_lightning_4step.safetensors")
    house.library.refresh()
    house.library.read_pending()
    (found,) = house.client.post("/ui/library/recipes", json={"checkpoint": "sdxl_lightning_4step"}).json()["recipes"]
    assert (found["recipe"]["kind"], found["recipe"]["steps"]) == ("lightning", 4)
    assert house.client.post("/ui/library/recipes", json={"checkpoint": "gone"}).json() == {"recipes": []}
    assert house.client.post("/ui/library/recipes", json={"loras": "film"}).status_code == 422


def test_a_server_without_a_library_says_so(house):
    house.service.catalogue = None
    assert ask(house).status_code == 404


def test_they_are_among_the_routes_of_the_page(service):
    known = {route.path for route in page_routes(service)}
    assert {"/ui/library/{kind}", "/ui/library/{kind}/{file_id}/preview", "/ui/library/status"} <= known
