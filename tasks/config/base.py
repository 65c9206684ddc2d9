"""What all parts of the configuration share: frozen values that refuse unknown keys."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen part of the configuration; a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
