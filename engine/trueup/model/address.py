"""The name of one node: `stack/Kind/[namespace/][module/]name@target`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Address:
    """Names one node, everywhere: in plans, the store, ownership markers, messages.

    `name` is `<module>/<name>` for a resource of a module, with one part more for each module around it.
    Two addresses are equal if their texts are: a parsed one takes the first part of a name with several
    parts for the namespace, which only the manifest could tell for sure.
    """

    stack: str = field(compare=False)
    kind: str = field(compare=False)
    name: str = field(compare=False)
    target: str = field(compare=False)
    namespace: str = field(default="", compare=False)
    text: str = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Addresses are keys everywhere: these are asked for a hundred times a node.
        object.__setattr__(self, "text", f"{self.stack}/{self.reference}@{self.target}")
        object.__setattr__(self, "_hash", hash(self.text))

    @property
    def reference(self) -> str:
        """How another resource of the stack names this one, without a target: `Kind/[namespace/]name`."""
        if self.namespace:
            return f"{self.kind}/{self.namespace}/{self.name}"
        return f"{self.kind}/{self.name}"

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address from its text form. Raises ValueError with the expected form."""
        path, at, target = text.rpartition("@")
        parts = path.split("/")
        if not at or not target or len(parts) < 3 or not all(parts):
            raise ValueError(f"not an address: {text!r} (expected stack/Kind/[namespace/]name@target)")
        namespace, name = (parts[2], parts[3:]) if len(parts) > 3 else ("", parts[2:])
        return cls(stack=parts[0], kind=parts[1], name="/".join(name), target=target, namespace=namespace)


# In the place of an installation, in the key of an owner that is looked for: whichever it is.
ANY_INSTALLATION = "*"


@dataclass(frozen=True)
class Owner:
    """The ownership marker that trueup leaves on what it manages: who, and which node."""

    installation: str
    stack: str
    address: str

    @property
    def key(self) -> str:
        """`<installation>/<stack>`: the same for all objects of a stack."""
        return f"{self.installation}/{self.stack}"

    def has_key(self, key: str) -> bool:
        """Whether the key is that of this owner; `*/<stack>` is that of the stack in any installation."""
        return key in (self.key, f"{ANY_INSTALLATION}/{self.stack}")
