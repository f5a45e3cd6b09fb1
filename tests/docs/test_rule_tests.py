"""scripts/rule_tests.py: the table of rules and their tests, and what it refuses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import ROOT, read

PAGE = """# Rules

- **R1** One.
- **R2**, **R3** Two.

<!-- rule tests: scripts/rule_tests.py --write -->
<!-- end of rule tests -->

After.
"""
TESTS = """
def test_R1_R2_both(): ...
class Machine:
    def holds(self):
        assert True, "R2, R3: held"
        raise AssertionError(f"R1: {self}")
test_R3_machine = Machine
def test_of_another_form_r9(): ...
"""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rule_tests", ROOT / "scripts" / "rule_tests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULE_TESTS = script()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "protocol.md").write_text(PAGE)
    (tmp_path / "tests" / "property").mkdir(parents=True)
    (tmp_path / "tests" / "property" / "test_it.py").write_text(TESTS)
    return tmp_path


def test_it_writes_what_tests_name_and_machines_assert(root: Path) -> None:
    RULE_TESTS.main(["--write"], root)
    page = (root / "docs" / "protocol.md").read_text()
    link = "[property/it](../tests/property/test_it.py)"
    assert f"| R1 | {link} 1 | {link} |\n| R2 | {link} 1 | {link} |\n| R3 | {link} 1" in page
    assert page.endswith("\nAfter.\n")
    RULE_TESTS.main(["--check"], root)
    RULE_TESTS.main(["--write"], root)
    assert (root / "docs" / "protocol.md").read_text() == page


def test_it_says_when_the_table_is_not_current(root: Path) -> None:
    with pytest.raises(SystemExit, match="is not current: run scripts/rule_tests.py --write"):
        RULE_TESTS.main(["--check"], root)


def test_it_names_a_rule_without_test_and_one_that_is_not_defined(root: Path) -> None:
    file = root / "tests" / "property" / "test_it.py"
    file.write_text(TESTS.replace("R1_R2", "R1_R4"))
    with pytest.raises(SystemExit) as info:
        RULE_TESTS.main(["--write"], root)
    assert str(info.value.code).splitlines() == [
        "R2 is defined in docs/protocol.md and has no test named test_R2_…",
        "R4 is named in tests/property/test_it.py and not defined in docs/protocol.md",
    ]


def test_it_finds_the_31_rules_of_the_protocol() -> None:
    rules = RULE_TESTS.defined_rules(read("docs/protocol.md"))
    assert rules == [f"R{n}" for n in range(1, 32)]
