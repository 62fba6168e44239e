"""`trueup eval`: what an expression comes to in a stack."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import rich_click as click

from trueup.cli import problems
from trueup.cli.exit_codes import ERROR, OK
from trueup.cli.options import Call, takes_question
from trueup.cli.output import print_json
from trueup.cli.run_json import shown_outputs
from trueup.errors import TrueupError
from trueup.model.values import UNKNOWN, Sensitive

if TYPE_CHECKING:
    from trueup.app import App


@click.command()
@click.argument("expression", required=False, default="")
@click.option("--target", default="", metavar="NAME", help="The target that `target` means.")
@takes_question
@click.pass_context
def eval(ctx: click.Context, call: Call, expression: str, target: str) -> None:
    """Evaluates an EXPRESSION in the stack of --source, or reads one after the other from standard input.

    The names are those of a resource of the stack: vars, git, file(), ref(), stack(), secret(), and target
    with --target. Only what the expression reads is looked at in the live systems. Strings are shown in
    quotes, as JSON; secrets are not shown.

    \b
    Example:
      trueup eval 'vars.replicas * 2'
      trueup eval 'ref("AWS::SQS::Queue/orders").status.QueueUrl' --source ./shop
      trueup eval 'url: https://${{ vars.domain }}/' --values envs/prod.yaml
    """
    with call.open_app() as app:
        if expression:
            _show(app, call, expression, target)
        else:
            _converse(ctx, app, call, target)


def _converse(ctx: click.Context, app: App, call: Call, target: str) -> None:
    """A line, its value, and so on; what is wrong with one line ends nothing, and a script is told last."""
    code = OK
    is_person = sys.stdin.isatty()
    if is_person:
        import readline  # noqa: F401 - gives input() its history and its keys
    while True:
        try:
            line = input("> " if is_person else "").strip()
        except EOFError:
            ctx.exit(code)
        if not line:
            continue
        try:
            _show(app, call, line, target)
        except TrueupError as error:
            problems.show(error, "text")
            code = OK if is_person else ERROR


def _show(app: App, call: Call, expression: str, target: str) -> None:
    from trueup.app import Question

    value = app.evaluate(call.source, Question(expression, target))
    if value is UNKNOWN or isinstance(value, Sensitive):
        sys.stdout.write(f"{value}\n")
    else:
        print_json(shown_outputs(value))
