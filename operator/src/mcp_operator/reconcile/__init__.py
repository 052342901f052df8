"""Reconciliation: for each kind, ordered steps from what is observed to what should be. Called with a name, no event.

A reconciler reads everything anew, does what is missing, writes the status if it changed, and says when to look again.
"""
