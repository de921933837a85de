"""The command line: `serve` (the default), `generate`, `extras`, `models`, `pictures`, `bench` and `doctor`.

Nothing heavy is imported before a command needs it, so `--help` and a mistyped option answer at once.
Exit codes: 0 done, 1 the job or the server failed, 2 a wrong option, 130 stopped with Ctrl+C.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from webui.environment import program_version
from webui.errors import EmulsionError, InvalidRequest, NotFound
from webui.model_commands import add_download_options, add_merge_options, download_model, merge_models
from webui.old_flags import OLD_FLAGS
from webui.pass_options import add_pass_options
from webui.paths import Paths, StartOptions, make_paths
from webui.script_options import add_script_options, list_scripts
from webui.server_options import add_operation_options, operation_of
from webui.user_commands import add_entry_options, add_users_options, manage_users

PRECISIONS = {"auto": "auto", "autocast": "auto", "full": "float32", "half": "float16"}
PRECISIONS |= {name: name for name in ("float32", "bfloat16", "float16")}
FOLDER_OPTIONS = {  # option -> kind in paths.MODEL_FOLDERS
    "--ckpt-dir": "checkpoints",
    "--vae-dir": "vae",
    "--text-encoder-dir": "text_encoders",
    "--lora-dir": "loras",
    "--embeddings-dir": "embeddings",
    "--hypernetwork-dir": "hypernetworks",
    "--controlnet-dir": "controlnet",
    "--esrgan-models-path": "upscalers",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return options.run(options)
    except EmulsionError as error:
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error), "type": type(error).__name__}, ensure_ascii=False))
        else:
            print(f"\n{error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidRequest) else 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone: `models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options with `.run`, the function that carries the command out. Exits with 2 on a wrong option."""
    words = list(arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "serve")
    if words[0] == "bench":  # which has a parser of its own; its options may come first
        return argparse.Namespace(run=run_bench, rest=words[1:])
    return build_parser().parse_args(words)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="python launch.py",
        description="Emulsion makes pictures with diffusion models on your own machine.",
        epilog="Without a command the web page is served. `python launch.py COMMAND --help` lists a command's options. "
        "`python launch.py test` runs the tests.",
    )
    parser.add_argument("--version", action="version", version=f"Emulsion {program_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, add, run, about in (
        ("serve", add_serve_options, run_serve, "serve the web page and the HTTP routes (the default)"),
        ("generate", add_generate_options, run_generate, "make pictures without the server"),
        ("extras", add_extras_options, run_extras, "enlarge pictures without the server"),
        ("models", add_models_options, run_models, "list checkpoints, inspect a file, fetch one, or merge some"),
        ("pictures", add_pictures_options, run_pictures, "say how pictures were made, whichever program made them"),
        ("users", add_users_options, run_users, "accounts of the people who may enter, and tokens for their scripts"),
        ("doctor", add_doctor_options, run_doctor, "report on this installation, in plain words"),
    ):
        command = commands.add_parser(
            name,
            parents=[common_options()],  # of its own: resolving a conflict changes the parent's options
            help=about,
            description=about,
            allow_abbrev=False,
            conflict_handler="resolve",  # --precision of a merge is that of the file
        )
        add(command)
        command.set_defaults(run=run)
    commands.add_parser("bench", help="measure speed and memory")  # see parse()
    return parser


# Options ---------------------------------------------------------------------------------------------------------


def common_options() -> argparse.ArgumentParser:
    """What all commands share: folders, device and precision."""
    parser = argparse.ArgumentParser(add_help=False)
    folders = parser.add_argument_group("folders")
    folders.add_argument("--data-dir", metavar="FOLDER", help="settings, queue, models/ and outputs/ lie here")
    folders.add_argument("--models-dir", metavar="FOLDER", help="models folder; that of another program works too")
    folders.add_argument("--outputs-dir", metavar="FOLDER", help="where pictures are saved")
    for option, kind in FOLDER_OPTIONS.items():
        about = f"one more folder with {kind.replace('_', ' ')} (may be repeated)"
        folders.add_argument(option, metavar="FOLDER", action="append", dest=f"folder_{kind}", default=[], help=about)
    device = parser.add_argument_group("device")
    device.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps; cuda:0,cuda:1")
    device.add_argument("--device-id", type=int, metavar="N", help="the same as --device cuda:N")
    device.add_argument("--use-cpu", nargs="+", metavar="PART", help="the same as --device cpu")
    about = "auto, float32 (full), bfloat16, float16 (half)"
    device.add_argument("--precision", default="auto", choices=PRECISIONS, metavar="TYPE", help=about)
    device.add_argument("--no-half", action="store_true", help="the same as --precision float32")
    return parser


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Options of the server, under the names that users know, and the old ones that are accepted and ignored."""
    web = parser.add_argument_group("server")
    web.add_argument("--listen", action="store_true", help="answer to other machines too, not to this one alone")
    web.add_argument("--server-name", metavar="ADDRESS", help="the address to listen on")
    web.add_argument("--port", type=int, help="default: 7860, or the next free one; 7861 with --nowebui")
    web.add_argument("--share", action="store_true", help="make a public Gradio link (use it with --auth)")
    add_entry_options(web)
    about = "that run jobs at once: a graphics card each, or a share of the processor's cores; default: 1"
    web.add_argument("--workers", type=int, metavar="N", help=about)
    web.add_argument("--nowebui", action="store_true", help="HTTP routes only")
    web.add_argument("--autolaunch", action="store_true", help="open the page in the browser")
    web.add_argument("--tls-keyfile", type=Path, metavar="FILE", help="serve https with this key")
    web.add_argument("--tls-certfile", type=Path, metavar="FILE", help="and this certificate")
    web.add_argument("--theme", choices=("light", "dark"), help="default: as in the settings")
    web.add_argument("--language", choices=("en", "zh-CN"), help="default: as in the settings, else the browser's")
    web.add_argument("--ckpt", "--checkpoint", dest="checkpoint", metavar="NAME", help="checkpoint to load first")
    web.add_argument("--vae-path", dest="vae", metavar="NAME", help="VAE to use first")
    web.add_argument("--api-server-stop", action="store_true", help="let HTTP clients end the program")
    web.add_argument("--mcp", action="store_true", help="tools for language models at /mcp (Model Context Protocol)")
    web.add_argument("--offline", action="store_true", help="never use the network")
    add_operation_options(parser)
    web.add_argument(
        "--disable-all-extensions", "--disable-extra-extensions", dest="no_extensions", action="store_true"
    )
    parser.set_defaults(old=[])
    for flag, values in OLD_FLAGS.items():
        parser.add_argument(flag, action=OldFlag, nargs=values or 0, dest="old", help=argparse.SUPPRESS)


class OldFlag(argparse.Action):
    """Remember that a flag without effect was given, and drop its value."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the flag to `namespace.old`."""
        namespace.old = [*namespace.old, option_string]


def add_generate_options(parser: argparse.ArgumentParser) -> None:
    """Options of one request. What is not given comes from the request's defaults and the checkpoint's native size."""
    request = parser.add_argument_group("request")
    request.add_argument("--prompt", default=None, metavar="TEXT")
    request.add_argument("--negative", "--negative-prompt", dest="negative_prompt", metavar="TEXT")
    request.add_argument("--steps", type=int)
    request.add_argument("--sampler", metavar="NAME", help='such as "Euler a" or "DPM++ 2M"')
    request.add_argument("--schedule", "--scheduler", dest="schedule", metavar="NAME", help='such as "Karras"')
    request.add_argument("--cfg", "--cfg-scale", dest="cfg", type=float, metavar="SCALE", help="guidance scale")
    request.add_argument("--width", type=int, metavar="PIXELS", help="default: the checkpoint's native size")
    request.add_argument("--height", type=int, metavar="PIXELS")
    request.add_argument("--seed", type=int, help="default: random")
    request.add_argument("--variation-seed", type=int)
    request.add_argument("--variation-strength", type=float)
    request.add_argument("--noise-source", choices=("CPU", "CUDA"), help="CUDA: the numbers an NVIDIA card would draw")
    request.add_argument("--batch-size", type=int, metavar="N", help="pictures computed together")
    request.add_argument("--count", type=int, metavar="N", help="batches, one after the other")
    request.add_argument("--checkpoint", "--ckpt", dest="checkpoint", metavar="NAME", help="name, title, file or hash")
    request.add_argument("--vae", metavar="NAME")
    request.add_argument("--clip-skip", type=int, metavar="N")
    request.add_argument("--request", metavar="FILE", help="start from a request in JSON; - reads it from the input")
    add_pass_options(parser)
    add_script_options(parser)
    out = parser.add_argument_group("output")
    out.add_argument(
        "--out", type=Path, metavar="PATH", help="a folder, or a picture file; default: the outputs folder"
    )
    out.add_argument("--json", action="store_true", help="print one JSON object instead of paths")
    out.add_argument("--quiet", action="store_true", help="no progress")


def add_extras_options(parser: argparse.ArgumentParser) -> None:
    """Options of enlarging. Without a size pictures are doubled, by the upscaler that comes with the program."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pictures, or folders of pictures")
    work = parser.add_argument_group("work")
    work.add_argument("--upscaler", default="emulsion-2x", metavar="NAME", help="a model, Lanczos, Nearest or None")
    work.add_argument("--scale", type=float, default=2.0, metavar="FACTOR", help="default: 2")
    work.add_argument("--max-side", type=int, default=0, metavar="PIXELS", help="at most so large, with --scale")
    work.add_argument("--width", type=int, metavar="PIXELS", help="a size instead of a factor; what stands over is cut")
    work.add_argument("--height", type=int, metavar="PIXELS")
    work.add_argument("--no-crop", action="store_true", help="cover the size and cut nothing")
    work.add_argument("--upscaler-2", default="None", metavar="NAME", help="a second one, mixed into the first")
    work.add_argument(
        "--visibility-2", type=float, default=0.5, metavar="SHARE", help="of the second one; default: 0.5"
    )
    out = parser.add_argument_group("output")
    out.add_argument("--out", type=Path, metavar="PATH", help="a folder, or a picture file; default: the outputs")
    out.add_argument("--format", choices=("png", "jpg", "webp", "avif"), help="default: as in the settings")
    out.add_argument("--json", action="store_true", help="print one JSON object instead of paths")
    out.add_argument("--quiet", action="store_true", help="no progress")


def add_models_options(parser: argparse.ArgumentParser) -> None:
    """`models`, `models list`, `models inspect FILE`, `models download ADDRESS`, `models merge A B`."""
    actions = ("list", "inspect", "download", "merge")
    parser.add_argument("action", nargs="?", choices=actions, default="list", metavar="ACTION", help=", ".join(actions))
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file, an address, or checkpoints to merge")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_download_options(parser)
    add_merge_options(parser)


def add_pictures_options(parser: argparse.ArgumentParser) -> None:
    """`pictures info FILE…`."""
    parser.add_argument("action", choices=("info",))
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pictures, or workflows of ComfyUI as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_doctor_options(parser: argparse.ArgumentParser) -> None:
    """`doctor`."""
    parser.add_argument("--port", type=int, help="the port to look at; default: 7860")
    parser.add_argument("--json", action="store_true", help="print JSON")


def paths_of(options: argparse.Namespace) -> Paths:
    """The folders that the options name. Raises InvalidRequest for one that is not there."""
    extra = {kind: tuple(getattr(options, f"folder_{kind}")) for kind in FOLDER_OPTIONS.values()}
    for folder in (options.models_dir, *(folder for folders in extra.values() for folder in folders)):
        if folder and not Path(folder).expanduser().is_dir():
            raise InvalidRequest(f"The folder {folder} is not there.", "Make it, or mend the option that names it.")
    return make_paths(options.data_dir, options.models_dir, options.outputs_dir, extra)


def device_of(options: argparse.Namespace, several: bool = False) -> str:
    """The device that the options name, with A1111's two spellings for it. Raises InvalidRequest."""
    if options.use_cpu:
        return "cpu"
    if "," in options.device and not several:
        raise InvalidRequest(f"--device {options.device} names several.", "Only the server uses more than one.")
    return f"cuda:{options.device_id}" if options.device_id is not None else str(options.device)


def precision_of(options: argparse.Namespace) -> str:
    """The number type that the options name."""
    return "float32" if options.no_half else PRECISIONS[options.precision]


def logins(text: str | None, file: str | None = None) -> tuple[tuple[str, str], ...]:
    """`user:password,user:password`, or the same in a file with one or more on a line. Raises InvalidRequest."""
    if file:
        try:
            text = ",".join([text or "", *Path(file).read_text(encoding="utf-8").splitlines()])
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"The login file {file} cannot be read: {error}.") from None
    pairs = [part.strip().partition(":") for part in (text or "").split(",") if part.strip()]
    if any(not user or not password for user, _, password in pairs):
        raise InvalidRequest(
            "A login has no name or no password.", "Wanted: user:password, several with commas between."
        )
    return tuple((user, password) for user, _, password in pairs)


def start_options(options: argparse.Namespace) -> StartOptions:
    """The server's options. Raises InvalidRequest."""
    host = options.server_name or ("0.0.0.0" if options.listen else "127.0.0.1")
    return StartOptions(
        paths=paths_of(options),
        host=host,
        port=options.port,
        share=options.share,
        auth=logins(options.auth, options.auth_file),
        api_auth=logins(options.api_auth),
        insecure_no_login=options.insecure_no_login,
        trusted_proxies=tuple(options.trusted_proxy),
        nowebui=options.nowebui,
        autolaunch=options.autolaunch,
        allow_hosts=tuple(options.allow_host),
        subpath=options.subpath.strip("/"),
        tls_keyfile=options.tls_keyfile,
        tls_certfile=options.tls_certfile,
        theme=options.theme,
        language=options.language,
        checkpoint=options.checkpoint,
        vae=options.vae,
        device=device_of(options, several=True),
        workers=options.workers,
        precision=precision_of(options),
        offline=options.offline,
        extensions=not options.no_extensions,
        api_server_stop=options.api_server_stop,
        mcp=options.mcp,
        **operation_of(options),
    )


# Commands --------------------------------------------------------------------------------------------------------


def run_serve(options: argparse.Namespace) -> int:
    """Serve the page and the routes until stopped."""
    start = start_options(options)
    if options.old:
        print(f"Not needed here, and ignored: {' '.join(options.old)}")
    from webui.app import serve

    return serve(start)


def run_generate(options: argparse.Namespace) -> int:
    """Make pictures and print where they are."""
    from webui.commands import generate

    if options.script == "list":
        return list_scripts()
    return generate(options, paths_of(options), device_of(options), precision_of(options))


def run_extras(options: argparse.Namespace) -> int:
    """Enlarge pictures and print where they are."""
    from webui.commands import extras

    return extras(options, paths_of(options), device_of(options), precision_of(options))


def run_models(options: argparse.Namespace) -> int:
    """List the checkpoints, say what a file is, fetch one, or merge some."""
    from webui.commands import inspect_model, list_models

    if options.action == "list":
        return list_models(paths_of(options), options.json)
    if options.action == "download":
        return download_model(options, paths_of(options))
    if options.action == "merge":
        return merge_models(options, paths_of(options))
    if len(options.names) != 1:
        raise InvalidRequest(f"{len(options.names)} files were named.", "Wanted: models inspect FILE.")
    return inspect_model(Path(options.names[0]), options.json)


def run_pictures(options: argparse.Namespace) -> int:
    """Say what is in pictures."""
    from webui.commands import picture_info

    return picture_info(options.files, options.json)


def run_users(options: argparse.Namespace) -> int:
    """List, add, change and remove accounts."""
    return manage_users(options, paths_of(options).data)


def run_bench(options: argparse.Namespace) -> int:
    """Hand over to the benchmarks. Raises NotFound where the packages are missing that they compare with."""
    try:
        from benchmarks.__main__ import main as bench

        return int(bench(options.rest) or 0)
    except ModuleNotFoundError as error:
        remedy = "Start them by `python launch.py bench`, which installs it."
        raise NotFound(f"The benchmarks need the package {error.name}.", "", remedy) from None


def run_doctor(options: argparse.Namespace) -> int:
    """Report on the installation."""
    from webui.doctor import examine, report

    findings = examine(paths_of(options), options.port)
    if options.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        print(report(findings))
    return 1 if any(finding.remedy and finding.serious for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
