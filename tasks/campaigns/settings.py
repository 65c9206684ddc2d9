"""What a retailer configures about campaigns."""

from tasks.config.campaigns import (
    SMALLEST_CONTRAST,
    Brand,
    CampaignSettings,
    SendGridSettings,
    check_address,
    contrast,
)

__all__ = ["SMALLEST_CONTRAST", "Brand", "CampaignSettings", "SendGridSettings", "check_address", "contrast"]
