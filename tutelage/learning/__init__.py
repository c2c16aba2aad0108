"""Parts of an online learning run; a person sees of it the log, the advice, the live display and the curves."""
