"""Each stage between a commit and a plan is broken: the stack fails as a whole, and AWS is not even asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyrage
import pytest
from tests.e2e.account import PATH, Account, Look, document
from tests.e2e.shop import TRUEUP
from tests.git.fixtures import Content, GitServer, Link, Submodule
from tests.moto.fixtures import Moto

from trueup.app import App, SourceSpec
from trueup.errors import PluginError, StoreError, TrueupError
from trueup.model.change import Action
from trueup.model.outcome import Result

pytestmark = [pytest.mark.moto]

MODULE = """\
apiVersion: trueup.dev/v1
kind: Module
metadata: {name: parameters}
spec:
  inputs: {name: {type: string}}
"""
IN_MODULE = """\
apiVersion: aws.trueup.dev/v1
kind: AWS::SSM::Parameter
metadata: {name: inside}
spec: {Name: "shop-${{ vars.name }}", Type: String, Value: "1"}
"""
USE = """\
apiVersion: trueup.dev/v1
kind: Module
metadata: {name: use}
spec: {source: ../modules/parameters, inputs: {name: inside}}
"""
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [bag.yaml]\n"
BAG = document("parameter", "rendered")
CHART = "apiVersion: v2\nname: chart\nversion: 1.0.0\n"
SECRET = (
    document("parameter", "secret")
    .replace("Type: String", "Type: SecureString")
    .replace("Value: v1", """Value: '${{ secret("sops:secrets.yaml#/a") }}'""")
)
Break = Callable[[dict[str, Content]], None]


def change(path: str, old: str = "", new: str = "") -> Break:
    """Another text in a file, or another file."""

    def do(files: dict[str, Content]) -> None:
        text = files[path]
        assert isinstance(text, str)
        assert old in text
        files[path] = text.replace(old, new) if old else new

    return do


def put(path: str, content: Content) -> Break:
    return lambda files: files.update({path: content})


def drop(path: str) -> Break:
    return lambda files: files.pop(path) and None


def in_stack(name: str) -> str:
    return f"{PATH}/{name}"


STACK = in_stack("stack.yaml")
BROKEN: dict[str, Break] = {
    # reading
    "a file that is cut off": change(in_stack("queue1.yaml"), "spec:", "spec: {"),
    "a file that is no text": put(in_stack("queue1.yaml"), b"\xff\xfe\x00kind: x"),
    "a key that is there twice": change(in_stack("queue1.yaml"), "kind:", "kind: x\nkind:"),
    "a conflict of a merge": change(in_stack("queue1.yaml"), "kind:", "<<<<<<< HEAD\nkind:"),
    "a link out of the tree": put(in_stack("link.yaml"), Link("/etc/passwd")),
    "a link to nowhere": put(in_stack("link.yaml"), Link("gone.yaml")),
    "a submodule": put(in_stack("more"), Submodule("1" * 40)),
    "a pointer of Git LFS": put(
        in_stack("big.yaml"), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    ),
    # what a resource is
    "a kind that is not there": change(in_stack("queue1.yaml"), "SQS::Queue", "SQS::Quue"),
    "a field that is not there": change(in_stack("queue1.yaml"), "VisibilityTimeout", "Visibility"),
    "a value of a wrong type": change(in_stack("queue1.yaml"), "Timeout: 1", "Timeout: x"),
    "a reference to nothing": change(
        in_stack("queue1.yaml"), "shop-queue1", '${{ ref("AWS::SQS::Queue/none").status.Arn }}'
    ),
    "a dependency on nothing": change(in_stack("queue1.yaml"), "spec:", "dependsOn: [File/none]\nspec:"),
    "an expression that fails": change(in_stack("queue1.yaml"), "shop-queue1", "${{ 1 / 0 }}"),
    "two resources of one address": put(in_stack("again.yaml"), document("queue", "queue1")),
    # includes
    "a module that is gone": drop("modules/parameters/module.yaml"),
    "a file of a module that is broken": change("modules/parameters/inside.yaml", "spec:", "spec: ["),
    "an input that a module lacks": change(in_stack("use.yaml"), "inputs: {name: inside}", "inputs: {}"),
    "a file that is read by an expression": change(
        in_stack("queue1.yaml"), "shop-queue1", '${{ file("none.txt") }}'
    ),
    # values
    "a values file that is gone": drop(in_stack("values/prod.yaml")),
    "a values file that is broken": put(in_stack("values/prod.yaml"), "size: ["),
    "a values file that is empty": put(in_stack("values/prod.yaml"), ""),
    "a value that is not valid": put(in_stack("values/prod.yaml"), "size: large\n"),
    "a variable that nobody sets": put(in_stack("values/prod.yaml"), "{}\n"),
    # decryption
    "a secret that is damaged": change(in_stack("secrets.yaml"), "GCM,data:", "GCM,data:AA"),
    "a secret that is gone": drop(in_stack("secrets.yaml")),
    # plugins
    "a provider that is not installed": change(STACK, "provider: aws", "provider: azure"),
    "a setting that a provider refuses": change(STACK, "region: eu-west-1", "region: nowhere"),
    # rendering
    "a kustomization of a file that is gone": drop(in_stack("rendered/bag.yaml")),
    "a kustomization that is broken": change(in_stack("rendered/kustomization.yaml"), ": [", ": {"),
    "a kustomization of nothing": change(in_stack("rendered/kustomization.yaml"), "[bag.yaml]", "[]"),
    "a chart that is broken": put(in_stack("chart/templates/bag.yaml"), "{{ .Values.a.b.c }}{{ end }}"),
    "a chart that gives nothing": put(in_stack("chart/templates/bag.yaml"), "{{ if false }}a: b{{ end }}\n"),
    # the stack's own rules
    "a policy that cannot be read": change(STACK, "spec:", "spec:\n  policies: [{name: p, rule: 'a ==='}]"),
    "an output of nothing": change(STACK, "spec:", "spec:\n  outputs: {a: '${{ ref(\"File/none\").spec }}'}"),
    "a stack file that is broken": change(STACK, "spec:", "spec: ["),
}


@dataclass(frozen=True)
class Scene:
    """A commit that converged, and the next one, which takes one object away, adds one and changes one."""

    account: Account
    source: SourceSpec
    files: Mapping[str, Content]
    look: Look

    def check_broken(self, spoil: Break, error: type[Exception] = TrueupError) -> None:
        files = dict(self.files)
        spoil(files)
        self.account.commit(files)
        for command in ("plan", "reconcile"):
            with App(str(self.account.store)) as app, pytest.raises(error) as failed:
                getattr(app, command)(self.source)
            assert not isinstance(failed.value, StoreError)
        # Before the first call: not even for what is whole.
        assert self.account.moto.requests() == []


def sops_file(binary: Path, folder: Path, identity: pyrage.x25519.Identity) -> str:
    plain = folder / "secrets.yaml"
    plain.write_text("a: correct horse\n")
    command = [binary, "--encrypt", "--age", str(identity.to_public()), plain]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def tools(sops_binary: Path, kustomize_binary: Path, helm_binary: Path) -> Mapping[str, Path]:
    return {"sops": sops_binary, "TRUEUP_KUSTOMIZE": kustomize_binary, "TRUEUP_HELM": helm_binary}


@pytest.fixture(scope="module")
def scenes(moto: Moto) -> Iterator[list[Scene]]:
    """Made by the first test that needs it; what lives is looked at once more at the end."""
    made: list[Scene] = []
    yield made
    for scene in made:
        scene.account.moto.mark()
        scene.look.check_untouched()
    moto.reset()


IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def scene(
    scenes: list[Scene],
    moto: Moto,
    tools: Mapping[str, Path],
    git_server: GitServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    monkeypatch.setenv("SOPS_AGE_KEY", str(IDENTITY))
    for name in ("TRUEUP_KUSTOMIZE", "TRUEUP_HELM"):
        monkeypatch.setenv(name, str(tools[name]))
    if not scenes:
        moto.reset()
        folder = tmp_path_factory.mktemp("stages")
        account = Account(moto, git_server.create(f"stages-{os.urandom(4).hex()}"), folder)
        source = replace(account.source, values=("values/prod.yaml",))
        account.configure(
            variables={"size": {"type": "integer"}},
            exclude=["values"],
            render=[{"kustomize": {"path": "rendered"}}, {"helm": {"chart": "chart"}}],
        )
        account.files |= {
            in_stack("values/prod.yaml"): "size: 3\n",
            in_stack("secrets.yaml"): sops_file(tools["sops"], folder, IDENTITY),
            in_stack("secret.yaml"): SECRET,
            in_stack("use.yaml"): USE,
            "modules/parameters/module.yaml": MODULE,
            "modules/parameters/inside.yaml": IN_MODULE,
            in_stack("rendered/kustomization.yaml"): KUSTOMIZATION,
            in_stack("rendered/bag.yaml"): BAG,
            in_stack("chart/Chart.yaml"): CHART,
            in_stack("chart/templates/bag.yaml"): document("parameter", "charted"),
        }
        account.declare(**{name: document("queue", name) for name in ("queue0", "queue1", "queue2")})
        account.commit()
        with App(str(account.store)) as app:
            outcomes = app.reconcile(source).outcomes
        assert [each.result for each in outcomes] == [Result.CREATED] * 7, outcomes
        look = account.look()
        account.declare(
            queue0=None, queue2=document("queue", "queue2", 2), queue3=document("queue", "queue3")
        )
        account.commit()
        with App(str(account.store)) as app:
            counts = app.plan(source).summary
        assert [counts[each] for each in (Action.DELETE, Action.UPDATE, Action.CREATE)] == [1, 1, 1]
        scenes.append(Scene(account, source, dict(account.files), look))
    moto.mark()
    return scenes[0]


@pytest.mark.parametrize("stage", BROKEN)
def test_a_stage_that_fails_stops_the_whole_stack(scene: Scene, stage: str) -> None:
    scene.check_broken(BROKEN[stage])


def test_a_secret_of_another_key_stops_the_whole_stack(
    scene: Scene, tools: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sops_file(tools["sops"], tmp_path, pyrage.x25519.Identity.generate())
    scene.check_broken(put(in_stack("secrets.yaml"), other))
    monkeypatch.delenv("SOPS_AGE_KEY")
    scene.check_broken(lambda files: None)


def test_a_program_that_is_gone_stops_the_whole_stack(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRUEUP_KUSTOMIZE", "TRUEUP_HELM"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tmp_path / "none"))
            # Another text, so that what was rendered before does not count.
            scene.check_broken(
                lambda files: files.update(
                    {
                        in_stack("rendered/bag.yaml"): document("parameter", "rendered", 7),
                        in_stack("chart/templates/bag.yaml"): document("parameter", "charted", 7),
                    }
                )
            )


def test_a_plugin_that_breaks_while_it_checks_resources_stops_the_whole_stack(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug in a plugin")

    monkeypatch.setattr("trueup_aws.kinds.queue.Queue.validate", fail)
    scene.check_broken(lambda files: None, PluginError)


def test_over_the_command_line_and_what_is_mended_goes_on(scene: Scene, tmp_path: Path) -> None:
    """The error has its own exit code, and the first commit that is whole is carried out as it was meant."""
    files = dict(scene.files)
    BROKEN["a file of a module that is broken"](files)
    scene.account.commit(files)
    source = scene.source
    line = [source.location, "--ref", source.ref, "--path", source.path, "--values", "values/prod.yaml"]
    for words in (["plan"], ["reconcile", "--yes"], ["destroy", "--yes"]):
        command = [*TRUEUP, *words, *line, "--store", str(scene.account.store)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "modules/parameters/inside.yaml:" in done.stderr
    assert scene.account.moto.requests() == []
