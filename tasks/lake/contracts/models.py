"""Models: what was fitted, how good it was, which one is in use."""

from tasks.lake.contracts.column import DAY, FLAG, INSTANT, REAL, TEXT, WHOLE, Column, Contract, required

MODEL_GRADES = Contract(
    "model_grades",
    "Back-test results: each model and rival per target, window and metric.",
    ("target", "cutoff", "horizon_days", "model", "metric"),
    (
        required(
            "target",
            TEXT,
            "lifetime_value, churn, next_order, recommendations.repeat, recommendations.new, replenishment, "
            "segments or adoption",
        ),
        required("cutoff", DAY, "Only facts of earlier days were known"),
        required("horizon_days", WHOLE, "Length of the window that was predicted", "days"),
        required("model", TEXT, "Model or rival"),
        required("metric", TEXT, "Name of the metric"),
        required("value", REAL, "Value of the metric"),
        Column("low", REAL, "Lower end of its 90 % interval"),
        Column("high", REAL, "Upper end of its 90 % interval"),
        required("customers", WHOLE, "Customers graded", "customers"),
        required("champion", FLAG, "Chosen for use"),
        required("naive", FLAG, "The rival that must be beaten"),
        required("note", TEXT, "Why it is used or not"),
        required("graded_on", DAY, "Morning on which the newest facts that the grading knew were complete"),
        Column("chosen_on", DAY, "Start of the window on which the champion was chosen"),
    ),
)

MODEL_PARAMETERS = Contract(
    "model_parameters",
    "Parameters of the models fitted in a run.",
    ("as_of", "model", "parameter"),
    (
        required("as_of", DAY, "Run that fitted"),
        required("model", TEXT, "Model"),
        required("parameter", TEXT, "Name as in its paper"),
        required("value", REAL, "Estimate"),
        Column("standard_error", REAL, "Standard error of the estimate"),
    ),
    ("as_of",),
)

CLUSTER_MODELS = Contract(
    "cluster_models",
    "Clusterings accepted so far; the newest is in use.",
    ("as_of", "cluster"),
    (
        required("as_of", DAY, "Run that accepted it"),
        required("cluster", WHOLE, "Stable number of the cluster"),
        required("label", TEXT, "Name of the cluster"),
        required("method", TEXT, "kmeans, mixture, hierarchical, tree, bands or grid"),
        required("share", REAL, "Share of customers with an order when it was accepted", "0 to 1"),
        Column("eta_squared", REAL, "Variance of next-period spend explained when it was accepted", "0 to 1"),
        required("stability", REAL, "Mean adjusted Rand index over bootstrap fits", "-1 to 1"),
        required("definition", TEXT, "How customers are placed, as JSON; the same on all clusters of a run"),
    ),
    ("as_of",),
)

CLUSTER_REVIEWS = Contract(
    "cluster_reviews",
    "Candidates for the clustering of a run with their grades, and which one is in use from then on.",
    ("as_of", "method", "clusters"),
    (
        required("as_of", DAY, "Run"),
        required(
            "method", TEXT, "kmeans, mixture, hierarchical, tree, bands, grid; (in use) marks the one in use before"
        ),
        required("clusters", WHOLE, "Number of clusters", "clusters"),
        Column(
            "eta_squared", REAL, "Variance of next-period spend explained for customers left out of the fit", "0 to 1"
        ),
        Column("rival_eta_squared", REAL, "The same for as many equal groups by past spend", "0 to 1"),
        Column("stability", REAL, "Mean adjusted Rand index over bootstrap fits", "-1 to 1"),
        Column("weekly_stability", REAL, "Adjusted Rand index between this week and the last", "-1 to 1"),
        Column("smallest_share", REAL, "Share of the smallest cluster", "0 to 1"),
        Column("silhouette", REAL, "Separation on the standardised log scale", "-1 to 1"),
        Column("closest_pair", REAL, "Distance of the two most similar clusters on their best feature", "deviations"),
        Column("readability", REAL, "Customers placed right by a few yes-or-no questions", "0 to 1"),
        required("chosen", FLAG, "In use from this run on"),
        required("verdict", TEXT, "Why it was chosen, passed or refused"),
    ),
    ("as_of",),
)

RULE_VERSIONS = Contract(
    "rule_versions",
    "Every version of the segment rules that was used or saved, with who and why.",
    ("version",),
    (
        required("version", TEXT, "Digest of the rules"),
        required("rules", TEXT, "The rules as YAML"),
        required("saved_at", INSTANT, "When", "UTC"),
        required("saved_by", TEXT, "Who"),
        required("reason", TEXT, "Why"),
    ),
)

TABLES = (MODEL_GRADES, MODEL_PARAMETERS, CLUSTER_MODELS, CLUSTER_REVIEWS, RULE_VERSIONS)
