"""How a secret source reaches AWS: through a target's session, or with the credentials of the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trueup.sdk import Denied, ProviderError, SecretContext

if TYPE_CHECKING:
    from trueup_aws.client import Connection

REQUIREMENT = "trueup[aws]"


@contextmanager
def reach(context: SecretContext) -> Iterator[Connection]:
    """The connection to read with. Raises what connecting raises."""
    from trueup_aws.client import Connection, connect_by_environment

    if isinstance(context.session, Connection):
        yield context.session
        return
    connection = connect_by_environment()
    try:
        yield connection
    finally:
        connection.close()


Values = Mapping[str, str | ProviderError]


def read_in_groups(names: Sequence[str], size: int, read: Callable[[Sequence[str]], Values]) -> Values:
    """What `read` gives for each name, asked in groups.

    Where a whole group is denied, each name is asked for alone: policies are often about single secrets.
    """
    values: dict[str, str | ProviderError] = {}
    waiting = [names[start : start + size] for start in range(0, len(names), size)]
    while waiting:
        group = waiting.pop()
        try:
            values.update(read(group))
        except Denied as error:
            if len(group) == 1:
                values[group[0]] = error
            else:
                waiting.extend([name] for name in group)
        except ProviderError as error:
            values.update(dict.fromkeys(group, error))
    return values
