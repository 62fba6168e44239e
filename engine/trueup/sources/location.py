"""Reads the location of a source as it was typed, and refuses what is not safe to hand to git."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from trueup.errors import SourceError

_HELPER = re.compile(r"^[A-Za-z0-9+.-]*::")
_SCP_LIKE = re.compile(r"^(?:(?P<user>[^@/:]+)@)?(?P<host>[^@/:]+|\[[^\]/]+\]):(?P<path>.*)$")
_HOST = re.compile(r"^[A-Za-z0-9_\[:][A-Za-z0-9._:%\]-]*$")
_USER = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/\s'\"]*@")
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<user>[^:/@\s]*):[^/\s'\"]*@")
_SSH_SCHEMES = ("ssh", "git+ssh", "ssh+git")


@dataclass(frozen=True)
class Remote:
    """A repository for git. `url` holds no password; `authorization` is (user, password) for HTTP, if given.

    `name` is how messages and the history call it. `protocol` is the one protocol that git may use.
    """

    url: str
    name: str
    protocol: str
    authorization: tuple[str, str] | None = None

    @property
    def is_local(self) -> bool:
        return self.protocol == "file"


def mask_credentials(text: str) -> str:
    """The text without the user and password of any URL in it; the login name of an SSH URL stays."""
    text = _CREDENTIALS.sub(r"\g<scheme>***@", text)
    return _USERINFO.sub(lambda match: match[0] if _is_login(match) else f"{match['scheme']}***@", text)


def _is_login(match: re.Match[str]) -> bool:
    return match["scheme"].removesuffix("://") in _SSH_SCHEMES


def check_text(what: str, text: str) -> None:
    """Raises SourceError for what git could take for an option, or what no name holds."""
    if any(not char.isprintable() for char in text):
        raise SourceError(f"the {what} has characters that cannot be printed")
    if text.startswith("-"):
        raise SourceError(
            f"the {what} {mask_credentials(text)!r} begins with '-'", hint="write ./-name for a file"
        )


def parse_location(
    location: str, *, allow_file_urls: bool = True, allow_git_protocol: bool = False
) -> Remote | Path:
    """A remote, or the path of something local. Raises SourceError for every other form."""
    check_text("location of the source", location)
    if not location.strip():
        raise SourceError("the source has no location", hint="name a directory or a Git URL")
    if _HELPER.match(location):
        raise SourceError(
            f"the source {mask_credentials(location)!r} names a helper program of git: that is refused",
            hint="use an https:// or ssh:// URL",
        )
    if "://" in location:
        return _parse_url(location, allow_file_urls, allow_git_protocol)
    scp_like = None if Path(location).exists() else _SCP_LIKE.match(location)
    if scp_like:
        _check_ssh(scp_like["user"] or "", scp_like["host"], scp_like["path"])
        return Remote(location, location, "ssh")
    if not allow_file_urls:
        raise SourceError(f"the source {location!r} is local: that is not allowed here")
    return _local_path(location)


def _local_path(location: str) -> Path:
    try:
        path = Path(location).expanduser().absolute()
        return path.resolve() if ".." in path.parts else path
    except (OSError, RuntimeError) as error:
        raise SourceError(f"the path {location!r} cannot be found: {error}") from error


def _parse_url(location: str, allow_file_urls: bool, allow_git_protocol: bool) -> Remote | Path:
    name = mask_credentials(location)
    try:
        parts = urlsplit(location)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SourceError(f"the URL {name} is not valid", hint="the port has to be a number") from error
    scheme = parts.scheme
    if scheme == "file":
        if not allow_file_urls:
            raise SourceError(f"the source {name} is local: that is not allowed here")
        if host not in ("", "localhost") or not parts.path.startswith("/"):
            raise SourceError(f"the URL {name} needs the form file:///absolute/path")
        return Remote("file://" + parts.path, name, "file")
    if not host or not _HOST.match(host):
        raise SourceError(f"the URL {name} has no valid host")
    if scheme in _SSH_SCHEMES:
        _check_ssh(unquote(parts.username or ""), host, parts.path.lstrip("/"))
        return Remote(_without_password(parts), name, "ssh")
    if scheme == "git" and allow_git_protocol:
        return Remote(location, name, "git")
    if scheme == "git":
        raise SourceError(
            f"the URL {name} is neither encrypted nor authenticated", hint="use https:// or ssh://"
        )
    if scheme == "http" and not _is_loopback(host):
        raise SourceError(f"the URL {name} is not encrypted", hint="use https://")
    if scheme in ("http", "https"):
        return _parse_http(parts, name)
    raise SourceError(f"the URL {name} has a scheme that is not allowed", hint="use https:// or ssh://")


def _parse_http(parts: SplitResult, name: str) -> Remote:
    if parts.query or parts.fragment:
        raise SourceError(f"the URL {name.partition('?')[0]} has a query or fragment: a Git URL has none")
    if parts.password is None:
        return Remote(parts.geturl(), name, parts.scheme)
    # The password travels in a header that git reads from its environment: an URL shows in `ps`.
    authorization = (unquote(parts.username or ""), unquote(parts.password))
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return Remote(bare.geturl(), name, parts.scheme, authorization)


def _without_password(parts: SplitResult) -> str:
    if parts.password is None:
        return parts.geturl()
    raise SourceError(
        f"the URL {mask_credentials(parts.geturl())} holds a password, which SSH does not take from an URL",
        hint="use a key, by an agent or by ~/.ssh/config",
    )


def _check_ssh(user: str, host: str, path: str) -> None:
    # ssh takes a host or user that begins with '-' for an option, and a few of them run commands.
    if not _HOST.match(host) or (user and not _USER.match(user)) or path.startswith("-") or not path:
        raise SourceError("the SSH location needs the form user@host:path or ssh://user@host/path")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
