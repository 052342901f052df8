"""From a source to a verified image in a registry. Knows nothing of Kubernetes."""
