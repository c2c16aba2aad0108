"""Robot Utility Models (Etukuru et al. 2024, arXiv 2409.05865): four policy classes on one encoder."""
