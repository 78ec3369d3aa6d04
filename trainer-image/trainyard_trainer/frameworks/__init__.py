"""The ways to train, a package for each. Each library is imported only when a job asks for it."""
