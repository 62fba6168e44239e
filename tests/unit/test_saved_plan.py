"""What is no saved plan is refused, whatever its size and shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.errors import UsageError
from trueup.saved_plan import read_saved_plan


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, '{"format": "trueup-plan/1"}', "null", "\0"])
def test_what_is_no_saved_plan_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan"
    file.write_text(text)
    with pytest.raises(UsageError):
        read_saved_plan(str(file))


def test_a_file_of_any_size_is_not_read_into_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "plan"
    with file.open("wb") as stream:
        stream.truncate(10 * 1024**3)
    for path in (str(file), "/dev/zero"):
        with pytest.raises(UsageError, match="larger than 4 MiB"):
            read_saved_plan(path)
