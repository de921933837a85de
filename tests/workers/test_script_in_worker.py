"""A plot of two by two cells through the real engine in a real worker process."""

from __future__ import annotations

import dataclasses

from PIL import Image, ImageChops

from tests.workers.test_generate import paths, request, service  # noqa: F401

GIVEN = {"x_type": "Steps", "x_values": "1,2", "y_type": "Checkpoint name", "y_values": "narrow, other"}


def test_cells_are_what_the_same_requests_give_alone(service):  # noqa: F811
    arguments = {**GIVEN, "draw_legend": False}
    values = {"script": "X/Y/Z plot", "arguments": arguments, "request": dataclasses.asdict(request())}
    job = service.wait(service.submit_task("script", values), 120)
    assert (job.state, job.error, job.outcome["made"]) == ("done", None, 4)
    *cells, grid = job.results
    assert [cell.facts["checkpoint"] for cell in cells] == ["narrow", "narrow", "other", "other"]
    alone = service.wait(service.submit(request(steps=2, checkpoint="other")), 300).results[0]
    assert cells[3].infotext == alone.infotext
    with Image.open(alone.path) as picture, Image.open(grid.path) as sheet, Image.open(cells[3].path) as cell:
        assert cell.tobytes() == picture.tobytes()
        assert sheet.size == (128, 128)
        assert ImageChops.difference(sheet.crop((64, 64, 128, 128)), picture.convert("RGB")).getbbox() is None
    assert "X Type: Steps" in grid.infotext
