"""Ways to run the pipeline: eager PyTorch is the reference, others are tested against it."""
