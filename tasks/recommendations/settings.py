"""What a retailer decides about recommendations."""

from tasks.config.recommendations import Kind, KindShares, RecommendationSettings

__all__ = ["Kind", "KindShares", "RecommendationSettings"]
