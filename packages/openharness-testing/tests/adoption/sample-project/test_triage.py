"""What the agents must do with a report, whatever words the model finds."""

from __future__ import annotations

from triage import AGENTS, Ticket, harness

from openharness.testing import RecordingFixture, assert_that


async def test_a_report_is_answered(recording: RecordingFixture) -> None:
    """The reader reads first, the writer answers, and both have something to say."""
    ticket = Ticket("The export of the July invoices stopped at page three. The customer tried it twice.")

    result = await harness.run_reactive(agents=AGENTS, state=ticket, **recording.options())

    assert result.state.summary
    assert result.state.reply
    assert_that(result).activated_in_order("reader", "writer").called_providers(times=2)
