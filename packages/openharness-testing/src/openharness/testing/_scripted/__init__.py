"""A provider that says what the test wrote down, for tests of the logic around a model.

What a test writes down are answers, or expectations: answers with the request that each belongs to.
"""

from __future__ import annotations

from openharness.testing._scripted._expectation import Answer, Expectation, Piece, UnexpectedRequestError
from openharness.testing._scripted._provider import ScriptedProvider
from openharness.testing._scripted._script import Entry, Script

__all__ = ("Answer", "Entry", "Expectation", "Piece", "Script", "ScriptedProvider", "UnexpectedRequestError")
