"""What every part of the settings is: frozen, and without keys that nobody knows."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings, validated once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
