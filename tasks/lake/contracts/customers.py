"""Who the customers are, and what is known, computed and decided about each."""

from tasks.lake.contracts.column import (
    DAY,
    FLAG,
    INSTANT,
    MONEY,
    REAL,
    TEXT,
    TEXTS,
    WHOLE,
    Column,
    Contract,
    required,
)
from tasks.lake.contracts.facts import BUCKET

CUSTOMER_ID = required("customer_id", TEXT, "Customer after identity resolution")
AS_OF = required("as_of", DAY, "Morning of the run; only what happened on earlier days is known")

CUSTOMERS = Contract(
    "customers",
    "One row per person or household after identity resolution.",
    ("customer_id",),
    (
        CUSTOMER_ID,
        Column("email", TEXT, "Address in lower case"),
        Column("phone", TEXT, "Telephone number", "E.164"),
        Column("loyalty_id", TEXT, "Number of the loyalty card"),
        Column("first_name", TEXT, "Given name"),
        Column("last_name", TEXT, "Family name"),
        Column("birth_year", WHOLE, "Year of birth", "year"),
        Column("age_band", TEXT, "Age group as the source gives it"),
        Column("postcode", TEXT, "Postal code"),
        Column("country", TEXT, "Country", "ISO 3166-1 alpha-2"),
        Column("language", TEXT, "Language for messages", "ISO 639-1"),
        Column("income_band", TEXT, "Income group as the source gives it"),
        Column("household_size", WHOLE, "People in the household; 5 stands for five and more", "people"),
        Column("is_business", FLAG, "Known to buy for a business"),
        Column("created_at", INSTANT, "First known in any source; null where no source says when", "UTC"),
        required("sources", TEXTS, "Sources that know the customer, sorted"),
    ),
)

IDENTITY = Contract(
    "identity",
    "Which record of which source is which customer, and by what key it was matched.",
    ("customer_key",),
    (
        required("customer_key", TEXT, "Id space and the id in it"),
        CUSTOMER_ID,
        required("matched_on", TEXT, "own id, loyalty_id, email or phone"),
        required("source", TEXT, "Source that named the record first"),
        required("known_since", DAY, "Run that first met the record; the id known longest stays when customers merge"),
    ),
)

CUSTOMER_RECORDS = Contract(
    "customer_records",
    "Profiles as each source last told them, before they are joined into one customer.",
    ("source", "customer_key"),
    (
        required("source", TEXT, "Name of the source"),
        required("customer_key", TEXT, "Id space and the id in it"),
        Column("email", TEXT, "Address in lower case"),
        Column("phone", TEXT, "Telephone number", "E.164"),
        Column("loyalty_id", TEXT, "Number of the loyalty card"),
        Column("first_name", TEXT, "Given name"),
        Column("last_name", TEXT, "Family name"),
        Column("birth_year", WHOLE, "Year of birth", "year"),
        Column("age_band", TEXT, "Age group"),
        Column("postcode", TEXT, "Postal code"),
        Column("country", TEXT, "Country", "ISO 3166-1 alpha-2"),
        Column("language", TEXT, "Language for messages", "ISO 639-1"),
        Column("income_band", TEXT, "Income group"),
        Column("household_size", WHOLE, "People in the household", "people"),
        Column("is_business", FLAG, "Known to buy for a business"),
        Column("created_at", INSTANT, "Created in the source", "UTC"),
        required("updated_at", INSTANT, "Last change in the source, or when it was taken in", "UTC"),
    ),
)

CONSENT = Contract(
    "consent",
    "May we write to this customer on this channel? What each source last said: over all rows of a customer the newest "
    "word wins, at the same time denied wins, and unknown is no word.",
    ("customer_key", "channel", "source"),
    (
        required("customer_key", TEXT, "Id space and the id in it"),
        Column("customer_id", TEXT, "Customer after identity resolution"),
        required("channel", TEXT, "email, sms, post, phone, ads"),
        required("status", TEXT, "granted, denied or unknown"),
        required("source", TEXT, "Who said so"),
        required("changed_at", INSTANT, "When it was said", "UTC"),
    ),
)


def _window(days: int) -> tuple[Column, ...]:
    return (
        required(f"orders_{days}d", WHOLE, f"Orders in the last {days} days", "orders"),
        required(f"spend_{days}d", MONEY, f"Net spend in the last {days} days", "currency"),
    )


CUSTOMER_FEATURES = Contract(
    "customer_features",
    "Everything measured about a customer on one morning.",
    ("customer_id", "as_of"),
    (
        CUSTOMER_ID,
        AS_OF,
        Column("recency_days", WHOLE, "Days since the last order; null without an order", "days"),
        required("orders", WHOLE, "Orders that were not pure returns", "orders"),
        required("monetary", MONEY, "Net spend over all time, returns taken off", "currency"),
        Column("average_order_value", REAL, "Net spend per order", "currency"),
        Column("days_since_first_order", WHOLE, "Days since the first order", "days"),
        Column("tenure_days", WHOLE, "Days since first known, by order or profile", "days"),
        Column("active_days", WHOLE, "Different days with an order", "days"),
        Column("interorder_days_mean", REAL, "Mean gap between days with an order; null below two", "days"),
        Column("interorder_days_deviation", REAL, "Standard deviation of the gaps; null below three days", "days"),
        Column("gap_ratio", REAL, "Days since the last order divided by the mean gap", "ratio"),
        Column("items_per_order", REAL, "Units per order", "units"),
        required("distinct_products", WHOLE, "Different products ever bought", "products"),
        required("distinct_categories", WHOLE, "Different categories ever bought", "categories"),
        required("top_categories", TEXTS, "Up to three categories with the largest spend, largest first"),
        Column("top_category", TEXT, "Category with the largest spend"),
        Column("top_category_share", REAL, "Its share of the customer's spend", "0 to 1"),
        Column("discount_share", REAL, "Discount divided by spend before discount", "0 to 1"),
        Column("return_rate", REAL, "Value sent back divided by value bought", "0 to 1"),
        Column("weekend_share", REAL, "Orders placed at the weekend", "0 to 1"),
        Column("main_channel", TEXT, "Channel with the most orders"),
        Column("main_channel_share", REAL, "Its share of the orders", "0 to 1"),
        Column("web_share", REAL, "Orders placed outside the store", "0 to 1"),
        Column("channels", WHOLE, "Different channels used", "channels"),
        Column("stores", WHOLE, "Different stores used", "stores"),
        *_window(30),
        *_window(90),
        *_window(365),
        Column("spend_trend", REAL, "Spend of the last 90 days over the 90 days before", "ratio"),
        required("gift_orders", WHOLE, "Orders with a gift", "orders"),
        Column("gift_share", REAL, "Orders with a gift among all", "0 to 1"),
        Column("december_share", REAL, "Spend in November and December among all", "0 to 1"),
        Column("bulk_share", REAL, "Orders with more than five times the usual units", "0 to 1"),
        Column("office_hours_share", REAL, "Orders on weekdays from nine to five", "0 to 1"),
        required("is_business", FLAG, "Known or likely to buy for a business"),
        Column("coupon_orders", WHOLE, "Orders with a campaign's coupon", "orders"),
        required("sessions_90d", WHOLE, "Web visits in the last 90 days", "visits"),
        Column("days_since_session", WHOLE, "Days since the last web visit", "days"),
        required("messages_90d", WHOLE, "Messages delivered in the last 90 days", "messages"),
        required("opens_90d", WHOLE, "Messages opened by a person in the last 90 days", "messages"),
        required("clicks_90d", WHOLE, "Messages clicked in the last 90 days", "messages"),
        Column("engagement_rate", REAL, "Opened or clicked messages among the delivered ones of 90 days", "0 to 1"),
        required("redemptions", WHOLE, "Coupons redeemed", "coupons"),
        Column("age_band", TEXT, "Age group"),
        Column("income_band", TEXT, "Income group"),
        Column("household_size", WHOLE, "People in the household", "people"),
        Column("country", TEXT, "Country", "ISO 3166-1 alpha-2"),
        required("has_email", FLAG, "An e-mail address is known"),
        required("email_consent", TEXT, "granted, denied or unknown"),
        Column("r_score", WHOLE, "Recency quintile, 5 is the most recent; null without an order", "1 to 5"),
        Column("f_score", WHOLE, "Frequency quintile, 5 is the most frequent", "1 to 5"),
        Column("m_score", WHOLE, "Monetary quintile, 5 is the highest spend", "1 to 5"),
        Column("rfm_score", WHOLE, "r_score + f_score + m_score", "3 to 15"),
        Column("p_alive", REAL, "Probability that the customer has not gone for good", "0 to 1"),
        Column("expected_orders", REAL, "Orders expected over the horizon", "orders"),
        Column("expected_spend", REAL, "Net spend expected over the horizon", "currency"),
        Column("expected_spend_median", REAL, "Spend as likely exceeded as missed over the horizon", "currency"),
        Column("churn_probability", REAL, "Probability of no order within the horizon", "0 to 1"),
        Column("lifetime_value", REAL, "Net spend expected in the next 365 days", "currency"),
        Column("lifetime_value_low", REAL, "Lower end of its 80 % interval; null if the model says none", "currency"),
        Column("lifetime_value_high", REAL, "Upper end of its 80 % interval", "currency"),
        Column("next_order_date", DAY, "Day by which the next order is as likely as not"),
        Column("next_order_earliest", DAY, "Lower end of its 80 % interval"),
        Column("next_order_latest", DAY, "Upper end of its 80 % interval"),
        Column("replenishment_due", FLAG, "A product bought regularly is due within a week"),
        Column("adoption_category", TEXT, "Category not yet bought that fits best"),
        Column("adoption_probability", REAL, "Probability to buy from it within the horizon", "0 to 1"),
        required("horizon_days", WHOLE, "Horizon of the predictions", "days"),
        required("prediction_model", TEXT, "Model behind the predictions"),
    ),
    ("as_of",),
)

PAST_BEHAVIOUR = Contract(
    "past_behaviour",
    "Behaviour as it was known on earlier days, with the spend that followed: what clusters are judged by.",
    ("as_of", "cutoff", "customer_id"),
    (
        AS_OF,
        required("cutoff", DAY, "Only what happened on earlier days is counted"),
        CUSTOMER_ID,
        required("recency_days", WHOLE, "Days since the last order", "days"),
        required("orders", WHOLE, "Orders that were not pure returns", "orders"),
        required("monetary", MONEY, "Net spend over all time", "currency"),
        required("days_since_first_order", WHOLE, "Days since the first order", "days"),
        Column("gap_ratio", REAL, "Days since the last order divided by the mean gap", "ratio"),
        Column("average_order_value", REAL, "Net spend per order", "currency"),
        *_window(30),
        *_window(90),
        *_window(365),
        Column("next_spend", REAL, "Net spend from the cut-off to the morning of the run, a horizon later"),
    ),
    ("as_of",),
)

CATEGORY_TOTALS = Contract(
    "category_totals",
    "What each customer spent per category, kept up to date as lines arrive.",
    ("customer_id", "category"),
    (
        CUSTOMER_ID,
        required("category", TEXT, "Product category"),
        required("lines", WHOLE, "Lines bought", "lines"),
        required("amount", MONEY, "Net spend", "currency"),
        required("first_on", DAY, "First day bought"),
        required("last_on", DAY, "Last day bought"),
        BUCKET,
    ),
    ("bucket",),
)

SCORE_CUTS = Contract(
    "score_cuts",
    "The quintile borders behind the r, f and m scores of a run.",
    ("as_of", "score", "quintile"),
    (
        AS_OF,
        required("score", TEXT, "r, f or m"),
        required("quintile", WHOLE, "1 to 5", "1 to 5"),
        required("customers", WHOLE, "Customers in it", "customers"),
        required("lowest", REAL, "Smallest value in it"),
        required("highest", REAL, "Largest value in it"),
    ),
    ("as_of",),
)

CUSTOMER_SEGMENTS = Contract(
    "customer_segments",
    "The one primary segment of each customer, the audiences and the cluster, with the reasons.",
    ("customer_id", "as_of"),
    (
        CUSTOMER_ID,
        AS_OF,
        required("segment", TEXT, "Primary segment: exactly one"),
        Column("previous_segment", TEXT, "Primary segment of the last run before this day"),
        required("audiences", TEXTS, "Audiences the customer belongs to, sorted"),
        Column("cluster", WHOLE, "Stable number of the cluster"),
        Column("cluster_label", TEXT, "Name of the cluster"),
        required("rule_id", TEXT, "Rule that decided"),
        required("rules_version", TEXT, "Version of the rule file"),
        required("reasons", TEXTS, "Conditions met, in words with the customer's own values"),
        required("recommended_action", TEXT, "What sales staff should do"),
    ),
    ("as_of",),
)

SEGMENT_PROFILES = Contract(
    "segment_profiles",
    "What each segment, audience and cluster looks like on one morning.",
    ("as_of", "kind", "segment"),
    (
        AS_OF,
        required("kind", TEXT, "segment, audience or cluster"),
        required("segment", TEXT, "Its id"),
        required("label", TEXT, "Its name"),
        required("customers", WHOLE, "Customers in it", "customers"),
        required("share", REAL, "Share of all customers", "0 to 1"),
        required("monetary", MONEY, "Net spend of all time", "currency"),
        required("revenue_share", REAL, "Share of all customers' net spend", "0 to 1"),
        required("spend_365d", MONEY, "Net spend of the last 365 days", "currency"),
        Column("average_order_value", REAL, "Mean over its customers", "currency"),
        Column("orders_mean", REAL, "Mean number of orders", "orders"),
        Column("recency_days_median", REAL, "Median days since the last order", "days"),
        Column("lifetime_value", REAL, "Sum of the expected spend of the next 365 days", "currency"),
        Column("churn_probability", REAL, "Mean probability of no order within the horizon", "0 to 1"),
        required("traits", TEXTS, "What distinguishes it, strongest first"),
    ),
    ("as_of",),
)

SEGMENT_MOVES = Contract(
    "segment_moves",
    "Who moved between primary segments since the run before.",
    ("as_of", "customer_id"),
    (
        AS_OF,
        CUSTOMER_ID,
        required("from_segment", TEXT, "Segment before"),
        required("to_segment", TEXT, "Segment now"),
        required("since", DAY, "Day of the run before"),
        required("value_at_stake", REAL, "Lifetime value before and now, the larger", "currency"),
        required("why", TEXT, "The first reason of the new assignment"),
    ),
    ("as_of",),
)

CUSTOMER_RECOMMENDATIONS = Contract(
    "customer_recommendations",
    "Products to offer to each customer, best first.",
    ("customer_id", "as_of", "rank"),
    (
        CUSTOMER_ID,
        AS_OF,
        required("rank", WHOLE, "1 is the best"),
        required("product_id", TEXT, "Product to offer"),
        required("score", REAL, "Strength on the scale of its kind"),
        required("kind", TEXT, "replenish, cross_sell, up_sell or popular"),
        required("because", TEXT, "Reason that can be told to the customer"),
        Column("due_date", DAY, "Day on which a replenishment is due"),
    ),
    ("as_of",),
)

TABLES = (
    CUSTOMERS,
    IDENTITY,
    CUSTOMER_RECORDS,
    CONSENT,
    CUSTOMER_FEATURES,
    PAST_BEHAVIOUR,
    CATEGORY_TOTALS,
    SCORE_CUTS,
    CUSTOMER_SEGMENTS,
    SEGMENT_PROFILES,
    SEGMENT_MOVES,
    CUSTOMER_RECOMMENDATIONS,
)
