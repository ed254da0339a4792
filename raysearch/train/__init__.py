"""One training, from a config to a trial folder. The loop knows neither Ray nor the study."""
