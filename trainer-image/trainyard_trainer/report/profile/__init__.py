"""The profile of the training data, stored with every version, and its comparison with that of the champion.

docs/decisions/0028-data-compared-with-the-champions-data.md explains the choice of the measures.
"""
