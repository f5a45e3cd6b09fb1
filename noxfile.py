"""`nox` runs tests on each Python that is installed, and the checks; `nox -s lint` one of them."""

from __future__ import annotations

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """As the README says: without the tools that `dev` adds."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, import contracts, and what is generated from something else."""
    gate(session, "lint", "format", "contracts", "circles", "rules", "generated")


@nox.session
def types(session: nox.Session) -> None:
    """Both type checkers."""
    gate(session, "mypy", "pyright")


@nox.session
def mutants(session: nox.Session) -> None:
    """Each rule broken in turn: all must be found."""
    gate(session, "mutants")


def gate(session: nox.Session, *checks: str) -> None:
    session.install(".[dev]")
    session.run("bash", ".ci/run", *checks, external=True)
