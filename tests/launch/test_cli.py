"""The command line: users' names for options, old flags that do nothing, and requests from options."""

from __future__ import annotations

import json
import socket
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from webui import cli, commands, doctor
from webui.cli import parse, start_options
from webui.errors import InvalidRequest, NotFound
from webui.families.base import Defaults
from webui.paths import Paths, StartOptions
from webui.ports import choose_port, port_problem
from webui.request import GenerationRequest, Pass

FACTS: Any = types.SimpleNamespace(
    native_size=128, defaults=Defaults(steps=12, sampler="DPM++ 2M", schedule="Karras", guidance_scale=5.0)
)
SETTINGS = {"vae": "Automatic", "clip_skip": 1, "noise_source": "CPU", "emphasis": "Original", "comma_backtrack": 20}


def served(*arguments: str) -> StartOptions:
    """The server's options of a command line."""
    return start_options(parse(arguments))


def request_of(*arguments: str, start: GenerationRequest | None = None) -> GenerationRequest:
    """The request of a `generate` command line."""
    return commands.build_request(parse(["generate", *arguments]), FACTS, SETTINGS, start)


def test_without_options_only_this_machine_is_served() -> None:
    options = served()
    assert (options.host, options.port, options.share, options.auth) == ("127.0.0.1", None, False, ())


def test_options_keep_the_names_that_users_know(tmp_path: Path) -> None:
    options = served(
        *("--listen", "--port", "8000", "--share", "--auth", "ann:pass:word,bob:b", "--api-auth", "robot:r"),
        *("--nowebui", "--autolaunch", "--data-dir", str(tmp_path), "--ckpt-dir", str(tmp_path)),
        *("--lora-dir", str(tmp_path), "--theme", "dark", "--offline", "--device", "cuda:1", "--precision", "bfloat16"),
        *("--allow-host", "box.lan", "--ckpt", "model.safetensors"),
    )
    assert (options.host, options.port) == ("0.0.0.0", 8000)
    assert options.auth == (("ann", "pass:word"), ("bob", "b")) and options.api_auth == (("robot", "r"),)
    assert options.share and options.nowebui and options.autolaunch and options.offline
    assert options.paths.data == tmp_path and options.paths.extra["loras"] == (tmp_path,)
    assert (options.theme, options.device, options.precision) == ("dark", "cuda:1", "bfloat16")
    assert (options.allow_hosts, options.checkpoint) == (("box.lan",), "model.safetensors")


def test_the_start_file_of_an_older_program_still_starts() -> None:
    line = (
        "--api --xformers --medvram --no-half-vae --opt-sdp-attention --skip-torch-cuda-test --no-hashing "
        "--sub-quad-q-chunk-size 512 --loglevel INFO --enable-insecure-extension-access --port 7861 --no-half "
        "--disable-safe-unpickle --gradio-auth a:b --use-cpu all"
    )
    options = parse(line.split())
    assert options.old[:3] == ["--api", "--xformers", "--medvram"] and "--loglevel" in options.old
    start = start_options(options)
    assert (start.port, start.precision, start.device, start.auth) == (7861, "float32", "cpu", (("a", "b"),))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("full", "float32"), ("half", "float16"), ("autocast", "auto"), ("auto", "auto"), ("bfloat16", "bfloat16")],
)
def test_precisions_may_be_called_as_in_a1111(given: str, wanted: str) -> None:
    assert served("--precision", given).precision == wanted


@pytest.mark.parametrize("line", ["--bogus", "--port x", "--theme pink", "generate --steps many", "models frobnicate"])
def test_a_wrong_option_ends_with_code_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(line.split())
    assert stopped.value.code == 2 and "error:" in capsys.readouterr().err


def test_a_short_form_of_an_option_is_not_guessed() -> None:
    with pytest.raises(SystemExit):
        parse(["--list"])


@pytest.mark.parametrize("text", ["ann", "ann:", ":secret", "ann:a,bob"])
def test_a_login_needs_a_name_and_a_password(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        served("--auth", text)
    assert "secret" not in str(error.value)


def test_logins_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "logins").write_text("ann:a\nbob:b, carl:c\n")
    assert served("--auth-file", str(tmp_path / "logins")).auth == (("ann", "a"), ("bob", "b"), ("carl", "c"))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        served("--auth-file", str(tmp_path / "none"))


def test_a_folder_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(InvalidRequest, match="/no/such/folder is not there"):
        served("--ckpt-dir", "/no/such/folder")


def test_a_taken_port_is_told_and_without_a_wish_the_next_one_is_used() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match=rf"Port {port} is taken by another program"):
            choose_port("127.0.0.1", port, 7860)
        assert port < choose_port("127.0.0.1", None, port) < port + 10
    assert port_problem("127.0.0.1", 99999) == "99999 is no port number."
    assert "cannot listen on 192.0.2.1" in (port_problem("192.0.2.1", 7860) or "")


def test_what_is_not_given_is_what_the_family_recommends() -> None:
    (step,) = request_of("--prompt", "a red apple").passes
    assert (step.width, step.height, step.steps) == (128, 128, 12)
    assert (step.sampler, step.schedule, step.guidance.scale) == ("DPM++ 2M", "Karras", 5.0)


def test_every_option_of_generate_reaches_the_request() -> None:
    line = (
        "--prompt apple --negative pear --steps 7 --sampler Euler --schedule Karras --cfg 3.5 --width 64 --height 96 "
        "--seed 5 --batch-size 2 --count 3 --checkpoint starter --vae None --clip-skip 2 --noise-source CUDA "
        "--variation-seed 8 --variation-strength 0.25"
    )
    request = request_of(*line.split())
    (step,) = request.passes
    assert (request.prompt, request.negative_prompt, request.seed) == ("apple", "pear", 5)
    assert (request.batch_size, request.count, request.checkpoint, request.vae) == (2, 3, "starter", "None")
    assert (request.clip_skip, request.noise_source) == (2, "CUDA")
    assert (request.variation_seed, request.variation_strength, request.save) == (8, 0.25, True)
    assert (step.steps, step.sampler, step.schedule, step.guidance.scale) == (7, "Euler", "Karras", 3.5)
    assert (step.width, step.height) == (64, 96)


def test_one_side_alone_makes_a_square() -> None:
    (step,) = request_of("--width", "192").passes
    assert (step.width, step.height) == (192, 192)


def test_options_change_a_request_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    passes = (Pass(width=256, steps=4), Pass(source="previous", width=512))
    file.write_text(GenerationRequest(prompt="pear", seed=3, passes=passes).to_json())
    request = request_of("--seed", "4", start=commands.read_request(str(file)))
    assert (request.prompt, request.seed, request.passes[0].width, request.passes[0].steps) == ("pear", 4, 256, 4)
    assert request.passes[1] == passes[1]
    with pytest.raises(InvalidRequest, match="cannot be read"):
        commands.read_request(str(tmp_path / "none"))


def test_values_that_no_model_serves_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="number of steps is 0"):
        request_of("--steps", "0")


def picture(seed: int) -> types.SimpleNamespace:
    """A finished picture, as the engine returns it."""
    image = Image.new("RGB", (8, 8), (seed, 0, 0))
    return types.SimpleNamespace(image=image, seed=seed, infotext="a red apple\nSteps: 1", path=None)


def test_pictures_go_where_out_says(tmp_path: Path) -> None:
    settings = {"picture_format": "png", "quality": 90, "webp_lossless": False}
    results = [picture(1), picture(2)]
    places = commands.save_all(results, tmp_path / "new" / "apple.png", settings)
    assert [place.name for place in places] == ["apple.png", "apple-2.png"]
    assert Image.open(places[0]).text["parameters"].startswith("a red apple")
    commands.save_all([picture(9)], tmp_path / "new" / "apple.png", settings)
    assert Image.open(places[0]).getpixel((0, 0)) == (9, 0, 0)
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["apple-2.png", "apple.png"]
    again = [commands.save_all([picture(1)], tmp_path / "folder", settings)[0].name for _ in range(2)]
    assert again[0] == "1.png" and again[1] != "1.png"


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The engine's contract without its networks: what it was given, and one picture for each that was asked for."""
    seen: dict[str, Any] = {}
    catalogue = types.SimpleNamespace(find=lambda name: name, facts=lambda file: FACTS)

    def make_plan(request: GenerationRequest, *others: object) -> GenerationRequest:
        if request.prompt == "no such sampler":
            raise InvalidRequest("There is no sampler named 'x'.")
        seen["request"] = request
        return request

    def session(settings: object, catalogue: object, extensions: object, device: str, precision: str) -> None:
        seen["device"], seen["precision"] = device, precision

    def run(plan: GenerationRequest, session: object, on_event: Any) -> list[Any]:
        on_event({"type": "note", "text": "128 x 128 is this checkpoint's size."})
        on_event({"type": "progress", "batch": 0, "batches": 1, "step": 1, "steps": 2})
        return [picture(plan.seed + number) for number in range(plan.batch_size * plan.count)]

    modules = {
        "catalogue": {"open_catalogue": lambda settings: catalogue},
        "extensions": {"load_extensions": lambda folders, registries: None, "registries": lambda: None},
        "plan": {"make_plan": make_plan},
        "session": {"Session": session},
        "run": {"run": run},
    }
    for name, members in modules.items():
        module = types.ModuleType(f"webui.engine.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, f"webui.engine.{name}", module)
    return seen


def test_generate_prints_where_the_pictures_are(
    fake_engine: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"generate --prompt apple --seed 7 --count 2 --out {tmp_path} --data-dir {tmp_path} --device cpu --no-half"
    assert cli.main(line.split()) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "7.png"), str(tmp_path / "8.png")]
    assert "checkpoint's size" in said.err
    assert (fake_engine["device"], fake_engine["precision"]) == ("cpu", "float32")
    assert fake_engine["request"].save is False and fake_engine["request"].passes[0].width == 128


def test_generate_speaks_json(fake_engine: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["generate", "--seed", "7", "--out", str(tmp_path / "a.png"), "--data-dir", str(tmp_path), "--json"]
    assert cli.main([*line, "--prompt", "apple"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["images"]
    assert made["path"] == str(tmp_path / "a.png") and (made["seed"], made["width"]) == (7, 8)
    assert cli.main([*line, "--prompt", "no such sampler"]) == 2
    assert json.loads(capsys.readouterr().out)["type"] == "InvalidRequest"


def test_an_out_that_is_no_picture_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"\.gif"):
        commands.is_picture(tmp_path / "apple.gif")


@pytest.mark.parametrize(
    ("error", "code"), [(InvalidRequest("Bad."), 2), (NotFound("Gone."), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes_tell_what_happened(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> int:
        raise error

    monkeypatch.setattr(commands, "list_models", fail)
    assert cli.main(["models"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_errors_are_json_where_json_was_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.safetensors"
    file.write_bytes(b"\xff" * 64)
    assert cli.main(["models", "inspect", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["type"] == "DamagedFile"


def test_inspect_says_what_a_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(2, 3)}, file, metadata={"made by": "a test"})
    assert cli.main(["models", "inspect", str(file)]) == 1
    said = capsys.readouterr().out
    assert "safetensors" in said and "made by: a test" in said and "problem" in said


def test_no_checkpoint_at_all_is_not_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Paths(data=tmp_path, models=tmp_path / "models", program=tmp_path)
    assert commands.list_models(paths, as_json=False) == 0
    assert "Put a .safetensors file there" in capsys.readouterr().out
    assert commands.list_models(paths, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_doctor_works_without_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMULSION_VENV", str(tmp_path / "none"))
    monkeypatch.delenv("EMULSION_SKIP_VENV", raising=False)
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "no-python"))
    findings = {finding.topic: finding for finding in doctor.examine(Paths(tmp_path, tmp_path / "models", tmp_path))}
    assert findings["Environment"].serious and "python launch.py" in findings["Environment"].remedy
    assert findings["torch"].found == "cannot be imported"
    report = doctor.report(list(findings.values()))
    assert "! Environment" in report and "-> Run: python launch.py" in report


def test_the_doctor_names_packages_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.environment, "stamp", lambda venv: {"locks": []})
    monkeypatch.setattr(doctor.environment, "installed", lambda folder: {"torch": "2.1.0", "torchvision": "0.1"})
    found = [finding.found for finding in doctor.examine_packages()]
    assert any("torch==2.13.0" in text for text in found) and any("torchvision 0.1" in text for text in found)


def test_the_doctor_counts_the_models_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    for name in ("models/one.safetensors", "models/checkpoints/two.ckpt", "models/notes.txt"):
        (tmp_path / name).touch()
    paths = Paths(data=tmp_path, models=tmp_path / "models", program=tmp_path)
    found = {finding.topic: finding.found for finding in doctor.examine_folders(paths)}
    assert found["Checkpoints"].startswith("2 file(s) in ")


def test_the_doctor_counts_the_starter_and_its_preview_decoder_each_as_what_it_is(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path, models=tmp_path / "models")
    found = {finding.topic: finding.found for finding in doctor.examine_folders(paths)}
    assert found["Checkpoints"].startswith("1 file(s) in ") and found["Preview decoders"].startswith("1 file(s) in ")


def test_the_doctor_sees_the_torch_of_this_python() -> None:
    import torch

    (seen,) = [finding for finding in doctor.examine_torch() if finding.topic == "torch"]
    assert seen.found == torch.__version__ and sys.executable


def test_bench_takes_its_own_options_and_says_what_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["bench", "--help"])
    assert "--repeats" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "diffusers", None)  # as where the program alone is installed
    assert cli.main(["bench", "sampler", "--work", str(tmp_path)]) == 1
    assert "diffusers" in capsys.readouterr().err
