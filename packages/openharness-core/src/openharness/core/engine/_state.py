"""The typed view of a run's state, and how changes come into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from openharness.core.errors import SerializationError, UnknownNameError
from openharness.core.log import Change, RunFold, find_changes
from openharness.core.values import dump_json, to_json

if TYPE_CHECKING:
    from collections.abc import Collection

    from openharness.core.redaction import Redactor
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("StateView",)

S = TypeVar("S")


class StateView(Generic[S]):
    """Shows the fold's state as an object of the user's type.

    The JSON in the fold is the state; objects are made of it, so that what a function does to an object it was only
    shown cannot get into the state unnoticed.
    """

    def __init__(self, schema: StateSchema[S], fold: RunFold, redactor: Redactor) -> None:
        self._schema = schema
        self._redactor = redactor
        self._fold = fold
        self._object: S | None = None
        self._of: JSONObject | None = None
        self._shown = False

    def get(self) -> S:
        """Return the state as an object, for reading."""
        self._shown = True
        if self._object is None or self._of is not self._fold.state:
            self._object = self._schema.load(self._fold.state)
            self._of = self._fold.state
        return self._object

    def verify_unchanged(self) -> None:
        """Make sure that nobody changed the object since the last call.

        Raises:
            SerializationError: Somebody did, or its type makes another state of it whenever it is read; the state itself
                is as it was, and the next `get` makes a new object.
        """
        if not self._shown:
            return
        self._shown = False
        shown, self._object, state = self._object, None, self._fold.state
        if dump_json(self._schema.dump(shown)) != dump_json(state):
            raise SerializationError("state", value=shown, reason=self._reason_of_change())
        self._object = shown

    def _reason_of_change(self) -> str:
        state = self._fold.state
        if dump_json(self._schema.dump(self._schema.load(state))) == dump_json(state):
            return "it was changed by a function that may only look at it; use a reducer"
        return (
            "reading it changes it: a converter, or what runs when an object of its type is made, must leave as it is what "
            "has been through it"
        )

    def forget(self) -> None:
        """Drop the object: a function that failed may have changed it before."""
        self._object = None
        self._shown = False

    def committed(self) -> None:
        """Keep the object of the last changes: they have been written, and the fold's state is what it shows."""
        self._of = self._fold.state

    def changes_by(self, reduced: object, draft: S) -> list[Change]:
        """Return the changes a reducer made.

        Args:
            reduced: What it returned: a new state, or None when it changed the draft in place.
            draft: The object it was given, from `draft`.

        Raises:
            SerializationError: The state it made is none of this type, or cannot be stored.
        """
        try:
            new = self._schema.dump(draft if reduced is None else reduced)
        except SerializationError as error:
            if reduced is not None:
                error.add_note("A reducer changes the state it is given and returns None, or returns a new state.")
            raise
        return self._accept(new)

    def draft(self) -> S:
        """Return the state as an object that a reducer may change; it is shown to nobody else."""
        draft = self.get()
        self._object = None
        self._shown = False
        return draft

    def changes_of_field(self, field: str, value: JSONValue) -> list[Change]:
        """Return the changes that give a field a value.

        Raises:
            UnknownNameError: There is no such field.
            SerializationError: The value does not fit the field's type.
        """
        fields = self._schema.fields
        if fields is not None and field not in fields:
            raise UnknownNameError("state field", name=field, known=fields, where="updates")
        new = value if isinstance(value, str) else to_json(value, path=f"state.{field}")
        old = self._fold.state
        if field in old and ((type(new) is str and new == old[field]) or dump_json(new) == dump_json(old[field])):
            return []
        return self._accepted({**old, field: new}, [field])

    def _accept(self, new: JSONObject) -> list[Change]:
        old = self._fold.state
        if dump_json(new) == dump_json(old):
            return []
        new = {field: self._redactor.json(value) for field, value in new.items()}
        return self._accepted(new, new)

    def _accepted(self, new: JSONObject, fields: Collection[str]) -> list[Change]:
        """Return the changes from the present state: in the given fields, those that follow from them, and those gone."""
        old = self._fold.state
        # Changes come field by field, so a state keeps its order of fields.
        new = {field: new[field] for field in [*old, *new] if field in new}
        # What is written to the log must also be readable as the user's type, and is what the type makes of it.
        self._object = self._schema.load(new)
        self._of = None
        new = self._schema.dump(self._object)
        changes = [Change((field,), "remove") for field in old if field not in new]
        # Others follow from them where the type says so: `__attrs_post_init__` counts what another field holds.
        others = [
            field for field, value in new.items() if field not in fields and (field not in old or value != old[field])
        ]
        for field in (*fields, *others):
            if field in old:
                changes += find_changes(field, old[field], new[field])
            else:
                changes.append(Change((field,), "set", new[field]))
        return changes
