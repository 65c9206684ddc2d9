"""Campaigns: who gets which message, who is held out, and what is offered at the till."""

from tasks.lake.contracts.column import DAY, REAL, TEXT, TEXTS, WHOLE, Column, Contract, required

CAMPAIGNS = Contract(
    "campaigns",
    "Campaign drafts of a run.",
    ("as_of", "campaign_id"),
    (
        required("as_of", DAY, "Run"),
        required("campaign_id", TEXT, "Play and validity period"),
        required("play", TEXT, "Entry of the playbook"),
        required("name", TEXT, "Name of the draft"),
        required("goal", TEXT, "What it is for"),
        required("subject", TEXT, "Subject line"),
        required("template", TEXT, "Template"),
        required("channel", TEXT, "email, sms, post, …"),
        required("treated", WHOLE, "Customers who get it", "customers"),
        required("held_out", WHOLE, "Customers held out", "customers"),
        required("holdout_share", REAL, "Share held out", "0 to 1"),
        Column("native_id", TEXT, "Id of the draft on the sending platform"),
        Column("valid_until", DAY, "Last day of the offer"),
    ),
    ("as_of",),
)

CAMPAIGN_MEMBERS = Contract(
    "campaign_members",
    "For each customer and day: the one campaign, or why none.",
    ("as_of", "customer_id"),
    (
        required("as_of", DAY, "Run"),
        required("customer_id", TEXT, "Customer"),
        Column("campaign_id", TEXT, "Campaign; null where none fits"),
        required("arm", TEXT, "treated, holdout, control or left_out"),
        required("segment", TEXT, "Primary segment at the time"),
        required("reason", TEXT, "Why this campaign, or why none"),
        required("rejected", TEXTS, "Plays that came close, each with its reason"),
    ),
    ("as_of",),
)

HOLDOUTS = Contract(
    "holdouts",
    "Customers kept out of a campaign so that its effect can be measured.",
    ("campaign_id", "customer_id"),
    (
        required("campaign_id", TEXT, "Campaign, or * for the global control group"),
        required("customer_id", TEXT, "Customer"),
        required("since", DAY, "First day held out"),
        Column("until", DAY, "Last day held out; null is open"),
    ),
)

OFFERS = Contract(
    "offers",
    "Recommended action and offer for each customer, for sales staff and the till.",
    ("as_of", "customer_id"),
    (
        required("as_of", DAY, "Run"),
        required("customer_id", TEXT, "Customer"),
        Column("loyalty_id", TEXT, "Number of the loyalty card"),
        required("action", TEXT, "What to do"),
        required("why", TEXT, "Why"),
        Column("offer", TEXT, "What to offer"),
        Column("code", TEXT, "Discount code"),
        required("products", TEXTS, "Products to show, best first"),
    ),
    ("as_of",),
)

TABLES = (CAMPAIGNS, CAMPAIGN_MEMBERS, HOLDOUTS, OFFERS)
