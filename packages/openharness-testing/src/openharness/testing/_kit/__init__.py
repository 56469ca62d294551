"""What the contract classes are built of; knows no store and no provider."""

from __future__ import annotations
