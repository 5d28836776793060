"""For those who come from another audit log: its names over a trail.

One module for each of four systems. Change the imports and the events go into a trail; `docs/migrate/` says for
each what stays, what is different and why, and what cannot work as it was written.
"""
