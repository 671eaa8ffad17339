"""The guest side of the build: installing the languages' tools, building components, making new ones.

Start reading in `catalogue.py` (what tool serves which language), then `setup.py` (`just setup`),
`builders.py` (how one component of each language is built) and `build.py` (`just build-components`).
Python's standard library only, Python 3.11 (Debian 12) or newer.
"""
