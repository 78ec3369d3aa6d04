"""The operator: watches TrainingJobs and turns each into a Job, a result and a ModelVersion.

Rooms, from the inside out: ``core`` decides, ``kube`` talks to the API server, ``runtime`` joins the two, ``progress``
listens to trainers, ``shell`` starts it all. Arrows go inwards only.
"""
