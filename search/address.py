"""The cluster that a study runs on: which it is, whether it answers, and whether it lets this process in.

Looked at before Ray connects, which would try for 20 s and end in a stack trace.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainables.errors import Mistake

RIGHT = "the address of a running Ray cluster (HOST:PORT, or auto), or no --address for this machine alone"

LET_IN = (
    "the cluster's token in ~/.ray/auth_token, or in the file that RAY_AUTH_TOKEN_PATH names, and RAY_AUTH_MODE=token "
    "(docs/cluster.md)"
)

SECONDS = 10.0
"""So long an answer is waited for."""

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it in the processes of submitted jobs."""


def address_of(given: str | None) -> str | None:
    """The address that a study runs at: what was given, or in a submitted job the job's cluster; None for none."""
    return given or ("auto" if JOB in os.environ else None)


def resolved(address: str) -> str:
    """`HOST:PORT` of the cluster at an address. A Mistake where it is none, nothing answers, or the token is wrong."""
    where = f"--address {address}"
    if address.startswith("ray://"):
        what = "ray:// is Ray Client, through which a study cannot run: its driver must be on the cluster's network"
        right = "`ray job submit --address http://HEAD:8265 --working-dir . -- python search/run.py …`, or HOST:PORT"
        raise Mistake(what, where=where, right=right)
    if "://" in address:
        right = "`ray job submit --address URL … -- python search/run.py …` for a dashboard's address, or HOST:PORT"
        raise Mistake("this is not the address of a Ray cluster", where=where, right=right)
    found = _found(where) if address == "auto" else address
    host, separator, port = found.rpartition(":")
    if not (separator and host and port.isdigit() and 0 < int(port) < 65536):
        raise Mistake("this is not the address of a Ray cluster", where=where, right=RIGHT)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
    except OSError as error:
        raise Mistake(f"nothing answers there: {error}", where=where, right=RIGHT) from error
    _let_in(found, where)
    return found


def _found(where: str) -> str:
    """The cluster that was started on this machine, or that RAY_ADDRESS names."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return str(canonicalize_bootstrap_address("auto"))
    except (ConnectionError, ValueError) as error:
        named = os.environ.get("RAY_ADDRESS")
        what = f"RAY_ADDRESS={named} names no cluster" if named else "no Ray cluster runs on this machine"
        raise Mistake(what, where=where, right=RIGHT) from error


def _let_in(address: str, where: str) -> None:
    """Ask the cluster for its number with the token that Ray would show; a Mistake where it refuses."""
    import ray._raylet
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    raylet: Any = ray._raylet  # its stubs lack what follows
    # A cluster without authentication takes no notice of a token.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    loader = raylet.AuthenticationTokenLoader.instance()
    mode, modes = raylet.get_authentication_mode(), raylet.AuthenticationMode
    shows = mode == modes.TOKEN
    if shows and not loader.has_token(ignore_auth_mode=True):
        raise Mistake("RAY_AUTH_MODE=token is set, but there is no token", where=where, right=LET_IN)
    if os.environ.get("RAY_USE_TLS") == "1" or not (shows or mode == modes.DISABLED):
        return
    try:
        import grpc
    except ImportError:  # `ray start` without ray[default]: Ray itself tells, later and longer
        return
    shown = tuple((name.lower(), value) for name, value in loader.get_token_for_http_header().items()) if shows else ()
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=SECONDS, metadata=shown)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                what = "does not take this token" if shows else "wants a token, and there is none"
                raise Mistake(f"the cluster {what}", where=where, right=LET_IN) from None
            what = f"what answers there is not Ray's head ({error.code().name.lower().replace('_', ' ')})"
            raise Mistake(what, where=where, right=RIGHT) from None


def refused(error: Exception, address: str | None) -> Mistake:
    """What Ray's error at connecting means."""
    told = " ".join(str(error).split())
    where = f"--address {address}" if address else "Ray"
    if "Version mismatch" in told:
        what = told.removeprefix("Version mismatch: ").removesuffix(".")
        right = "the same versions of Ray and Python here and on the cluster"
        return Mistake(f"this process and the cluster differ: {what[0].lower()}{what[1:]}", where=where, right=right)
    right = RIGHT if address else "docs/cluster.md: what a Ray of this machine alone needs"
    return Mistake(f"Ray cannot be reached: {told[:500]}", where=where, right=right)


def own_token() -> None:
    """A token for a Ray of this machine alone, where the user has none yet: in a file that only they can read.

    Ray would write one that the user's umask may leave readable to others.
    """
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN") or path.exists():
        return
    token = secrets.token_hex(32)
    whole = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
        with suppress(FileExistsError):  # another run has made it just now
            os.link(whole, path)
        whole.unlink()
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = token  # no home to write to: known to this process and its children
