"""Models: what was fitted, how good it was, which one is in use."""

from tasks.lake.contracts.column import DAY, FLAG, INSTANT, REAL, TEXT, WHOLE, Column, Contract, required

MODEL_GRADES = Contract(
    "model_grades",
    "Back-test results: each model and rival per target, window and metric.",
    ("target", "cutoff", "horizon_days", "model", "metric"),
    (
        required("target", TEXT, "lifetime_value, churn, next_order, recommendations.repeat, … or segments"),
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
        required("graded_on", DAY, "as_of of the run that graded"),
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
    "Cluster solutions accepted so far: centres on the standardised scale, labels and how they were graded.",
    ("as_of", "cluster", "feature"),
    (
        required("as_of", DAY, "Run that accepted it"),
        required("cluster", WHOLE, "Stable number of the cluster"),
        required("label", TEXT, "Name of the cluster"),
        required("feature", TEXT, "Feature of the clustering"),
        required("centre", REAL, "Centre on the standardised scale"),
        required("mean", REAL, "Mean of the transformed feature, to standardise by"),
        required("deviation", REAL, "Standard deviation of the transformed feature"),
        required("method", TEXT, "Method that found it"),
    ),
    ("as_of",),
)

CLUSTER_REVIEWS = Contract(
    "cluster_reviews",
    "Candidates for the clustering of a run with their grades, and which one passed the gate.",
    ("as_of", "method", "clusters"),
    (
        required("as_of", DAY, "Run"),
        required("method", TEXT, "kmeans, mixture, hierarchical, tree, …"),
        required("clusters", WHOLE, "Number of clusters", "clusters"),
        Column("silhouette", REAL, "Separation", "-1 to 1"),
        Column("stability", REAL, "Mean adjusted Rand index over bootstrap fits", "-1 to 1"),
        Column("smallest_share", REAL, "Share of the smallest cluster", "0 to 1"),
        Column("eta_squared", REAL, "Variance of next-period spend explained", "0 to 1"),
        required("chosen", FLAG, "In use from this run on"),
        required("verdict", TEXT, "Why it was chosen or refused"),
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
