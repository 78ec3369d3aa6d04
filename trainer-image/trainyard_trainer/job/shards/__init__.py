"""Shards: the pods of one Indexed Job share the series of a model, and make one version of it together.

Merging is resuming. Every pod reads all the data, so that all agree on what there is to train; it fits the series that
a stable hash gives it, and leaves each as a checkpoint of the job, as a training without shards does. Its mark comes
last. Whoever then sees the marks of all pods trains the whole: every series is found finished, so what comes out is
what one pod would have made, whoever merges. Two at once end at one version, as two pods of one job always do.
"""
