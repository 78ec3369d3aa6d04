"""Auto: frameworks are compared before the holdout, and answer together by how good they are there."""
