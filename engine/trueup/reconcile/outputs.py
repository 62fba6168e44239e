"""What a stack gives to other stacks, once it was carried out. Called by cycle at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trueup.errors import ManifestError, Problem
from trueup.manifests.expressions import resolve
from trueup.model.values import Value, has_unknown
from trueup.reconcile.situation import Knowledge, Situation


@dataclass(frozen=True)
class Outputs:
    """The values by name, and what is wrong with those that could not be evaluated."""

    values: Mapping[str, Value]
    problems: tuple[Problem, ...] = ()


def find_outputs(situation: Situation, knowledge: Knowledge, before: Mapping[str, Value]) -> Outputs:
    """The outputs as they are now.

    One that is not known now, since a resource was not observed or not acted on, keeps its value of `before`:
    a fault here must not take a value away from those who use it.
    """
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for name, declared in situation.stack.outputs.items():
        try:
            value = resolve({"value": declared}, knowledge)["value"]
        except ManifestError as error:
            problems.extend(error.problems)
            value = None
        else:
            if not has_unknown(value):
                values[name] = value
                continue
        if name in before:
            values[name] = before[name]
    return Outputs(values, tuple(problems))
