"""Who sits before the machine: only they name its folders."""

from __future__ import annotations

import pytest

from webui.identity import ROLE, sits_here

LOOPBACK = ("127.0.0.1", 4711)


def scope(host="127.0.0.1:7860", client=LOOPBACK, role="administrator", **headers):
    """A request's scope; headers with _ for -."""
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {"client": client, ROLE: role, "headers": [(k.encode(), v.encode("latin-1")) for k, v in named.items()]}


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:7860", "[::1]:7860", "127.0.0.1"])
def test_an_administrator_at_the_machine_sits_here(host):
    assert sits_here(scope(host))
    assert sits_here(scope(host, client=("::1", 1)))


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"client": ("192.168.1.7", 4711)},
        {"client": None},
        {"host": "pictures.example.org"},
        {"host": "127.0.0.1.example.org"},
        {"host": ""},
        {"host": "[::1"},
        {"role": "user"},
        {"role": "read-only"},
        {"role": "anything"},
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x_real_ip": "127.0.0.1"},
        {"x_forwarded_host": "localhost"},
    ],
)
def test_others_do_not(elsewhere):
    assert not sits_here(scope(**elsewhere))
