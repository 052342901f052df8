"""A small API for dashboards and scripts: what ``kubectl get`` would give the caller, and never more."""
