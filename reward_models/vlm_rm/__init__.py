"""VLM-RM (Rocamonde et al. 2023, arXiv:2310.12921): the reward is how well a picture fits a sentence."""
