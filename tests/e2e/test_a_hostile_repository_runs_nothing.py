"""A repository that asks for programs to be run and for files to be read that are none of its own.

It is validated as a user would do it; what must not happen is shown by a file that is not there, and by a
canary that no output repeats.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.e2e.shop import run_trueup
from tests.git.fixtures import Content, GitServer, Link, Submodule

CANARY = "kanarienvogel"
HEAD = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}}
TARGETS = [{"name": "here", "provider": "ssh", "config": {"connection": "local"}}]


def stack(**spec: object) -> str:
    return yaml.safe_dump({**HEAD, "spec": {"targets": TARGETS, **spec}})


def file_of(content: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "ssh.trueup.dev/v1",
            "kind": "File",
            "metadata": {"name": "motd"},
            "spec": {"path": "/tmp/trueup-hostile/motd", "content": content},
        }
    )


def module_of(source: str) -> str:
    head = {"apiVersion": "trueup.dev/v1", "kind": "Module", "metadata": {"name": "m"}}
    return yaml.safe_dump({**head, "spec": {"source": source}})


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the machine that is nobody's business, with a canary in it; also in our environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOSTILE", CANARY)
    file = tmp_path / "secret.yaml"
    file.write_text(f"{CANARY}: {CANARY}\n")
    return file


def validate(git_server: GitServer, files: dict[str, Content], *options: str) -> tuple[int, str]:
    repository = git_server.create("hostile")
    repository.commit(files)
    done = run_trueup("validate", repository.url("file"), "--ref", "main", *options)
    return done.returncode, done.stdout + done.stderr


def test_filters_hooks_submodules_and_settings_of_a_repository_run_nothing(
    git_server: GitServer, tmp_path: Path, secret: Path
) -> None:
    sentinel = tmp_path / "ran"
    command = f"touch {sentinel}"
    settings = (
        f'[filter "evil"]\n\tsmudge = {command}\n\tclean = {command}\n\tprocess = {command}\n'
        f'[core]\n\tfsmonitor = "{command}"\n\tsshCommand = {command}\n\thooksPath = hooks\n'
        f'[diff "evil"]\n\ttextconv = {command}\n\texternal = {command}\n[include]\n\tpath = .gitconfig\n'
    )
    hook = f"#!/bin/sh\n{command}\n"
    files: dict[str, Content] = {
        "stack.yaml": stack(),
        "motd.yaml": file_of("${{ file('text') }}"),
        "text": "hello",
        ".gitattributes": "* filter=evil diff=evil ident text eol=crlf working-tree-encoding=UTF-16\n",
        ".gitconfig": settings,
        "config": settings,
        ".gitmodules": f'[submodule "m"]\n\tpath = lib\n\turl = ext::{command}\n\tupdate = !{command}\n',
        "other/lib": Submodule("1" * 40),
        "hooks/post-checkout": hook,
        "hooks/reference-transaction": hook,
        "objects/info/alternates": str(tmp_path),
    }
    repository = git_server.create("hostile")
    repository.commit(files)
    done = run_trueup("validate", repository.url("http"), "--ref", "main")
    # The submodule is told, as nothing of it is read; without it the stack is as good as any.
    assert "other/lib" in done.stdout + done.stderr
    repository.commit({"other/lib": None})
    # What the server says of itself is not for us to carry out either.
    (repository.path / "hooks").mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction"):
        (repository.path / "hooks" / name).write_text(hook)
        (repository.path / "hooks" / name).chmod(0o755)
    done = run_trueup("validate", repository.url("http"), "--ref", "main")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not sentinel.exists()


@pytest.mark.parametrize("location", ["ext::sh -c touch% {}", "--upload-pack=touch {}"])
@pytest.mark.parametrize("place", ["location", "ref", "path", "module"])
def test_what_git_would_run_is_refused_wherever_it_stands(
    git_server: GitServer, tmp_path: Path, secret: Path, location: str, place: str
) -> None:
    sentinel = tmp_path / "ran"
    hostile = location.format(sentinel)
    repository = git_server.create("hostile")
    repository.commit({"stack.yaml": stack(), "m.yaml": module_of(f"{hostile}?ref=v1")})
    url = repository.url("file")
    arguments = {
        "location": [hostile, "--ref=main"] if not hostile.startswith("-") else [f"--ref={hostile}", url],
        "ref": [url, f"--ref={hostile}"],
        "path": [url, "--ref=main", f"--path={hostile}"],
        "module": [url, "--ref=main"],
    }[place]
    done = run_trueup("validate", *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not sentinel.exists()


OUTSIDE = ["{}", "../../../../../../../..{}", "/proc/self/environ", "folder/secret.yaml"]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize(
    "field", ["file", "values", "module", "kustomize", "helm", "sops", "secret", "exclude"]
)
def test_no_field_reads_what_is_not_of_the_repository(
    git_server: GitServer, secret: Path, field: str, path: str
) -> None:
    path = path.format(secret)
    files: dict[str, Content] = {"stack.yaml": stack(), "motd.yaml": file_of("x")}
    # A link in a hidden directory: others are refused as soon as the stack is listed.
    if path.startswith("folder"):
        files[".x/folder"] = Link(str(secret.parent))
        path = f".x/{path}"
    options: list[str] = []
    if field == "file":
        files["motd.yaml"] = file_of(f"${{{{ file('{path}') }}}}")
    elif field == "values":
        options = [f"--values={path}"]
    elif field == "module":
        files["m.yaml"] = module_of(path)
    elif field == "kustomize":
        files["stack.yaml"] = stack(render={"kustomize": [path]})
    elif field == "helm":
        files["stack.yaml"] = stack(render={"helm": [{"chart": path, "releaseName": "x"}]})
    elif field == "sops":
        files["motd.yaml"] = file_of(f"${{{{ secret('sops:{path}#/a') }}}}")
    elif field == "secret":
        files["motd.yaml"] = file_of(f"${{{{ secret('file:{path}') }}}}")
    else:
        files["stack.yaml"] = stack(exclude=[path])
    status, said = validate(git_server, files, *options)
    assert CANARY not in said
    assert "Traceback" not in said
    # To leave out what is not there changes nothing.
    assert status != 0 or field == "exclude", said


@pytest.mark.parametrize("target", ["{}", "/proc/self/environ"])
@pytest.mark.parametrize("name", ["stack.yaml", "motd.yaml", "values.yaml"])
def test_a_file_that_is_a_link_out_of_the_repository_is_refused(
    git_server: GitServer, secret: Path, name: str, target: str
) -> None:
    files: dict[str, Content] = {"stack.yaml": stack(), "motd.yaml": file_of("x")}
    files[name] = Link(target.format(secret))
    status, said = validate(git_server, files)
    assert status != 0
    assert f"the symbolic link {name} leaves" in said
    assert CANARY not in said and "root:" not in said


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/environ", "{}"])
def test_a_plan_that_is_no_plan_is_not_echoed(secret: Path, path: str) -> None:
    done = run_trueup("reconcile", "--plan", path.format(secret))
    assert done.returncode != 0
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
