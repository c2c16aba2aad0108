"""One honest table for every reward model, beside four baselines that look at nothing or know everything."""
