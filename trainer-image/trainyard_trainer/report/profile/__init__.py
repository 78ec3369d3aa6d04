"""What the rows of a training looked like, kept with every version, and compared with those of the champion.

docs/decisions/0028-the-data-is-compared-before-the-model.md tells how the measures were chosen.
"""
