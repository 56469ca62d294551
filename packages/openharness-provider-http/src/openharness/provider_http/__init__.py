"""What providers that ask a model over HTTP through a vendor's SDK have in common."""

from __future__ import annotations

from openharness.core.providers import check_request, further_options
from openharness.provider_http._answer import Answer, Collected, Tokens
from openharness.provider_http._certificates import certificates
from openharness.provider_http._clients import Clients, closed_error
from openharness.provider_http._errors import Service
from openharness.provider_http._fields import count_at, mapping_at, mappings_at, text_at
from openharness.provider_http._prices import cost_of
from openharness.provider_http._provider import HTTPProvider, PartStream
from openharness.provider_http._schema import changed_schema, with_types
from openharness.provider_http._url import settings_of

__all__ = (
    "Answer",
    "Clients",
    "Collected",
    "HTTPProvider",
    "PartStream",
    "Service",
    "Tokens",
    "certificates",
    "changed_schema",
    "check_request",
    "closed_error",
    "cost_of",
    "count_at",
    "further_options",
    "mapping_at",
    "mappings_at",
    "settings_of",
    "text_at",
    "with_types",
)
