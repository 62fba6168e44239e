"""What a stack gives to other stacks, once it was carried out, and to people who ask.

Called by cycle at the end of a run, and by app.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trueup.errors import ManifestError, Problem
from trueup.manifests.expressions import resolve
from trueup.model.address import Address
from trueup.model.observation import Failed, Observed
from trueup.model.values import UNKNOWN, Document, PartlyKnown, Unknown, Value, has_unknown
from trueup.reconcile.situation import Knowledge, Situation


@dataclass(frozen=True)
class Outputs:
    """The values by name, and what is wrong with those that could not be evaluated."""

    values: Mapping[str, Value]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Lived:
    """The look-up of outputs: of the nodes that were left `undone` what lives, and not what was meant."""

    knowledge: Knowledge
    undone: Collection[Address]

    def node(self, address: Address) -> Document | Unknown:
        if address not in self.undone:
            return self.knowledge.node(address)
        observation = self.knowledge.observations.get(address)
        return PartlyKnown(observation.body) if isinstance(observation, Observed) else UNKNOWN

    def secret(self, text: str) -> Value:
        return self.knowledge.secret(text)

    def outputs(self, stack: str) -> Mapping[str, Value] | Unknown:
        return self.knowledge.outputs(stack)


def find_outputs(
    situation: Situation, knowledge: Knowledge, before: Mapping[str, Value], undone: Collection[Address] = ()
) -> Outputs:
    """The outputs as they are now; `undone` are the nodes that failed, were blocked or were not come to.

    One that is not known now, since a resource was not observed or not acted on, keeps its value of `before`:
    a fault here must not take a value away from those who use it.
    """
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    lookup = _Lived(knowledge, undone)
    for name, declared in situation.stack.outputs.items():
        try:
            value = resolve({"value": declared}, lookup)["value"]
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


def find_answer(declared: Value, knowledge: Knowledge) -> Value:
    """What an expression comes to. Raises ManifestError where it needs what could not be looked at.

    Without that, a host that is down would look like an object that is not there yet.
    """
    value = resolve({"answer": declared}, knowledge)["answer"]
    unseen = [each for each in knowledge.observations.values() if isinstance(each, Failed)]
    if unseen and has_unknown(value):
        raise ManifestError(
            Problem(f"{each.address.text} could not be looked at: {each.error.message}", hint=each.error.hint)
            for each in unseen
        )
    return value
