"""The node's side: reports what Pacemaker and Corosync say here, and waits for grants.

The package knows the wire contract (`eip_contract`) and the standard library, nothing else: the
distribution's botocore alone would take more memory than the whole agent does. It holds no EC2
permission and decides nothing about an address; Pacemaker decides here, the arbiter in the region.
"""

__version__ = "0.1.0"
