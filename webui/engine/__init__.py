"""From a request to pictures: checkpoints, plans, the run."""
