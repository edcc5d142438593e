"""The wire contract between nodes and the control plane.

Here lives what both sides must agree on: the node report, the envelope that proves who sent it,
and the part of the state item that nodes may read. Standard library only and Python 3.9 upwards,
since it is installed on cluster nodes. No AWS call, no clock, no decision belongs here.
"""
