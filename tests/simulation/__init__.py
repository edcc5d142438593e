"""Deterministic simulation of the shipped arbiter, agent and resource agent in virtual time.

What is shipped runs unchanged: `eip_arbiter` (decision, commit, move, operator's verbs),
`eip_agent` (board, watchers, reporter, operations, follow-up) and the resource agent `ocf/eip`.
What is modelled, and so is not real here: EC2, DynamoDB's conditional writes (`memory_store`),
EventBridge, Lambda, Pacemaker, Corosync, the metadata service, and every clock.
"""
