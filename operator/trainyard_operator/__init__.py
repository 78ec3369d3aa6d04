"""The operator. It watches TrainingJobs and creates a Job, a result and a ModelVersion for each one.

Packages, from the inside out: ``core`` decides, ``kube`` calls the API server, ``kinds`` describes the watched kinds,
``runtime`` connects them, and ``progress`` receives the trainers' reports. ``shell`` starts everything. A package
imports only packages further inside.
"""
