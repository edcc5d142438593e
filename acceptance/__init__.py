"""`make acceptance`: the product in a real account, measured where AWS's documentation is silent.

It knows AWS by boto3 alone, and nothing of what it measures but its outputs and its verbs. The
tests run the same program against an account on this machine.
"""
