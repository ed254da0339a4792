"""The search: Ray Tune runs the trials, a stored Optuna study proposes them and remembers."""
