"""The rows of the benchmark table. Each is a module with ``BOUND``, ``IS_AT_MOST`` and ``measure() -> Measured``."""

ROWS = {
    "jensen_shannon": "benchmarks.rows.jensen_shannon",
    "contrastive_metric_learning": "benchmarks.rows.contrastive_metric_learning",
    "contrastive_supcontrast": "benchmarks.rows.contrastive_supcontrast",
    "ema": "benchmarks.rows.ema",
    "crop_flip_torchvision": "benchmarks.rows.crop_flip_torchvision",
    "crop_flip_airbench": "benchmarks.rows.crop_flip_airbench",
    "views_jpeg": "benchmarks.rows.views_jpeg",
    "views_decoded": "benchmarks.rows.views_decoded",
    "plain_step": "benchmarks.rows.plain_step",
    "full_step": "benchmarks.rows.full_step",
    "precision": "benchmarks.rows.precision",
    "trial_overhead": "benchmarks.rows.trial_overhead",
    "search_16": "benchmarks.rows.search_16",
    "ensemble_small": "benchmarks.rows.ensemble_small",
    "ensemble_noise": "benchmarks.rows.ensemble_noise",
    "ensemble_16_models": "benchmarks.rows.ensemble_16_models",
    "ensemble_200_models": "benchmarks.rows.ensemble_200_models",
    "ensemble_1000_models": "benchmarks.rows.ensemble_1000_models",
    "ensemble_memory": "benchmarks.rows.ensemble_memory",
    "ensemble_from_disk": "benchmarks.rows.ensemble_from_disk",
}
