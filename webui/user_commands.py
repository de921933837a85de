"""Who may enter a server: options of `serve`, and the command `users`, of which a running server takes notice."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from webui.api.accounts import FILE, AccountsFile
from webui.errors import InvalidRequest
from webui.identity import ADMINISTRATOR, ROLES

ACTIONS = ("list", "add", "remove", "role", "password", "token")


def add_entry_options(web: argparse._ArgumentGroup) -> None:
    """Options of the server on who may enter, and by which way."""
    about = "an administrator's login, for page and HTTP routes; several with commas between (more people: users add)"
    web.add_argument("--auth", "--gradio-auth", metavar="USER:PASSWORD", help=about)
    web.add_argument("--auth-file", "--gradio-auth-path", metavar="FILE", help="the same, from a file")
    web.add_argument("--api-auth", metavar="USER:PASSWORD", help="the same as --auth")
    about = "with --listen or --share: let everybody in as administrator (never on a network you do not own)"
    web.add_argument("--insecure-no-login", action="store_true", help=about)
    web.add_argument("--allow-host", metavar="NAME", action="append", default=[], help="a Host name to answer to")
    about = "path below which a reverse proxy serves everything"
    web.add_argument("--root-path", "--subpath", dest="subpath", default="", metavar="PATH", help=about)
    about = "address or network of a reverse proxy whose X-Forwarded headers are believed (may be repeated)"
    web.add_argument("--trusted-proxy", metavar="ADDRESS", action="append", default=[], help=about)


def add_users_options(parser: argparse.ArgumentParser) -> None:
    """`users list`, `users add NAME --role user`, `users remove|role|password|token NAME`."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("name", nargs="?", metavar="NAME")
    about = "administrator (everything), user (makes pictures; the default of add) or read-only (looks)"
    parser.add_argument("--role", choices=tuple(ROLES), metavar="ROLE", help=about)
    parser.add_argument("--revoke", metavar="ID", help="with token: end the one of this id instead of making one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = (
        "A password is asked for, or read from the input: `users add ann < password.txt`. While there are accounts, "
        "a login is needed on this machine too. A token goes into a header: Authorization: Bearer TOKEN."
    )


def manage_users(options: argparse.Namespace, folder: Path) -> int:
    """Carry one action out on the accounts of a data folder. Raises InvalidRequest, NotFound, FileError."""
    file = AccountsFile(folder / FILE)
    if options.action == "list":
        print(_listed(file, options.json))
        return 0
    if not options.name:
        raise InvalidRequest(f"Whose account to {options.action} was not said.", f"users {options.action} NAME")
    acts: Mapping[str, Callable[[], str]] = {
        "add": lambda: _add(file, options.name, options.role or "user"),
        "remove": lambda: _remove(file, options.name),
        "role": lambda: _role(file, options.name, options.role),
        "password": lambda: _password(file, options.name),
        "token": lambda: _token(file, options.name, options.revoke),
    }
    print(acts[options.action]())
    return 0


def _add(file: AccountsFile, name: str, role: str) -> str:
    first = not file.read()
    file.add(name, role, _asked())
    said = f"{name} may enter as {role}."
    if first:
        said += " From now on a login is needed, on this machine too."
        if role != ADMINISTRATOR:
            said += " Nobody is an administrator yet: users add NAME --role administrator."
    return said


def _remove(file: AccountsFile, name: str) -> str:
    file.remove(name)
    return f"{name} may not enter any more." + ("" if file.read() else " There are no accounts left.")


def _role(file: AccountsFile, name: str, role: str | None) -> str:
    if role is None:
        raise InvalidRequest("No role was named.", f"users role {name} --role {'|'.join(ROLES)}")
    file.change(name, role=role)
    return f"{name} is {role} now."


def _password(file: AccountsFile, name: str) -> str:
    file.change(name, password=_asked())
    return f"{name} has a new password; whoever was logged in with the old one is logged out."


def _token(file: AccountsFile, name: str, revoked: str | None) -> str:
    if revoked is not None:
        file.remove_token(name, revoked)
        return f"The token {revoked} of {name} is no more."
    text = file.add_token(name)
    print("Keep this token; it is not shown again:", file=sys.stderr)
    return text


def _listed(file: AccountsFile, as_json: bool) -> str:
    accounts = file.read().values()
    if as_json:
        plain = [
            {"name": a.name, "role": a.role, "tokens": [{"id": t.id, "made": t.made} for t in a.tokens]}
            for a in accounts
        ]
        return json.dumps(plain, ensure_ascii=False)
    lines = []
    for account in accounts:
        days = [f"{token.id} ({time.strftime('%Y-%m-%d', time.localtime(token.made))})" for token in account.tokens]
        lines.append(f"{account.name}\t{account.role}" + (f"\ttokens: {', '.join(days)}" if days else ""))
    return "\n".join(lines) or "There are no accounts. Without one, a server that only this machine reaches is open."


def _asked() -> str:
    """A password, typed twice, or a line of the input when that is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise InvalidRequest("The two passwords differ.")
    return password
