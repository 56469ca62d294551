"""Pydantic models as states: their own JSON form, by field name, and back."""

# ruff: noqa: D101, D102, RUF012 - the classes stand for those of users; Pydantic copies defaults
from __future__ import annotations

import datetime
import decimal
import enum
import math
from typing import Any

import attrs
import pytest

from openharness.core.errors import DefinitionError, SerializationError
from openharness.core.state import StateSchema, from_json
from openharness.core.values import field_names, to_json

pydantic = pytest.importorskip(
    "pydantic", minversion="2.11", reason="states may be Pydantic models where it is installed"
)
Base64Bytes, BaseModel, ConfigDict = pydantic.Base64Bytes, pydantic.BaseModel, pydantic.ConfigDict
Field, RootModel, SecretStr = pydantic.Field, pydantic.RootModel, pydantic.SecretStr


class Colour(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    count: int = Field(default=0, alias="howMany")


@pydantic.dataclasses.dataclass
class Plain:
    when: datetime.date


class Model(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    name: str = Field(default="", alias="theName")
    inner: Inner | None = None
    tags: set[str] = set()
    nested: list[dict[str, frozenset[int]]] = []
    data: bytes = b""
    packed: Base64Bytes = b""
    price: decimal.Decimal = decimal.Decimal(0)
    colour: Colour = Colour.RED
    by_number: dict[int, str] = {}
    pause: datetime.timedelta = datetime.timedelta(0)
    pair: tuple[int, str] = (1, "x")
    plain: Plain | None = None

    @pydantic.computed_field
    def shout(self) -> str:
        return self.name.upper()


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: datetime.datetime
    numbers: set[int]


class Numbers(RootModel[list[int]]):
    pass


@attrs.define
class Holder:
    model: Model
    models: list[Inner] = attrs.field(factory=list)


FULL = Model(
    name="ada",
    inner=Inner(howMany=3),
    tags={"b", "a", "c"},
    nested=[{"x": frozenset({3, 1, 2})}],
    data=b"text",
    packed="AP8=",
    price=decimal.Decimal("1.10"),
    by_number={1: "one"},
    pause=datetime.timedelta(seconds=90),
    plain=Plain(datetime.date(2025, 1, 2)),
    surplus={"kept": [1]},
)


def test_a_model_comes_back_equal() -> None:
    """Fields, extras, aliases and nested models survive; sets are sorted; what is computed is not stored."""
    value: Any = to_json(FULL)
    assert value["name"] == "ada"
    assert value["inner"] == {"count": 3}
    assert value["tags"] == ["a", "b", "c"]
    assert value["nested"] == [{"x": [1, 2, 3]}]
    assert value["surplus"] == {"kept": [1]}
    assert "shout" not in value
    assert from_json(value, Model) == FULL


def test_models_and_other_classes_hold_each_other() -> None:
    """A model in an attrs class, a strict model, a Pydantic dataclass and a root model are read as what they are."""
    for state in (
        Holder(FULL, [Inner(howMany=1)]),
        Strict(when=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC), numbers={2, 1}),
        Plain(datetime.date(2025, 1, 2)),
        Numbers([1, 2]),
    ):
        assert from_json(to_json(state), type(state)) == state
    assert to_json(Numbers([1])) == [1]
    assert from_json({"count": 2}, Inner | None) == Inner(howMany=2)


def test_the_schema_knows_the_fields_of_a_model() -> None:
    """A model is a state with named fields; a root model, which has none, is not."""
    assert StateSchema.of(Inner).fields == ("count",)
    assert field_names(Plain) == ("when",)
    assert field_names(Numbers) is None
    with pytest.raises(DefinitionError):
        StateSchema.of(Numbers)


class Secret(BaseModel):
    key: SecretStr
    keys: list[SecretStr] = []


class Colliding(BaseModel):
    value: dict[int | str, int]


class Wild(BaseModel):
    score: float = 0.0
    thing: Any = None


Wrong = Inner(howMany=1)
Wrong.count = "many"


@pytest.mark.parametrize(
    "model,reason",
    [
        (Secret(key="hush"), "secret is masked"),
        (Colliding(value={1: 1, "1": 2}), "same text"),
        (Wild(score=math.nan), "NaN"),
        (Wild(thing=object()), "reading it failed"),
        (Wrong, "reading it failed"),
    ],
)
def test_what_a_model_would_lose_is_refused(model: Any, reason: str) -> None:
    """A value that Pydantic would mask, merge or write as something else is an error, with the path to the model."""
    with pytest.raises(SerializationError, match=r"v\.m.*" + reason):
        to_json({"m": model}, path="v")


@pytest.mark.parametrize(
    "value,path,reason",
    [
        ({"inner": {"count": "x"}}, "v.model.inner.count", "integer"),
        ({"pair": [1]}, "v.model.pair[1]", "required"),
        ({"name": "\ud800"}, "v.model", "JSON"),
        ([], "v.model", "object"),
    ],
)
def test_what_does_not_fit_a_model_is_told_with_its_path(value: Any, path: str, reason: str) -> None:
    """A model's own validation errors become the one kind of error there is, path included."""
    with pytest.raises(SerializationError) as caught:
        from_json({"model": value}, Holder, path="v")
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_an_error_of_a_models_own_code_is_told() -> None:
    """A validator that breaks is told as what it raised."""

    class Broken(BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def check(cls, value: int) -> int:
            raise RuntimeError(value)

    with pytest.raises(SerializationError, match="RuntimeError"):
        from_json({"n": 1}, Broken)
