"""What a search remembers: the Optuna study and the trial folders. No Ray."""
