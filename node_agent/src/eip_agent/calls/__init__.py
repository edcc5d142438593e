"""Calls out of this process, each bounded in time: the cluster's commands, HTTP, AWS."""
