"""The composition root of the server: settings → catalogue → worker → extensions → routes and page."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from webui.engine.catalogue import Catalogue, open_catalogue
from webui.engine.extensions import DIRECTIVES, ROUTES, TABS, Extensions, load_extensions
from webui.environment import NO_TELEMETRY
from webui.errors import EmulsionError, InvalidRequest
from webui.extend import Registries
from webui.library.history import History
from webui.limits import limits_of
from webui.logs import set_up
from webui.paths import StartOptions
from webui.ports import choose_port, port_problem
from webui.registry import Registry
from webui.scripts import SCRIPTS
from webui.settings import Settings, SettingsStore
from webui.upscalers.builtin import UPSCALERS
from webui.upscalers.restorers import RESTORERS
from webui.workers.counters import JobCounters
from webui.workers.plain import WorkerSettings, lanes, to_plain
from webui.workers.recorder import Recorder
from webui.workers.service import ENGINE, JobService

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from webui.api.door import HostNames

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_SECONDS = 2  # that open connections get when the server stops
STOP_SECONDS = 4.0  # that the running job gets for its last step
NO_LOGIN = (
    "WARNING: --insecure-no-login was given. Whoever reaches this address is the administrator: without any password "
    "they see all pictures, delete models and change settings."
)


@dataclass(frozen=True)
class House:
    """What routes and page are built from."""

    options: StartOptions
    store: SettingsStore
    catalogue: Catalogue
    service: JobService
    extensions: Extensions
    recorder: Recorder
    counters: JobCounters

    def for_worker(self, settings: Settings) -> dict[str, Any]:
        """Settings in the form that a worker is given."""
        return for_worker(settings, self.options)


def for_worker(settings: Settings, options: StartOptions) -> dict[str, Any]:
    """What a worker is told: the settings, and how much it is to log."""
    plain = to_plain(WorkerSettings(settings, options.device, options.precision, options.extensions))
    return {**plain, "log": {"level": options.log.level, "prompts": options.log.prompts}}


def serve(options: StartOptions, engine: str = ENGINE) -> int:
    """Run the server until Ctrl+C or SIGTERM; the exit code.

    Raises InvalidRequest when the port cannot be had, FileError when the data folder cannot be written.
    """
    undo = set_up(options.log, [secret for _, secret in (*options.auth, *options.api_auth)])
    try:
        return _serve(options, engine)
    finally:
        undo()


def _serve(options: StartOptions, engine: str) -> int:
    os.environ.update(
        {name: value for name, value in NO_TELEMETRY.items() if not (options.share and "OFFLINE" in name)}
    )
    listener = _bind(options)
    options = dataclasses.replace(options, port=listener.getsockname()[1])
    house = open_house(options, engine)
    with _stop_on_signals():
        try:
            house.counters.start()
            house.service.start()  # first of all: it imports torch in its process while this one imports gradio
            application, hosts, made_up = build(house)
            _run(application, house, listener, lambda: _welcome(house, hosts, made_up))
        except KeyboardInterrupt:
            print("\nStopping …", flush=True)
        finally:
            house.service.drain()
            house.catalogue.library.close()
            house.recorder.close()
            house.service.stop(STOP_SECONDS, house.counters.close)
            listener.close()
    return 0


def open_house(options: StartOptions, engine: str = ENGINE) -> House:
    """Read the settings and list the files; nothing heavy, and no process is started yet."""
    store = SettingsStore(options.paths)
    if store.problem:
        print(store.problem, file=sys.stderr)
    catalogue = open_catalogue(store.settings)
    _choose(store, catalogue, options)
    folders = (options.paths.program / "extensions",) if options.extensions else ()
    settings = store.settings
    plain = for_worker(settings, options)
    history = History(options.paths.data / "history.sqlite", [options.paths.outputs])
    devices = lanes(options.device, options.workers)
    service = JobService(
        plain, options.paths.data, engine, settings["queue_limit"], catalogue, folders, history, devices
    )
    service.limit_waiting(settings["queue_limit"], settings["queue_limit_per_client"])
    service.limits = limits_of(settings)
    service.watch(settings["job_silence"], settings["interrupt_patience"])
    counters = JobCounters(service, log_prompts=options.log.prompts)
    service.extensions = extensions = _extensions(folders, settings["disabled_extensions"])
    return House(options, store, catalogue, service, extensions, Recorder(service, history), counters)


def build(house: House) -> tuple[ASGIApp, HostNames, tuple[str, str] | None]:
    """The guarded application, the names it answers to, and a login that was made up for it, if one was."""
    from webui.api.application import guarded, make_application
    from webui.api.book import open_book
    from webui.api.context import Context
    from webui.api.door import HostNames
    from webui.api.entrance import LoginPage
    from webui.api.proxy import networks
    from webui.api.traffic import Traffic
    from webui.ui.login_page import login_files, login_html

    options = house.options
    trusted, given = networks(options.trusted_proxies), (*options.auth, *options.api_auth)
    book, made_up = open_book(given, options.paths.data, open_to_others(options), options.insecure_no_login)
    context = Context(
        house.service,
        house.store,
        house.catalogue,
        house.for_worker,
        options.offline,
        options,
        house.extensions,
        metrics=house.counters.metrics,
    )
    app = make_application(context)
    _add_extension_routes(app)
    if not options.nowebui:
        _add_page(app, house, context.change_settings)
    hosts = HostNames(options.host, options.allow_hosts)
    page = LoginPage(lambda scene: login_html(**vars(scene)), login_files())
    inside = guarded(app, hosts, book, page, trusted, _root(options))
    around = Traffic(inside, context.metrics, options.log.access)
    return around, hosts, made_up


def _add_extension_routes(app: FastAPI) -> None:
    for entry in ROUTES:
        try:
            entry.value(app)
        except Exception as error:
            log.exception("the routes %s could not be added", entry.name)
            print(f"The routes {entry.name!r} of an extension are off: {error}", file=sys.stderr)


def open_to_others(options: StartOptions) -> bool:
    """Whether others than this machine can reach the program."""
    return options.share or options.host not in LOOPBACK


def _root(options: StartOptions) -> str:
    """The path below which a proxy serves everything: "" or "/path"."""
    return f"/{options.subpath}" if options.subpath else ""


def _add_page(app: FastAPI, house: House, change: Callable[[Mapping[str, Any]], Settings]) -> None:
    from webui.ui.mount import Place, mount, prepare

    options = house.options
    cache = options.paths.data / "page-cache"
    prepare(cache)
    from webui.ui.page import build_page, page_options
    from webui.ui.routes import page_routes
    from webui.ui.script_routes import script_routes
    from webui.ui.settings_routes import settings_routes

    app.router.routes.extend(page_routes(house.service))
    app.router.routes.extend(script_routes(house.service, house.store))
    app.router.routes.extend(settings_routes(house.service, house.store, change))
    place = Place(cache, _root(options), options.host, options.port or 0)
    mount(app, build_page(house.service, house.store), place, page_options(house.store.settings))


def _choose(store: SettingsStore, catalogue: Catalogue, options: StartOptions) -> None:
    """Take over the checkpoint and VAE that the command line names. Raises NotFound."""
    named: dict[str, Any] = {}
    if options.checkpoint:
        named["checkpoint"] = catalogue.find(options.checkpoint).name
    if options.vae:
        named["vae"] = catalogue.find_vae(options.vae).name
    if options.theme:
        named["theme"] = options.theme
    if options.language:
        named["language"] = options.language
    named = {name: value for name, value in named.items() if store.settings[name] != value}
    if named:
        store.change(named)
        catalogue.default = store.settings["checkpoint"]


def _extensions(folders: tuple[Path, ...], disabled: tuple[str, ...]) -> Extensions:
    """Load extensions for what they add to the page and the routes. Their samplers and the like count in the worker."""
    aside: dict[str, Registry[Any]] = {name: Registry(name) for name in ("samplers", "schedules", "families")}
    shown: dict[str, Registry[Any]] = {"directives": DIRECTIVES, "tabs": TABS, "routes": ROUTES}
    shown |= {"upscalers": UPSCALERS, "restorers": RESTORERS, "scripts": SCRIPTS}
    found = load_extensions(folders, Registries(**aside, **shown), disabled)
    for entry in found.entries:
        if entry.error:
            print(f"The extension {entry.name} is off: {entry.error}\n{entry.traceback}", file=sys.stderr)
    return found


# The server ------------------------------------------------------------------------------------------------------


def _bind(options: StartOptions) -> socket.socket:
    """Take the port before anything slow happens, so that a second start is told at once.

    It is listened to from here on: a port that is merely bound two programs can have at the same time. Who comes before
    the page is there waits for it.
    """
    port = choose_port(options.host, options.port, 7861 if options.nowebui else 7860)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without it every answer takes 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        problem = port_problem(options.host, port) or f"One cannot listen on port {port}: {error}."
        raise InvalidRequest(problem, "", "Choose one with --port.") from None
    return listener


def _run(application: ASGIApp, house: House, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    import uvicorn

    from webui.api.connections import HEADER_BYTES, Bounds, protocol_of

    options = house.options
    bounds = Bounds(options.header_timeout, options.idle_timeout, options.max_connections)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                threading.Thread(target=on_ready, name="welcome", daemon=True).start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            house.service.drain()  # so that calls which wait for a picture are answered now
            await super().shutdown(sockets)

    config = uvicorn.Config(
        application,
        log_config=None,  # its records go where all records go
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        http=protocol_of(bounds),
        h11_max_incomplete_event_size=HEADER_BYTES,
        proxy_headers=False,  # whose word counts is said in api/proxy.py
        timeout_keep_alive=10,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_keyfile=options.tls_keyfile,
        ssl_certfile=options.tls_certfile,
    )
    Server(config).run(sockets=[listener])


def _welcome(house: House, hosts: HostNames, made_up: tuple[str, str] | None) -> None:
    """Say where the page is, once it answers."""
    options = house.options
    scheme = "https" if options.tls_certfile else "http"
    name = "127.0.0.1" if options.host in ("0.0.0.0", "::", *LOOPBACK) else options.host
    name = f"[{name}]" if ":" in name else name
    address = f"{scheme}://{name}:{options.port}"
    what = "The HTTP routes are" if options.nowebui else "Emulsion is"
    print(f"{what} at {address}", flush=True)
    if options.host in ("0.0.0.0", "::"):
        print(f"Other machines reach it at {scheme}://{socket.gethostname()}:{options.port}", flush=True)
    if made_up:
        print(f"User: {made_up[0]}\nPassword: {made_up[1]}\n(Choose your own with --auth USER:PASSWORD.)", flush=True)
    elif options.insecure_no_login and open_to_others(options):
        print(f"\n{NO_LOGIN}\n", file=sys.stderr, flush=True)
    if options.autolaunch and not options.nowebui:
        webbrowser.open(address)
    if options.share:
        _share(options, hosts)
    try:
        house.recorder.start()
        house.catalogue.library.start(lambda: house.service.status().worker in ("starting", "busy"))
        _preload(house)
    except Exception:
        if not house.service.draining:  # else it ends already, and files that are read here may be closed
            raise


def _share(options: StartOptions, hosts: HostNames) -> None:
    """A public address through Gradio's tunnel; without it the server goes on alone."""
    if options.offline:
        print("There is no public link: --offline was given.", flush=True)
        return
    try:
        from gradio.networking import setup_tunnel

        name = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
        address = setup_tunnel(name, options.port or 0, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        print(f"There is no public link: {error} The page goes on here.", flush=True)
        return
    hosts.add(urlsplit(address).hostname or "", https=address.startswith("https:"))
    print(f"Public link: {address}", flush=True)


def _preload(house: House) -> None:
    """Load the checkpoint before the first job asks for it."""
    if not house.catalogue.checkpoints():
        return
    try:
        house.service.load(None)
    except EmulsionError as error:
        print(f"The checkpoint could not be loaded: {error}", file=sys.stderr, flush=True)


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl+C does, also before and after the time in which uvicorn listens for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
