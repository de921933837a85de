"""The FastAPI application: routes, errors in one form, and the doors around everything."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from webui.api import (
    adapters,
    controlnet,
    downloads,
    extra_networks,
    extras,
    generate,
    health,
    internal,
    interrogate,
    listings,
    manual,
    me,
    merge,
    model_lists,
    operation,
    picture_info,
    script_lists,
    sdnext,
    vae,
)
from webui.api.book import AccountBook
from webui.api.context import Context
from webui.api.description import describe
from webui.api.door import Door, HostNames
from webui.api.entrance import LoginPage
from webui.api.json_guard import JsonGuard
from webui.api.login import Login
from webui.api.native import jobs as native_jobs
from webui.api.native import lists as native_lists
from webui.api.openai import routes as openai
from webui.api.problems import add_handlers
from webui.api.proxy import Network, Proxy
from webui.api.timing import Timing
from webui.api.traffic import Notes
from webui.errors import InvalidRequest

ROUTERS: tuple[Callable[[Context], APIRouter], ...] = (
    health.make_router,
    controlnet.make_router,
    extra_networks.make_router,
    sdnext.make_router,
    generate.make_router,
    interrogate.make_router,
    listings.make_router,
    adapters.make_router,
    extras.make_router,
    model_lists.make_router,
    script_lists.make_router,
    operation.make_router,
    internal.make_router,
    downloads.make_router,
    merge.make_router,
    picture_info.make_router,
    vae.make_router,
    me.make_router,
    openai.make_router,
    native_jobs.make_router,
    native_lists.make_router,
    manual.make_router,
)


def make_application(context: Context) -> FastAPI:
    """The application without the page; mount that afterwards, so that these routes go first."""
    app = FastAPI(title="Emulsion", docs_url=None, redoc_url=None)
    for make_router in ROUTERS:
        app.include_router(make_router(context))
    add_handlers(app)
    describe(app)
    if context.options.mcp:
        _add_mcp(app, context)
    app.add_middleware(JsonGuard)
    app.add_middleware(Timing)
    app.add_middleware(Notes)
    return app


def guarded(
    app: ASGIApp,
    hosts: HostNames,
    book: AccountBook | None = None,
    page: LoginPage | None = None,
    trusted: tuple[Network, ...] = (),
    root: str = "",
) -> ASGIApp:
    """The application behind its doors: what a server may be given. Whatever is mounted later is behind them too."""
    return Proxy(Door(Login(app, book or AccountBook(), page), hosts), hosts, trusted, root)


def _add_mcp(app: FastAPI, context: Context) -> None:
    """The endpoint of --mcp. Raises InvalidRequest where its packages are not installed."""
    try:
        from webui.api.mcp_tools import add_endpoint
    except ModuleNotFoundError as error:
        remedy = "`python launch.py --mcp` installs them; so does `pip install --no-deps -r requirements-mcp.txt`."
        raise InvalidRequest(f"--mcp needs packages that are not installed ({error.name}).", "", remedy) from None
    add_endpoint(app, context)
