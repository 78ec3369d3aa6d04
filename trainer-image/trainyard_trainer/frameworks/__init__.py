"""The frameworks, one package for each. Each library is imported only if a job needs it."""
