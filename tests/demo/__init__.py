"""The main job, shown: from nothing to an agent that can call exactly the tools it may call. ``scripts/demo`` runs it.

Only the standard library and our neighbours here are imported, so that any Python 3.11 runs it.
"""
