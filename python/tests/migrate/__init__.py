"""The tests of `trailseal.migrate`, and the documents that it takes over from."""
