"""A simulated Pacemaker and Corosync, for `make demo` on a machine without root.

It models what the demonstration needs, with the times that a real cluster showed at this token, and
speaks as the real one does: through `crm_mon`'s XML, `corosync-cfgtool` and the resource agent. It
proves nothing about Pacemaker; the real cluster in `lab/cluster` does.
"""
