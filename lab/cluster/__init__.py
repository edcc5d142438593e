"""Clusters for the lab: real Corosync and Pacemaker in namespaces, and what both kinds offer.

What a node runs (agent, metadata service) and what is asserted about it live elsewhere.
"""
