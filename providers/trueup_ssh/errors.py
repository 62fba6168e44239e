"""What a script or a tool on a host reports, as errors of the SDK. Called by `script` and the transports."""

from __future__ import annotations

from trueup.sdk import Blocked, Conflict, Denied, Invalid, ProviderError, Transient

_BY_CODE: dict[str, type[ProviderError]] = {
    "conflict": Conflict,
    "denied": Denied,
    "invalid": Invalid,
    "transient": Transient,
}


def error_of(code: str, message: str, hint: str = "", by: str = "") -> ProviderError:
    """The error that a script reported by its code."""
    if code == "blocked":
        return Blocked(message, by=by, hint=hint)
    return _BY_CODE.get(code, Invalid)(message, hint=hint)


def failure_of(place: str, status: int | None, words: str) -> ProviderError:
    """Why a script did not come to its end, from the exit status and standard error of the shell."""
    lowered = words.lower()
    tail = words.strip()[-500:]
    if (
        "a password is required" in lowered
        or "a terminal is required" in lowered
        or "must have a tty" in lowered
    ):
        return Denied(
            f"{place}: sudo asks for a password",
            hint="allow this user sudo without a password (NOPASSWD); trueup never prompts",
        )
    if (
        "not in the sudoers" in lowered
        or "not allowed to execute" in lowered
        or "may not run sudo" in lowered
    ):
        return Denied(f"{place}: this user may not use sudo: {tail}")
    if status == 127:
        return Invalid(f"{place}: a command is missing: {tail or 'sh or sudo'}")
    if "account" in lowered and ("expired" in lowered or "not available" in lowered):
        return Denied(f"{place}: {tail}")
    if status in (1, 255) and "sudo:" in lowered:
        return Denied(f"{place}: {tail}")
    how = "its connection ended" if status is None or status < 0 else f"the shell ended with status {status}"
    return Transient(f"{place}: the script did not come to its end: {how}{': ' + tail if tail else ''}")
