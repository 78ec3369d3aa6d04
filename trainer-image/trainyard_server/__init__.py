"""The inference server: one process, one version of one model, the Open Inference Protocol v2 over REST."""
