"""What happened and what is sold: the tables that intake writes."""

from tasks.lake.contracts.column import (
    DAY,
    FLAG,
    INSTANT,
    MONEY,
    REAL,
    SMALL,
    TEXT,
    TEXTS,
    WHOLE,
    Column,
    Contract,
    required,
)

BATCH = required("batch", TEXT, "File or batch it came with: digest of the file's address and fingerprint")
BUCKET = required("bucket", SMALL, "Stable hash of the customer (of the order for guests) modulo the number of buckets")

ORDER_LINES = Contract(
    "order_lines",
    "One row per product on an order; a return is a line with a negative quantity or amount.",
    ("order_id", "line"),
    (
        required("order_id", TEXT, "Order, basket or receipt number, unique across channels"),
        required("line", WHOLE, "Position of the line on its order"),
        Column("customer_id", TEXT, "Customer after identity resolution; null for a guest"),
        Column("customer_key", TEXT, "Customer as the source names it, with its id space; null for a guest"),
        required("ordered_at", INSTANT, "When the order was placed", "UTC"),
        required("order_date", DAY, "Calendar day of the order in the retailer's time zone"),
        required("channel", TEXT, "Where it was bought: pos, web, …"),
        Column("store_id", TEXT, "Store or site"),
        required("product_id", TEXT, "Product bought"),
        required("quantity", REAL, "Units; negative for a return", "units"),
        Column("unit_price", MONEY, "Price of one unit before discount", "currency"),
        required("discount", MONEY, "Reduction on the line, zero or positive", "currency"),
        required("amount", MONEY, "Net value of the line after discount; negative for a return", "currency"),
        required("currency", TEXT, "Currency of the amounts after conversion: the retailer's", "ISO 4217"),
        required("gift", FLAG, "Bought as a gift"),
        Column("campaign_id", TEXT, "Campaign whose coupon or link was used"),
        required("source", TEXT, "Name of the source the line came from"),
        BATCH,
        BUCKET,
    ),
    ("bucket",),
)

ORDERS = Contract(
    "orders",
    "One row per order, built once at intake from its lines.",
    ("order_id",),
    (
        required("order_id", TEXT, "Order, basket or receipt number"),
        Column("customer_id", TEXT, "Customer after identity resolution; null for a guest"),
        required("ordered_at", INSTANT, "When the order was placed", "UTC"),
        required("order_date", DAY, "Calendar day in the retailer's time zone"),
        required("channel", TEXT, "Where it was bought"),
        Column("store_id", TEXT, "Store or site"),
        required("lines", WHOLE, "Lines on the order", "lines"),
        required("items", REAL, "Units bought, returns taken off", "units"),
        required("distinct_products", WHOLE, "Different products", "products"),
        required("distinct_categories", WHOLE, "Different product categories", "categories"),
        required("amount", MONEY, "Net value of the order", "currency"),
        required("discount", MONEY, "Reductions on the order", "currency"),
        required("returned_amount", MONEY, "Value of the lines sent back, as a positive number", "currency"),
        required("is_return", FLAG, "The order as a whole gives money back (net value below zero)"),
        required("is_gift", FLAG, "At least one line is a gift"),
        required("weekend", FLAG, "Placed on a Saturday or Sunday"),
        Column("campaign_id", TEXT, "Campaign whose coupon or link was used first"),
        required("currency", TEXT, "Currency of the amounts", "ISO 4217"),
        BUCKET,
    ),
    ("bucket",),
)

PRODUCTS = Contract(
    "products",
    "The assortment with price and stock.",
    ("product_id",),
    (
        required("product_id", TEXT, "Product number"),
        Column("name", TEXT, "Name a customer would recognise"),
        Column("category", TEXT, "Category used for affinity and recommendations"),
        Column("department", TEXT, "Department above the category"),
        Column("brand", TEXT, "Brand"),
        Column("price", MONEY, "Current price of one unit", "currency"),
        Column("margin", REAL, "Margin as a share of the price", "0 to 1"),
        Column("stock_on_hand", REAL, "Units that can be sold; null means unknown, treated as available", "units"),
        Column("season", TEXT, "Months in which it sells, as comma separated numbers (11,12); null is all year"),
        Column("url", TEXT, "Product page"),
        Column("image_url", TEXT, "Picture"),
        required("updated_at", INSTANT, "When the source last said so", "UTC"),
    ),
)

SESSIONS = Contract(
    "sessions",
    "Visits to the web shop or app.",
    ("session_id",),
    (
        required("session_id", TEXT, "Visit"),
        Column("customer_id", TEXT, "Customer after identity resolution; null when anonymous"),
        Column("customer_key", TEXT, "Customer as the source names it, with its id space"),
        required("started_at", INSTANT, "Begin of the visit", "UTC"),
        required("session_date", DAY, "Calendar day in the retailer's time zone"),
        Column("duration_seconds", REAL, "Length of the visit", "seconds"),
        Column("pages", WHOLE, "Pages seen", "pages"),
        Column("products_viewed", TEXTS, "Products looked at"),
        Column("device", TEXT, "Kind of device"),
        required("source", TEXT, "Name of the source"),
        BATCH,
    ),
)

ENGAGEMENT = Contract(
    "engagement",
    "What customers did with messages sent to them.",
    ("event_id",),
    (
        required("event_id", TEXT, "Event as the sending platform numbers it"),
        Column("customer_id", TEXT, "Customer after identity resolution"),
        Column("customer_key", TEXT, "Customer as the source names it, with its id space"),
        Column("campaign_id", TEXT, "Campaign the message belongs to"),
        required("kind", TEXT, "delivered, open, click, redeem, unsubscribe, bounce or spam"),
        required("at", INSTANT, "When it happened", "UTC"),
        required("event_date", DAY, "Calendar day in the retailer's time zone"),
        required("machine_open", FLAG, "Opened by a privacy proxy, not by a person"),
        required("source", TEXT, "Name of the source"),
        BATCH,
    ),
)

CAMPAIGN_CALENDAR = Contract(
    "campaign_calendar",
    "Campaigns that ran, with their period and who was meant to get them elsewhere.",
    ("campaign_id",),
    (
        required("campaign_id", TEXT, "Campaign"),
        Column("name", TEXT, "Name a marketer gave it"),
        Column("kind", TEXT, "Type of campaign; targeted or mass where the source says so"),
        required("starts_on", DAY, "First day"),
        required("ends_on", DAY, "Last day"),
        required("source", TEXT, "Name of the source"),
    ),
)

TABLES = (ORDER_LINES, ORDERS, PRODUCTS, SESSIONS, ENGAGEMENT, CAMPAIGN_CALENDAR)
