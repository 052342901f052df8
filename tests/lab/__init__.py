"""The machine under the tests: a Docker Engine, a registry, base images and a one-node Kubernetes cluster.

What is there already is used; what is not is started, below the user's cache folder, and ended again by name.
Only the standard library is imported, so that this runs before anything is installed. ``python -m lab`` is the door.
"""
