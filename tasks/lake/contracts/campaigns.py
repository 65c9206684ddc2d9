"""Campaigns: who gets which message, who is held out, which drafts exist, and what is offered at the till."""

from tasks.lake.contracts.column import DAY, FLAG, MONEY, REAL, TEXT, TEXTS, WHOLE, Column, Contract, required

CAMPAIGNS = Contract(
    "campaigns",
    "Campaigns of a run: one row per play that ran, with its arms and how large a hold-out it would need.",
    ("as_of", "campaign_id"),
    (
        required("as_of", DAY, "Run"),
        required("campaign_id", TEXT, "Play with its edition and season; hold-outs are drawn anew when it changes"),
        required("play", TEXT, "Entry of the playbook"),
        required("name", TEXT, "Name a marketer knows it by"),
        required("goal", TEXT, "What it is for"),
        Column("audiences", TEXTS, "Segments or audiences it goes to; empty where moves or everybody are meant"),
        Column("subject", TEXT, "Subject line in the playbook's language; null for the store channel"),
        required("template", TEXT, "Template"),
        required("channel", TEXT, "email or store"),
        required("priority", WHOLE, "The lowest number wins a customer who fits several plays"),
        required("matched", WHOLE, "Customers who fit the play, whatever else kept them from it", "customers"),
        required("treated", WHOLE, "Customers who get it", "customers"),
        required("held_out", WHOLE, "Customers held out", "customers"),
        required("holdout_share", REAL, "Share held out", "0 to 1"),
        Column("baseline", REAL, "Mean probability of an order within the horizon without the campaign", "0 to 1"),
        required("smallest_effect", REAL, "Smallest difference of that rate worth seeing", "0 to 1"),
        required("advised_share", REAL, "Hold-out that shows the smallest effect with power 0.8", "0 to 1"),
        Column("detectable", REAL, "Difference that the present hold-out can show", "0 to 1"),
        required("advice", TEXT, "The advice on the hold-out in words"),
        Column("valid_until", DAY, "Last day of the offer"),
        required("measure_until", DAY, "Last day on which its effect is measured"),
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
        Column("play", TEXT, "Entry of the playbook; null where none fits"),
        Column("channel", TEXT, "email or store; null where none fits"),
        required("arm", TEXT, "treated, holdout, control (never gets any campaign) or left_out"),
        required("segment", TEXT, "Primary segment at the time"),
        required("reason", TEXT, "Why this campaign, or why none"),
        required("rejected", TEXTS, "Plays that fitted but did not win, in order of priority, each with its reason"),
        required("applied", FLAG, "Drafted for real; false rows are plans and count for no cap and no measurement"),
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

CAMPAIGN_DRAFTS = Contract(
    "campaign_drafts",
    "Drafts of a run: one per campaign, language and number of products shown.",
    ("as_of", "draft"),
    (
        required("as_of", DAY, "Run"),
        required("draft", TEXT, "Name of the draft, the same in every place"),
        required("campaign_id", TEXT, "Campaign"),
        required("language", TEXT, "Language", "ISO 639-1"),
        required("products_shown", WHOLE, "Products in the message", "products"),
        required("subject", TEXT, "Subject line"),
        required("recipients", WHOLE, "Customers who would get it", "customers"),
        required("cost", MONEY, "Price of sending it", "currency"),
        required("digest", TEXT, "Digest of subject, content and settings: an approval counts for this one only"),
        required("status", TEXT, "planned, outbox, draft, edited (by a person), scheduled or triggered"),
        Column("list_id", TEXT, "Contact list on the sending platform"),
        Column("design_id", TEXT, "Design on the sending platform"),
        Column("native_id", TEXT, "Single Send on the sending platform"),
        Column("content", TEXT, "Digests of what was left there, so that a person's changes are seen"),
        Column("approved_by", TEXT, "Who approved exactly this content; null while nobody did"),
    ),
    ("as_of",),
)

CAMPAIGN_CONTACTS = Contract(
    "campaign_contacts",
    "What the sending platform accepted for each customer of a draft; a run that was killed goes on from here.",
    ("draft", "customer_id"),
    (
        required("draft", TEXT, "Name of the draft"),
        required("customer_id", TEXT, "Customer"),
        required("as_of", DAY, "Run of the draft"),
        required("email", TEXT, "Address it was sent under; an address that changes is taken off the list"),
        required("list_id", TEXT, "Contact list on the sending platform"),
        required("digest", TEXT, "Digest of the values accepted"),
        required("status", TEXT, "accepted, refused (the row was in error) or withdrawn (taken off the list again)"),
        required("reason", TEXT, "The platform's words for a refused row, without personal data; empty otherwise"),
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
        Column("play", TEXT, "Entry of the playbook; null where nothing special is planned"),
        required("action", TEXT, "What to do"),
        required("why", TEXT, "Why"),
        Column("offer", TEXT, "What to offer"),
        Column("code", TEXT, "Discount code"),
        Column("valid_until", DAY, "Last day of the offer"),
        required("products", TEXTS, "Products to show, best first"),
    ),
    ("as_of",),
)

TABLES = (CAMPAIGNS, CAMPAIGN_MEMBERS, HOLDOUTS, CAMPAIGN_DRAFTS, CAMPAIGN_CONTACTS, OFFERS)
