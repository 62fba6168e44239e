"""Providers are found by metadata, loaded when they are used, and a missing library says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trueup.errors import PluginError
from trueup.plugins.load import InstalledProviders, InstalledSecretSources, missing_library


def make_plugin(folder: Path, name: str, module: str, code: str, group: str = "trueup.providers") -> None:
    """An installed distribution with one plugin, of a provider unless said otherwise."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    (folder / f"{module}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_names_are_read_without_importing_a_plugin(site: Path) -> None:
    make_plugin(site, "hostile", "hostile_plugin_a", "raise SystemExit('imported')")
    assert "hostile" in InstalledProviders().names()
    assert {"aws", "kubernetes", "ssh"} <= set(InstalledProviders().names())


def test_a_third_party_provider_is_loaded_by_its_hook(site: Path) -> None:
    make_plugin(
        site,
        "acme",
        "acme_plugin",
        "from trueup.sdk.hookspecs import hookimpl\n"
        "from trueup.sdk.testing.memory import MemoryProvider, MemoryWorld\n"
        "class Acme(MemoryProvider):\n    name = 'acme'\n"
        "@hookimpl\ndef trueup_provider():\n    return Acme(MemoryWorld())\n",
    )
    providers = InstalledProviders()
    assert providers.provider("acme").name == "acme"
    assert providers.provider("acme") is providers.provider("acme")


def test_an_unknown_provider_gets_a_suggestion() -> None:
    with pytest.raises(PluginError) as caught:
        InstalledProviders().provider("kubernets")
    assert (caught.value.message, caught.value.hint) == (
        "there is no provider 'kubernets'",
        "did you mean 'kubernetes'?",
    )


def test_a_missing_library_says_which_extra_to_install(site: Path) -> None:
    make_plugin(site, "aws2", "aws_two", "import no_such_library.part")
    with pytest.raises(PluginError) as caught:
        InstalledProviders().provider("aws2")
    assert (
        caught.value.message == "provider 'aws2' needs the library 'no_such_library', which is not installed"
    )
    assert caught.value.hint == "pip install 'trueup[aws2]'"


def test_the_message_takes_the_top_level_package() -> None:
    assert "'boto3'" in missing_library("aws", ImportError("no", name="boto3.session")).message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "does not give a provider"),
        (
            "from trueup.sdk.hookspecs import hookimpl\n"
            "@hookimpl\ndef trueup_provider():\n    return 'junk'\n",
            "does not give a provider",
        ),
        (
            "from trueup.sdk.hookspecs import hookimpl\n"
            "from trueup.sdk.testing.memory import MemoryProvider, MemoryWorld\n"
            "@hookimpl\ndef trueup_provider():\n    return MemoryProvider(MemoryWorld())\n",
            "calls itself 'memory'",
        ),
    ],
)
def test_a_plugin_that_breaks_the_hook_is_refused(site: Path, code: str, message: str) -> None:
    module = f"broken_{abs(hash(code))}"
    make_plugin(site, "broken", module, code)
    with pytest.raises(PluginError, match=message):
        InstalledProviders().provider("broken")


def test_a_plugin_that_cannot_be_imported_says_so_without_its_text(site: Path) -> None:
    make_plugin(site, "wicked", "wicked_plugin", "raise RuntimeError('kanarienvogel')")
    with pytest.raises(PluginError) as caught:
        InstalledProviders().provider("wicked")
    assert caught.value.message == (
        "the plugin of provider 'wicked' (wicked_plugin) cannot be loaded: it raised RuntimeError"
    )


def test_no_plugin_takes_the_name_of_another_one(site: Path) -> None:
    make_plugin(site, "env", "not_the_environment", "raise SystemExit('imported')", "trueup.secrets")
    assert list(InstalledSecretSources().names()).count("env") == 1
    with pytest.raises(PluginError, match="several of secret source 'env': not_the_environment and trueup"):
        InstalledSecretSources().source("env")


def test_loading_a_provider_imports_no_sdk_of_its_system() -> None:
    code = (
        "import sys\n"
        "from trueup.plugins.load import InstalledProviders\n"
        "for name in ('aws', 'kubernetes', 'ssh'): InstalledProviders().provider(name).kinds()\n"
        "print([m for m in ('boto3', 'botocore', 'kubernetes', 'paramiko') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


SOURCE = (
    "from trueup.sdk import SecretSource, Sensitive, hookimpl\n"
    "class Acme(SecretSource):\n"
    "    name = 'acme'\n"
    "    def read(self, keys, context):\n"
    "        return dict.fromkeys(keys, Sensitive('x'))\n"
    "@hookimpl\ndef trueup_secret_source():\n    return Acme()\n"
)


def test_a_third_party_secret_source_is_loaded_by_its_hook(site: Path) -> None:
    make_plugin(site, "acme", "acme_secrets", SOURCE, "trueup.secrets")
    sources = InstalledSecretSources()
    assert {"acme", "env", "file", "sops", "vault", "kubernetes"} <= set(sources.names())
    assert sources.source("acme").name == "acme"
    assert sources.source("acme") is sources.source("acme")


def test_each_installed_secret_source_calls_itself_by_its_name() -> None:
    sources = InstalledSecretSources()
    assert {name: sources.source(name).name for name in sources.names()} == {
        name: name for name in sources.names()
    }


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "secret source 'acme' needs the library 'no_such_library'"),
        ("", "does not give a secret source"),
        (SOURCE.replace("'acme'", "'other'"), "calls itself 'other'"),
    ],
)
def test_a_secret_source_that_cannot_be_loaded_says_why(site: Path, code: str, message: str) -> None:
    make_plugin(site, "acme", f"acme_{abs(hash(code))}", code, "trueup.secrets")
    with pytest.raises(PluginError, match=message):
        InstalledSecretSources().source("acme")


def test_loading_a_secret_source_imports_no_sdk_of_its_system() -> None:
    code = (
        "import sys\n"
        "from trueup.plugins.load import InstalledSecretSources\n"
        "for name in ('aws-ssm', 'aws-secretsmanager', 'kubernetes', 'vault', 'sops'):\n"
        "    InstalledSecretSources().source(name)\n"
        "heavy = ('boto3', 'botocore', 'kubernetes', 'hvac', 'requests', 'pyrage', 'cryptography')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
