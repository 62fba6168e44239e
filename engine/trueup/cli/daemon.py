"""`trueup daemon`: follows the stacks of trueup.toml until it is told to stop."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli import problems
from trueup.cli.options import EngineFactory, default_store
from trueup.errors import PluginError, TrueupError

if TYPE_CHECKING:
    from trueup.app import App
    from trueup.config import Config, StackConfig
    from trueup.daemon.engine import Followed


@click.command()
@click.option(
    "--config",
    envvar="TRUEUP_CONFIG",
    default="trueup.toml",
    show_default=True,
    metavar="FILE",
    help="What to follow, and where to listen.",
)
@click.option(
    "--store",
    envvar="TRUEUP_STORE",
    default="",
    metavar="URL",
    help="The state store, instead of the one that the file names.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log details too.")
@click.pass_context
def daemon(ctx: click.Context, config: str, store: str, verbose: bool) -> None:
    """Reconciles the stacks of trueup.toml for ever: on each new commit, and at each stack's interval.

    SIGTERM ends it after the calls in flight, SIGHUP looks at every source at once. See docs/daemon.md.
    """
    from trueup.config import load_config
    from trueup.daemon.logs import configure_logs

    configure_logs(sys.stderr, logging.DEBUG if verbose else logging.INFO)
    try:
        _run(load_config(config), store, ctx.obj)
    except TrueupError as error:
        problems.show(error, "text")
        ctx.exit(1)


def _run(config: Config, store: str, make_engine: EngineFactory | None) -> None:
    try:
        from trueup.daemon.metrics import Metrics
        from trueup.daemon.serve import Server, check_address
        from trueup.daemon.service import Service, serve_until_stopped
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise PluginError(
            f"the daemon needs the library {error.name!r}, which is not installed",
            hint="pip install 'trueup[daemon]'",
        ) from error

    check_address(config.daemon.host, allow_remote=config.daemon.allow_remote)
    metrics = Metrics()
    with _open_app(config, store, make_engine) as app:
        service = Service(app, [_followed(stack) for stack in config.stacks], metrics)
        # A store that cannot be opened is told now, and not once for each stack for ever.
        app.store.stacks()
        server = Server(config.daemon.host, config.daemon.port, service, metrics)
        server.start()
        try:
            has_drained = serve_until_stopped(service, config.daemon.drain_timeout)
        finally:
            server.close()
        if not has_drained:
            # Python would wait for the threads of the runs that are late, however long they take.
            sys.stderr.flush()
            os._exit(0)


def _open_app(config: Config, store: str, make_engine: EngineFactory | None) -> App:
    from trueup.app import App

    url = store or config.store or default_store()
    if make_engine is not None:
        return make_engine(url, config.parallelism)
    return App(
        url,
        parallelism=config.parallelism,
        secret_settings=config.secrets,
        keep_runs=config.keep_runs,
        policies=config.policies,
        allow_targets=config.allow_targets,
        allow_fetching=config.allow_fetching,
        allow_modules=config.allow_modules,
    )


def _followed(stack: StackConfig) -> Followed:
    from trueup.app import SourceSpec
    from trueup.daemon.engine import Followed

    source = SourceSpec(
        stack.location,
        stack.ref,
        stack.path,
        values=stack.values,
        sets=stack.sets,
        secrets=stack.secrets,
        targets=stack.allow_targets,
    )
    return Followed(stack.name, source, stack.poll, stack.interval)
