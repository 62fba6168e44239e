"""Kind File: text at a path, replaced in one step, compared by its text or by its hash."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import dirname

from trueup.sdk import (
    UNKNOWN,
    Absent,
    Change,
    Discovered,
    Document,
    Done,
    Failed,
    Intent,
    Invalid,
    Missing,
    Node,
    Observation,
    Observed,
    Problem,
    ProviderError,
    Sensitive,
    Session,
    Traits,
    Transient,
    Value,
    has_unknown,
    reveal,
)
from trueup_ssh.kinds.found_paths import discover_files, export_file
from trueup_ssh.kinds.host_kind import host_of, observation, spec_of
from trueup_ssh.kinds.paths import (
    GROUP_SCHEMA,
    MODE_PATTERN,
    OWNER_SCHEMA,
    PATH_SCHEMA,
    PathKind,
    Stat,
    account_word,
    chmod_word,
    full_mode,
    in_the_way,
    not_readable,
    put_accounts,
    read_stats,
)
from trueup_ssh.kinds.secrecy import has_sensitive, hide, is_sealed, is_secret, was_secret
from trueup_ssh.kinds.template import render
from trueup_ssh.ownership import Marker, owner_text
from trueup_ssh.script import Answer, call, decode, encode

MAX_BYTES = 4 * 1024 * 1024
DEFAULT_MODE = "0644"
PRIVATE_MODE = "0600"
SECRET_FIELDS = ("content", "template", "data")


class File(PathKind):
    name = "File"
    traits = Traits()
    schema = {
        "description": "A file with a text of its own, or with one that a template makes.",
        "examples": [{"path": "/etc/motd", "content": "Managed by trueup.\n", "mode": "0644"}],
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "oneOf": [{"required": ["content"]}, {"required": ["template"]}],
        "properties": {
            "path": PATH_SCHEMA,
            "content": {"type": "string", "description": "The whole text of the file, at most 4 MiB."},
            "template": {
                "type": "string",
                "description": "A Jinja template of the text; it sees the values of `data` and nothing else.",
            },
            "data": {"type": "object", "description": "The values that the template uses."},
            "mode": {
                "type": "string",
                "pattern": MODE_PATTERN,
                "default": DEFAULT_MODE,
                "description": 'Octal, in quotes: "0640". A sensitive content has "0600" by default.',
            },
            "owner": OWNER_SCHEMA,
            "group": GROUP_SCHEMA,
            "sensitive": {
                "type": "boolean",
                "description": "Shows the content in no plan, diff or record.",
            },
        },
    }

    # -- pure

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from super().validate(node)
        spec = spec_of(node)
        if "data" in spec and "template" not in spec:
            yield Problem("spec.data: has no use without spec.template", node.place)
        if spec.get("template") is UNKNOWN:
            # A value of a live system would be taken for Jinja.
            yield Problem(
                "spec.template: ref(), stack() and secret() cannot be used in the text of a template",
                node.place,
                "put the value into spec.data and name it in the template",
            )
        try:
            content = reveal(_content(spec))
        except Invalid as error:
            yield Problem(f"spec.template: {error.message}", node.place, error.hint)
            return
        if isinstance(content, str):
            size = len(content.encode("utf-8", "replace"))
            if size > MAX_BYTES:
                yield Problem(f"spec.content: has {size} bytes; at most {MAX_BYTES} are allowed", node.place)

    def normal_spec(self, node: Node, observed: Observed | None) -> Document:
        spec = spec_of(node)
        content = _content(spec)
        if observed is not None and _status(observed).get("compared") == "hash":
            content = _hash_content(content)
        mode = _mode(spec, content)
        desired: dict[str, Value] = {
            "path": spec.get("path"),
            "content": content,
            "mode": full_mode(mode) if isinstance(mode, str) else mode,
        }
        put_accounts(desired, spec, observed)
        return desired

    def seal(self, body: Document) -> Document:
        spec = body.get("spec")
        if not isinstance(spec, Mapping) or not is_secret(spec):
            return body
        hidden = {key: hide(value) if key in SECRET_FIELDS else value for key, value in spec.items()}
        return {**body, "spec": hidden}

    def diff(self, node: Node, observed: Observed | Absent, recorded: Document | None) -> Change:
        """As usual, but a text that was sensitive when it was applied stays hidden when it no longer is."""
        if isinstance(observed, Observed) and recorded is not None and was_secret(recorded.get("spec")):
            observed = _hide_content(observed)
        return super().diff(node, observed, recorded)

    def writers(self, observed: Observed) -> Mapping[str, str]:
        """The owner and the time of the last writing: they tell of the content alone, not of its mode."""
        owner, written = observed.body["spec"].get("owner"), _time_of(_status(observed).get("modified"))
        if not isinstance(owner, str) or not written:
            return {}
        return {"/spec/content": f"{owner} (owner of the file), written at {written}"}

    def export(self, body: Document) -> Document:
        return export_file(self, body)

    # -- I/O

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        return discover_files(self, host_of(session), ids)

    def probe_one(self, index: int, node: Node) -> str:
        spec = spec_of(node)
        content = None if is_sealed(spec) else reveal(_content_or_unknown(spec))
        digest = _digest(content) if isinstance(content, str) else ""
        # What was sensitive when it was recorded (a node made from the inventory) is not sent. What waits for
        # another node is, so that the plan can show the difference; a secret is masked by then.
        is_shown = bool(digest) or content is UNKNOWN
        return call("probe_file", str(index), self.path(node), digest, "yes" if is_shown else "no")

    def read(
        self, nodes: Sequence[tuple[int, Node]], answer: Answer, owners: Mapping[int, Marker]
    ) -> Iterator[Observation]:
        stats = read_stats(answer)
        lines = answer.by_index("file")
        for index, node in nodes:
            try:
                yield self._read_one(node, lines.get(index, ""), stats, owners.get(index))
            except ProviderError as error:
                yield Failed(node.address, error)

    def _read_one(
        self, node: Node, line: str, stats: Mapping[str, Stat], marker: Marker | None
    ) -> Observation:
        path = self.path(node)
        seen, _, rest = line.partition(" ")
        if seen == "none":
            return Absent(node.address)
        if seen == "unknown":
            raise not_readable(path, rest)
        if seen not in ("same", "content", "large"):
            if not seen:
                raise Transient(f"the host did not say anything about {path}")
            raise in_the_way(path, seen, "a plain file")
        stat = stats.get(path)
        if stat is None:
            raise Transient(f"{path} changes while it is looked at")
        wanted = spec_of(node)
        is_record = is_sealed(wanted)
        desired = None if is_record else _content_or_unknown(wanted)
        is_managed = marker is not None and marker.kind == self.name
        content, digest, compared = _live_content(seen, rest, stat, desired, is_managed)
        is_hidden = is_record or isinstance(desired, Sensitive)
        spec: dict[str, object] = {
            "path": path,
            "content": Sensitive(content) if is_hidden else content,
            "mode": stat.mode,
            "owner": stat.owner,
            "group": stat.group,
        }
        status: dict[str, object] = {
            "compared": compared,
            "size": stat.size,
            "uid": stat.uid,
            "gid": stat.gid,
            "modified": stat.changed,
            "sha256": Sensitive(digest) if is_hidden else digest,
        }
        state = f"{digest or stat.changed} {stat.mode} {stat.uid}:{stat.gid}"
        version = hashlib.sha256(state.encode()).hexdigest()
        return observation(node, self, spec, status, marker, version)

    def create(self, session: Session, node: Node, intent: Intent) -> Done:
        path = self.path(node)
        marker = self.marker_words(node, intent)
        words = (dirname(path), path, *marker, self.take_word(node), *_attributes(node))
        return self.change(session, node, "create_file", *words)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done:
        node = self.live_node(node)
        path = self.path(node)
        marker = self.marker_words(node, intent)
        expected = self.expected_word(node, change, intent)
        if not change.fields:
            # Nothing differs but the marker: the file itself is not written anew.
            digest = _observed_digest(change)
            return self.change(session, node, "mark_file", path, *marker, expected, digest)
        content, *attributes = _attributes(node)
        hashes = (_observed_digest(change), _digest(_outgoing(node)))
        words = (dirname(path), path, *marker, expected, *hashes, content, *attributes)
        return self.change(session, node, "update_file", *words)

    def has_lost_marker(self, node: Node, change: Change) -> bool:
        """The host still checks the digest; a file too large to be read is none that trueup wrote."""
        observed = change.observed
        is_recorded = observed is not None and node.external_id == observed.external_id
        return is_recorded and _observed_digest(change) != ""

    def delete(self, session: Session, node: Node, intent: Intent) -> Done:
        node = self.live_node(node)
        path = self.path(node)
        words = (dirname(path), path, self.key(node), owner_text(intent.owner))
        return self.change(session, node, "delete_file", *words)


def _content(spec: Document) -> Value:
    """The desired text; UNKNOWN while anything that it is made of is. Raises Invalid for a wrong template."""
    template = spec.get("template")
    if template is None:
        content = spec.get("content")
        if is_secret(spec) and isinstance(content, str):
            return Sensitive(content)
        return content
    data = spec.get("data")
    data = {} if data is None else data
    parts = reveal([template, data])
    if has_unknown(parts):
        return UNKNOWN
    if not isinstance(parts[0], str) or not isinstance(parts[1], Mapping):
        return None
    text = render(parts[0], parts[1])
    return Sensitive(text) if is_secret(spec) or has_sensitive([template, data]) else text


def _content_or_unknown(spec: Document) -> Value:
    """For observations, which a wrong template must not prevent."""
    try:
        return _content(spec)
    except Invalid:
        return UNKNOWN


def _live_content(
    seen: str, rest: str, stat: Stat, desired: Value, is_managed: bool
) -> tuple[Value, str, str]:
    """The live content as it is compared, its hash (empty: not read), and what is compared: text or hash."""
    if seen == "large":
        return f"(a file of {stat.size} bytes)", "", "hash"
    wanted = reveal(desired)
    if seen == "same":
        return wanted, _digest(wanted), "text"
    digest, _, word = rest.partition(" ")
    # The content of a foreign file is nobody's business: only whether it is the desired one.
    if word == "-" or not is_managed:
        return _hash_word(digest), digest, "hash"
    try:
        text = decode(word).decode()
    except UnicodeDecodeError:
        return _hash_word(digest), digest, "hash"
    if "\0" in text:
        return _hash_word(digest), digest, "hash"
    return text, hashlib.sha256(text.encode()).hexdigest(), "text"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _hash_word(digest: str) -> str:
    return f"sha256:{digest}"


def _hash_content(content: Value) -> Value:
    """The content as it compares with a hash."""
    text = reveal(content)
    if not isinstance(text, str):
        return content
    word = _hash_word(_digest(text))
    return Sensitive(word) if isinstance(content, Sensitive) else word


def _outgoing(node: Node) -> str:
    content = reveal(_content(spec_of(node)))
    if not isinstance(content, str):
        raise Invalid("its content is not known")
    return content


def _mode(spec: Document, content: Value) -> Value:
    """The desired mode: what nobody has set depends on whether the content may be read by everybody."""
    if "mode" in spec:
        return spec["mode"]
    if spec.get("sensitive") is UNKNOWN or (content is UNKNOWN and not is_secret(spec)):
        return UNKNOWN
    return PRIVATE_MODE if isinstance(content, Sensitive) or was_secret(spec) else DEFAULT_MODE


def _attributes(node: Node) -> tuple[str, str, str, str]:
    spec = spec_of(node)
    mode = chmod_word(_mode(spec, _content(spec)))
    return encode(_outgoing(node)), mode, account_word(spec.get("owner")), account_word(spec.get("group"))


def _observed_digest(change: Change) -> str:
    if change.observed is None:
        return ""
    digest = reveal(_status(change.observed).get("sha256"))
    return digest if isinstance(digest, str) else ""


def _status(observed: Observed) -> Document:
    status = observed.body.get("status")
    return status if isinstance(status, Mapping) else {}


def _time_of(seconds: Value) -> str:
    """Seconds since the epoch, as `stat` writes them, in words; empty where they are no time of ours."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def _hide_content(observed: Observed) -> Observed:
    spec = observed.body["spec"]
    if isinstance(spec["content"], Sensitive):
        return observed
    status = _status(observed)
    body = {
        **observed.body,
        "spec": {**spec, "content": Sensitive(spec["content"])},
        "status": {**status, "sha256": Sensitive(status.get("sha256"))},
    }
    return Observed(observed.address, body, observed.external_id, observed.owner, observed.version)
