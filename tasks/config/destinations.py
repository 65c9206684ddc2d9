"""Where segments are pushed."""

from pydantic import Field, model_validator

from tasks.config.base import Settings


class DestinationSettings(Settings):
    """One account on one platform."""

    platform: str = Field(description="Slug of the platform; `segmentation platforms` lists them")
    name: str = Field("", description="Name in logs and tables; the platform's slug when left out")
    secret: str = Field(
        "", description="Name of the secret: a Prefect Secret, an AWS secret or an environment variable"
    )
    settings: dict[str, str] = Field(
        default_factory=dict, description="What the platform asks for (list id, region, …)"
    )
    audience: tuple[str, ...] = Field((), description="Segments and audiences to push; all customers when empty")
    fields: dict[str, str] = Field(
        default_factory=lambda: {
            "segment": "rs_segment",
            "lifetime_value": "rs_clv",
            "churn_probability": "rs_churn_probability",
            "recommended_action": "rs_recommended_action",
            "recommended_products": "rs_recommended_products",
            "held_out_of": "rs_held_out_of",
        },
        description="Our value: the name of the field on the platform",
    )
    consent_channel: str = Field("email", description="Customers who denied this channel are never pushed")
    require_consent: bool = Field(False, description="Push only customers who granted the channel")
    max_leave: float | None = Field(None, gt=0, le=1, description="Overrides brake.max_leave for this account")
    released: bool = Field(False, description="A person has agreed to the first push to this account")

    @model_validator(mode="after")
    def _complete(self) -> "DestinationSettings":
        if not self.name:
            object.__setattr__(self, "name", self.platform)
        return self
