"""Providers are found by metadata, loaded when they are used, and a missing library says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trueup.errors import PluginError
from trueup.plugins.load import InstalledProviders, missing_library


def make_plugin(folder: Path, name: str, module: str, code: str) -> None:
    """An installed distribution with one provider plugin."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[trueup.providers]\n{name} = {module}\n")
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


def test_loading_a_provider_imports_no_sdk_of_its_system() -> None:
    code = (
        "import sys\n"
        "from trueup.plugins.load import InstalledProviders\n"
        "for name in ('aws', 'kubernetes', 'ssh'): InstalledProviders().provider(name).kinds()\n"
        "print([m for m in ('boto3', 'botocore', 'kubernetes', 'paramiko') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
