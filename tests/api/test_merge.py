"""A merge is checked at the door and becomes a job."""


def test_a_merge_becomes_a_job_of_whoever_asks(house, client, monkeypatch):
    told = []
    monkeypatch.setattr(house.service, "submit_task", lambda *given: told.append(given) or "abc")
    values = {"method": "Weighted sum", "models": ["first", "second"], "name": "both"}
    assert client.post("/ui/merge", json=values).json() == {"id": "abc"}
    assert told == [("merge", values, "testclient", "merge")]


def test_a_wrong_recipe_is_refused_in_words(client):
    answer = client.post("/ui/merge", json={"method": "Add difference", "models": ["first"], "name": "x"})
    assert answer.status_code == 422 and "takes 3" in answer.json()["detail"]


def test_the_page_can_ask_what_there_is_to_choose(client):
    found = client.get("/ui/merge").json()
    assert {"name": "Train difference", "models": 3, "compares": "", "alpha": True} in found["methods"]
    assert found["precisions"][0] == "keep"
