"""Shards: the pods of one Indexed Job share the series of a model, and make one version of it together.

Every pod reads all of the data, so all pods know the same series. A stable hash assigns each series to a pod. The pod
trains its series and saves each as a checkpoint of the job, as a training without shards does. It writes its mark last.

If a pod sees the marks of all pods, it runs the complete training. All series are finished then, so the result is the
same as that of one pod. If two pods do this at the same time, they register one version, as two pods of any job do.
"""
