"""The options that commands share, packed into one `Call`. Used by every command that reads a stack."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.core import ParameterSource

from trueup.cli import problems
from trueup.cli.exit_codes import ERROR, HELD
from trueup.errors import PinnedStack, TrueupError, UsageError

if TYPE_CHECKING:
    from trueup.app import App, SourceSpec
    from trueup.cli.plan_text import WaysOut
    from trueup.config import Config, StackConfig
    from trueup.reconcile.report import Selection
    from trueup.sdk.contracts import Catalog

# Makes the App from the store's URL and the parallelism.
EngineFactory = Callable[[str, int], "App"]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Call:
    """One command as it was called: the stack it is about and the settings it runs with.

    `typed` holds what stood on the command line itself, by option: what came from elsewhere need not be
    repeated there.
    """

    engine: EngineFactory | None
    source_text: str
    ref: str = ""
    path: str = ""
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    store: str = ""
    targets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    parallelism: int | None = None
    config: str = ""
    verbose: int = 0
    typed: frozenset[str] = field(default_factory=frozenset)

    @property
    def source(self) -> SourceSpec:
        """What to read: SOURCE as a place, or the stack of trueup.toml that it names, with its values."""
        from trueup.app import SourceSpec

        stack = self._configured_stack()
        if stack is None:
            return SourceSpec(
                self.source_text,
                self.ref,
                self.path,
                values=self.values,
                sets=self.sets,
                is_ref_meant=bool(self.ref),
            )
        return SourceSpec(
            stack.location,
            self.ref or stack.ref,
            self.path or stack.path,
            values=(*stack.values, *self.values),
            sets=(*stack.sets, *self.sets),
            secrets=stack.secrets,
            targets=self._settings.stack(stack.name).allow_targets,
            is_ref_meant=bool(self.ref),
        )

    @property
    def is_configured(self) -> bool:
        """Whether SOURCE is the name of a stack of trueup.toml."""
        return self._configured_stack() is not None

    def _configured_stack(self) -> StackConfig | None:
        """The stack of trueup.toml whose name is SOURCE."""
        found = next((stack for stack in self._config.stacks if stack.name == self.source_text), None)
        here = Path(self.source_text)
        if found is None or not here.exists():
            return found
        if not found.ref and here.resolve() == Path(found.location, found.path).resolve():
            return found
        raise UsageError(
            f'"{self.source_text}" is a stack of the settings and a directory here',
            hint=f"write ./{self.source_text} for the directory, or be elsewhere and pass --config",
        )

    @property
    def selection(self) -> Selection:
        from trueup.reconcile.report import Selection

        return Selection(self.targets, self.only)

    def open_app(self, *, may_create: bool = False, needs_store: bool = False) -> App:
        """The engine with its settings: the command line, then the environment, then trueup.toml.

        `may_create`: the command writes into the store, so it is made where there is none. `needs_store`: it
        is about what a run has left there.
        """
        config = self._config
        store = self.store or config.store or default_store()
        if self.engine is not None:
            return self.engine(store, self.parallelism or config.parallelism)
        from trueup.cli.store_place import place_store, require_store

        if needs_store:
            require_store(store)
        return self._make_app(place_store(store, is_named=bool(self.store), may_create=may_create))

    def open_without_store(self, catalog: Catalog) -> App:
        """The engine for a question that no store is needed for, with the same settings."""
        from trueup.state.open import NO_STORE

        return self._make_app(NO_STORE, catalog)

    def _make_app(self, store: str, catalog: Catalog | None = None) -> App:
        from trueup.app import App

        config = self._settings
        return App(
            store,
            catalog=catalog,
            parallelism=self.parallelism or config.parallelism,
            secret_settings=config.secrets,
            keep_runs=config.keep_runs,
            policies=config.policies,
            allow_targets=config.allow_targets,
            allow_fetching=config.allow_fetching,
            allow_modules=config.allow_modules,
        )

    @cached_property
    def _config(self) -> Config:
        from trueup.config import FILE_NAME, Config, load_config

        if self.config:
            return load_config(self.config)
        return load_config(FILE_NAME) if Path(FILE_NAME).is_file() else Config()

    @cached_property
    def _settings(self) -> Config:
        """The settings that count: a file that nobody named grants nothing to its own repository."""
        if self.config:
            return self._config
        from trueup.cli.own_settings import drop_own_grants

        stack = self._configured_stack()
        return drop_own_grants(self._config, stack.location if stack is not None else self.source_text)

    def ways_out(self, digest: str, *, is_at_ref: bool = True) -> WaysOut:
        """The commands that answer a held plan of this stack."""
        from trueup.cli.plan_text import WaysOut

        return WaysOut(
            self.command_line("approve", digest, is_whole=True, is_at_ref=is_at_ref),
            self.command_line("reject", digest, is_whole=True, is_at_ref=is_at_ref),
            self.command_line("reconcile", "--approve", digest, is_at_ref=is_at_ref),
            self.command_line("recover", is_whole=True, is_at_ref=is_at_ref),
        )

    def command_line(self, verb: str, *more: str, is_whole: bool = False, is_at_ref: bool = True) -> str:
        """The command to type for the same stack, ready for a shell. Passwords in URLs are masked.

        `is_whole`: the command takes no part of the stack; without `is_at_ref`, no ref.
        """
        from trueup.sources.location import mask_credentials

        words = ["trueup", verb, mask_credentials(self.source_text)]
        for option, value in (("ref", self.ref if is_at_ref else ""), ("path", self.path)):
            words += [f"--{option}", value] if value else []
        repeatable = {"values": self.values, "set": self.sets}
        if not is_whole:
            repeatable |= {"target": self.targets, "only": self.only}
        for option, values in repeatable.items():
            for value in values:
                words += [f"--{option}", value]
        for option, value in (("store", mask_credentials(self.store)), ("config", self.config)):
            words += [f"--{option}", value] if option in self.typed else []
        return shlex.join([*words, *more])


def default_store() -> str:
    """The store of someone who configured none: a file in the user's state directory."""
    try:
        home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    except RuntimeError:
        raise UsageError(
            "there is no home directory for the store", hint="--store or TRUEUP_STORE says where it is"
        ) from None
    return f"sqlite:///{Path(home).absolute() / 'trueup' / 'state.db'}"


def takes_source(function: Function) -> Function:
    """Adds SOURCE, what says how to read it, --config and -v; the function gets a `Call` and its own options.

    A TrueupError of the function is shown in the form that its option `output` asks for; exit code 1.
    """
    run = _with_call(function)
    for decorate in reversed(_SOURCE):
        run = decorate(run)
    return run


def _with_call(function: Function) -> Function:
    @click.pass_context
    @functools.wraps(function)
    def run(ctx: click.Context, /, **options: Any) -> Any:
        call = _pack(ctx, options)
        _configure_logs(call.verbose)
        try:
            return function(call, **options)
        except PinnedStack as error:
            if not Path(call.source_text).is_file():  # a saved plan is nothing to resume
                resume = call.command_line("resume", is_whole=True, is_at_ref=False)
                error.hint = error.hint.replace("trueup resume SOURCE", resume)
            problems.show(error, str(options.get("output", "text")))
            ctx.exit(HELD)
        except TrueupError as error:
            problems.show(error, str(options.get("output", "text")))
            ctx.exit(ERROR)

    return run


def takes_stack(function: Function) -> Function:
    """Adds what `takes_source` adds and what a command needs that looks at live systems."""
    function = takes_source(function)
    for decorate in reversed(_STACK):
        function = decorate(function)
    return function


def takes_store(function: Function) -> Function:
    """Adds what `takes_source` adds, and the store: for what is about a stack and looks at no live system."""
    return _STORE(takes_source(function))


def takes_whole_stack(function: Function) -> Function:
    """Adds what `takes_stack` adds, but for the options that select a part of it."""
    function = takes_source(function)
    for decorate in reversed([each for each in _STACK if each not in _SELECTION]):
        function = decorate(function)
    return function


def takes_who(function: Function) -> Function:
    """Adds --as, for the history."""
    return click.option(
        "--as", "who", default="", metavar="WHO", help="Who says so. [default: the user and the host]"
    )(function)


def takes_past(function: Function) -> Function:
    """Adds the store and the settings that name it: for what is about the history and not about one stack."""
    run = _with_call(function)
    for decorate in reversed((_STORE, *_SOURCE[5:])):
        run = decorate(run)
    return run


def takes_directory(function: Function) -> Function:
    """Adds --into for a stack's directory that new files are written to, and what is needed to reach it."""
    run = _with_call(function)
    shared = [*_SOURCE[3:], *(each for each in _STACK if each not in _SELECTION)]
    for decorate in reversed((_INTO, *shared)):
        run = decorate(run)
    return run


def takes_question(function: Function) -> Function:
    """Adds --source for the stack that something is asked about, and what is needed to reach its targets."""
    run = _with_call(function)
    shared = [*_SOURCE[1:], *(each for each in _STACK if each not in _SELECTION)]
    for decorate in reversed((_ABOUT, *shared)):
        run = decorate(run)
    return run


def takes_output(*formats: str) -> Callable[[Function], Function]:
    """Adds --output; the first format is the default."""
    return click.option(
        "--output",
        "-o",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


# The type makes a shell complete file names; what is written is neither checked nor changed.
_FILE = click.Path()
_SOURCE = (
    click.argument("source", type=_FILE),
    click.option("--ref", default="", metavar="REF", help="Branch, tag or commit of SOURCE."),
    click.option("--path", default="", metavar="PATH", help="The stack's directory inside SOURCE."),
    click.option(
        "--values",
        multiple=True,
        metavar="FILE",
        help="A values file of SOURCE, relative to the stack's directory. Repeatable: later over earlier.",
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=VALUE",
        help="A variable's value, over all values files; NAME.KEY=VALUE for one key of a map. Repeatable.",
    ),
    click.option(
        "--config",
        envvar="TRUEUP_CONFIG",
        type=_FILE,
        default="",
        metavar="FILE",
        help="Settings. [default: ./trueup.toml if it exists]",
    ),
    click.option("--verbose", "-v", count=True, help="Log to standard error; twice for details."),
)
_INTO = click.option(
    "--into",
    "source",
    type=_FILE,
    default=".",
    metavar="DIR",
    help="The stack's directory, to which the files are written. [default: .]",
)
_ABOUT = click.option(
    "--source",
    type=_FILE,
    default=".",
    metavar="SOURCE",
    help="The stack: a directory or a Git URL. [default: .]",
)
_SELECTION = (
    click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target. Repeatable."),
    click.option(
        "--only",
        multiple=True,
        metavar="ADDRESS",
        help="Only this resource and what it depends on, such as File/site or "
        "shop/File/site@web-1. Repeatable.",
    ),
)
_STORE = click.option(
    "--store",
    envvar="TRUEUP_STORE",
    default="",
    metavar="URL",
    help="The state store: a path, sqlite:////path or postgresql://user@host/database.",
)
_STACK = (
    _STORE,
    *_SELECTION,
    click.option(
        "--parallelism",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="How many calls at once at most. [default: 16]",
    ),
)


_SHARED = (
    "ref", "path", "values", "sets", "store", "targets", "only", "parallelism", "config", "verbose",
)  # fmt: skip


def _pack(ctx: click.Context, options: dict[str, Any]) -> Call:
    """Takes the shared options out of `options`."""
    source = options.pop("source", "")
    shared = {name: options.pop(name) for name in _SHARED if name in options}
    typed = {name for name in shared if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return Call(ctx.obj, source, **shared, typed=frozenset(typed))


def _configure_logs(verbose: int) -> None:
    from trueup.daemon.logs import configure_logs

    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    configure_logs(sys.stderr, level)
