"""Upkeep of a storage as a whole: versions made again from it, and removal of what nothing uses any more."""
