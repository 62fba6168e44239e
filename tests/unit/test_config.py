from __future__ import annotations

from pathlib import Path

import pytest

from trueup.config import Config, ConfigError, DaemonConfig, StackConfig, load_config
from trueup.errors import UsageError
from trueup.model.resource import Enforce, Policy, TargetGrant

FULL = """\
store = "state/trueup.db"
parallelism = 32
history = {keep_runs = 50}
rendering = {allow_network = true}
sources = {modules = ["https://git.example.com/*"]}

[daemon]
listen = "[::1]:9191"
drain_timeout = "1m30s"
allow_remote = true

[[stacks]]
location = "git@git.example.com:team/estate.git"
path = "prod/shop"
ref = "main"
poll = "10s"
interval = "1d"

[[stacks]]
name = "edge"
location = "./edge"
values = ["envs/common.yaml", "../prod.toml"]
set = {replicas = 3, domain = "a.example.com", tag = "1.10", ports = {https = 443}, sites = ["a", "b"]}
"""


def load(folder: Path, text: str) -> Config:
    file = folder / "trueup.toml"
    file.write_text(text)
    return load_config(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    assert load(tmp_path, FULL) == Config(
        store=str(tmp_path / "state/trueup.db"),
        parallelism=32,
        keep_runs=50,
        allow_fetching=True,
        allow_modules=("https://git.example.com/*",),
        daemon=DaemonConfig("::1", 9191, 90.0, True),
        stacks=(
            StackConfig("shop", "git@git.example.com:team/estate.git", "main", "prod/shop", 10.0, 86400.0),
            StackConfig(
                "edge",
                str(tmp_path / "edge"),
                values=("envs/common.yaml", "../prod.toml"),
                sets=(
                    "replicas=3",
                    "domain=a.example.com",
                    'tag="1.10"',
                    'ports={"https": 443}',
                    'sites=["a", "b"]',
                ),
            ),
        ),
    )


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Config()


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("sqlite:////var/lib/t.db", "sqlite:////var/lib/t.db"),
        ("sqlite:///t.db", "sqlite:///{folder}/t.db"),
        ("t.db", "{folder}/t.db"),
        ("/var/lib/t.db", "/var/lib/t.db"),
    ],
)
def test_a_relative_store_is_taken_from_the_files_own_folder(
    tmp_path: Path, store: str, expected: str
) -> None:
    assert load(tmp_path, f'store = "{store}"').store == expected.format(folder=tmp_path)


@pytest.mark.parametrize(
    ("location", "name", "is_kept"),
    [
        ("https://h/team/shop.git", "shop", True),
        ("ssh://git@h:2222/shop.git/", "shop", True),
        ("host:shop.git", "shop", True),
        ("file:///srv/shop", "shop", True),
        ("/srv/shop", "shop", True),
        ("../shop", "shop", False),
        ("./a:b", "b", False),
    ],
)
def test_a_stack_is_called_by_the_end_of_its_location(
    tmp_path: Path, location: str, name: str, is_kept: bool
) -> None:
    (stack,) = load(tmp_path, f'[[stacks]]\nlocation = "{location}"').stacks
    assert stack.name == name
    assert (stack.location == location) == is_kept
    assert is_kept or stack.location.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "= 1",
            [
                "trueup.toml:1:1: not TOML: Invalid statement\n"
                "  check quotes, brackets and the = sign around here"
            ],
        ),
        ('stroe = "x"', ['trueup.toml:1:1: unknown field "stroe"\n  did you mean "store"?']),
        (
            '[daemon]\nlisen = "x"',
            ['trueup.toml:2:1: unknown field "lisen" of daemon\n  did you mean "listen"?'],
        ),
        (
            "parallelism = 0",
            ["trueup.toml:1:15: parallelism cannot be 0\n  a number from 1 to 1000"],
        ),
        (
            "[history]\nkeep_runs = 0\nkeep_days = 7",
            [
                "trueup.toml:2:13: history.keep_runs cannot be 0\n  a number from 1 to 1000000",
                'trueup.toml:3:1: unknown field "keep_days" of history\n  did you mean "keep_runs"?',
            ],
        ),
        (
            'parallelism = "many"',
            ["trueup.toml:1:15: parallelism must be an integer, not a string\n  a number from 1 to 1000"],
        ),
        (
            '[[stacks]]\nlocation = "a"\nvalues = "prod.yaml"\nset = {a-b = 1, in = 2, d = 1979-05-27}',
            ["trueup.toml:4:29: a date has no place in a resource\n  write it in quotes"],
        ),
        (
            '[[stacks]]\nlocation = "a"\nvalues = "prod.yaml"\nset = {a-b = 1, in = 2, "c.d" = 3}',
            [
                "trueup.toml:3:10: stacks.values must be a list of strings, not a string\n"
                '  list files, named relative to the directory of the stack: values = ["envs/prod.yaml"]',
                'trueup.toml:4:8: stacks.set: "a-b" is not a name that an expression can use\n'
                "  use letters, digits and _, beginning with a letter",
                'trueup.toml:4:17: stacks.set: "in" is a reserved word\n  choose another name',
                'trueup.toml:4:25: stacks.set: "c.d" is not a name that an expression can use\n'
                "  use letters, digits and _, beginning with a letter",
            ],
        ),
        (
            '[[stacks]]\nlocation = "a"\nset = [1]',
            ["trueup.toml:3:7: stacks.set must be a map, not a list"],
        ),
        (
            '[daemon]\nlisten = "9090"\ndrain_timeout = "soon"',
            [
                'trueup.toml:2:10: daemon.listen cannot be "9090"\n'
                '  write a host and a port, as in "127.0.0.1:9090" or "[::1]:9090"',
                'trueup.toml:3:17: daemon.drain_timeout: "soon" is not a duration\n'
                "  write a duration such as 30s, 5m, 1h30m or 1d",
            ],
        ),
        ("[[stacks]]\n", ["trueup.toml:1:1: stacks.location is missing\n  a Git URL, or a directory"]),
        (
            'stacks = "x"',
            [
                "trueup.toml:1:10: stacks must be tables, not a string\n"
                "  begin each stack with a line [[stacks]]"
            ],
        ),
        (
            '[[stacks]]\nlocation = "a/shop"\n[[stacks]]\nlocation = "b/shop"',
            [
                'trueup.toml:3:1: two stacks are named "shop" (the other one: trueup.toml:1:1)\n'
                "  give each a `name` of its own"
            ],
        ),
    ],
)
def test_every_mistake_is_told_with_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


def test_a_port_beyond_the_last_one_is_refused(tmp_path: Path) -> None:
    assert "daemon.listen" in problems(tmp_path, '[daemon]\nlisten = "127.0.0.1:65536"')[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "a = 1\nb = 2\n[daemon]\nc = 3\n[[stacks]]\nd = 4")) == 5


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_config(tmp_path / "trueup.toml")


SECRETS = """\
[secrets]
allow = ["env:SHOP_*", "sops:*"]
env = ["SHOP_*"]
files = ["/etc/trueup/secrets"]

[secrets.acme]
url = "https://acme.example.com"

[[stacks]]
location = "./edge"
secrets = ["sops:*"]

[[stacks]]
location = "./shop"
"""


def test_what_stacks_may_read_of_secrets(tmp_path: Path) -> None:
    config = load(tmp_path, SECRETS)
    assert config.secrets == {
        "allow": ("env:SHOP_*", "sops:*"),
        "env": ("SHOP_*",),
        "files": ("/etc/trueup/secrets",),
        "acme": {"url": "https://acme.example.com"},
    }
    assert [stack.secrets for stack in config.stacks] == [("sops:*",), None]
    assert load(tmp_path, "").secrets == {}
    assert load(tmp_path, "[secrets]\nallow = []\n").secrets == {"allow": ()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "secrets = 1\n",
            ["trueup.toml:1:11: secrets must be a map, not an integer\n  write `key: value` lines"],
        ),
        (
            '[secrets]\nallowed = ["*"]\n',
            ['trueup.toml:2:1: unknown field "allowed" of secrets\n  did you mean "allow"?'],
        ),
        (
            '[secrets]\nenv = "A"\n',
            [
                "trueup.toml:2:7: secrets.env must be a list of strings, not a string\n"
                '  list patterns of names: ["DB_*"]'
            ],
        ),
        ('[secrets]\nfiles = ["etc"]\n', ['trueup.toml:2:10: secrets.files: "etc" is no absolute path']),
    ],
)
def test_a_mistake_about_secrets_grants_nothing(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


def test_policies_count_for_the_installation(tmp_path: Path) -> None:
    text = (
        '[[policies]]\nname = "kept"\nrule = "change.action != \'delete\'"\n'
        'enforce = "deny"\nmessage = "nothing goes"\n'
    )
    (policy,) = load(tmp_path, text).policies
    assert policy == Policy(
        "kept", "change.action != 'delete'", Enforce.DENY, "nothing goes", policy.place, is_installation=True
    )
    assert str(policy.place).endswith("trueup.toml:1:1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('policies = "deny"', ["trueup.toml:1:12: policies must be a list, not a string\n  write {"]),
        (
            '[[policies]]\nname = "kept"\nrule = "change.action !="\nenforce = "block"',
            [
                "trueup.toml:3:8: the rule: the expression is not valid CEL",
                'trueup.toml:4:11: policies.enforce cannot be "block"\n  allowed: approve, deny, warn',
            ],
        ),
    ],
)
def test_a_mistake_in_a_policy_is_told_with_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(expected)
    assert all(told.startswith(text) for told, text in zip(found, expected, strict=True)), found


def test_targets_are_granted_to_all_stacks_and_to_each(tmp_path: Path) -> None:
    text = (
        'allow_targets = [{provider = "ssh"}]\n'
        '[[stacks]]\nname = "a"\nlocation = "a"\nallow_targets = []\n'
        '[[stacks]]\nname = "b"\nlocation = "b"\n'
        "[[stacks.allow_targets]]\n"
        'provider = "kubernetes"\nconfig = {context = "prod", qps = 5}\n'
        '[[stacks]]\nname = "c"\nlocation = "c"\n'
    )
    config = load(tmp_path, text)
    assert config.allow_targets == (TargetGrant("ssh"),)
    assert [stack.allow_targets for stack in config.stacks] == [
        (),
        (TargetGrant("kubernetes", {"context": "prod", "qps": 5}),),
        None,
    ]
    assert load(tmp_path, "").allow_targets is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('allow_targets = "ssh"', ["trueup.toml:1:17: allow_targets must be a list, not a string"]),
        (
            '[[stacks]]\nlocation = "a"\n'
            'allow_targets = ["ssh", {config = {}}, {provider = "ssh", conifg = 1}]',
            [
                "trueup.toml:3:18: stacks.allow_targets must be a map, not a string\n"
                '  {provider = "kubernetes", config = {context = "prod"}}',
                "trueup.toml:3:25: stacks.allow_targets.provider is missing\n"
                '  {provider = "kubernetes", config = {context = "prod"}}',
                'trueup.toml:3:59: unknown field "conifg" of stacks.allow_targets\n  did you mean "config"?',
            ],
        ),
        (
            'allow_targets = [{provider = "ssh", config = "web-1"}]',
            ["trueup.toml:1:46: allow_targets.config must be a map, not a string"],
        ),
    ],
)
def test_a_mistake_about_targets_is_told_with_its_place(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert problems(tmp_path, text) == expected


def test_a_file_of_any_size_is_not_read_into_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "trueup.toml"
    with file.open("wb") as stream:
        stream.truncate(10 * 1024**3)
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        load_config(file)
    with pytest.raises(UsageError, match="larger than 4 MiB"):
        load_config("/dev/zero")
