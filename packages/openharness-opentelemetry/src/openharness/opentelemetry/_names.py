"""The names of the GenAI semantic conventions that are used here, and our own for what they have no word for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "ACTIVATION",
    "AGENT_NAME",
    "CALL",
    "CHAT",
    "CONVERSATION_ID",
    "COST",
    "ERROR_TYPE",
    "EXECUTE_TOOL",
    "FINISH_REASONS",
    "FINISH_WORDS",
    "FORKED_FROM",
    "FREQUENCY_PENALTY",
    "INPUT_MESSAGES",
    "INPUT_TOKENS",
    "INVOKE_AGENT",
    "INVOKE_WORKFLOW",
    "IN_PROCESS",
    "MAX_TOKENS",
    "OPERATION_NAME",
    "OUTPUT_MESSAGES",
    "OUTPUT_TOKENS",
    "OUTPUT_TYPE",
    "PRESENCE_PENALTY",
    "PROVIDER_NAME",
    "PROVIDER_NAMES",
    "READ_FROM_CACHE",
    "REQUEST_ID",
    "REQUEST_MODEL",
    "REQUEST_SEED",
    "REQUEST_STREAM",
    "RESPONSE_MODEL",
    "RESUMED_FROM",
    "RUN_ID",
    "RUN_STATUS",
    "SIGNAL_ID",
    "SIGNAL_NAME",
    "STOP_SEQUENCES",
    "SYSTEM_INSTRUCTIONS",
    "TEMPERATURE",
    "TERMINATED_EARLY",
    "TIME_TO_FIRST_CHUNK",
    "TOKEN_TYPE",
    "TOOL_ARGUMENTS",
    "TOOL_CALL",
    "TOOL_CALL_ID",
    "TOOL_DEFINITIONS",
    "TOOL_DESCRIPTION",
    "TOOL_NAME",
    "TOOL_RESULT",
    "TOOL_TYPE",
    "TOP_K",
    "TOP_P",
    "WORKFLOW_NAME",
)

# Attributes of the conventions.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_NAME: Final = "gen_ai.agent.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
TEMPERATURE: Final = "gen_ai.request.temperature"
TOP_P: Final = "gen_ai.request.top_p"
TOP_K: Final = "gen_ai.request.top_k"
FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STREAM: Final = "gen_ai.request.stream"
OUTPUT_TYPE: Final = "gen_ai.output.type"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
READ_FROM_CACHE: Final = "gen_ai.usage.cache_read.input_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - no password
ERROR_TYPE: Final = "error.type"

# Attributes of the conventions with what was said: only where the application asks for it.
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"

# Values of `gen_ai.operation.name`.
INVOKE_WORKFLOW: Final = "invoke_workflow"
INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"

FINISH_WORDS: Final[Mapping[str, str]] = {
    "end": "stop",
    "stop": "stop",
    "max_tokens": "length",
    "tool_calls": "tool_call",
}
"""What the conventions call the reasons of `ProviderOutput.stop_reason`; a vendor's own word stays as it is."""

PROVIDER_NAMES: Final[Mapping[str, str]] = {"claude": "anthropic"}
"""What the conventions call the providers whose `Provider.type` is another word."""

IN_PROCESS: Final = frozenset({"llamacpp"})
"""The providers whose models run in the process."""

# Our own attributes.
RUN_ID: Final = "openharness.run.id"
RUN_STATUS: Final = "openharness.run.status"
TERMINATED_EARLY: Final = "openharness.run.terminated_early"
RESUMED_FROM: Final = "openharness.run.resumed_from"
FORKED_FROM: Final = "openharness.run.forked_from"
ACTIVATION: Final = "openharness.activation"
CALL: Final = "openharness.call"
TOOL_CALL: Final = "openharness.tool_call"
REQUEST_ID: Final = "openharness.request_id"
COST: Final = "openharness.cost"
SIGNAL_ID: Final = "openharness.signal.id"
SIGNAL_NAME: Final = "openharness.signal.name"
