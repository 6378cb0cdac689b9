"""A model scored on labelled images: held-out sets, cross-validation, baselines, calibration."""
